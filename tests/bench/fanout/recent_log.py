"""The log of the rows beside peers: in this process, and of each partition only the newest records.

What is compared is the fan-out, so that the log costs as little as a peer's buffer: an append is a list's,
a reader waits for one event of the whole topic, and nothing is kept that a peer would not keep.
Where a topic stands is known without a look at its partitions.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from streamer.clock import Clock
from streamer.errors import OffsetOutOfRange
from streamer.log.base import Bounds, Record, Stored, TopicPartition
from streamer.log.waiting import Condition
from tests.harness.memory_log import MemoryLog, MemoryReader

KEPT_RECORDS: Final = 200
"""Of a partition; the buffer of Nchan's channel has as many messages."""


class RecentLog(MemoryLog):
    """The rest is MemoryLog's."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._grown: dict[str, Condition] = {}
        """By topic: its appends."""
        self._ends: dict[str, list[Bounds]] = {}
        """By topic: its bounds, until the next append."""

    def grown(self, topic: str) -> Condition:
        return self._grown.setdefault(topic, Condition())

    async def all_bounds(self, topic: str) -> list[Bounds]:
        if topic not in self._ends:
            self._ends[topic] = await super().all_bounds(topic)
        return self._ends[topic]

    @asynccontextmanager
    async def reader(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator["RecentReader"]:
        yield RecentReader(self, starts)

    async def append(self, records: Sequence[Record]) -> list[int]:
        return self.put(records)

    def put(self, records: Sequence[Record]) -> list[int]:
        """Of one topic. An append that nobody has to wait for."""
        offsets = self._write(records)
        if records:
            topic = records[0].topic
            partitions = self._of(topic)
            for number in {record.partition for record in records}:
                kept = partitions[number].records
                if len(kept) > 2 * KEPT_RECORDS:
                    del kept[:-KEPT_RECORDS]
            self._ends.pop(topic, None)
            self.grown(topic).notify()
        return offsets


class RecentReader(MemoryReader):
    """Less work than MemoryReader's: it waits for its topic, and says where it was overtaken."""

    def __init__(self, log: RecentLog, starts: Mapping[TopicPartition, int]) -> None:
        super().__init__(log._of, starts)
        self._log = log

    async def read(
        self, *, max_records: int = 500, max_bytes: int = 8_388_608, wait_s: float = 0.25
    ) -> list[Stored]:
        found = self._take(max_records, max_bytes)
        if not found and wait_s > 0:
            await self._wait(wait_s)
            found = self._take(max_records, max_bytes)
        return found

    async def _wait(self, wait_s: float) -> None:
        """For an append to its topic, all its partitions being of one. Some less work than a timeout."""
        grown = self._log.grown(next(iter(self._cursors)).topic)
        timer = asyncio.get_running_loop().call_later(wait_s, grown.notify)
        try:
            await grown.wait()
        finally:
            timer.cancel()

    def _take(self, max_records: int, max_bytes: int) -> list[Stored]:
        found: list[Stored] = []
        size = 0
        for tp, cursor in self._cursors.items():
            partition = self._of(tp.topic)[tp.partition]
            if cursor == partition.end or tp in self._paused:
                continue
            earliest = partition.end - len(partition.records)
            if cursor < earliest:
                raise OffsetOutOfRange(tp.topic, tp.partition, cursor, earliest, partition.end)
            at = cursor
            while at < partition.end and len(found) < max_records and (size < max_bytes or not found):
                record = partition.records[at - earliest]
                found.append(record)
                size += len(record.value or b"")
                at += 1
            self._cursors[tp] = at
        return found
