"""A partner that settles, on both logs and in real time: the role is killed at each of its places, again and
again, and the feed is made anew at the end.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from harness.articles import PARTITIONS, Page
from harness.faults import Faults
from harness.service import Service

from deploy.kafka import Brokers
from streamer.cutoffs import cutoff_record
from streamer.enrich.signals import signal_record
from streamer.faultpoints import Point
from streamer.log.base import Record, TopicPartition
from streamer.model import Signal, Topics
from tests.integration.test_rebuild import DEADLINE_S, Fleet, on_kafka, on_local

SETTLE_S: Final = 2
POINTS: Final = (Point.ROUTE_READ, Point.ROUTE_COMMITTING, Point.ROUTE_COMMITTED)
SHA: Final = {name: f"{ord(name):02x}" * 20 for name in "AB"}


@dataclass
class Story:
    """Pages, each with a fate of its own; what belongs together is appended together."""

    topics: Topics
    sequence: int = 0
    page: int = 0
    wanted: set[int] = field(default_factory=set)
    """Sequences that a settling partner gets."""
    counts: dict[str, int] = field(default_factory=lambda: {"published": 0, "reverted": 0, "withdrawn": 0})

    def next(self, outcome: str, **rest: object) -> Page:
        self.sequence += 1
        self.counts[outcome] += 1
        if outcome == "published":
            self.wanted.add(self.sequence)
        return Page(self.sequence, page_id=self.page, **rest)  # type: ignore[arg-type] # of a Page

    def settles(self) -> list[Record]:
        return [self.next("published").record(self.topics)]

    def restored(self) -> list[Record]:
        """By its content."""
        pages = [
            self.next("published", sha1=SHA["A"]),
            self.next("reverted", sha1=SHA["B"]),
            self.next("reverted", sha1=SHA["B"][::-1]),
            self.next("published", sha1=SHA["A"]),
        ]
        return [page.record(self.topics) for page in pages]

    def told(self) -> list[Record]:
        """By the wiki, before the articles are there."""
        bad, good = self.next("reverted"), self.next("published")
        told = Signal(self.page, good.sequence, (bad.sequence,), 0)
        signals = signal_record(self.topics.signals, PARTITIONS, "enwiki", told)
        return [signals, bad.record(self.topics), good.record(self.topics)]

    def deleted(self) -> list[Record]:
        gone, delete = self.next("withdrawn"), self.next("published", kind="delete")
        return [gone.record(self.topics), delete.record(self.topics)]

    def hidden(self) -> list[Record]:
        page = self.next("withdrawn")
        cutoff = cutoff_record(
            self.topics.withdrawals,
            PARTITIONS,
            wiki="enwiki",
            page_id=self.page,
            revision=page.sequence,
            sequence=10_000_000,
            hides=("text",),
        )
        return [cutoff, page.record(self.topics)]

    def chapters(self) -> list[Record]:
        """One of each."""
        records: list[Record] = []
        tell: Callable[[], list[Record]]
        for tell in (self.settles, self.restored, self.told, self.deleted, self.hidden):
            self.page += 1
            records += tell()
        return records


async def tell(fleet: Fleet, story: Story, chapters: int) -> None:
    for _ in range(chapters):
        records = story.chapters()
        articles = [record for record in records if record.topic == story.topics.articles]
        await fleet.log.append([record for record in records if record not in articles])
        await fleet.log.append(articles)


async def until_dead(service: Service, fleet: Fleet, story: Story) -> None:
    """It dies in the midst of what is told."""
    waiting = asyncio.ensure_future(service.wait(60))
    while not waiting.done():
        await tell(fleet, story, 1)
        await asyncio.sleep(0.1)
    assert waiting.result() == -signal.SIGKILL, service.lines[-10:]


async def judged(fleet: Fleet, story: Story) -> None:
    await fleet.until_routed("acme", story.sequence)
    await fleet.until_routed("other", story.sequence)
    counts = await fleet.counts("acme")
    assert counts == story.counts
    got = await sequences(fleet, "acme")
    assert sorted(got) == sorted(story.wanted)
    seen = await ordered(fleet, "acme")
    assert all(places == sorted(places) for places in seen.values())


async def sequences(fleet: Fleet, partner: str) -> list[int]:
    return [sequence for its in (await ordered(fleet, partner)).values() for sequence in its]


async def ordered(fleet: Fleet, partner: str) -> dict[str, list[int]]:
    """By page, in the order of the log."""
    topic = fleet.topics.of_partner(partner)
    bounds = await fleet.log.all_bounds(topic)
    starts = {TopicPartition(topic, number): found.earliest for number, found in enumerate(bounds)}
    found: dict[str, list[int]] = {}
    async with fleet.log.reader(starts) as reader, asyncio.timeout(DEADLINE_S):
        while any(reader.position(tp) < bounds[tp.partition].end for tp in starts):
            for stored in await reader.read():
                found.setdefault(stored.key, []).append(int(stored.header("ce_sequence")))
    return found


async def settle_under_kills(fleet: Fleet, points: Sequence[Point]) -> None:
    """Killed at each of these places; each article once, each page in order, and the fates are
    those of a role that was never killed. Then the feed is made anew, and the same stands in it.
    """
    partners = fleet.folder / "partners.toml"
    text = partners.read_text()
    partners.write_text(text.replace("[acme]\n", f'[acme]\nsettle = "{SETTLE_S}s"\n'))
    story, faults = Story(fleet.topics), Faults(fleet.folder / "fired")
    async with AsyncExitStack() as stack:
        service = await fleet.start(stack, "route", "route")
        for number, point in enumerate(points):
            await tell(fleet, story, 2)
            assert await service.terminate() == 0
            service.environ = {**faults.arm("kill", {point: str(3 + 7 * number)})}
            await service.start()
            await until_dead(service, fleet, story)
            service.environ = {}
            await service.start()
            await service.until_ready()
        await tell(fleet, story, 2)
        began_s = time.monotonic()
        await judged(fleet, story)
        assert time.monotonic() - began_s >= SETTLE_S / 2, "nothing was held"
        assert [fired.point for fired in faults.fired()] == [point.label for point in points]
        async with fleet.command("rebuild", "acme") as command:
            assert await command.wait(60) == 0, command.lines
        assert any("done: routed" in line for line in command.lines), command.lines
        await judged(fleet, story)
        assert no_trouble(fleet.services)


def no_trouble(services: Mapping[str, Service]) -> bool:
    lines = [line for service in services.values() for line in service.lines]
    return not [
        line for line in lines if "Traceback" in line or "parked" in line or "nothing settles" in line
    ]


async def test_settle_on_the_local_log(tmp_path: Path) -> None:
    """On one machine; in passes of both kinds."""
    async with on_local(tmp_path) as fleet:
        await settle_under_kills(fleet, (*POINTS, *POINTS))


@pytest.mark.xdist_group("kafka")
@pytest.mark.timeout(600)
async def test_settle_on_kafka(tmp_path: Path, brokers: Brokers) -> None:
    """The same on a cluster, at each place once."""
    async with on_kafka(tmp_path, brokers) as fleet:
        await settle_under_kills(fleet, POINTS)
