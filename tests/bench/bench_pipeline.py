"""Changes a second through all four roles, and the latency that they add: here on the local log.

    python -m tests.bench.bench_pipeline [--json FILE]

Throughput: the API is stubbed in the process (it answers at once), one partner, one client in a process of
its own that reads everything; CPU is the service's, without it. Latency: the sandbox wiki, idle budget; from
the answer to an edit to its frame at a client, and by the records' own times the hops on the way: a record's
time is when its append began. The same on Kafka is part of bench_kafka.
"""

import argparse
import asyncio
import contextlib
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp

from streamer import loop
from streamer.config import (
    DeliverSettings,
    LogSettings,
    MediaWikiSettings,
    PartnersSettings,
    Settings,
    SourceSettings,
)
from streamer.deliver.server import run_deliver
from streamer.enrich.stage import run_enrich
from streamer.log.base import Log, TopicPartition
from streamer.log.open import open_log
from streamer.metrics import COMMITTED
from streamer.origin.answer import Answer, Found, Missing, PageAnswer, RevisionAnswer, SiteInfo
from streamer.origin.mediawiki import Origin
from streamer.partners import PartnersWatch
from streamer.partners_edit import add_partner
from streamer.plan import Plan
from streamer.route.stage import run_route
from streamer.runtime import Runtime, topic_specs
from streamer.sandbox.server import Sandbox, SandboxOptions
from streamer.source.stage import run_source
from streamer.tracing import Tracing

PARAGRAPH = (
    "'''A page''' about [[something|some things]] that is ''long'' enough, with a reference<ref>{{cite web"
    "|url=https://example.org/x|title=A title}}</ref> and a list.\n\n"
    "* One [[item]]\n* Another {{nowrap|item}}\n\n== Heading ==\n\n"
)


DEADLINE_S = 180.0
ID = re.compile(rb"^id: (\S+)$", re.MULTILINE)
ARTICLE = b'data: {"name"'
OPENED = "open\n"
IDLE_S = 5.0
LogOf = Callable[[Path], LogSettings]
SERVER = "en.wikipedia.org"
HOPS = ("edit to changes", "changes to articles", "articles to partner", "partner to frame")


class Stub:
    """Wikis that answer at once with a text of `size` characters."""

    any_host_answers = True

    def __init__(self, size: int, wikis: Sequence[str] = ("enwiki",)) -> None:
        self._text = (PARAGRAPH * (size // len(PARAGRAPH) + 1))[:size]
        self._sites = {
            wiki: SiteInfo(
                wiki=wiki,
                server_name=SERVER,
                name="Wikipedia",
                language="en",
                direction="ltr",
                namespaces={0: ""},
                licence_name="CC BY-SA 4.0",
                licence_url="https://creativecommons.org/licenses/by-sa/4.0/",
                article_path="/wiki/$1",
                script_path="/w",
                server=f"https://{SERVER}",
                fetched_ms=0,
            )
            for wiki in wikis
        }

    def holds(self, _lanes: int, /) -> None:
        """There is no budget."""

    async def revision(self, wiki: str, _server: str, revision: int, /, **_: object) -> Answer:
        site = self._sites.get(wiki)
        if site is None:
            return Missing(0)
        page = PageAnswer(
            revision % 5_000 + 1, 0, f"Page {revision % 5_000}", revision, "wikitext", "en", "ltr"
        )
        return Found(
            site,
            page,
            RevisionAnswer(
                revision, revision - 1, 0, False, len(self._text), "0" * 40, self._text, "wikitext"
            ),
            int(time.time() * 1000),
        )

    async def title(self, wiki: str, server: str, _title: str, /, **_: object) -> Answer:
        return await self.revision(wiki, server, 1)

    async def page(self, wiki: str, server: str, page_id: int, /, **_: object) -> Answer:
        return await self.revision(wiki, server, page_id)

    async def deleted_page_id(self, *_: object) -> tuple[int, ...]:
        return ()

    async def probe(self, *_: object) -> None: ...

    def site(self, wiki: str, /) -> SiteInfo | None:
        return self._sites.get(wiki)

    def check_host(self, _server: str, /) -> None: ...

    @property
    def has_backlog(self) -> bool:
        return False

    def is_under_way(self, _wiki: str, _revision: int, /) -> bool:
        return False

    def failing_since_s(self, _wiki: str, /) -> float | None:
        return None


def edit(number: int, wiki: str = "enwiki") -> str:
    """As recentchange tells it."""
    row = {
        "$schema": "/mediawiki/recentchange/1.0.0",
        "meta": {
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "dt": "2026-09-21T13:20:17Z",
            "domain": SERVER,
            "stream": "mediawiki.recentchange",
            "topic": "eqiad.mediawiki.recentchange",
            "partition": 0,
            "offset": number,
        },
        "type": "edit",
        "namespace": 0,
        "title": f"Page {(number + 100) % 5_000}",
        "timestamp": 1_790_000_000,
        "user": "Somebody",
        "bot": False,
        "minor": False,
        "revision": {"old": number + 99, "new": number + 100},
        "length": {"old": 1, "new": 2},
        "server_name": SERVER,
        "wiki": wiki,
    }
    return json.dumps(row)


async def consume(url: str, key: str, count: int, opened: Callable[[], None]) -> int:
    """Reads `count` articles from the beginning, resuming by id as a partner does; how often it had to."""
    headers = {"Authorization": f"Bearer {key}"}
    params = {"since": "2020-01-01T00:00:00Z"}
    seen = resumed = 0
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(url, headers=headers, params=params) as response:
                response.raise_for_status()
                opened()
                tail = b""
                async for chunk in response.content.iter_any():
                    new = tail[1 - len(ARTICLE) :] + chunk  # one may be cut in two
                    seen += new.count(ARTICLE)
                    if seen >= count:
                        return resumed
                    tail = tail[-200:] + chunk
                    ids = ID.findall(tail)
                    if ids:
                        headers["Last-Event-ID"] = ids[-1].decode()
            resumed += 1
            params = {}


@contextlib.asynccontextmanager
async def client(url: str, key: str, count: int) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """`consume` in a process of its own, which has opened its stream; it gives what waits for its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.bench_pipeline"),
        *("--consume", url, str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    stdout = process.stdout

    async def ended() -> int:
        return int(await stdout.readline())

    try:
        process.stdin.write(f"{key}\n".encode())
        assert await stdout.readline() == OPENED.encode()
        yield ended
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def local(folder: Path) -> LogSettings:
    return LogSettings(path=str(folder / "log.db"))


async def throughput(
    folder: Path,
    *,
    size: int,
    count: int,
    with_text: bool,
    log_of: LogOf = local,
    tracing: Tracing | None = None,
) -> dict[str, float]:
    folder.mkdir()
    (folder / "r.jsonl").write_text("".join(f"{edit(n)}\n" for n in range(count)), encoding="utf-8")
    partners_file = folder / "partners.toml"
    key = add_partner(partners_file, "bench")
    settings = Settings(
        source=SourceSettings(url=f"file:{folder / 'r.jsonl'}", streams=("recentchange",)),
        log=log_of(folder),
        deliver=DeliverSettings(port=0),
        partners=PartnersSettings(file=str(partners_file)),
    )
    async with open_log(settings) as log:
        runtime = Runtime(settings, log, tracing=tracing)
        await log.ensure_topics(topic_specs(settings))
        partners = PartnersWatch(partners_file)
        bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(partners.run()),
                group.create_task(run_deliver(runtime, partners, on_listening=bound.set_result)),
                group.create_task(run_route(runtime, partners)),
                group.create_task(run_enrich(runtime, Stub(size), lambda: Plan(text=with_text))),
            ]
            url = f"http://127.0.0.1:{await bound}/v2/articles"
            await all_lanes_run(log, settings.log.partitions)
            async with client(url, key, count) as ended:
                cpu_s, loop_s, began_s = time.process_time(), time.thread_time(), time.monotonic()
                tasks.append(group.create_task(run_source(runtime)))
                resumed = await ended()
                took_s = time.monotonic() - began_s
                cpu_s, loop_s = time.process_time() - cpu_s, time.thread_time() - loop_s
            published = COMMITTED.totals("enrich").get("published", 0)
            for task in tasks:
                task.cancel()
    return {
        "changes_per_s": count / took_s,
        "service_cpu_ms_each": cpu_s / count * 1000,
        "of_it_the_loop_ms_each": loop_s / count * 1000,
        "published": published,
        "streams_resumed": resumed,
    }


async def latency(folder: Path, edits: int, log_of: LogOf = local) -> dict[str, float]:
    folder.mkdir()
    partners_file = folder / "partners.toml"
    key = add_partner(partners_file, "bench")
    async with Sandbox(SandboxOptions(seed=1, edits_per_s=0.02)) as sandbox:
        settings = Settings(
            source=SourceSettings(url=sandbox.stream_url),
            mediawiki=MediaWikiSettings(
                hosts=("*.sandbox.example",), endpoint=sandbox.endpoint, requests_per_minute=6_000
            ),
            log=log_of(folder),
            deliver=DeliverSettings(port=0),
            partners=PartnersSettings(file=str(partners_file)),
        )
        async with open_log(settings) as log, Origin(settings) as origin:
            runtime = Runtime(settings, log)
            await log.ensure_topics(topic_specs(settings))
            partners = PartnersWatch(partners_file)
            bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(partners.run()),
                    group.create_task(run_deliver(runtime, partners, on_listening=bound.set_result)),
                    group.create_task(run_route(runtime, partners)),
                    group.create_task(run_enrich(runtime, origin)),
                    group.create_task(run_source(runtime)),
                ]
                await all_lanes_run(log, settings.log.partitions)
                idle_s = time.process_time()
                await asyncio.sleep(IDLE_S)
                idle_s = time.process_time() - idle_s
                ways = await measured(sandbox, f"http://127.0.0.1:{await bound}/v2/articles", key, edits)
                for task in tasks:
                    task.cancel()
            topics = [runtime.topics.changes, runtime.topics.articles, runtime.topics.of_partner("bench")]
            for index, topic in enumerate(topics):
                for title, at_ms in (await times(log, topic)).items():
                    if title in ways:
                        ways[title].insert(1 + index, at_ms)
    took = sorted(way[-1] - way[0] for way in ways.values())
    figures = {
        "idle_cpu_percent": idle_s / IDLE_S * 100,
        "edits": len(took),
        "p50_ms": statistics.median(took),
        "p99_ms": took[int(len(took) * 0.99) - 1],
        "max_ms": took[-1],
    }
    for index, hop in enumerate(HOPS):
        parts = sorted(way[index + 1] - way[index] for way in ways.values())
        figures[f"{hop}_p50_ms"] = statistics.median(parts)
        figures[f"{hop}_p99_ms"] = parts[int(len(parts) * 0.99) - 1]
    return figures


async def all_lanes_run(log: Log, partitions: int) -> None:
    """A partner begins where each lane of route first saw it; what comes before that it never gets."""
    for role in ("route", "enrich"):
        while len(await log.committed(role)) < partitions:
            await asyncio.sleep(0.05)


async def times(log: Log, topic: str) -> dict[str, float]:
    """By title, when the record was appended."""
    found: dict[str, float] = {}
    bounds = await log.all_bounds(topic)
    async with log.reader({TopicPartition(topic, p): b.earliest for p, b in enumerate(bounds)}) as reader:
        while records := await reader.read(wait_s=0.0):
            for record in records:
                value = json.loads(record.value or b"{}")
                found[str(value.get("title") or value.get("name"))] = record.timestamp_ms
    return found


async def measured(sandbox: Sandbox, url: str, key: str, edits: int) -> dict[str, list[float]]:
    """By title, in ms: when the edit was answered, and when the frame with its mark was at the client."""
    ways: dict[str, list[float]] = {}
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {key}"}
        async with session.get(url, headers=headers) as response:
            reader = response.content
            for number in range(edits + 5):
                mark = f"bench-mark-{number:06d}"
                title = f"Bench {number}"
                asked = {
                    "wiki": "ensandbox",
                    "title": title,
                    "action": "create",
                    "text": mark * 100,
                }
                async with session.post(f"{sandbox.endpoint}/sandbox/edit", json=asked) as answer:
                    assert answer.status == 200, await answer.text()
                edited_ms = time.time() * 1000
                seen = b""
                while mark.encode() not in seen:
                    seen = seen[-200_000:] + await reader.readany()
                if number >= 5:  # the first ones pay for what is set up once
                    ways[title] = [edited_ms, time.time() * 1000]
    return ways


async def run(folder: Path) -> dict[str, dict[str, float]]:
    return {
        "2 kB wikitext, no text": await throughput(folder / "a", size=2_000, count=20_000, with_text=False),
        "17 kB pages, with text": await throughput(folder / "b", size=17_000, count=3_000, with_text=True),
        "added latency": await latency(folder / "c", 200),
    }


def show(title: str, figures: dict[str, float]) -> None:
    print(title)
    for measure, value in figures.items():
        print(f"    {measure:<28} {value:>12,.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--consume", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.consume:
        url, count = options.consume
        resumed = asyncio.run(consume(url, input(), int(count), lambda: print(OPENED, end="", flush=True)))
        print(resumed)
        return
    with tempfile.TemporaryDirectory() as name:
        results = loop.run(run(Path(name)))
    for title, figures in results.items():
        show(title, figures)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
