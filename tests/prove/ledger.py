"""What the log holds: its records, how far they go, and the counts in its positions. On any engine."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec
from harness.schema import checked_whole

from prove.judge import Cutoff, Logged, doubled, out_of_order
from prove.partners import Partner
from streamer.log.base import Log, Reader, Stored, TopicPartition
from streamer.log.position import Position
from streamer.model import Topics, is_counted, is_tick

OUTCOMES: Final = ("published", "gone", "superseded", "deadletter")


@dataclass(frozen=True, slots=True)
class Positions:
    """Every count, as the log has committed it."""

    source: Counter[str]
    enrich: Counter[str]
    partners: dict[str, Counter[str]]


class Tail:
    """How far a log's records go: behind the last of each partition. On a cluster a partition ends later,
    with the marks of its transactions.
    """

    def __init__(self, log: Log, reader: Reader, topics: Sequence[str]) -> None:
        self._log = log
        self._reader = reader
        self._topics = topics
        self._ends: dict[TopicPartition, int] = {}

    async def ends(self) -> dict[TopicPartition, int]:
        """As of now; of those that hold anything."""
        bounds = {
            TopicPartition(topic, number): bound.end
            for topic in self._topics
            for number, bound in enumerate(await self._log.all_bounds(topic))
        }
        while any(self._reader.position(tp) < end for tp, end in bounds.items()):
            for record in await self._reader.read():
                self._ends[TopicPartition(record.topic, record.partition)] = record.offset + 1
        return dict(self._ends)


@asynccontextmanager
async def tail(log: Log, topics: Sequence[str]) -> AsyncIterator[Tail]:
    starts = {
        TopicPartition(topic, number): bound.earliest
        for topic in topics
        for number, bound in enumerate(await log.all_bounds(topic))
    }
    async with log.reader(starts) as reader:
        yield Tail(log, reader, topics)


async def read_log(log: Log, topics: Topics) -> Logged:
    articles = [record for record in await _all(log, topics.articles) if record.value and not is_tick(record)]
    dead = [record for record in await _all(log, topics.deadletter) if record.value and not is_tick(record)]
    changes = [json.loads(record.value) for record in await _all(log, topics.changes) if record.value]
    return Logged(
        admitted=[change["identifier"] for change in changes if change.get("record") == "change"],
        articles=[checked_whole(json.loads(record.value or b"")) for record in articles],
        cutoffs=[cutoff for record in await _all(log, topics.withdrawals) if (cutoff := _cutoff_of(record))],
        dead_letters=Counter(json.loads(record.value or b"")["code"] for record in dead),
        uncounted=sum(not is_counted(record) for record in articles),
    )


async def _all(log: Log, topic: str) -> list[Stored]:
    bounds = await log.all_bounds(topic)
    starts = {TopicPartition(topic, number): bound.earliest for number, bound in enumerate(bounds)}
    found: list[Stored] = []
    async with log.reader(starts) as reader:
        while any(reader.position(tp) < bounds[tp.partition].end for tp in starts):
            found += await reader.read()
    return found


def _cutoff_of(record: Stored) -> Cutoff | None:
    if record.value is None or is_tick(record):
        return None
    withdrawal = json.loads(record.value)
    if "text" not in withdrawal["hides"]:
        return None
    sequence = withdrawal.get("below", {}).get("text", withdrawal["sequence"])
    page, _, revision = record.key.partition("/")
    wiki, _, number = page.rpartition(":")
    return Cutoff((wiki, int(number)), int(revision or 0), sequence)


async def positions_of(log: Log, topics: Topics, partners: Sequence[Partner]) -> Positions:
    route = await log.committed("route")
    return Positions(
        _counts((await log.committed("source")).values()),
        _counts((await log.committed("enrich")).values()),
        {
            partner.name: _counts(
                position for tp, position in route.items() if tp.topic == topics.of_partner(partner.name)
            )
            for partner in partners
        },
    )


def _counts(positions: Iterable[Position]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for position in positions:
        counts.update(msgspec.convert(position.state.get("counts", {}), dict[str, int]))
    return counts


def unequal(sums: Positions, logged: Logged) -> list[str]:
    """Sums that should be equal and are not; what all partners' common log holds twice or out of order."""
    wrong: list[str] = []
    admitted = sums.source["admitted"]
    finished = sum(sums.enrich[outcome] for outcome in OUTCOMES)
    if not admitted == sums.enrich["admitted"] == finished:
        wrong.append(f"admitted {admitted}, taken up {sums.enrich['admitted']}, finished {finished}")
    if len(logged.admitted) != admitted:
        wrong.append(f"admitted {admitted}, in the log {len(logged.admitted)}")
    counted = len(logged.articles) - logged.uncounted
    if counted != sums.enrich["published"]:
        wrong.append(f"published {sums.enrich['published']}, in the log {counted}")
    if logged.dead_letters.total() != sums.enrich["deadletter"]:
        wrong.append(f"dead {sums.enrich['deadletter']}, in the log {logged.dead_letters.total()}")
    for name, counts in sums.partners.items():
        if counts.total() != sums.enrich["published"]:
            wrong.append(f"{name} was routed {counts.total()} of {sums.enrich['published']}: {dict(counts)}")
    wrong += [f"twice in the log: {name}" for name in doubled(logged.articles)]
    wrong += [f"out of order in the log: {name}" for name in out_of_order(logged.articles)]
    return wrong
