"""What was read becomes records, without what was told before, in one commit with the position."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from streamer.errors import LaneLost, LogError
from streamer.faultpoints import Point, reached
from streamer.log.base import Lane, Record, TopicPartition
from streamer.log.position import Position
from streamer.metrics import (
    COMMITTED,
    ERRORS,
    SOURCE_COMMIT_EVENTS,
    SOURCE_DROPPED,
    SOURCE_EVENTS,
    SOURCE_HELD,
    SOURCE_NEWEST,
    SOURCE_RECORDS,
    discarded,
    received,
    sent,
)
from streamer.model import Change
from streamer.runtime import Runtime
from streamer.source.inbox import Arrival, Inbox
from streamer.source.marks import Marks
from streamer.source.records import identity, kind_of, record_of
from streamer.source.seen import Seen
from streamer.source.standing import Standing
from streamer.source.told import Told

logger = logging.getLogger(__name__)

LOG_COMPONENT: Final = "source_log"
IDLE_COMMIT_S: Final = 5.0
"""The position moves at least so often while events come that become nothing."""
MAX_VALUE_BYTES: Final = 262_144
"""Ids, a title and flags are a thousandth of it: whatever is larger is a mistake or a trick."""
HELD_LOOK_S: Final = 0.5
TELL_EVERY_S: Final = 60.0
ERRONEOUS: Final = frozenset(
    {"not_json", "not_utf8", "schema_major", "stream_unknown", "shape", "missing_field", "out_of_range",
     "frame_too_large", "log_unknown", "type_unknown"}
)  # fmt: skip
"""Reasons that are worth a log line; the rest is daily bread."""


class Committer:
    def __init__(
        self,
        runtime: Runtime,
        lane: Lane,
        *,
        home: TopicPartition,
        next_event: int,
        standing: Standing,
        seen: Seen,
        partitions: int,
    ) -> None:
        self._runtime = runtime
        self._lane = lane
        self._home = home
        self._next_event = next_event
        self._standing = standing
        self._seen = seen
        self._partitions = partitions
        self._uncommitted_events = 0
        self._marks = standing.upstream if standing.file is None else standing.file.marks
        self._idle = frozenset(standing.idle)
        self._committed_s = runtime.clock.monotonic_s()
        self._told_s: dict[str, float] = {}
        self._sampled = runtime.settings.tracing.sampled

    async def run(self, inbox: Inbox) -> None:
        """Until the inbox is closed and empty."""
        while not inbox.is_finished:
            arrivals = await inbox.take(wait_s=IDLE_COMMIT_S)
            if not await self._room():
                return  # draining, and the log takes nothing: what was read is read again
            if arrivals:
                reached(Point.SOURCE_READ)
            committed = await self._commit(arrivals, is_last=inbox.is_finished)
            if self._runtime.tracing is not None:
                self._runtime.tracing.sourced(committed, ReadTimes(arrivals))

    async def _commit(self, arrivals: list[Arrival], *, is_last: bool) -> list[Record]:
        """What was."""
        records: list[Record] = []
        remembered: list[tuple[str, str, int]] = []
        batch: set[str] = set()
        kinds: Counter[str] = Counter()
        admitted = 0
        newest_ms = 0
        for arrival in arrivals:
            marks = Marks(arrival.marks)
            self._count(arrival)
            for told in arrival.told:
                newest_ms = max(newest_ms, told.upstream_ms)
                if not told.records:
                    continue
                topic = marks.named(told.topic)
                mark_ms = marks.get(topic)
                for change in told.records:
                    identifier = identity(change, told)
                    if identifier in batch or identifier in self._seen:
                        _dropped("duplicate")
                        continue
                    record = record_of(
                        change,
                        _under(told, topic),
                        mark_ms,
                        self._home.topic,
                        self._partitions,
                        sampled=self._sampled,
                    )
                    if len(record.value or b"") > MAX_VALUE_BYTES:
                        _dropped("out_of_range")
                        self._tell("out_of_range")
                        continue
                    batch.add(identifier)
                    kinds[kind_of(change)] += 1
                    admitted += isinstance(change, Change)
                    remembered.append((identifier, topic, mark_ms))
                    records.append(record)
            self._marks, self._idle = arrival.marks, arrival.idle
            self._uncommitted_events += len(arrival.told)
        now_s = self._runtime.clock.monotonic_s()
        is_due = is_last or now_s - self._committed_s >= IDLE_COMMIT_S
        if not records and not (self._uncommitted_events and is_due):
            return []
        standing = self._standing.after(
            admitted=admitted,
            events=self._uncommitted_events,
            marks=self._marks,
            idle=self._idle,
            seen_from=self._seen.floors(),
        )
        position = Position(self._next_event + self._uncommitted_events, (), standing.as_state())
        offsets = await self._append(records, position)
        self._runtime.health.ready(LOG_COMPONENT)
        self._committed(position, standing, records, remembered, offsets)
        _count_records(kinds)
        if newest_ms:
            SOURCE_NEWEST.set(newest_ms / 1_000)
        self._committed_s = now_s
        return records

    async def _append(self, records: list[Record], position: Position) -> list[int]:
        is_committed = False
        try:
            reached(Point.SOURCE_COMMITTING)
            offsets = await self._lane.commit(records, {self._home: position})
            is_committed = True
            reached(Point.SOURCE_COMMITTED)
        except LogError as error:
            self._refused(error)
            raise
        finally:
            if is_committed:
                sent("source", len(records))
            else:
                discarded("source", "read_again", len(records))
        return offsets

    def _refused(self, error: LogError) -> None:
        if isinstance(error, LaneLost):
            return  # another process commits
        ERRORS.labels("source", error.code).inc()
        self._runtime.health.unready(LOG_COMPONENT, f"the log takes no commit: {error.code}")

    def _committed(
        self,
        position: Position,
        standing: Standing,
        records: list[Record],
        remembered: list[tuple[str, str, int]],
        offsets: list[int],
    ) -> None:
        self._standing = standing
        self._next_event = position.next
        SOURCE_COMMIT_EVENTS.observe(self._uncommitted_events)
        self._uncommitted_events = 0
        for (identifier, topic, mark_ms), record, offset in zip(remembered, records, offsets, strict=True):
            self._seen.add(identifier, topic, mark_ms, record.partition, offset)
        self._seen.forget(Marks(self._marks, self._idle), standing.rewind_ms)
        COMMITTED.set("source", "", self._home.partition, standing.counts)

    async def _room(self) -> bool:
        """Waits while the log is over its budget; False if there is still none when draining."""
        if not self._is_over_budget():
            return True
        logger.error("the log is over its budget: the source waits, upstream keeps 7 days")
        SOURCE_HELD.set(1)
        self._runtime.health.unready(LOG_COMPONENT, "the log is over its budget (log.retention_gb)")
        try:
            while self._is_over_budget():
                if self._runtime.draining.is_set():
                    return False
                await asyncio.sleep(HELD_LOOK_S)
        finally:
            SOURCE_HELD.set(0)  # a lane that is lost meanwhile is held by who runs it now
        self._runtime.health.ready(LOG_COMPONENT)
        logger.info("the log has room again")
        return True

    def _is_over_budget(self) -> bool:
        return self._runtime.log.is_over_budget

    def _count(self, arrival: Arrival) -> None:
        for family, count in Counter(told.family for told in arrival.told).items():
            SOURCE_EVENTS.labels(family).inc(count)
        received("source", sum(len(told.records) or 1 for told in arrival.told))
        for reason, count in Counter(told.dropped for told in arrival.told if told.dropped).items():
            _dropped(reason, count)
            if reason in ERRONEOUS:
                self._tell(reason)

    def _tell(self, reason: str) -> None:
        """At most once a minute and reason: the counter has them all."""
        now_s = self._runtime.clock.monotonic_s()
        if now_s - self._told_s.get(reason, -TELL_EVERY_S) >= TELL_EVERY_S:
            self._told_s[reason] = now_s
            logger.warning("an event was dropped", extra={"reason": reason})


class ReadTimes:
    """When each change was read, by its identifier: looked up only where one is asked for."""

    def __init__(self, arrivals: Iterable[Arrival]) -> None:
        self._arrivals = arrivals
        self._read_ns: dict[str, int] | None = None

    def __call__(self, identifier: str) -> int:
        if self._read_ns is None:
            self._read_ns = {}
            for arrival in self._arrivals:
                for told in arrival.told:
                    for each in told.records:
                        if isinstance(each, Change):
                            self._read_ns.setdefault(each.identifier, arrival.read_ns)
        return self._read_ns[identifier]


def _under(told: Told, topic: str) -> Told:
    return told if told.topic == topic else told._replace(topic=topic)


def _dropped(reason: str, count: int = 1) -> None:
    SOURCE_DROPPED.labels(reason).inc(count)
    discarded("source", reason, count)


def _count_records(kinds: Mapping[str, int]) -> None:
    for kind, count in kinds.items():
        SOURCE_RECORDS.labels(kind).inc(count)
