"""The embedded log: one SQLite file, any number of processes, one of them per writing role.

    roles ──► Lane.commit ──► Writer (a thread: group commit) ──► file ──► bell ──► other processes
                                   │                                                  │
    readers ◄── Tail (ends in memory) ◄──┴──────────────── look ◄─────────────────────┘

Closing goes the other way: the tasks end, what is queued is written, the readers' threads end.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamer import metrics
from streamer.clock import Clock
from streamer.errors import LogFull, LogUnavailable, TopicMissing
from streamer.groups import alone_by_name
from streamer.log.base import (
    Bounds,
    Extent,
    LaneMain,
    LanesHeld,
    ReadingGroup,
    Record,
    TopicInfo,
    TopicPartition,
    TopicSpec,
)
from streamer.log.bell import Bell, following
from streamer.log.claims import locked
from streamer.log.gathered import Gathered
from streamer.log.local_cleaner import Cleaner, checkpoint
from streamer.log.local_file import open_file
from streamer.log.local_lanes import claim_work, run_lanes
from streamer.log.local_reader import LocalReader, Reads, first_at, first_ms, read_together
from streamer.log.local_topics import delete_work, ensure_work
from streamer.log.local_writer import Claim, Writer, commit_work
from streamer.log.packing import pack
from streamer.log.pool import ReadPool
from streamer.log.position import Position
from streamer.log.tail import News, Tail, TopicRow, look

POLL_S: Final = 0.25
"""Behind the bell: the most that a lost one costs."""
DEAF_POLL_S: Final = 0.015
"""Where the system has no bell to hear."""
DEFAULT_RETENTION_BYTES: Final = 4 * 1024**3
CLEAN_EVERY_S: Final = 5.0
BELL_PAUSE_S: Final = 0.002
"""Between two looks: a burst of commits is one."""

logger = logging.getLogger(__name__)


class LocalLog:
    """`retention_bytes` bounds the file; `now_ms` is Unix time, and may step back."""

    def __init__(
        self,
        path: str | Path,
        *,
        retention_bytes: int = DEFAULT_RETENTION_BYTES,
        clock: Callable[[], int] | None = None,
        clean_every_s: float = CLEAN_EVERY_S,
    ) -> None:
        self.path = Path(path).absolute()
        self.retention_bytes = retention_bytes
        self._now_ms = clock or Clock().now_ms
        self._clean_every_s = clean_every_s
        self._tail = Tail()
        self._rang = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(open_file, self.path)
            self._inode = await asyncio.to_thread(inode, self.path)
            self._pool = ReadPool(self.path)
            stack.push_async_callback(self._pool.close)
            self._looks = Gathered(self._pool, self._look_for)
            self._reads: Reads = Gathered(self._pool, read_together)
            bell_path = Path(f"{self.path}.bell")
            bell = Bell(bell_path)
            stack.callback(bell.close)
            self._writer = Writer(self.path, self._tail, bell, self._now_ms)
            self._writer.start()
            stack.push_async_callback(self._writer.close)
            self._cleaner = Cleaner(self.path, self._writer, self._pool, self.retention_bytes, self._now_ms)
            await self._look()
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for name, work in (
                ("log-follow", self._follow(bell_path)),
                ("log-checkpoint", self._checkpoint()),
                ("log-clean", self._cleaner.run(self._clean_every_s)),
            ):
                stack.callback(tasks.create_task(work, name=name).cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with alone_by_name():  # a background task's, e.g. of a damaged file
            await self._stack.aclose()

    # ── topics ─────────────────────────────────────────────────────────────────────────────────

    async def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        await self._writer.do(ensure_work(list(specs)), aside=True)

    async def delete_topic(self, name: str, *, epoch: str = "") -> None:
        """Returns once its records are physically gone, which takes a while if there are many."""
        lanes = await self._writer.do(delete_work(name, epoch), aside=True)
        await self._cleaner.drop_topic(lanes)

    async def topic(self, name: str) -> TopicInfo | None:
        await self._look()
        row = self._tail.topics.get(name)
        return row.info() if row else None

    async def topics(self) -> list[TopicInfo]:
        await self._look()
        return [row.info() for row in self._tail.topics.values()]

    async def check_topic(self, name: str, *, batch_bytes: int = 0) -> None:
        del batch_bytes  # what a record may weigh is the same for all topics here
        await self._look()
        self._row(name)

    async def bounds(self, tp: TopicPartition) -> Bounds:
        await self._look()
        return self._tail.bounds[self._lane(tp)]

    async def all_bounds(self, topic: str) -> list[Bounds]:
        await self._look()
        return [self._tail.bounds[lane] for lane in self._row(topic).lanes]

    async def offset_at(self, tp: TopicPartition, time_ms: int) -> int:
        await self._look()
        lane = self._lane(tp)
        bounds = self._tail.bounds[lane]
        return await self._pool.do(lambda connection: first_at(connection, lane, bounds, time_ms))

    def _lane(self, tp: TopicPartition) -> int:
        row = self._row(tp[0])
        if not 0 <= tp[1] < len(row.lanes):
            raise TopicMissing(f"the topic {tp[0]} has no partition {tp[1]}, only {len(row.lanes)}", tp[0])
        return row.lanes[tp[1]]

    def _row(self, topic: str) -> TopicRow:
        row = self._tail.topics.get(topic)
        if row is None:
            raise TopicMissing(f"there is no topic {topic}", topic)
        return row

    # ── reading and appending ──────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def reader(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[LocalReader]:
        await self._look()
        yield LocalReader(self._tail, self._pool, self._reads, self._look, starts)

    async def append(self, records: Sequence[Record]) -> list[int]:
        return await self.commit_as(records, {}, None)

    async def commit_as(
        self, records: Sequence[Record], positions: Mapping[TopicPartition, Position], claim: Claim | None
    ) -> list[int]:
        """A lane's commit; without a claim none is checked. ValueError for a position that doesn't fit."""
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

    async def extents(self, names: Collection[str]) -> dict[str, Extent]:
        await self._look()
        bounds = self._tail.bounds
        rows = ((name, self._tail.topics.get(name)) for name in names)
        return {
            name: Extent(row.info(), tuple(bounds[lane] for lane in row.lanes)) for name, row in rows if row
        }

    async def oldest_ms(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        await self._look()
        lanes = {tp: self._lane(tp) for tp in tps}
        found = await self._pool.do(lambda connection: {tp: first_ms(connection, lanes[tp]) for tp in lanes})
        return {tp: appended_ms for tp, appended_ms in found.items() if appended_ms is not None}

    async def readers(self, topics: Mapping[str, Extent]) -> dict[str, dict[str, ReadingGroup]]:  # noqa: ARG002 - as declared
        return {}

    # ── lanes ──────────────────────────────────────────────────────────────────────────────────

    async def run_lanes(
        self,
        group: str,
        topic: str,
        run: LaneMain,
        *,
        partitions: Sequence[int] | None = None,
        draining: asyncio.Event | None = None,
        held: LanesHeld | None = None,
    ) -> None:
        await self._look()
        count = len(self._row(topic).lanes)
        wanted = range(count) if partitions is None else partitions
        with locked(Path(f"{self.path}.{group}.lock")):
            metrics.LOG_LANES.labels(group).set(len(wanted))
            if held is not None:
                held(frozenset(wanted))
            await run_lanes(self, self._writer, group, topic, partitions=wanted, run=run, draining=draining)

    async def fence(self, group: str) -> None:
        """Takes the group from the worker that runs it: whatever it commits from now on is refused."""
        await self._writer.do(claim_work(group), aside=True)

    # ── following the file ─────────────────────────────────────────────────────────────────────

    async def _look(self) -> None:
        """Learns what was committed before this call. Raises LogUnavailable where the path leads to another
        file by now, or to none (a disk that was unmounted, a folder that was moved): what we have open still
        works, and nobody would ever find it again.
        """
        self._tail.learn(await self._looks.ask(None))

    def _look_for(self, connection: sqlite3.Connection, asked: Sequence[None]) -> list[News | None]:
        """In a thread: one look for all who asked."""
        known = self._tail.change
        if inode(self.path) != self._inode:
            raise LogUnavailable(f"{self.path}: is gone, or another file: bring back the one that was there")
        return [look(connection, known)] * len(asked)

    async def _follow(self, bell: Path) -> None:
        """Learns what other processes committed: at once by the bell, or by and by."""
        said = ""
        with following(bell, self._rang.set) as heard:
            while True:
                self._rang.clear()
                try:
                    await self._look()
                    said = ""
                except (LogFull, LogUnavailable) as error:
                    if str(error) != said:  # once, not at every look
                        said = str(error)
                        logger.warning("the log can't be read", extra={"code": error.code, "reason": said})
                self._measure()
                await asyncio.sleep(BELL_PAUSE_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S if heard else DEAF_POLL_S):
                        await self._rang.wait()

    async def _checkpoint(self) -> None:
        """Beside the commits, so that none of them has to do it."""
        while True:
            await self._writer.wants_checkpoint.wait()
            self._writer.wants_checkpoint.clear()
            try:
                await self._pool.do(checkpoint)
            except (LogFull, LogUnavailable) as error:
                logger.warning("checkpoint failed", extra={"code": error.code, "reason": str(error)})

    def _measure(self) -> None:
        metrics.LOG_FILE_BYTES.set(size_of(self.path))
        metrics.LOG_WAL_BYTES.set(size_of(Path(f"{self.path}-wal")))
        metrics.LOG_OVER_BUDGET.set(self._tail.over_budget)

    # ── cleaning ───────────────────────────────────────────────────────────────────────────────

    @property
    def is_over_budget(self) -> bool:
        return self._tail.over_budget

    async def clean(self) -> None:
        """One pass of retention and compaction, now. It runs by itself every few seconds."""
        await self._cleaner.clean()


def inode(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one at the same path; None where there is none, or no way to it."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
