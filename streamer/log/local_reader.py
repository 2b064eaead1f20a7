"""The cursor that a reader is, and what it reads of the file."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

import msgspec
import zstandard

from streamer.errors import OffsetOutOfRange, StreamerError, TopicMissing
from streamer.log.base import Bounds, Stored, TopicPartition
from streamer.log.gathered import Gathered
from streamer.log.packing import unpack_headers, unpack_value
from streamer.log.pool import ReadPool
from streamer.log.tail import Tail, TopicRow

FEW_OFFSETS: Final = 64
"""Who reads so many at most follows the end, and shares a thread's time with others who do; who is further
behind takes some of its own.
"""
SHARED_BYTES: Final = 2_097_152
"""Some 5 ms of one thread: who is not served by then has the next turn, so that a few large records keep
nobody waiting for long.
"""


@dataclass(slots=True)
class _Cursor:
    tp: TopicPartition
    next: int
    topic: TopicRow | None = None
    """The making of the topic that this cursor belongs to; found at the first read."""
    lane: int = 0
    """Of that making, once it was checked."""
    paused: bool = False


class Span(NamedTuple):
    """One lane's part of a read: offsets from `start` to before `end`."""

    tp: TopicPartition
    lane: int
    start: int
    end: int


class Ask(NamedTuple):
    spans: Sequence[Span]
    max_records: int
    max_bytes: int


class Found(NamedTuple):
    records: list[Stored]
    passed: dict[TopicPartition, int]
    """The offset behind what was looked at."""


Reads = Gathered[Ask, Found]


class LocalReader:
    """Goes no further than the tail knows, so what it returns is never ahead of another reader's view."""

    def __init__(
        self,
        tail: Tail,
        pool: ReadPool,
        reads: Reads,
        look: Callable[[], Awaitable[None]],
        starts: Mapping[TopicPartition, int],
    ) -> None:
        self._tail = tail
        self._pool = pool
        self._reads = reads
        self._look = look
        self._cursors: dict[TopicPartition, _Cursor] = {}
        self._topics: frozenset[str] = frozenset()
        """Those of the cursors."""
        self._known: Mapping[str, TopicRow] | None = None
        """The topics by which the cursors were checked last."""
        self._turn = 0
        for tp, offset in starts.items():
            self.assign(tp, offset)

    async def read(
        self, *, max_records: int = 500, max_bytes: int = 8_388_608, wait_s: float = 0.25
    ) -> list[Stored]:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        if self._known is None and any(cursor.topic is None for cursor in self._cursors.values()):
            await self._look()  # another process may have made the topic this moment
        while True:
            spans = self._spans()
            if spans:
                records, passed = await self._found(Ask(spans, max_records, max_bytes))
                returned = self._advance(records, passed, spans)
                if returned:
                    return returned
                continue  # only holes so far
            left_s = deadline_s - loop.time()
            if left_s <= 0:
                return []
            await self._tail.moved(self._topics, left_s)

    async def _found(self, ask: Ask) -> Found:
        if sum(span.end - span.start for span in ask.spans) <= FEW_OFFSETS:
            return await self._reads.ask(ask)
        return await self._pool.do(lambda connection: read_alone(connection, ask))

    def position(self, tp: TopicPartition) -> int:
        return self._cursors[tp].next

    def assign(self, tp: TopicPartition, offset: int) -> None:
        tp = TopicPartition(*tp)
        self._cursors[tp] = _Cursor(tp, offset, self._tail.topics.get(tp.topic))
        self._cursors_changed()

    def drop(self, tp: TopicPartition) -> None:
        self._cursors.pop(tp, None)
        self._cursors_changed()

    def _cursors_changed(self) -> None:
        self._topics = frozenset(tp.topic for tp in self._cursors)
        self._known = None

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        for tp in tps:
            self._cursors[tp].paused = True

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        for tp in tps:
            self._cursors[tp].paused = False

    def _spans(self) -> list[Span]:
        """What there is to read, beginning with the partition whose turn it is."""
        if self._known is not self._tail.topics:
            self._check()
        spans = []
        ends = self._tail.bounds
        for cursor in self._cursors.values():
            if cursor.paused:
                continue
            bounds = ends[cursor.lane]
            if cursor.next < bounds.earliest:
                raise OffsetOutOfRange(*cursor.tp, cursor.next, *bounds)
            if cursor.next < bounds.end:
                spans.append(Span(cursor.tp, cursor.lane, cursor.next, bounds.end))
        if len(spans) > 1:
            self._turn = (self._turn + 1) % len(spans)
            spans = spans[self._turn :] + spans[: self._turn]
        return spans

    def _check(self) -> None:
        """Whether all cursors are of topics as they were. Raises TopicMissing."""
        topics = self._tail.topics
        for cursor in self._cursors.values():
            topic = topics.get(cursor.tp.topic)
            if cursor.topic is None:
                cursor.topic = topic
            if topic is None or cursor.topic is None or topic.id != cursor.topic.id:
                raise TopicMissing(f"the topic {cursor.tp.topic} is gone or was made anew", cursor.tp.topic)
            if cursor.tp.partition >= len(topic.lanes):
                raise TopicMissing(f"the topic {cursor.tp.topic} has no partition {cursor.tp.partition}")
            cursor.lane = topic.lanes[cursor.tp.partition]
        self._known = topics

    def _advance(
        self, records: list[Stored], passed: Mapping[TopicPartition, int], spans: Sequence[Span]
    ) -> list[Stored]:
        """Moves the cursors, unless their owner has moved them meanwhile."""
        moved = set()
        for span in spans:
            cursor = self._cursors.get(span.tp)
            if cursor is None or cursor.paused or cursor.next != span.start:
                moved.add(span.tp)
            elif span.tp in passed:
                cursor.next = passed[span.tp]
        return [r for r in records if (r.topic, r.partition) not in moved] if moved else records


def read_alone(connection: sqlite3.Connection, ask: Ask) -> Found:
    """From one snapshot. Raises OffsetOutOfRange."""
    connection.execute("BEGIN")
    try:
        return _read(connection, ask)
    finally:
        connection.execute("COMMIT")


def read_together(connection: sqlite3.Connection, asked: Sequence[Ask]) -> list[Found | Exception]:
    """All from one snapshot; only the first of them where these are many bytes. What is wrong with one, be it
    that retention was faster, is its own.
    """
    found: list[Found | Exception] = []
    left_bytes = SHARED_BYTES
    connection.execute("BEGIN")
    try:
        for ask in asked:
            if left_bytes <= 0:
                break
            try:
                found.append(answer := _read(connection, ask))
            except (StreamerError, zstandard.ZstdError, msgspec.MsgspecError) as error:
                found.append(error)
            else:
                left_bytes -= sum(len(record.value or b"") for record in answer.records)
    finally:
        connection.execute("COMMIT")
    return found


def _read(connection: sqlite3.Connection, ask: Ask) -> Found:
    spans, max_records, left_bytes = ask
    out: list[Stored] = []
    passed: dict[TopicPartition, int] = {}
    for index, span in enumerate(spans):
        left = max_records - len(out)
        if left <= 0 or (left_bytes <= 0 and out):
            break
        share = max(1, left // (len(spans) - index))
        rows = connection.execute(
            "SELECT offset, ms, key, headers, packed, value FROM records"
            " WHERE lane = ? AND offset >= ? AND offset < ? ORDER BY offset LIMIT ?",
            (span.lane, span.start, span.end, share),
        )
        first = rows.fetchone()
        if first is None or first[0] != span.start:  # a hole, or retention has been here
            bounds = Bounds(
                *connection.execute("SELECT earliest, end FROM lanes WHERE id = ?", (span.lane,)).fetchone()
            )
            if span.start < bounds.earliest:
                if out:
                    break  # the next read says it
                raise OffsetOutOfRange(*span.tp, span.start, *bounds)
        passed[span.tp] = span.end
        if first is None:
            continue
        for read, (offset, ms, key, headers, packed, value) in enumerate(chain((first,), rows), 1):
            plain = unpack_value(packed, value)
            size = len(plain or b"") + len(key)
            if out and size > left_bytes:
                passed[span.tp] = offset
                left_bytes = 0
                break
            out.append(Stored(*span.tp, offset, ms, key, plain, unpack_headers(headers)))
            left_bytes -= size
            if read == share:
                passed[span.tp] = offset + 1
    return Found(out, passed)


def first_at(connection: sqlite3.Connection, lane: int, bounds: Bounds, time_ms: int) -> int:
    """The first offset with a timestamp of at least `time_ms`; they never fall, so it is found by halving."""
    low, high = bounds
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            "SELECT offset, ms FROM records WHERE lane = ? AND offset >= ? AND offset < ?"
            " ORDER BY offset LIMIT 1",
            (lane, middle, high),
        ).fetchone()
        if row is None:  # a hole up to `high`
            high = middle
        elif row[1] < time_ms:
            low = row[0] + 1
        else:
            high = middle
    return low


def first_ms(connection: sqlite3.Connection, lane: int) -> int | None:
    """When the first record that is left was appended; None: there is none."""
    row = connection.execute(
        "SELECT ms FROM records WHERE lane = ? ORDER BY offset LIMIT 1", (lane,)
    ).fetchone()
    return row and int(row[0])
