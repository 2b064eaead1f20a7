"""Reading the file: connections for the threads that read, and the cursor that a reader is."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from streamer.errors import LogUnavailable, OffsetOutOfRange, TopicMissing
from streamer.log.base import Bounds, Stored, TopicPartition
from streamer.log.local_file import connect, errors
from streamer.log.packing import unpack_headers, unpack_value
from streamer.log.tail import Tail, TopicRow

THREADS: Final = 3
"""Reads wait for the disk and for decompression, both without the interpreter's lock."""

T = TypeVar("T")


class ReadPool:
    """Some threads, each with a connection of its own that only reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(THREADS, "log-reader")
        self._mine = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in a thread. A transaction that stays open makes the WAL grow: keep it short."""
        return await self.run(lambda: self._call(work))

    async def run(self, work: Callable[[], T]) -> T:
        """The same threads for what is pure work."""
        if self._closed:
            raise LogUnavailable(f"{self._path}: the log is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = connect(self._path, writing=False)
            self._connections.append(connection)
        with errors(self._path):
            return work(connection)

    async def close(self) -> None:
        self._closed = True
        await asyncio.shield(asyncio.to_thread(self._threads.shutdown))
        for connection in self._connections:
            connection.close()


@dataclass(slots=True)
class _Cursor:
    tp: TopicPartition
    next: int
    topic: TopicRow | None = None
    """The making of the topic that this cursor belongs to; found at the first read."""
    paused: bool = False

    @property
    def lane(self) -> int:
        assert self.topic is not None
        return self.topic.lanes[self.tp.partition]


@dataclass(frozen=True, slots=True)
class _Span:
    """One lane's part of a read: offsets from `start` to before `end`."""

    tp: TopicPartition
    lane: int
    start: int
    end: int


class LocalReader:
    """Goes no further than the tail knows, so what it returns is never ahead of another reader's view."""

    def __init__(
        self,
        tail: Tail,
        pool: ReadPool,
        look: Callable[[], Awaitable[None]],
        starts: Mapping[TopicPartition, int],
    ) -> None:
        self._tail = tail
        self._pool = pool
        self._look = look
        self._cursors: dict[TopicPartition, _Cursor] = {}
        self._turn = 0
        for tp, offset in starts.items():
            self.assign(tp, offset)

    async def read(
        self, *, max_records: int = 500, max_bytes: int = 8_388_608, wait_s: float = 0.25
    ) -> list[Stored]:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        if any(cursor.topic is None for cursor in self._cursors.values()):
            await self._look()  # another process may have made the topic this moment
        while True:
            spans = self._spans()
            if spans:
                records, passed = await self._pool.do(
                    lambda connection, spans=spans: read_spans(connection, spans, max_records, max_bytes)  # type: ignore[misc] # bound as a default: the loop's variable
                )
                returned = self._advance(records, passed, spans)
                if returned:
                    return returned
                continue  # only holes so far
            left_s = deadline_s - loop.time()
            if left_s <= 0:
                return []
            await self._tail.moved(left_s)

    def position(self, tp: TopicPartition) -> int:
        return self._cursors[tp].next

    def assign(self, tp: TopicPartition, offset: int) -> None:
        tp = TopicPartition(*tp)
        self._cursors[tp] = _Cursor(tp, offset, self._tail.topics.get(tp.topic))

    def drop(self, tp: TopicPartition) -> None:
        self._cursors.pop(tp, None)

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        for tp in tps:
            self._cursors[tp].paused = True

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        for tp in tps:
            self._cursors[tp].paused = False

    def _spans(self) -> list[_Span]:
        """What there is to read, beginning with the partition whose turn it is."""
        spans = []
        for cursor in self._cursors.values():
            topic = self._tail.topics.get(cursor.tp.topic)
            if cursor.topic is None:
                cursor.topic = topic
            if topic is None or cursor.topic is None or topic.id != cursor.topic.id:
                raise TopicMissing(f"the topic {cursor.tp.topic} is gone or was made anew", cursor.tp.topic)
            if cursor.tp.partition >= len(topic.lanes):
                raise TopicMissing(f"the topic {cursor.tp.topic} has no partition {cursor.tp.partition}")
            if cursor.paused:
                continue
            lane = cursor.lane
            bounds = self._tail.bounds[lane]
            if cursor.next < bounds.earliest:
                raise OffsetOutOfRange(*cursor.tp, cursor.next, *bounds)
            if cursor.next < bounds.end:
                spans.append(_Span(cursor.tp, lane, cursor.next, bounds.end))
        if len(spans) > 1:
            self._turn = (self._turn + 1) % len(spans)
            spans = spans[self._turn :] + spans[: self._turn]
        return spans

    def _advance(
        self, records: list[Stored], passed: Mapping[TopicPartition, int], spans: list[_Span]
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


def read_spans(
    connection: sqlite3.Connection, spans: list[_Span], max_records: int, max_bytes: int
) -> tuple[list[Stored], dict[TopicPartition, int]]:
    """Records, and the offset behind what was looked at per partition; all from one snapshot."""
    out: list[Stored] = []
    passed: dict[TopicPartition, int] = {}
    left_bytes = max_bytes
    connection.execute("BEGIN")
    try:
        for index, span in enumerate(spans):
            left = max_records - len(out)
            if left <= 0 or (left_bytes <= 0 and out):
                break
            bounds = Bounds(
                *connection.execute("SELECT earliest, end FROM lanes WHERE id = ?", (span.lane,)).fetchone()
            )
            if span.start < bounds.earliest:
                if out:
                    break  # the next read says it
                raise OffsetOutOfRange(*span.tp, span.start, *bounds)
            share = max(1, left // (len(spans) - index))
            passed[span.tp] = span.end
            rows = connection.execute(
                "SELECT offset, ms, key, headers, packed, value FROM records"
                " WHERE lane = ? AND offset >= ? AND offset < ? ORDER BY offset LIMIT ?",
                (span.lane, span.start, span.end, share),
            )
            for read, (offset, ms, key, headers, packed, value) in enumerate(rows, 1):
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
    finally:
        connection.execute("COMMIT")
    return out, passed


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
