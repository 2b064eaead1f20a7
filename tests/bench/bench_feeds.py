"""A hundred partners with a hundred projections: what route and deliver take of a core.

    python -m tests.bench.bench_feeds [--json FILE] [--only route|deliver] [--log local|kafka]

Articles of 17 kB, 50 a second, ten partitions; each partner asks for other `fields`, all of them for the
text, so nothing that is made for one is another's. Writer, role and clients are processes of their own; a
role counts the CPU of its threads, the kernel's part included.

    route     from the articles to the commit; the append apart: packing and the log's own thread. On Kafka
              its producer works in the same loop: what route takes there beyond this row is the append, and
              the broker is apart
    deliver   100 topics with 5 SSE clients each, an event of all partners in one commit, as route makes it
    idle      the same readers and clients, and nothing is written

Where the machine is too small for the rate, events come later than they should; shares of a core are those
at the full rate, from the CPU of what was done. Nothing is asserted: compare ratios within one run.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from deploy.kafka import Brokers, Unavailable
from streamer.config import DeliverSettings, LogSettings, PartnersSettings, Settings
from streamer.deliver.server import run_deliver
from streamer.log.base import Log, Record
from streamer.log.local import LocalLog
from streamer.log.open import open_log
from streamer.loop import run as run_process
from streamer.metrics import COMMITTED
from streamer.model import Link, encode_value
from streamer.partners import PartnersWatch, load_partners
from streamer.partners_edit import add_partner
from streamer.privacy import FULL
from streamer.route.feed import projection_of
from streamer.route.stage import run_route
from streamer.runtime import Runtime, article_spec, topic_specs
from tests.bench.bench_kafka import broker_cpu_s, kafka_settings, value
from tests.harness.articles import PARTITIONS, Page

Results = dict[str, float]
T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT_CHARS: Final = 7_500
"""Wikitext and plain text have as much each."""
PAGES: Final = 64
DEADLINE_S: Final = 120.0
WARM_S: Final = 2.0
CONNECTING: Final = 20
"""Clients that connect at a time: on a cluster a feed takes a while to open."""
AGAIN_S: Final = 1.0
CHOICES: Final = (
    ("url",),
    ("in_language.*",),
    ("abstract",),
    ("categories.*",),
    ("templates.*",),
    ("previous_version.*",),
    ("version.*",),
)
"""A partner asks for some of them: its number's bits."""
PART_OF_VERSION: Final = ("version.identifier", "version.comment", "version.editor.name", "version.tags")
"""Who does not ask for the whole version."""


@dataclass(frozen=True, slots=True)
class Load:
    """The question that is measured."""

    partners: int
    clients: int
    """Of each partner."""
    rate: float
    """Events a second."""
    seconds: float


def fields(number: int) -> list[str]:
    """Distinct for 128 numbers."""
    wanted = [path for bit, paths in enumerate(CHOICES) if number >> bit & 1 for path in paths]
    return ["article_body.*", *wanted, *(() if "version.*" in wanted else PART_OF_VERSION)]


def article(sequence: int) -> bytes:
    page = Page(sequence, page_id=sequence % 5_000 + 1, text="", parent=sequence - 1, parent_sha1="1" * 40)
    made = page.article()
    text = value(TEXT_CHARS, sequence % PAGES).decode().replace("er ", "ér ")  # few pages are ASCII alone
    links = [
        Link(f"Category:Pages about {n}", f"https://en.wikipedia.example/wiki/Category:{n}") for n in range(8)
    ]
    body = {"wikitext": text, "text": text[::-1]}
    made = replace(made, categories=links, templates=links[:3], abstract=text[:200])
    whole = json.loads(encode_value(made))
    whole["article_body"] = body
    return encode_value(whole)


class Articles:
    """Records of the articles' topic; few values, so that making them costs the writer little."""

    def __init__(self, settings: Settings) -> None:
        self._topics = Runtime(settings, LocalLog(Path())).topics
        self._values = [article(n + 1) for n in range(PAGES)]

    def record(self, sequence: int) -> Record:
        page = Page(sequence, page_id=sequence % 5_000 + 1).record(self._topics)
        return Record(page.topic, page.partition, page.key, self._values[sequence % PAGES], page.headers)


# ── roles, each in a process; a line on stdin asks for figures, the end of stdin ends it ───────────


class Threads:
    """CPU seconds of this process by thread: those that read, that write, the loop, all others."""

    def __init__(self) -> None:
        self.reads_s = 0.0
        """In threads that read and pack: what was reading."""

    def count_reads(self, log: Log) -> None:
        """Packing is done by the same threads."""
        if not isinstance(log, LocalLog):
            return
        pool = log._pool
        call = pool._call

        def counted(work: Callable[..., T]) -> T:
            began_s = time.thread_time()
            try:
                return call(work)
            finally:
                self.reads_s += time.thread_time() - began_s

        pool._call = counted  # type: ignore[method-assign]

    def figures(self) -> Results:
        spent = {"loop": 0.0, "log-reader": 0.0, "log-writer": 0.0}
        for thread in threading.enumerate():
            assert thread.ident is not None
            name = thread.name.partition("_")[0]
            name = "loop" if thread is threading.main_thread() else name
            spent[name] = spent.get(name, 0.0) + time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        return {**spent, "reads": self.reads_s, "process": time.process_time()}


async def answer(figures: Callable[[], object]) -> None:
    """Until stdin ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps(figures()), flush=True)


def settings_of(where: dict[str, object]) -> Settings:
    folder = Path(str(where["folder"]))
    log = LogSettings(path=str(folder / "log.db"), partitions=PARTITIONS)
    if where.get("bootstrap"):
        log = kafka_settings(str(where["bootstrap"]), str(where["prefix"]))
    return Settings(
        log=log,
        deliver=DeliverSettings(port=0),
        partners=PartnersSettings(file=str(folder / "partners.toml")),
    )


async def play_route(where: dict[str, object]) -> None:
    settings, threads = settings_of(where), Threads()
    async with open_log(settings) as log, asyncio.TaskGroup() as group:
        threads.count_reads(log)
        runtime = Runtime(settings, log)
        partners = PartnersWatch(Path(settings.partners.file))
        tasks = [group.create_task(partners.run()), group.create_task(run_route(runtime, partners))]
        await answer(lambda: {**threads.figures(), **routed()})
        for task in tasks:
            task.cancel()


def routed() -> dict[str, int]:
    """Lanes of partners that stand, and records that were committed for them."""
    committed = COMMITTED._counts.values()
    return {"places": len(committed), "routed": sum(counts.get("published", 0) for counts in committed)}


async def play_deliver(where: dict[str, object]) -> None:
    settings, threads = settings_of(where), Threads()
    async with open_log(settings) as log, asyncio.TaskGroup() as group:
        threads.count_reads(log)
        runtime = Runtime(settings, log)
        partners = PartnersWatch(Path(settings.partners.file))
        bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        tasks = [
            group.create_task(partners.run()),
            group.create_task(run_deliver(runtime, partners, on_listening=bound.set_result)),
        ]
        port = await bound
        await answer(lambda: {**threads.figures(), "port": port})
        for task in tasks:
            task.cancel()


async def play_source(where: dict[str, object]) -> None:
    """Articles as enrich commits them, one at a time."""
    settings = settings_of(where)
    articles, load = Articles(settings), Load(**where["load"])  # type: ignore[arg-type]
    async with open_log(settings) as log:
        await paced(load, lambda sequence: log.append([articles.record(sequence)]))


async def play_writer(where: dict[str, object]) -> None:
    """Partners' records as route commits them: an article's of all partners at once."""
    settings = settings_of(where)
    articles, load = Articles(settings), Load(**where["load"])  # type: ignore[arg-type]
    topics = Runtime(settings, LocalLog(Path())).topics
    partners = load_partners(Path(settings.partners.file))
    made: dict[tuple[str, int], bytes] = {}
    projections = {name: projection_of(partner, FULL) for name, partner in partners.items()}

    def records(sequence: int) -> list[Record]:
        whole = articles.record(sequence)
        assert whole.value is not None
        found = []
        for name, projection in projections.items():
            at = (name, sequence % 4)
            if at not in made:
                made[at] = projection.apply(whole.value)
            topic = topics.of_partner(name)
            found.append(Record(topic, whole.partition, whole.key, made[at], whole.headers))
        return found

    async with open_log(settings) as log:
        await paced(load, lambda sequence: log.append(records(sequence)))


async def paced(load: Load, put: Callable[[int], AsyncIterator[object] | object]) -> None:
    """Puts events until they are done, at the rate or as fast as it goes; says how long it took."""
    began_s, done = time.monotonic(), 0
    count = int(load.rate * load.seconds)
    while done < count:
        await asyncio.sleep(max(0.0, began_s + done / load.rate - time.monotonic()))
        await put(done + 1)  # type: ignore[misc]
        done += 1
    print(json.dumps({"events": done, "took_s": time.monotonic() - began_s}), flush=True)


class Client(asyncio.Protocol):
    """Counts what it gets, and looks at no more of it than that needs."""

    taken_bytes = 0
    events = 0
    streaming = 0

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._last = b""
        self.answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether it streams."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        seen = self._last + data
        if not self._last:
            streams = data.startswith(b"HTTP/1.1 200")
            self.answered.set_result(streams)
            if not streams:
                self._transport.close()
                return
            Client.streaming += 1
        Client.taken_bytes += len(data)
        Client.events += seen.count(b"\ndata: {")
        self._last = data[-7:]  # a part of the mark at most


async def play_clients(where: dict[str, object]) -> None:
    url = urlsplit(str(where["url"]))
    loop = asyncio.get_running_loop()
    keys, each = where["keys"], Load(**where["load"]).clients  # type: ignore[arg-type]
    assert isinstance(keys, list)
    at_once = asyncio.Semaphore(CONNECTING)

    async def connect(key: str) -> None:
        request = (
            f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {key}\r\n"
            "Accept: text/event-stream\r\n\r\n"
        ).encode()
        async with at_once:
            while True:
                _, client = await loop.create_connection(lambda: Client(request), url.hostname, url.port)
                if await client.answered:
                    return
                await asyncio.sleep(AGAIN_S)  # its feed is being opened

    async with asyncio.TaskGroup() as group:
        for key in keys:
            for _ in range(each):
                group.create_task(connect(key))
        await answer(
            lambda: (
                {"bytes": Client.taken_bytes, "events": Client.events, "streaming": Client.streaming}
                | {"process": time.process_time()}
            )
        )


ROLES: Final = {
    "route": play_route,
    "deliver": play_deliver,
    "source": play_source,
    "writer": play_writer,
    "clients": play_clients,
}


# ── asking them ────────────────────────────────────────────────────────────────────────────────


class Role:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self) -> Results:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await self.said()

    async def said(self) -> Results:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        figures: Results = json.loads(line)
        return figures


@contextlib.asynccontextmanager
async def role(name: str, where: dict[str, object]) -> AsyncIterator[Role]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.bench_feeds", "--role", name, json.dumps(where)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield Role(process)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def prepared(where: dict[str, object], load: Load) -> list[str]:
    """Topics and partners; their keys."""
    settings = settings_of(where)
    file = Path(settings.partners.file)
    keys, tables = [], []
    for number in range(load.partners):
        single = file.with_name("one.toml")
        keys.append(add_partner(single, f"p{number:03}"))
        tables.append(single.read_text() + f"fields = {json.dumps(fields(number))}\n")
        single.unlink()
    file.write_text("\n".join(tables))
    topics = Runtime(settings, LocalLog(Path())).topics
    async with open_log(settings) as log:
        await log.ensure_topics(topic_specs(settings))
        await log.ensure_topics(
            [article_spec(settings, topics.of_partner(f"p{number:03}")) for number in range(load.partners)]
        )
    return keys


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await reached():  # type: ignore[misc]
            await asyncio.sleep(0.1)


async def measure_route(where: dict[str, object], load: Load, brokers: Brokers | None) -> Results:
    await prepared(where, load)
    count = int(load.rate * load.seconds)
    async with role("route", where) as route:

        async def all_stand() -> bool:
            return (await route.ask())["places"] == load.partners * PARTITIONS

        async def all_routed() -> bool:
            return (await route.ask())["routed"] >= load.partners * count

        await until(all_stand)
        await asyncio.sleep(WARM_S)
        before, broker_s = await route.ask(), broker_cpu_s(brokers) if brokers else 0.0
        async with role("source", where) as source:
            took = await source.said()
        await until(all_routed)
        after = await route.ask()
        broker_s = broker_cpu_s(brokers) - broker_s if brokers else 0.0
    spent = {name: after[name] - before[name] for name in after}
    made = load.partners * count
    share = load.rate / count * 100
    if brokers is not None:  # its producer works in the loop
        return {
            "events_per_s": count / took["took_s"],
            "with_the_append_us_per_event_and_partner": spent["process"] / made * 1e6,
            "with_the_append_percent_of_a_core": spent["process"] * share,
            "broker_percent_of_a_core": broker_s * share,
        }
    packing_s = max(0.0, spent["log-reader"] - spent["reads"])
    return {
        "events_per_s": count / took["took_s"],
        "route_us_per_event_and_partner": (spent["loop"] + spent["reads"]) / made * 1e6,
        "route_percent_of_a_core": (spent["loop"] + spent["reads"]) * share,
        "of_it_reading_percent": spent["reads"] * share,
        "append_us_per_event_and_partner": (packing_s + spent["log-writer"]) / made * 1e6,
        "append_percent_of_a_core": (packing_s + spent["log-writer"]) * share,
        "of_it_packing_percent": packing_s * share,
        "process_percent_of_a_core": spent["process"] * share,
    }


async def measure_deliver(where: dict[str, object], load: Load) -> dict[str, Results]:
    keys = await prepared(where, load)
    count = int(load.rate * load.seconds)
    connections = load.partners * load.clients
    async with role("deliver", where) as deliver:
        port = int((await deliver.ask())["port"])
        asked = {**where, "keys": keys, "url": f"http://127.0.0.1:{port}/v2/articles"}
        async with role("clients", asked) as clients:

            async def all_stream() -> bool:
                return (await clients.ask())["streaming"] == connections

            async def all_delivered() -> bool:
                return (await clients.ask())["events"] >= connections * count

            await until(all_stream)
            await asyncio.sleep(WARM_S)
            idle_s = (await deliver.ask())["process"]
            await asyncio.sleep(load.seconds)
            before, got = await deliver.ask(), await clients.ask()
            idle_s = before["process"] - idle_s
            async with role("writer", where) as writer:
                took = await writer.said()
            await until(all_delivered)
            after, had = await deliver.ask(), await clients.ask()
    spent = {name: after[name] - before[name] for name in after}
    events = had["events"] - got["events"]
    assert events == connections * count, f"{events} deliveries, not {connections * count}"
    share = load.rate / count * 100
    return {
        "deliver": {
            "events_per_s": count / took["took_s"],
            "kb_per_delivery": (had["bytes"] - got["bytes"]) / events / 1e3,
            "us_per_delivery": spent["process"] / events * 1e6,
            "us_per_event_and_partner": spent["process"] / (load.partners * count) * 1e6,
            "percent_of_a_core": spent["process"] * share,
            "of_it_loop_percent": spent["loop"] * share,
            "of_it_reading_percent": spent["log-reader"] * share,
            "clients_percent_of_a_core": (had["process"] - got["process"]) * share,
        },
        "idle": {"connections": connections, "percent_of_a_core": idle_s / load.seconds * 100},
    }


async def run(load: Load, only: str, *, on_kafka: bool) -> dict[str, Results]:
    results: dict[str, Results] = {}
    asked = {"partners": load.partners, "clients": load.clients, "rate": load.rate, "seconds": load.seconds}
    with tempfile.TemporaryDirectory(dir=ROOT) as name:

        def place(title: str, brokers: Brokers | None) -> dict[str, object]:
            folder = Path(name) / title
            folder.mkdir()
            where: dict[str, object] = {"folder": str(folder), "load": asked}
            if brokers is not None:
                where |= {"bootstrap": brokers.bootstrap, "prefix": f"b{secrets.token_hex(4)}"}
            return where

        async with contextlib.AsyncExitStack() as stack:
            brokers = None
            if on_kafka:
                try:
                    brokers = await stack.enter_async_context(Brokers(Path(name) / "brokers"))
                except Unavailable as error:
                    print(f"skipped on Kafka: {error}")
                    return {}
            log = "Kafka" if brokers else "local log"
            if only in ("", "route"):
                results[f"route, {log}"] = await measure_route(place("route", brokers), load, brokers)
            if only in ("", "deliver"):
                found = await measure_deliver(place("deliver", brokers), load)
                results |= {f"{row}, {log}": figures for row, figures in found.items()}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=("", "route", "deliver"), default="")
    parser.add_argument(
        "--log", choices=("local", "kafka"), default="local", help="kafka: a broker of its own"
    )
    parser.add_argument("--partners", type=int, default=100)
    parser.add_argument("--clients", type=int, default=5, help="of each partner")
    parser.add_argument("--rate", type=float, default=50.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--role", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    # a broker on busy cores makes its clients try again, and they say so each time
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if options.role:
        run_process(ROLES[options.role[0]](json.loads(options.role[1])))  # as `streamer run` does
        return
    load = Load(options.partners, options.clients, options.rate, options.seconds)
    results = asyncio.run(run(load, options.only, on_kafka=options.log == "kafka"))
    for title, figures in results.items():
        print(title)
        for measure, figure in figures.items():
            print(f"    {measure:<34} {figure:>12,.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
