"""A log of one process in its memory: for what runs in virtual time, where no thread may be waited for.

It keeps the contract of streamer.log.base as far as one process without restarts sees it: commits are
atomic, readers see what was committed, in order. No retention, no compaction, no second process; an error
of a lane is nobody's to mend here and goes up.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from streamer.clock import Clock
from streamer.errors import TopicMissing
from streamer.groups import alone_by_name
from streamer.log.base import (
    Bounds,
    Extent,
    Lane,
    LaneMain,
    LanesHeld,
    ReadingGroup,
    Record,
    Stored,
    TopicInfo,
    TopicPartition,
    TopicSpec,
)
from streamer.log.position import Position
from streamer.log.waiting import Condition

COMMIT_S: Final = 0.01
"""What a commit of the embedded log takes, about."""


@dataclass(slots=True)
class _Partition:
    records: list[Stored] = field(default_factory=list)
    end: int = 0
    grown: Condition = field(default_factory=Condition)


class MemoryLog:
    """`unread` topics are written and not kept: only `on_record` sees what goes there."""

    is_over_budget = False

    def __init__(
        self,
        clock: Clock,
        *,
        unread: Collection[str] = (),
        on_record: Callable[[Stored], object] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._unread = frozenset(unread)
        self._on_record = on_record
        self._topics: dict[str, list[_Partition]] = {}
        self._positions: dict[str, dict[TopicPartition, Position]] = {}

    async def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        for spec in specs:
            self._topics.setdefault(spec.name, [_Partition() for _ in range(spec.partitions)])

    async def delete_topic(self, name: str, *, epoch: str = "") -> None:  # noqa: ARG002 - there is one making
        self._of(name)
        del self._topics[name]

    async def topic(self, name: str) -> TopicInfo | None:
        partitions = self._topics.get(name)
        return None if partitions is None else TopicInfo(name, len(partitions), "00000001")

    async def topics(self) -> list[TopicInfo]:
        return [TopicInfo(name, len(those), "00000001") for name, those in self._topics.items()]

    async def check_topic(self, name: str, *, batch_bytes: int = 0) -> None:  # noqa: ARG002 - takes any
        self._of(name)

    async def bounds(self, tp: TopicPartition) -> Bounds:
        return self._bounds(self._of(tp.topic)[tp.partition])

    async def all_bounds(self, topic: str) -> list[Bounds]:
        return [self._bounds(partition) for partition in self._of(topic)]

    async def offset_at(self, tp: TopicPartition, time_ms: int) -> int:
        partition = self._of(tp.topic)[tp.partition]
        later = (record.offset for record in partition.records if record.timestamp_ms >= time_ms)
        return next(later, partition.end)

    @asynccontextmanager
    async def reader(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator["MemoryReader"]:
        yield MemoryReader(self._of, starts)

    async def append(self, records: Sequence[Record]) -> list[int]:
        return self._write(records)

    async def extents(self, names: Collection[str]) -> dict[str, Extent]:
        found = {name: await self.topic(name) for name in names}
        return {
            name: Extent(info, tuple(await self.all_bounds(name))) for name, info in found.items() if info
        }

    async def oldest_ms(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        records = {tp: self._of(tp.topic)[tp.partition].records for tp in tps}
        return {tp: those[0].timestamp_ms for tp, those in records.items() if those}

    async def readers(self, topics: Mapping[str, Extent]) -> dict[str, dict[str, ReadingGroup]]:  # noqa: ARG002 - as declared
        return {}

    async def run_lanes(
        self,
        group: str,
        topic: str,
        run: LaneMain,
        *,
        partitions: Sequence[int] | None = None,
        draining: asyncio.Event | None = None,  # noqa: ARG002 - a lane that returns is done
        held: LanesHeld | None = None,
    ) -> None:
        mine = range(len(self._of(topic))) if partitions is None else partitions
        if held:
            held(frozenset(mine))
        with alone_by_name():
            async with asyncio.TaskGroup() as lanes:
                for partition in mine:
                    lanes.create_task(self._run(run, _Lane(self, group, topic, partition)))

    async def _run(self, run: LaneMain, lane: Lane) -> None:
        await run(lane)

    async def committed(self, group: str) -> dict[TopicPartition, Position]:
        return dict(self._positions.get(group, {}))

    async def commit(
        self, group: str, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        """A lane's."""
        await asyncio.sleep(COMMIT_S)
        self._positions.setdefault(group, {}).update(positions)
        return self._write(records)

    def _write(self, records: Sequence[Record]) -> list[int]:
        offsets: list[int] = []
        grown: dict[int, _Partition] = {}
        for record in records:
            partition = self._of(record.topic)[record.partition]
            stored = Stored(
                record.topic,
                record.partition,
                partition.end,
                self._clock.now_ms(),
                record.key,
                record.value,
                record.headers,
            )
            offsets.append(partition.end)
            partition.end += 1
            if record.topic not in self._unread:
                partition.records.append(stored)
                grown[id(partition)] = partition
            self._on_record(stored)
        for partition in grown.values():
            partition.grown.notify()
        return offsets

    def _of(self, topic: str) -> list[_Partition]:
        try:
            return self._topics[topic]
        except KeyError:
            raise TopicMissing(f"there is no topic {topic}", topic) from None

    def _bounds(self, partition: _Partition) -> Bounds:
        return Bounds(partition.end - len(partition.records), partition.end)


class _Lane:
    def __init__(self, log: MemoryLog, group: str, topic: str, partition: int) -> None:
        self._log = log
        self.group = group
        self.topic = topic
        self.partition = partition

    async def positions(self, wanted: Iterable[TopicPartition]) -> dict[TopicPartition, Position]:
        committed = await self._log.committed(self.group)
        return {tp: committed[tp] for tp in wanted if tp in committed}

    async def commit(
        self, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        return await self._log.commit(self.group, records, positions)


class MemoryReader:
    def __init__(self, of: Callable[[str], list[_Partition]], starts: Mapping[TopicPartition, int]) -> None:
        self._of = of
        self._cursors = dict(starts)
        self._paused: set[TopicPartition] = set()

    async def read(
        self, *, max_records: int = 500, max_bytes: int = 8_388_608, wait_s: float = 0.25
    ) -> list[Stored]:
        found = self._take(max_records, max_bytes)
        if found or wait_s <= 0:
            return found
        open_ = [self._of(tp.topic)[tp.partition] for tp in self._cursors if tp not in self._paused]
        try:
            async with asyncio.timeout(wait_s):
                await _any_grown(open_)
        except TimeoutError:
            return []
        return self._take(max_records, max_bytes)

    def position(self, tp: TopicPartition) -> int:
        return self._cursors[tp]

    def assign(self, tp: TopicPartition, offset: int) -> None:
        self._cursors[tp] = offset

    def drop(self, tp: TopicPartition) -> None:
        self._cursors.pop(tp, None)

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        self._paused.update(tps)

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        self._paused.difference_update(tps)

    def _take(self, max_records: int, max_bytes: int) -> list[Stored]:
        found: list[Stored] = []
        size = 0
        for tp, cursor in self._cursors.items():
            if tp in self._paused:
                continue
            partition = self._of(tp.topic)[tp.partition]
            low = partition.end - len(partition.records)
            at = max(cursor, low)
            while at < partition.end and len(found) < max_records and (size < max_bytes or not found):
                record = partition.records[at - low]
                found.append(record)
                size += len(record.value or b"")
                at += 1
            self._cursors[tp] = at
        return found


async def _any_grown(partitions: Sequence[_Partition]) -> None:
    if len(partitions) == 1:
        await partitions[0].grown.wait()
        return
    waiting = [asyncio.ensure_future(partition.grown.wait()) for partition in partitions]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
