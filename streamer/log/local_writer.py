"""The one thread of a process that writes to the file.

It begins a transaction for the first job that waits and lets in what queues meanwhile, for JOIN_S
at most: an idle commit waits for nobody, busy ones share the disk's flush. Jobs that can't be done
(a lost lane, an unknown topic) fail alone; what the disk refuses fails all that shared the
transaction, and nothing of it was written.
"""

import asyncio
import copy
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from streamer import metrics
from streamer.errors import LaneLost, LogError, LogUnavailable, StreamerError, TopicMissing
from streamer.faultpoints import Point, reached
from streamer.log.base import TopicPartition
from streamer.log.bell import Bell
from streamer.log.local_file import connect, named
from streamer.log.packing import Packed
from streamer.log.tail import News, Tail, TopicRow, look, read_topics

JOIN_S: Final = 0.02
JOIN_BYTES: Final = 33_554_432
"""A transaction grows to this size and one job more: it is held in the page cache and then the WAL."""
BUSY_DEADLINE_S: Final = 10.0
"""Other processes hold the file for some milliseconds at a time."""

BUSY_PAUSE_S: Final = 0.0005
MAX_WAITING: Final = 1_000
"""Jobs that may queue; who comes later waits outside."""

PAGE_BYTES: Final = 4_096
CHECKPOINT_BYTES: Final = 4_194_304
"""Written by this process since it last asked for a checkpoint."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    group: str
    epoch: int


class Transaction:
    """What the jobs of one transaction share."""

    def __init__(self, connection: sqlite3.Connection, now_ms: int) -> None:
        self.connection = connection
        row = connection.execute("SELECT number, change, newest_ms FROM log").fetchone()
        self.number: int = row[0]
        self.change: int = row[1] + 1
        self.now_ms: int = max(row[2], now_ms)
        """Never before an earlier record: time look-ups search by halving."""
        self.records = 0
        self.bytes = 0
        self.deleted_bytes = 0
        """Deleting writes too: what is deleted is overwritten."""
        self._topics: dict[str, TopicRow] | None = None
        self._ends: dict[int, int] = {}

    def topic(self, name: str) -> TopicRow:
        if self._topics is None:
            self._topics = read_topics(self.connection)
        row = self._topics.get(name)
        if row is None:
            raise TopicMissing(f"there is no topic {name}", name)
        return row

    def lane(self, topic: str, partition: int) -> int:
        row = self.topic(topic)
        if not 0 <= partition < len(row.lanes):
            raise TopicMissing(
                f"the topic {topic} has no partition {partition}, only {len(row.lanes)}", topic
            )
        return row.lanes[partition]

    def delete(self, records: Sequence[tuple[int, int, int]]) -> None:
        """Each as (number, offset, bytes)."""
        self.connection.executemany("DELETE FROM records WHERE number = ?", [row[:1] for row in records])
        self.deleted_bytes += sum(PAGE_BYTES + row[2] for row in records)

    def topics_changed(self) -> None:
        self._topics = None
        self.connection.execute("UPDATE log SET topics_changed = ?", (self.change,))

    def append(self, records: Sequence[Packed]) -> list[int]:
        """Offsets; raises TopicMissing before anything is written."""
        lanes = [(self.lane(r.topic, r.partition), self.topic(r.topic).compact) for r in records]
        offsets: list[int] = []
        rows = []
        ends = self._ends
        for record, (lane, compact) in zip(records, lanes, strict=True):
            offset = ends.get(lane)
            if offset is None:
                (offset,) = self.connection.execute("SELECT end FROM lanes WHERE id = ?", (lane,)).fetchone()
            ends[lane] = offset + 1
            offsets.append(offset)
            rows.append(
                (
                    self.number,
                    lane,
                    offset,
                    self.now_ms,
                    int(compact),
                    record.key,
                    record.headers,
                    record.packed,
                    record.value,
                )
            )
            self.number += 1
            self.bytes += record.stored_bytes
        self.records += len(records)
        self.connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return offsets

    def finish(self) -> None:
        self.connection.executemany(
            "UPDATE lanes SET end = ?, changed = ? WHERE id = ?",
            [(end, self.change, lane) for lane, end in self._ends.items()],
        )
        self.connection.execute(
            "UPDATE log SET number = ?, change = ?, newest_ms = ?", (self.number, self.change, self.now_ms)
        )


Work = Callable[[Transaction], T]


@dataclass(slots=True)
class Job(Generic[T]):
    work: Work[T]
    done: asyncio.Future[T]
    result: T | None = None
    error: BaseException | None = None
    aside: bool = False
    """In a savepoint: it may fail after it has written."""


def commit_work(
    records: Sequence[Packed],
    positions: Mapping[TopicPartition, tuple[int, str]],
    claim: Claim | None,
) -> Work[list[int]]:
    """Everything that may be refused is refused before the first row is written."""

    def work(transaction: Transaction) -> list[int]:
        connection = transaction.connection
        if claim is not None:
            row = connection.execute("SELECT epoch FROM claims WHERE grp = ?", (claim.group,)).fetchone()
            if row is None or row[0] != claim.epoch:
                raise LaneLost(
                    f"{claim.group}: another worker has taken over (its epoch is {row and row[0]})"
                )
        group = claim.group if claim else ""
        rows = [
            (group, transaction.lane(*tp), following, metadata, transaction.now_ms)
            for tp, (following, metadata) in positions.items()
        ]
        offsets = transaction.append(records)
        if records and rows:
            reached(Point.LOG_COMMIT_MIDDLE)
        connection.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?)", rows)
        return offsets

    return work


class Writer:
    """`start` and `close` frame it; `do` may be called from the loop's thread only."""

    def __init__(self, path: Path, tail: Tail, bell: Bell, now_ms: Callable[[], int]) -> None:
        self._path = path
        self._tail = tail
        self._bell = bell
        self._now_ms = now_ms
        self._jobs: queue.SimpleQueue[Job[object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._unflushed_bytes = 0
        self.wants_checkpoint = asyncio.Event()
        self._room = asyncio.BoundedSemaphore(MAX_WAITING)

    def start(self) -> None:
        self._thread.start()

    async def close(self) -> None:
        """Writes what is queued, then stops."""
        self._closed = True
        self._jobs.put(None)
        await asyncio.shield(asyncio.to_thread(self._thread.join))

    async def do(self, work: Work[T], *, aside: bool = False) -> T:
        """Runs `work` inside a transaction; returns once that is durable, and its effect is in the tail."""
        if self._closed:
            raise LogUnavailable(f"{self._path}: the log is closed")
        async with self._room:
            future: asyncio.Future[T] = self._loop.create_future()
            self._jobs.put(Job(work, future, aside=aside))  # type: ignore[arg-type] # all kinds queue
            return await future

    # ── in the thread ──────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            first = self._jobs.get()
            if first is None:
                break
            jobs: list[Job[object]] = [first]
            began_s = time.monotonic()
            try:
                if connection is None:
                    connection = connect(self._path, writing=True)
                self._transact(connection, jobs)
            except sqlite3.Error as error:
                self._refuse(connection, jobs, named(error, self._path))
            except LogError as error:
                self._refuse(connection, jobs, error)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                self._refuse(connection, jobs, error)
            metrics.LOG_COMMIT_SECONDS.observe(time.monotonic() - began_s)
            metrics.QUEUE_DEPTH.labels("log_writer").set(self._jobs.qsize())
            self._loop.call_soon_threadsafe(_deliver, jobs, self._news(connection), self._tail)
        if connection is not None:
            connection.close()

    def _news(self, connection: sqlite3.Connection | None) -> News | None:
        """What the commit changed. If that can't be read now, the poll behind the bell finds it."""
        if connection is None:
            return None
        try:
            self._bell.ring()
            return look(connection, self._tail.change)
        except (sqlite3.Error, OSError) as error:
            logger.warning("the news of a commit are late", extra={"reason": str(error)})
            return None

    def _transact(self, connection: sqlite3.Connection, jobs: list[Job[object]]) -> None:
        self._begin(connection)
        until_s = time.monotonic() + JOIN_S
        transaction = Transaction(connection, self._now_ms())
        _apply(transaction, jobs[0])
        while transaction.bytes < JOIN_BYTES and time.monotonic() < until_s:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)  # the thread ends next, whatever becomes of this transaction
                break
            jobs.append(job)
            _apply(transaction, job)
        transaction.finish()
        if transaction.records:
            reached(Point.LOG_COMMITTING)
        connection.execute("COMMIT")
        if transaction.records:
            reached(Point.LOG_COMMITTED)
        metrics.LOG_APPENDED_RECORDS.inc(transaction.records)
        metrics.LOG_APPENDED_BYTES.inc(transaction.bytes)
        self._unflushed_bytes += transaction.bytes + transaction.deleted_bytes
        if self._unflushed_bytes > CHECKPOINT_BYTES:
            self._unflushed_bytes = 0
            self._loop.call_soon_threadsafe(self.wants_checkpoint.set)

    def _begin(self, connection: sqlite3.Connection) -> None:
        """SQLite's own busy handler sleeps up to 100 ms between two tries; others hold it for a few."""
        deadline_s = time.monotonic() + BUSY_DEADLINE_S
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                    raise
                time.sleep(BUSY_PAUSE_S)
            else:
                return

    def _refuse(
        self, connection: sqlite3.Connection | None, jobs: list[Job[object]], error: Exception
    ) -> None:
        if connection is not None and connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:  # SQLite has rolled back by itself
                logger.warning("rollback failed", extra={"log": str(self._path)})
        for job in jobs:
            job.error = copy.copy(error)  # each waiter raises its own


def _apply(transaction: Transaction, job: Job[object]) -> None:
    """A job that is refused fails alone; an error of the file goes up."""
    if job.aside:
        transaction.connection.execute("SAVEPOINT aside")
    try:
        job.result = job.work(transaction)
    except StreamerError as error:
        job.error = error
        if job.aside:
            transaction.connection.execute("ROLLBACK TO aside")
    if job.aside:
        transaction.connection.execute("RELEASE aside")


def _deliver(jobs: Sequence[Job[object]], news: News | None, tail: Tail) -> None:
    tail.learn(news)
    for job in jobs:
        if job.done.done():  # its caller was cancelled
            continue
        if job.error is not None:
            job.done.set_exception(job.error)
        else:
            job.done.set_result(job.result)
