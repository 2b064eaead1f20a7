"""A partner's past, on a fleet that runs: `partner add --since` and `partner rebuild`, on both logs.

Only the role route runs (and deliver, where clients are looked at): nothing could ask a wiki.
"""

import asyncio
import contextlib
import itertools
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import pytest
from harness.articles import PARTITIONS, Page
from harness.feed import Feed
from harness.schema import checked_value
from harness.service import Service
from msgspec import UNSET

from deploy.kafka import Brokers
from streamer.cli import main
from streamer.cutoffs import cutoff_record
from streamer.log.base import Log, TopicPartition
from streamer.log.kafka import KafkaLog
from streamer.log.local import LocalLog
from streamer.log.table import Table
from streamer.model import Article, Hideable, Topics, Version
from streamer.partners_edit import add_partner
from streamer.route.rebuild import Start
from streamer.route.starts import Starts

EVER = "2020-01-01T00:00:00Z"
DEADLINE_S = 60.0
HISTORY = 600
ASLEEP = "route.committing=stop@60"
"""In the midst of live changes: history takes fewer commits."""
WITHDRAWN = 17
"""The sequence whose text is withdrawn after it was routed."""
HIDDEN_TEXT, HIDDEN_COMMENT, HIDDEN_EDITOR = 17, 18, 19
HIDDEN: Mapping[int, Hideable] = {HIDDEN_TEXT: "text", HIDDEN_COMMENT: "comment", HIDDEN_EDITOR: "editor"}
QUIET = 40
"""Changes that tell how fast they come before anything is done."""
WAITS_S = 5.0
"""For some of them a machine that does ten other things may take that long."""
PAST = 5 * HISTORY
"""Enough that to route it again takes a while."""


@dataclass
class Fleet:
    """A log, its partners file, the processes, and what was written to it."""

    folder: Path
    log: Log
    settings: str
    prefix: str
    key: str
    services: dict[str, Service] = field(default_factory=dict)
    appended_s: dict[int, float] = field(default_factory=dict)
    """Sequence → when it was written."""
    commands: int = 0

    @property
    def topics(self) -> Topics:
        return Topics(self.prefix)

    def config(self) -> str:
        return (
            f"[log]\n{self.settings}\n[deliver]\nport = 0\nadmin_port = 0\nheartbeat_s = 1\n"
            f'[partners]\nfile = "{self.folder / "partners.toml"}"\n'
        )

    async def start(
        self, stack: AsyncExitStack, name: str, role: str, environ: Mapping[str, str] | None = None
    ) -> Service:
        folder = self.folder / name
        folder.mkdir()
        service = Service(folder, self.config(), "run", "--role", role, environ=environ)
        self.services[name] = await stack.enter_async_context(service)
        await service.until_ready()
        return service

    def command(self, *words: str) -> Service:
        """`streamer partner …`, to be entered."""
        self.commands += 1
        folder = self.folder / f"command-{self.commands}"
        folder.mkdir()
        return Service(folder, self.config(), "partner", *words)

    async def publish(self, count: int) -> None:
        first = len(self.appended_s) + 1
        sequences = range(first, first + count)
        for sequence in sequences:
            self.appended_s[sequence] = time.monotonic()
        pages = [Page(sequence, page_id=sequence % 40 + 1) for sequence in sequences]
        await self.log.append([page.record(self.topics) for page in pages])

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Some twenty changes a second."""

        async def writing() -> None:
            while not done.is_set():
                await self.publish(2)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await done.wait()

        done = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writing())
            try:
                yield
            finally:
                done.set()

    async def withdraw(self, sequence: int, *hides: Hideable) -> None:
        """All of it, unless said what."""
        page = Page(sequence, page_id=sequence % 40 + 1)
        record = cutoff_record(
            self.topics.withdrawals,
            PARTITIONS,
            wiki=page.wiki,
            page_id=page.page_id,
            revision=sequence,
            sequence=10_000_000,
            hides=hides or ("text", "comment", "editor"),
        )
        await self.log.append([record])

    async def counts(self, partner: str) -> dict[str, int]:
        totals: dict[str, int] = {}
        for tp, position in (await self.log.committed("route")).items():
            if tp.topic == self.topics.of_partner(partner):
                for outcome, count in msgspec.convert(position.state["counts"], dict[str, int]).items():
                    totals[outcome] = totals.get(outcome, 0) + count
        return {outcome: count for outcome, count in totals.items() if count}

    async def until_routed(self, partner: str, total: int) -> None:
        counts: dict[str, int] = {}
        try:
            async with asyncio.timeout(DEADLINE_S):
                while sum((counts := await self.counts(partner)).values()) < total:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{partner}: {counts}, not {total}") from None

    async def epoch(self, partner: str) -> str:
        info = await self.log.topic(self.topics.of_partner(partner))
        return "" if info is None else info.epoch

    async def sequences(self, partner: str) -> list[list[int]]:
        """By partition, in the order of the log."""
        return [[article.event.sequence for article in each] for each in await self.articles(partner)]

    async def articles(self, partner: str) -> list[list[Article]]:
        topic = self.topics.of_partner(partner)
        bounds = await self.log.all_bounds(topic)
        starts = {TopicPartition(topic, number): found.earliest for number, found in enumerate(bounds)}
        got: list[list[Article]] = [[] for _ in bounds]
        async with self.log.reader(starts) as reader, asyncio.timeout(DEADLINE_S):
            while any(reader.position(tp) < bounds[tp.partition].end for tp in starts):
                for stored in await reader.read():
                    assert stored.value is not None
                    got[stored.partition].append(
                        msgspec.json.decode(checked_value(stored.value), type=Article)
                    )
        return got

    async def start_of(self, partner: str) -> Start | None:
        starts = Starts()
        await Table(self.log, self.topics.meta, starts.apply).load()
        return starts.of(partner)

    def wanted(self, first: int = 1, *, without: Sequence[int] = ()) -> list[list[int]]:
        wanted: list[list[int]] = [[] for _ in range(PARTITIONS)]
        for sequence in range(first, len(self.appended_s) + 1):
            if sequence not in without:
                record = Page(sequence, page_id=sequence % 40 + 1).record(self.topics)
                wanted[record.partition].append(sequence)
        return wanted


@asynccontextmanager
async def on_local(folder: Path) -> AsyncIterator[Fleet]:
    path = folder / "streamer.db"
    key = add_partner(folder / "partners.toml", "acme")
    add_partner(folder / "partners.toml", "other")
    async with LocalLog(path, clean_every_s=3600) as log:
        yield Fleet(folder, log, f'path = "{path}"', "wiki", key)


@asynccontextmanager
async def on_kafka(folder: Path, brokers: Brokers) -> AsyncIterator[Fleet]:
    prefix = f"t{random.getrandbits(32):08x}"
    bootstrap = brokers.bootstrap.split(",")
    key = add_partner(folder / "partners.toml", "acme")
    add_partner(folder / "partners.toml", "other")
    settings = f'kind = "kafka"\nbootstrap = {bootstrap}\nprefix = "{prefix}"\nreplication = 1'
    async with KafkaLog(tuple(bootstrap), prefix=prefix, replication=1) as log:
        yield Fleet(folder, log, settings, prefix, key)


class Latencies:
    """How long after it was written each change stands in a partner's topic."""

    def __init__(self, fleet: Fleet, partner: str) -> None:
        self._fleet = fleet
        self._topic = fleet.topics.of_partner(partner)
        self._seen: list[tuple[float, float]] = []

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["Latencies"]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._watch())
            try:
                yield self
            finally:
                task.cancel()

    async def _watch(self) -> None:
        log = self._fleet.log
        starts = {
            TopicPartition(self._topic, number): found.end
            for number, found in enumerate(await log.all_bounds(self._topic))
        }
        async with log.reader(starts) as reader:
            while True:
                for stored in await reader.read(wait_s=0.5):
                    written_s = self._fleet.appended_s[int(stored.header("ce_sequence"))]
                    self._seen.append((written_s, time.monotonic() - written_s))

    async def of(self, count: int) -> None:
        """Until so many changes have come."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self._seen) < count:
                await asyncio.sleep(0.02)

    async def until(self, written_s: float) -> None:
        """Until what was written then has come."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._seen or self._seen[-1][0] < written_s:
                await asyncio.sleep(0.02)

    def p99_s(self, from_s: float, to_s: float) -> float:
        found = sorted(latency for written_s, latency in self._seen if from_s <= written_s < to_s)
        assert len(found) > 20, "too few to say"
        return found[int(len(found) * 0.99)]


# ── add --since ────────────────────────────────────────────────────────────────────────────────


async def add_since(fleet: Fleet, routes: int) -> None:
    """A partner that is added with a time to a fleet at work has the past and the present, once each; what
    another one gets meanwhile does not wait for it.
    """
    async with AsyncExitStack() as stack:
        for number in range(routes):
            await fleet.start(stack, f"route-{number}", "route")
        await fleet.publish(HISTORY)
        await fleet.until_routed("other", HISTORY)
        async with Latencies(fleet, "other").watching() as latencies, fleet.live():
            await latencies.of(QUIET)
            began_s = time.monotonic()
            async with fleet.command("add", "late", "--since", EVER) as command:
                assert await command.wait() == 0, command.lines
            await fleet.until_routed("late", HISTORY)
            caught_up_s = time.monotonic()
            await latencies.until(caught_up_s)
        total = len(fleet.appended_s)
        for partner in ("other", "late"):
            await fleet.until_routed(partner, total)
            assert await fleet.sequences(partner) == fleet.wanted(), partner
        before_s = latencies.p99_s(0.0, began_s)
        during_s = latencies.p99_s(began_s, caught_up_s)
        print(f"p99 of the other partner: {before_s:.3f} s before, {during_s:.3f} s while one catches up")
        assert during_s < 3 * before_s + WAITS_S


async def test_add_since_on_the_local_log(tmp_path: Path) -> None:
    """A new partner's past joins the present without double or hole."""
    async with on_local(tmp_path) as fleet:
        await add_since(fleet, 1)


@pytest.mark.xdist_group("kafka")
async def test_add_since_on_kafka(tmp_path: Path, brokers: Brokers) -> None:
    """The same with two processes that share the lanes."""
    async with on_kafka(tmp_path, brokers) as fleet:
        await add_since(fleet, 2)


# ── rebuild ────────────────────────────────────────────────────────────────────────────────────


async def said(command: Service, pattern: str) -> None:
    """Waits for a line of its standard error."""
    async with asyncio.timeout(DEADLINE_S):
        while not any(re.search(pattern, line) for line in command.lines):
            assert command.running, (pattern, command.lines)
            await asyncio.sleep(0.01)


async def follow(feed: Feed, ends: list[str]) -> int:
    """How many articles came until the stream was over; what it said at its end goes to `ends`."""
    count = 0
    async for event in feed.events():
        count += event.name == "message"
        if event.name == "bye":
            ends.append(event.data)
    return count


async def rebuild(fleet: Fleet, routes: int) -> None:
    """The feed is made anew while changes flow, a process that runs lanes sleeps with records of the old one
    in its hand, and the command is killed in each of its phases: each article comes once, what was withdrawn
    does not, and the other partner's feed is none the worse.
    """
    async with AsyncExitStack() as stack:
        faults = fleet.folder / "faults"
        asleep = {"STREAMER_FAULTPOINTS": ASLEEP, "STREAMER_FAULTPOINTS_FILE": str(faults)}
        sleeper = await fleet.start(stack, "route-0", "route", asleep)
        for number in range(1, routes):
            await fleet.start(stack, f"route-{number}", "route")
        await fleet.publish(HISTORY)
        for partner in ("acme", "other"):
            await fleet.until_routed(partner, HISTORY)
        await fleet.withdraw(WITHDRAWN)
        old = await fleet.epoch("acme")
        deliver = await fleet.start(stack, "deliver", "deliver")
        url = f"http://127.0.0.1:{await deliver.port()}/v2/articles"
        feed, ends = Feed(url, fleet.key, since=EVER), list[str]()
        async with asyncio.TaskGroup() as tasks, fleet.live():
            client = tasks.create_task(follow(feed, ends))
            async with asyncio.timeout(DEADLINE_S):
                while not faults.exists():
                    await asyncio.sleep(0.02)
            async with fleet.command("rebuild", "acme") as command:
                await said(command, "stopped [0-9]+ of 10")
                await command.kill()
            if routes == 1:  # else its lanes go to the other, and it sleeps on
                sleeper.signal(signal.SIGCONT)
            async with fleet.command("rebuild", "acme") as command:
                await said(command, "under way")
                await said(command, "all have stopped")
                await command.kill()
            if routes == 1:
                await sleeper.kill()
                sleeper.environ = {}
                await sleeper.start()
            async with fleet.command("rebuild", "acme") as one, fleet.command("rebuild", "acme") as two:
                assert (await one.wait(), await two.wait()) == (0, 0), (one.lines, two.lines)
                under_way = [any("under way" in line for line in each.lines) for each in (one, two)]
                assert any(under_way), (one.lines, two.lines)
                assert any(re.search("done: routed [0-9]+", line) for line in two.lines), two.lines
            sleeper.signal(signal.SIGCONT)
            await asyncio.sleep(0.5)
        assert client.result() > 0
        total = len(fleet.appended_s)
        for partner in ("acme", "other"):
            await fleet.until_routed(partner, total)
        if all(under_way):  # one that starts when the other is done begins a rebuild of its own
            start = await fleet.start_of("acme")
            assert start is not None
            assert start == Start(0, old, "go", start.rules), "more than one rebuild was done"
        assert await fleet.epoch("acme") not in ("", old)
        assert await fleet.sequences("acme") == fleet.wanted(without=[WITHDRAWN])
        assert await fleet.sequences("other") == fleet.wanted()
        counts = {"published": total - 1, "withdrawn": 1}
        assert await fleet.counts("acme") == counts
        await until_exported(fleet, "acme", counts)
        assert ends == ['{"reason":"expired"}']
        await resumed(url, fleet, feed.last_id, total - 1)
        for service in fleet.services.values():
            assert not [line for line in service.lines if "Traceback" in line or "partner parked" in line]


async def until_exported(fleet: Fleet, partner: str, counts: dict[str, int]) -> None:
    """The metrics of the processes that route add up to what is committed, of the new making alone."""
    routes = [service for name, service in fleet.services.items() if name.startswith("route")]
    told: dict[str, int] = {}
    try:
        async with asyncio.timeout(DEADLINE_S):
            while {outcome: count for outcome, count in told.items() if count} != counts:
                told = {}
                for service in routes:
                    for outcome, count in (await service.committed("route", partner)).items():
                        told[outcome] = told.get(outcome, 0) + count
    except TimeoutError:
        raise AssertionError(f"{told}, not {counts}") from None


async def resumed(url: str, fleet: Fleet, last_id: str, total: int) -> None:
    """With an id of the old feed a client is told where the new one begins, and gets all of it from there."""
    headers = {"Authorization": f"Bearer {fleet.key}", "Last-Event-ID": last_id}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        problem = await answer.json(content_type=None)
        assert answer.status == 410, problem
    feed = Feed(url, fleet.key, last_id=problem["earliest"])
    got: set[str] = set()
    async with asyncio.timeout(DEADLINE_S):
        async for event in feed.events():
            if event.name == "message":
                assert event.id not in got
                got.add(event.id)
                if len(got) == total:
                    return


async def test_rebuild_on_the_local_log(tmp_path: Path) -> None:
    """A feed made anew under kills and sleep, on one machine."""
    async with on_local(tmp_path) as fleet:
        await rebuild(fleet, 1)


@pytest.mark.xdist_group("kafka")
async def test_rebuild_on_kafka(tmp_path: Path, brokers: Brokers) -> None:
    """The same with two processes; one sleeps until its lanes are the other's, and wakes when all is done."""
    async with on_kafka(tmp_path, brokers) as fleet:
        await rebuild(fleet, 2)


# ── beside others ──────────────────────────────────────────────────────────────────────────────


async def shown(fleet: Fleet, partner: str) -> dict[int, tuple[bool, bool]]:
    """By sequence of a partner's articles, whether the comment and the editor are there."""
    found = {}
    for article in itertools.chain(*await fleet.articles(partner)):
        assert isinstance(article.version, Version)
        comment, editor = article.version.comment, article.version.editor
        found[article.event.sequence] = (comment is not UNSET, editor is not UNSET)
    return found


async def rebuild_beside(fleet: Fleet, routes: int) -> None:
    """A feed that had a text, a comment and an editor which were withdrawn since is made anew without them;
    the command says how far it is, is killed, and the next one goes on with it. What another partner gets
    meanwhile comes as fast as before.
    """
    async with AsyncExitStack() as stack:
        for number in range(routes):
            await fleet.start(stack, f"route-{number}", "route")
        for _ in range(PAST // HISTORY):
            await fleet.publish(HISTORY)
        for partner in ("acme", "other"):
            await fleet.until_routed(partner, PAST)
        assert set((await shown(fleet, "acme")).values()) == {(True, True)}
        for sequence, hides in HIDDEN.items():
            await fleet.withdraw(sequence, hides)
        async with Latencies(fleet, "other").watching() as latencies, fleet.live():
            await latencies.of(QUIET)
            began_s = time.monotonic()
            async with fleet.command("rebuild", "acme") as command:
                await said(command, "all have stopped")
                await command.kill()
            async with fleet.command("rebuild", "acme") as command:
                assert await command.wait() == 0, command.lines
                for told in ("under way", "routed [0-9]+, [0-9]+ to go; ", "done: routed [0-9]+"):
                    assert any(re.search(told, line) for line in command.lines), command.lines
            ended_s = time.monotonic()
            await latencies.until(ended_s)
        total = len(fleet.appended_s)
        for partner in ("acme", "other"):
            await fleet.until_routed(partner, total)
        articles = await shown(fleet, "acme")
        assert articles.keys() == set(range(1, total + 1)) - {HIDDEN_TEXT}
        assert {sequence: what for sequence, what in articles.items() if what != (True, True)} == {
            HIDDEN_COMMENT: (False, True),
            HIDDEN_EDITOR: (True, False),
        }
        assert await fleet.counts("acme") == {"published": total - 1, "withdrawn": 1}
        assert await fleet.sequences("other") == fleet.wanted()
        before_s = latencies.p99_s(0.0, began_s)
        during_s = latencies.p99_s(began_s, ended_s)
        print(
            f"p99 of the other partner: {before_s:.3f} s before, {during_s:.3f} s while a feed of {total}"
            f" is made anew in {ended_s - began_s:.1f} s"
        )
        assert during_s < 3 * before_s + WAITS_S


async def test_rebuild_beside_others_on_the_local_log(tmp_path: Path) -> None:
    """What was withdrawn is not in the new feed, and nobody else waits for it."""
    async with on_local(tmp_path) as fleet:
        await rebuild_beside(fleet, 1)


@pytest.mark.soak  # the rebuild itself is judged on both logs
@pytest.mark.xdist_group("kafka")
async def test_rebuild_beside_others_on_kafka(tmp_path: Path, brokers: Brokers) -> None:
    """The same with two processes that share the lanes."""
    async with on_kafka(tmp_path, brokers) as fleet:
        await rebuild_beside(fleet, 2)


# ── what is refused, and what is harmless ──────────────────────────────────────────────────────


async def refused(fleet: Fleet, *words: str) -> str:
    """What a command that fails says; it exits 2."""
    async with fleet.command(*words) as command:
        assert await command.wait() == 2, command.lines
        return "\n".join(command.lines)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["rebuild", "nobody"], "there is no such partner"),
        (["rebuild", "acme", "--since", "2999-01-01T00:00:00Z"], "lies in the future"),
        (["rebuild", "acme", "--since", "2026-01-01T00:00:00"], "has no time zone"),
        (["rebuild", "acme"], "there is no log"),
        (["add", "late", "--since", "2999-01-01T00:00:00Z"], "lies in the future"),
    ],
)
def test_what_can_not_be_done_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    """A partner that doesn't exist, a time to come, no log yet: one line says so, and nothing is done."""
    add_partner(tmp_path / "partners.toml", "acme")
    config = tmp_path / "streamer.toml"
    config.write_text(
        f'[log]\npath = "{tmp_path / "streamer.db"}"\n[partners]\nfile = "{tmp_path / "partners.toml"}"\n'
    )
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(config), "partner", *words])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line
    assert not (tmp_path / "streamer.db").exists()


async def test_rebuild_without_a_fleet_waits(tmp_path: Path) -> None:
    """Where nobody routes it says what it waits for; Ctrl-C ends it, and the next one goes on with it once
    the role runs. Another time is refused meanwhile; with a time the feed begins there.
    """
    async with on_local(tmp_path) as fleet, AsyncExitStack() as stack:
        route = await fleet.start(stack, "route", "route")
        await fleet.publish(50)
        await fleet.until_routed("acme", 50)
        await asyncio.sleep(1.1)  # a time on the command line has no finer grain
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time()))
        await fleet.publish(30)
        await fleet.until_routed("acme", 80)
        await route.terminate()
        async with fleet.command("rebuild", "acme", "--since", since) as command:
            await said(command, "waiting for the processes with the role `route`")
            command.signal(signal.SIGINT)
            assert await command.wait() == 130
            assert not [line for line in command.lines if "Traceback" in line]
        assert "under way" in await refused(fleet, "rebuild", "acme", "--since", EVER)
        await route.start()
        await fleet.publish(5)
        async with fleet.command("rebuild", "acme", "--no-wait") as command:
            assert await command.wait() == 0, command.lines
        await fleet.until_routed("acme", 35)
        assert await fleet.sequences("acme") == fleet.wanted(51)
        assert await fleet.counts("acme") == {"published": 35}
