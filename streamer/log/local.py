"""The embedded log: one SQLite file, any number of processes, one of them per writing role.

    roles ──► Lane.commit ──► Writer (a thread: group commit) ──► file ──► bell ──► other processes
                                   │                                                  │
    readers ◄── Tail (ends in memory) ◄──┴──────────────── look ◄─────────────────────┘

Closing goes the other way: the tasks end, what is queued is written, the readers' threads end.
"""

import asyncio
import logging
import os
import random
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamer.errors import ConfigError, LaneLost, LogError, StreamerError, TopicMissing
from streamer.log.base import Bounds, LaneMain, Record, TopicInfo, TopicPartition, TopicSpec
from streamer.log.bell import Bell, drained, watch
from streamer.log.claims import locked
from streamer.log.local_file import open_file
from streamer.log.local_reader import LocalReader, ReadPool, first_at
from streamer.log.local_writer import Claim, Transaction, Work, Writer, commit_work
from streamer.log.packing import pack
from streamer.log.position import Position
from streamer.log.tail import Tail, TopicRow, look
from streamer.runtime import Clock

POLL_S: Final = 0.25
"""Behind the bell: the most that a lost one costs."""
DEFAULT_RETENTION_BYTES: Final = 4 * 1024**3
BACKOFF_S: Final = (0.1, 10.0)

logger = logging.getLogger(__name__)


class LocalLog:
    """`retention_bytes` bounds the file; `now_ms` is Unix time, and may step back."""

    def __init__(
        self,
        path: str | Path,
        *,
        retention_bytes: int = DEFAULT_RETENTION_BYTES,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        self.retention_bytes = retention_bytes
        self._now_ms = clock or Clock().now_ms
        self._tail = Tail()
        self._rang = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(open_file, self.path)
            self._pool = ReadPool(self.path)
            stack.push_async_callback(self._pool.close)
            bell_path = Path(f"{self.path}.bell")
            bell = Bell(bell_path)
            stack.callback(bell.close)
            self._writer = Writer(self.path, self._tail, bell, self._now_ms)
            self._writer.start()
            stack.push_async_callback(self._writer.close)
            await self._look()
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            following = self._tasks.create_task(self._follow(bell_path), name="log-follow")
            stack.callback(following.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # ── topics ─────────────────────────────────────────────────────────────────────────────────

    async def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        wanted = list(specs)

        def work(transaction: Transaction) -> None:
            for spec in wanted:
                ensure_topic(transaction, spec)

        await self._writer.do(work, aside=True)

    async def delete_topic(self, name: str) -> None:
        await self._writer.do(delete_work(name), aside=True)

    async def topic(self, name: str) -> TopicInfo | None:
        await self._look()
        row = self._tail.topics.get(name)
        return row.info() if row else None

    async def topics(self) -> list[TopicInfo]:
        await self._look()
        return [row.info() for row in self._tail.topics.values()]

    async def bounds(self, tp: TopicPartition) -> Bounds:
        await self._look()
        return self._tail.bounds[self._lane(tp)]

    async def offset_at(self, tp: TopicPartition, time_ms: int) -> int:
        await self._look()
        lane = self._lane(tp)
        bounds = self._tail.bounds[lane]
        return await self._pool.do(lambda connection: first_at(connection, lane, bounds, time_ms))

    def _lane(self, tp: TopicPartition) -> int:
        row = self._row(tp[0])
        if not 0 <= tp[1] < len(row.lanes):
            raise TopicMissing(f"the topic {tp[0]} has no partition {tp[1]}, only {len(row.lanes)}")
        return row.lanes[tp[1]]

    def _row(self, topic: str) -> TopicRow:
        row = self._tail.topics.get(topic)
        if row is None:
            raise TopicMissing(f"there is no topic {topic}")
        return row

    # ── reading and appending ──────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def reader(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[LocalReader]:
        await self._look()
        yield LocalReader(self._tail, self._pool, starts)

    async def append(self, records: Sequence[Record]) -> list[int]:
        return await self._commit(records, {}, None)

    async def _commit(
        self, records: Sequence[Record], positions: Mapping[TopicPartition, Position], claim: Claim | None
    ) -> list[int]:
        stored = {
            TopicPartition(*tp): (position.next, position.metadata()) for tp, position in positions.items()
        }
        packed = await self._pool.run(lambda: pack(records))
        return await self._writer.do(commit_work(packed, stored, claim))

    async def committed(self, group: str) -> dict[TopicPartition, Position]:
        rows = await self._pool.do(
            lambda connection: connection.execute(
                "SELECT name, partition, next, metadata FROM positions"
                " JOIN lanes ON lanes.id = lane JOIN topics ON topics.id = topic WHERE grp = ? AND alive",
                (group,),
            ).fetchall()
        )
        return {
            TopicPartition(topic, partition): Position.restore(following, metadata)
            for topic, partition, following, metadata in rows
        }

    # ── lanes ──────────────────────────────────────────────────────────────────────────────────

    async def run_lanes(
        self, group: str, topic: str, run: LaneMain, *, partitions: Sequence[int] | None = None
    ) -> None:
        await self._look()
        row = self._row(topic)
        wanted = range(len(row.lanes)) if partitions is None else partitions
        with locked(Path(f"{self.path}.{group}.lock")):
            claims = _Claims(group, self._writer)
            await claims.renew(None)
            try:
                async with asyncio.TaskGroup() as lanes:
                    for partition in wanted:
                        lanes.create_task(
                            self._run_lane(claims, topic, partition, run), name=f"{group}-{partition}"
                        )
            except BaseExceptionGroup as errors:
                if len(errors.exceptions) == 1:  # its name is what callers look for
                    raise errors.exceptions[0] from None
                raise

    async def _run_lane(self, claims: "_Claims", topic: str, partition: int, run: LaneMain) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = BACKOFF_S[0]
        while True:
            lane = LocalLane(self, claims.current, topic, partition)
            began_s = loop.time()
            try:
                await run(lane)
            except StreamerError as error:
                if not (error.retriable or isinstance(error, LaneLost)):
                    raise
                logger.warning(
                    "lane restarts",
                    extra={
                        "group": claims.group,
                        "partition": partition,
                        "code": error.code,
                        "reason": str(error),
                    },
                )
                if isinstance(error, LaneLost):
                    await claims.renew(lane.claim)
            else:
                return
            finally:
                lane.close()
            if loop.time() - began_s > 2 * BACKOFF_S[1]:
                backoff_s = BACKOFF_S[0]
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            backoff_s = min(2 * backoff_s, BACKOFF_S[1])

    async def fence(self, group: str) -> None:
        """Takes the group from the worker that runs it: whatever it commits from now on is refused."""
        await self._writer.do(claim_work(group), aside=True)

    # ── following the file ─────────────────────────────────────────────────────────────────────

    async def _look(self) -> None:
        known = self._tail.change
        self._tail.learn(await self._pool.do(lambda connection: look(connection, known)))

    async def _follow(self, bell: Path) -> None:
        """Learns what other processes committed: at once by the bell, or by and by."""
        loop = asyncio.get_running_loop()
        descriptor = watch(bell)
        watching = descriptor is not None
        if descriptor is not None:
            loop.add_reader(descriptor, drained, descriptor, self._rang.set)
        try:
            while True:
                self._rang.clear()
                try:
                    await self._look()
                except LogError as error:
                    logger.warning(
                        "the log does not answer", extra={"code": error.code, "reason": str(error)}
                    )
                try:
                    async with asyncio.timeout(POLL_S if watching else 0.02):
                        await self._rang.wait()
                except TimeoutError:
                    continue
        finally:
            if descriptor is not None:
                loop.remove_reader(descriptor)
                os.close(descriptor)


class LocalLane:
    def __init__(self, log: LocalLog, claim: Claim, topic: str, partition: int) -> None:
        self._log = log
        self.claim = claim
        self.topic = topic
        self.partition = partition
        self._closed = False

    @property
    def group(self) -> str:
        return self.claim.group

    async def positions(self, wanted: Iterable[TopicPartition]) -> dict[TopicPartition, Position]:
        committed = await self._log.committed(self.group)
        return {tp: committed[tp] for tp in wanted if tp in committed}

    async def commit(
        self, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        if self._closed:
            raise LaneLost(f"{self.group}: the lane of {self.topic}/{self.partition} has ended")
        return await self._log._commit(records, positions, self.claim)  # noqa: SLF001 - a part of the log

    def close(self) -> None:
        """What still holds the lane can't commit any more."""
        self._closed = True


class _Claims:
    """The epoch under which this process runs a group; raised once for all lanes that lost it together."""

    def __init__(self, group: str, writer: Writer) -> None:
        self.group = group
        self.current = Claim(group, 0)
        self._writer = writer
        self._renewing = asyncio.Lock()

    async def renew(self, lost: Claim | None) -> None:
        async with self._renewing:
            if lost is None or lost == self.current:
                epoch = await self._writer.do(claim_work(self.group), aside=True)
                self.current = Claim(self.group, epoch)


def claim_work(group: str) -> Work[int]:
    def work(transaction: Transaction) -> int:
        row = transaction.connection.execute(
            "INSERT INTO claims VALUES (?, 1) ON CONFLICT (grp) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
            (group,),
        ).fetchone()
        epoch: int = row[0]
        return epoch

    return work


def ensure_topic(transaction: Transaction, spec: TopicSpec) -> None:
    connection = transaction.connection
    policy = (int(spec.compact), spec.retention_ms, spec.compaction_lag_ms, int(spec.protected))
    row = connection.execute(
        "SELECT id, partitions, compact FROM topics WHERE alive AND name = ?", (spec.name,)
    ).fetchone()
    if row is not None:
        topic, partitions, compact = row
        if partitions != spec.partitions:
            raise ConfigError(
                "log.partitions",
                f"the topic {spec.name} has {partitions} partitions, not {spec.partitions}; that is never changed"
                " in place: set it back, or start a new log (another log.path or log.prefix)",
            )
        connection.execute(
            "UPDATE topics SET compact = ?, retention_ms = ?, compaction_lag_ms = ?, protected = ? WHERE id = ?",
            (*policy, topic),
        )
        if bool(compact) != spec.compact:
            connection.execute(
                "UPDATE records SET compact = ? WHERE lane IN (SELECT id FROM lanes WHERE topic = ?)",
                (int(spec.compact), topic),
            )
            transaction.topics_changed()
        return
    cursor = connection.execute(
        "INSERT INTO topics (name, epoch, alive, partitions, compact, retention_ms, compaction_lag_ms, protected)"
        " VALUES (?, ?, 1, ?, ?, ?, ?, ?)",
        (spec.name, secrets.token_hex(4), spec.partitions, *policy),
    )
    topic = cursor.lastrowid
    for partition in range(spec.partitions):
        (end,) = connection.execute(
            "SELECT coalesce(max(end), 0) FROM lanes JOIN topics ON topics.id = topic"
            " WHERE name = ? AND partition = ?",
            (spec.name, partition),
        ).fetchone()
        connection.execute(
            "INSERT INTO lanes (topic, partition, earliest, end, changed) VALUES (?, ?, ?, ?, ?)",
            (topic, partition, end, end, transaction.change),
        )
    transaction.topics_changed()


def delete_work(name: str) -> Work[None]:
    """Records and positions go; the row stays, for the offsets that are used up."""

    def work(transaction: Transaction) -> None:
        topic = transaction.topic(name)
        for lane in topic.lanes:
            transaction.connection.execute("DELETE FROM records WHERE lane = ?", (lane,))
            transaction.connection.execute("DELETE FROM positions WHERE lane = ?", (lane,))
        transaction.connection.execute("UPDATE topics SET alive = 0 WHERE id = ?", (topic.id,))
        transaction.topics_changed()

    return work
