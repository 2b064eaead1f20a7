"""What removes records from the file: age, room, newer records of the same key, deleted topics.

Everything goes in slices of some milliseconds through the writer's thread, with pauses between, so
that commits, of this process and of others, hardly wait. A record that is removed is overwritten
(secure_delete), and what the WAL still holds of it goes with the truncation at the end of a pass.

- **age**: a topic's records older than its `retention_ms`.
- **compaction**, once a record is older than the topic's lag: the older ones of its key, and
  itself if it is a tombstone. So a reader that is no further behind than the lag misses nothing,
  and each record is looked at once.
- **room**: while the records need more than `retention_bytes`, the oldest of the topics that are
  not protected; never what a committed position has yet to read. A position protects its own
  topic from `next` on, unless its state says otherwise: `"input": {"topic": T, "next": N}` is
  the same partition of T from N on, `"input": null` nothing. One that its lane has left behind for
  an hour, while it committed others (a partner that was removed, or is parked), protects nothing.
  A group that reads some partitions of a topic reads them all: where it has not committed yet (its
  first batch waits for an answer), it has yet to read everything.
"""

import asyncio
import heapq
import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from streamer import metrics
from streamer.errors import LogBusy, LogFull, LogUnavailable
from streamer.faultpoints import Point, reached
from streamer.log.base import Bounds
from streamer.log.claims import locked
from streamer.log.local_reader import first_at
from streamer.log.local_writer import Transaction, Writer
from streamer.log.pool import ReadPool
from streamer.log.position import Position

SLICE_S: Final = 0.004
BATCH: Final = 16
"""Records between two looks at the clock: a few hundred kB of articles at the most."""
TRUNCATE_DEADLINE_S: Final = 5.0
TRUNCATE_RETRY_S: Final = 0.005
PAUSE_RATIO: Final = 2.0
"""A pause is so many times as long as the slice before it took, the wait for its turn included."""
ROOM_TARGET: Final = 0.97
OLDEST_WINDOW: Final = 2_000
"""Oldest first, give or take so many records: whole slices come from one partition."""
ABANDONED_MS: Final = 3_600_000
VACUUM_SHARE: Final = 0.25
VACUUM_PAGES: Final = 64
SPARE_BYTES: Final = 67_108_864
"""Free pages are kept for what comes next, unless they are more than this and VACUUM_SHARE of the file."""

OLDEST: Final = (
    "SELECT number, offset, ifnull(length(value), 0) FROM records"
    " WHERE lane = ? AND offset < ? ORDER BY offset LIMIT ?"
)

logger = logging.getLogger(__name__)

Reason = Literal["age", "room", "compaction", "topic"]


@dataclass(frozen=True, slots=True)
class _Lane:
    id: int
    topic: str
    partition: int
    bounds: Bounds
    compacted: int
    compact: bool
    retention_ms: int | None
    lag_ms: int
    protected: bool
    alive: bool


class _Input(msgspec.Struct, frozen=True):
    topic: str
    next: int


class Cleaner:
    def __init__(
        self, path: Path, writer: Writer, pool: ReadPool, retention_bytes: int, now_ms: Callable[[], int]
    ) -> None:
        self._path = path
        self._writer = writer
        self._pool = pool
        self._retention_bytes = retention_bytes
        self._now_ms = now_ms
        self._one_pass = asyncio.Lock()
        self._idle: dict[tuple[int, Reason], tuple[int, int]] = {}
        """Until when, and up to which end, a lane needs no look."""
        self._wal_is_owed = True
        """The WAL may hold what was deleted: also by the process before this one, which was killed then."""

    async def run(self, every_s: float) -> None:
        """For ever; waits where another process cleans this file already."""
        while True:
            try:
                with locked(Path(f"{self._path}.cleaner.lock")):
                    while True:
                        await self._pass_or_warn()
                        await asyncio.sleep(every_s)
            except LogBusy:
                await asyncio.sleep(every_s)

    async def _pass_or_warn(self) -> None:
        try:
            await self.clean()
        except (LogFull, LogUnavailable) as error:
            logger.warning("cleaning failed", extra={"code": error.code, "reason": str(error)})

    async def clean(self) -> None:
        """One pass."""
        async with self._one_pass:
            lanes = await self._pool.do(_lanes)
            for lane in lanes:
                if not lane.alive:
                    await self._drop(lane.id, lane.bounds.end, "topic")
                else:
                    await self._age(lane)
                    await self._compact(lane)
            await self._make_room(lanes)
            if self._wal_is_owed:
                await self.reclaim()

    async def drop_topic(self, lanes: list[int]) -> None:
        """All records of a topic that is deleted already, physically."""
        async with self._one_pass:
            for lane in lanes:
                await self._drop(lane, None, "topic")
            await self.reclaim()

    # ── age and compaction ─────────────────────────────────────────────────────────────────────

    async def _age(self, lane: _Lane) -> None:
        if lane.retention_ms is None:
            return
        upto = await self._due(lane, "age", lane.bounds.earliest, lane.retention_ms)
        if upto > lane.bounds.earliest:
            await self._drop(lane.id, upto, "age")

    async def _compact(self, lane: _Lane) -> None:
        if not lane.compact:
            return
        start = max(lane.compacted, lane.bounds.earliest)
        upto = await self._due(lane, "compaction", start, lane.lag_ms)
        if upto > start:
            await self._in_slices(lambda transaction: compact_slice(transaction, lane.id, upto), "compaction")

    async def _due(self, lane: _Lane, reason: Reason, start: int, older_ms: int) -> int:
        """The first offset that is not older than that. Idle lanes are asked for once, not at every pass."""
        if start >= lane.bounds.end:
            return start
        now_ms = self._now_ms()
        until_ms, end = self._idle.get((lane.id, reason), (0, -1))
        if now_ms < until_ms or (until_ms < 0 and end == lane.bounds.end):
            return start
        bounds = Bounds(start, lane.bounds.end)
        upto, next_ms = await self._pool.do(
            lambda connection: _boundary(connection, lane.id, bounds, now_ms - older_ms)
        )
        self._idle[lane.id, reason] = (-1 if next_ms is None else next_ms + older_ms + 1, bounds.end)
        return upto

    # ── room ───────────────────────────────────────────────────────────────────────────────────

    async def _make_room(self, lanes: list[_Lane]) -> None:
        used = await self._pool.do(used_bytes)
        stuck = False
        if used > self._retention_bytes:
            target = int(self._retention_bytes * ROOM_TARGET)
            heads = await self._pool.do(lambda connection: _heads(connection, lanes))
            while heads and used > target:
                head = heapq.heappop(heads)
                limit = (heads[0].number if heads else head.number) + OLDEST_WINDOW
                count, used, number = await self._writer.do(
                    lambda transaction, head=head, limit=limit: room_slice(transaction, head, limit)  # type: ignore[misc] # bound as defaults: the loop's variables
                )
                self._count("room", count)
                if number is not None:
                    heapq.heappush(heads, _Head(number, head.lane, head.floor))
                await asyncio.sleep(SLICE_S * PAUSE_RATIO)
            stuck = used > self._retention_bytes
        await self._say_over_budget(stuck=stuck)

    async def _say_over_budget(self, *, stuck: bool) -> None:
        """Only when it changed: a row that all processes look at."""

        def known(connection: sqlite3.Connection) -> bool:
            return bool(connection.execute("SELECT over_budget FROM log").fetchone()[0])

        def say(transaction: Transaction) -> None:
            transaction.connection.execute("UPDATE log SET over_budget = ?", (int(stuck),))

        if await self._pool.do(known) != stuck:
            await self._writer.do(say)
            if stuck:
                logger.error(
                    "the log is over its bound, and all it holds is still to be read",
                    extra={"retention_bytes": self._retention_bytes},
                )

    # ── slices ─────────────────────────────────────────────────────────────────────────────────

    async def _drop(self, lane: int, upto: int | None, reason: Reason) -> None:
        await self._in_slices(lambda transaction: drop_slice(transaction, lane, upto), reason)

    async def _in_slices(
        self, work: Callable[[Transaction], tuple[int, bool]], reason: Reason | None
    ) -> None:
        more = True
        while more:
            began_s = time.monotonic()
            count, more = await self._writer.do(work)
            if reason:
                self._count(reason, count)
            reached(Point.CLEAN_BETWEEN)
            if more:
                await asyncio.sleep(PAUSE_RATIO * (time.monotonic() - began_s))

    def _count(self, reason: Reason, deleted: int) -> None:
        metrics.LOG_DELETED.labels(reason).inc(deleted)
        self._wal_is_owed = self._wal_is_owed or deleted > 0

    async def reclaim(self) -> None:
        """Gives pages back where many are free, and empties the WAL, which holds the last copies."""
        if await self._pool.do(has_too_many_free):
            await self._in_slices(vacuum_slice, None)
        self._wal_is_owed = not await self._pool.do(truncate_wal)
        if self._wal_is_owed:
            logger.warning("the WAL could not be emptied, and may still hold what was deleted")


def _lanes(connection: sqlite3.Connection) -> list[_Lane]:
    """Of topics that are alive, and of deleted ones that still have records."""
    rows = connection.execute(
        "SELECT lanes.id, name, partition, earliest, end, compacted, compact, retention_ms,"
        " compaction_lag_ms, protected, alive FROM lanes JOIN topics ON topics.id = topic"
        " WHERE alive OR EXISTS (SELECT 1 FROM records WHERE lane = lanes.id)"
    )
    return [
        _Lane(
            id=row[0],
            topic=row[1],
            partition=row[2],
            bounds=Bounds(row[3], row[4]),
            compacted=row[5],
            compact=bool(row[6]),
            retention_ms=row[7],
            lag_ms=row[8],
            protected=bool(row[9]),
            alive=bool(row[10]),
        )
        for row in rows
    ]


def _boundary(
    connection: sqlite3.Connection, lane: int, bounds: Bounds, before_ms: int
) -> tuple[int, int | None]:
    """The first offset appended at `before_ms` or later, and when that was (None: there is none)."""
    row = connection.execute(
        "SELECT offset, ms FROM records WHERE lane = ? AND offset >= ? ORDER BY offset LIMIT 1",
        (lane, bounds.earliest),
    ).fetchone()
    if row is None or row[1] >= before_ms:
        return bounds.earliest, row and row[1]
    upto = first_at(connection, lane, bounds, before_ms)
    row = connection.execute(
        "SELECT ms FROM records WHERE lane = ? AND offset >= ? ORDER BY offset LIMIT 1", (lane, upto)
    ).fetchone()
    return upto, row and row[0]


def drop_slice(transaction: Transaction, lane: int, upto: int | None) -> tuple[int, bool]:
    """Deletes records of the lane from its beginning; how many, and whether there are more."""
    connection = transaction.connection
    until_s = time.monotonic() + SLICE_S
    deleted = 0
    limit = upto if upto is not None else 2**62
    while True:
        rows = connection.execute(
            OLDEST,
            (lane, limit, BATCH),
        ).fetchall()
        transaction.delete(rows)
        deleted += len(rows)
        if deleted:
            reached(Point.CLEAN_AGE_MIDDLE)
        more = len(rows) == BATCH
        if not more or time.monotonic() > until_s:
            break
    earliest = rows[-1][1] + 1 if more else upto
    if earliest is not None:
        connection.execute(
            "UPDATE lanes SET earliest = max(earliest, ?), changed = ? WHERE id = ?",
            (earliest, transaction.change, lane),
        )
    return deleted, more


def compact_slice(transaction: Transaction, lane: int, upto: int) -> tuple[int, bool]:
    """Removes what is older than the records below `upto`, by key; how many, and whether there are more."""
    connection = transaction.connection
    until_s = time.monotonic() + SLICE_S
    deleted = 0
    while True:
        rows = connection.execute(
            "SELECT records.offset, key, value IS NULL FROM lanes JOIN records ON lane = lanes.id"
            " WHERE lanes.id = ? AND records.offset >= compacted AND records.offset < ?"
            " ORDER BY records.offset LIMIT ?",
            (lane, upto, BATCH),
        ).fetchall()
        for offset, key, tombstone in rows:
            older = connection.execute(
                "SELECT number, offset, ifnull(length(value), 0) FROM records"
                " WHERE compact AND lane = ? AND key = ? AND offset < ?",
                (lane, key, offset + tombstone),
            ).fetchall()
            transaction.delete(older)
            deleted += len(older)
        if deleted:
            reached(Point.CLEAN_COMPACT_MIDDLE)
        more = len(rows) == BATCH
        connection.execute(
            "UPDATE lanes SET compacted = ? WHERE id = ?", (rows[-1][0] + 1 if more else upto, lane)
        )
        if not more or time.monotonic() > until_s:
            return deleted, more


@dataclass(frozen=True, slots=True, order=True)
class _Head:
    """The oldest record of a lane that may go, by its file-wide number."""

    number: int
    lane: int
    floor: int
    """Of offsets: this one and those behind it stay."""


def _heads(connection: sqlite3.Connection, lanes: list[_Lane]) -> list[_Head]:
    floors = _floors(connection, lanes)
    heads = []
    for lane in lanes:
        if lane.protected and lane.alive:
            continue
        floor = min(floors.get(lane.id, lane.bounds.end), lane.bounds.end)
        number = _next_number(connection, lane.id, floor)
        if number is not None:
            heads.append(_Head(number, lane.id, floor))
    heapq.heapify(heads)
    return heads


def _next_number(connection: sqlite3.Connection, lane: int, floor: int) -> int | None:
    row = connection.execute(
        "SELECT number FROM records WHERE lane = ? AND offset < ? ORDER BY offset LIMIT 1", (lane, floor)
    ).fetchone()
    return row and int(row[0])


def _floors(connection: sqlite3.Connection, lanes: list[_Lane]) -> dict[int, int]:
    """The first offset of each lane that some group has yet to read."""
    by_id = {lane.id: lane for lane in lanes if lane.alive}
    by_name = {(lane.topic, lane.partition): lane.id for lane in by_id.values()}
    rows = [
        (group, by_id[lane], offset, metadata, ms)
        for group, lane, offset, metadata, ms in connection.execute(
            "SELECT grp, lane, next, metadata, ms FROM positions"
        )
        if lane in by_id
    ]
    newest_ms: dict[tuple[str, int], int] = {}
    for group, lane, _, _, ms in rows:
        newest_ms[group, lane.partition] = max(newest_ms.get((group, lane.partition), ms), ms)
    floors: dict[int, int] = {}
    placed = {(group, lane.id) for group, lane, _, _, _ in rows}
    read_whole: set[tuple[str, str]] = set()
    for group, lane, offset, metadata, ms in rows:
        if ms < newest_ms[group, lane.partition] - ABANDONED_MS:
            continue
        state = Position.restore(offset, metadata).state
        unread = _Input(lane.topic, offset)
        if "input" in state:
            if state["input"] is None:
                continue
            unread = msgspec.convert(state["input"], _Input)
        else:
            read_whole.add((group, lane.topic))
        protects = by_name.get((unread.topic, lane.partition))
        if protects is not None:
            floors[protects] = min(floors.get(protects, unread.next), unread.next)
    for group, topic in read_whole:
        floors.update(
            {lane.id: 0 for lane in by_id.values() if lane.topic == topic and (group, lane.id) not in placed}
        )
    return floors


def room_slice(transaction: Transaction, head: _Head, limit: int) -> tuple[int, int, int | None]:
    """Records of one lane below its floor and the file-wide `limit`: how many went, what the records
    need now, and the number of the next one.
    """
    connection = transaction.connection
    until_s = time.monotonic() + SLICE_S
    deleted = 0
    while True:
        rows = connection.execute(
            OLDEST,
            (head.lane, head.floor, BATCH),
        ).fetchall()
        rows = [row for row in rows if row[0] < limit]
        if rows:
            transaction.delete(rows)
            deleted += len(rows)
            reached(Point.CLEAN_ROOM_MIDDLE)
            connection.execute(
                "UPDATE lanes SET earliest = ?, changed = ? WHERE id = ?",
                (rows[-1][1] + 1, transaction.change, head.lane),
            )
        if len(rows) < BATCH or time.monotonic() > until_s:
            break
    return deleted, used_bytes(connection), _next_number(connection, head.lane, head.floor)


def checkpoint(connection: sqlite3.Connection) -> None:
    """Brings commits from the WAL to the file, beside writers and readers."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def truncate_wal(connection: sqlite3.Connection) -> bool:
    """The first step lets others commit; the second, which does not, is left with little to do.

    False: not within the deadline. Beside another checkpoint SQLite gives up at once, whatever the busy
    timeout, and says so in the answer only: the text would stay in the WAL without a word.
    """
    checkpoint(connection)
    reached(Point.CLEAN_WAL)
    deadline_s = time.monotonic() + TRUNCATE_DEADLINE_S
    while True:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy or time.monotonic() > deadline_s:
            return not busy
        time.sleep(TRUNCATE_RETRY_S)


def used_bytes(connection: sqlite3.Connection) -> int:
    """What the records and their indexes need; free pages are not counted."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)


def vacuum_slice(transaction: Transaction) -> tuple[int, bool]:
    """Shortens the file by some free pages; whether there are still too many."""
    transaction.connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
    return 0, has_too_many_free(transaction.connection)


def has_too_many_free(connection: sqlite3.Connection) -> bool:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return bool(free * size >= SPARE_BYTES and free >= pages * VACUUM_SHARE)
