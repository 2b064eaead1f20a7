"""Reading a cluster: committed records only, from where we say, never from where the library would.

The consumer belongs to no group, is told its partitions and offsets, and resets nothing by itself:
what retention has taken is OffsetOutOfRange, not a silent jump. It fetches ahead in the background;
here it is decided who gets what, so that partitions take turns and an empty answer is a true one: an
empty `read` was confirmed by the brokers, it never means that one of them could not be reached.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka
from aiokafka.structs import ConsumerRecord

from streamer import metrics
from streamer.errors import LogTimeout, OffsetOutOfRange, TopicMissing
from streamer.log.base import Stored, TopicPartition
from streamer.log.kafka_client import LIBRARY_ERRORS, Access, ended, is_broken, named, within
from streamer.log.kafka_cluster import EARLIEST, LATEST, Cluster

START_S: Final = 20.0
STOP_S: Final = 2.0
FETCH_WAIT_MS: Final = 500
"""How long a broker holds an idle fetch. A feed waits for twice as long, so that the fetch's answer is the
confirmation that its empty read needs, and a hundred idle feeds ask two hundred times a second."""
FETCH_BYTES: Final = 8_388_608
PARTITION_FETCH_BYTES: Final = 1_048_576
"""As stored, per partition and fetch; a larger record comes all the same, alone."""
AHEAD_RECORDS: Final = 100
"""Of one partition, decoded at a time: all that a fetch brought would keep the loop for long."""
SLICE_S: Final = 0.02
"""Between two looks while records are known to come: the end of a transaction brings none to wake us."""
HELD_S: Final = 0.05
"""What was fetched before a longer pause of the reader's is looked at again before it is given out."""
PATIENT_SLICE_S: Final = 0.1
"""The same, once the caller's wait is over and the brokers are asked for the end after each."""
UNDECIDED_S: Final = 1.0
"""A read that found nothing waits so much longer where something stands behind its cursor, undecided."""
ANSWER_S: Final = 15.0
"""And so long for a fetch that is not answered at all."""
BEYOND_S: Final = 0.25
"""How often the end is asked for while a cursor stands beyond it."""


@dataclass(slots=True)
class _Cursor:
    tp: TopicPartition
    next: int
    """Of `read`; the consumer is ahead by what is in `held`."""
    epoch: str | None = None
    """Of the topic that this cursor belongs to; found at the first read."""
    paused: bool = False
    beyond: bool = False
    """The end has yet to come up to it: brokers refuse to be asked there."""
    held: deque[Stored] = field(default_factory=deque)

    @property
    def kafka(self) -> KafkaPartition:
        return KafkaPartition(*self.tp)


class KafkaReader:
    """Open it with `async with`."""

    def __init__(self, access: Access, cluster: Cluster, starts: Mapping[TopicPartition, int]) -> None:
        self._access = access
        self._cluster = cluster
        self._cursors: dict[TopicPartition, _Cursor] = {}
        self._moved: set[TopicPartition] = set()
        """Cursors whose place the consumer does not know yet."""
        self._turn = 0
        self._beyond_s = 0.0
        self._left_s = time.monotonic()
        for tp, offset in starts.items():
            self.assign(tp, offset)

    async def __aenter__(self) -> Self:
        await self._recognise()
        await self._open()
        return self

    async def _open(self) -> None:
        self._moved.update(self._cursors)
        self._consumer = AIOKafkaConsumer(
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            **self._access.options,
        )
        # not cancelled in the middle: the library forgets the connection that it was asking by, unclosed
        starting = asyncio.ensure_future(self._consumer.start())
        try:
            await within(START_S, _outcome(starting), "starting a reader")
        except BaseException:
            await ended(starting, STOP_S)
            await ended(self._consumer.stop(), STOP_S)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await ended(self._consumer.stop(), STOP_S)

    async def read(
        self, *, max_records: int = 500, max_bytes: int = 8_388_608, wait_s: float = 0.25
    ) -> list[Stored]:
        began_s = time.time()
        deadline_s = time.monotonic() + wait_s
        try:
            await self._recognise()
            await self._still_there()
            while True:
                await self._recognise()
                await self._place()
                await self._fetch(0.0)
                records = self._take(max_records, max_bytes)
                if records:
                    return records
                left_s = deadline_s - time.monotonic()
                if left_s > 0:
                    await self._fetch(min(left_s, SLICE_S if self._is_behind() else left_s))
                elif await self._at_end(began_s) or (left_s < -UNDECIDED_S and self._answered(began_s)):
                    return self._take(max_records, max_bytes)
                elif left_s < -ANSWER_S:
                    raise LogTimeout(f"reading: no answer within {ANSWER_S:g} s")
                else:
                    await self._fetch(PATIENT_SLICE_S)
        except LIBRARY_ERRORS as error:
            raise named(error, "reading") from error
        finally:
            self._left_s = time.monotonic()

    def position(self, tp: TopicPartition) -> int:
        return self._cursors[tp].next

    def assign(self, tp: TopicPartition, offset: int) -> None:
        tp = TopicPartition(*tp)
        self._cursors[tp] = _Cursor(tp, offset)
        self._moved.add(tp)

    def drop(self, tp: TopicPartition) -> None:
        self._cursors.pop(tp, None)
        self._moved.discard(tp)

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        for tp in tps:
            self._cursors[tp].paused = True

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        for tp in tps:
            self._cursors[tp].paused = False

    # ── what the consumer is told ──────────────────────────────────────────────────────────────

    async def _recognise(self) -> None:
        """Each topic must be the one that its cursor began in."""
        for cursor in list(self._cursors.values()):
            topic = await self._cluster.topic(cursor.tp.topic)
            if cursor.epoch is None and topic is not None:
                cursor.epoch = topic.info.epoch
            if topic is None or topic.info.epoch != cursor.epoch:
                cursor.epoch = ""  # none has this one: gone for good
                raise TopicMissing(f"the topic {cursor.tp.topic} is gone or was made anew", cursor.tp.topic)
            if cursor.tp.partition >= topic.info.partitions:
                raise TopicMissing(f"the topic {cursor.tp.topic} has no partition {cursor.tp.partition}")

    async def _still_there(self) -> None:
        """Retention may have taken what was fetched ahead while nobody read."""
        if time.monotonic() - self._left_s < HELD_S:
            return
        waiting = [c.tp for c in self._cursors.values() if not (c.paused or c.beyond or c.tp in self._moved)]
        for tp, earliest in (await self._cluster.offsets(dict.fromkeys(waiting, EARLIEST))).items():
            cursor = self._cursors[tp]
            if cursor.next < earliest:
                self._moved.add(tp)
                raise OffsetOutOfRange(*tp, cursor.next, *(await self._cluster.bounds([tp]))[tp])

    async def _place(self) -> None:
        """Brings the consumer to where the cursors are."""
        fetching, client = self._consumer._fetcher.error_future, self._consumer._client  # noqa: SLF001
        if fetching.done() or is_broken(client):  # which `getmany` would never tell
            metrics.LOG_CLIENTS_REPLACED.labels("reader").inc()
            await ended(self._consumer.stop(), STOP_S)
            await self._open()
        await self._reached()
        wanted = {cursor.kafka for cursor in self._cursors.values()}
        if wanted != self._consumer.assignment():
            if not wanted:
                return  # an empty assignment would ask for the metadata of all topics
            self._consumer.assign(list(wanted))
            self._moved.update(self._cursors)
        for tp in self._moved:
            cursor = self._cursors[tp]
            cursor.held.clear()
            self._consumer.seek(cursor.kafka, cursor.next)
        self._moved.clear()
        idle = {c.kafka for c in self._cursors.values() if c.paused or c.beyond}
        paused = self._consumer.paused()
        if idle - paused:
            self._consumer.pause(*(idle - paused))
        if paused - idle:
            self._consumer.resume(*(paused - idle))

    async def _reached(self) -> None:
        """Cursors that stood beyond the end, and don't any more."""
        beyond = [cursor for cursor in self._cursors.values() if cursor.beyond]
        if not beyond or time.monotonic() - self._beyond_s < BEYOND_S:
            return
        self._beyond_s = time.monotonic()
        ends = await self._cluster.offsets({cursor.tp: LATEST for cursor in beyond})
        for cursor in beyond:
            if ends[cursor.tp] >= cursor.next:
                cursor.beyond = False
                self._moved.add(cursor.tp)

    # ── what it gives ──────────────────────────────────────────────────────────────────────────

    async def _fetch(self, wait_s: float) -> None:
        """Takes over what has come for cursors that hold nothing."""
        empty = [c.kafka for c in self._cursors.values() if not (c.held or c.paused or c.beyond)]
        if not empty:
            if wait_s and not any(c.held and not c.paused for c in self._cursors.values()):
                await asyncio.sleep(min(wait_s, BEYOND_S))
            return
        await self._receive(empty, wait_s)
        # the first that had something may have filled the answer alone
        for tp in empty:
            cursor = self._cursors.get(TopicPartition(*tp))
            if cursor is None or cursor.tp in self._moved:
                continue
            if not cursor.held:
                await self._receive([tp], 0.0)
            if not cursor.held and cursor.tp not in self._moved:
                cursor.next = await self._consumer.position(tp)  # it knows: beyond markers and holes

    async def _receive(self, tps: list[KafkaPartition], wait_s: float) -> None:
        try:
            found = await self._consumer.getmany(
                *tps, timeout_ms=int(wait_s * 1000), max_records=AHEAD_RECORDS
            )
        except kafka.OffsetOutOfRangeError as error:
            for tp, offset in error.args[0].items():
                await self._out_of_range(TopicPartition(*tp), offset)
            return
        for tp, records in found.items():
            cursor = self._cursors.get(TopicPartition(*tp))
            if cursor is not None and cursor.tp not in self._moved:
                cursor.held.extend(_stored(record) for record in records)

    async def _out_of_range(self, tp: TopicPartition, offset: int) -> None:
        cursor = self._cursors.get(tp)
        if cursor is None or cursor.next != offset or tp in self._moved:
            return  # moved meanwhile
        bounds = (await self._cluster.bounds([tp]))[tp]
        if offset < bounds.earliest:
            raise OffsetOutOfRange(*tp, offset, *bounds)
        cursor.beyond = offset > bounds.end
        self._moved.add(tp)  # asked anew, once there is something

    def _take(self, max_records: int, max_bytes: int) -> list[Stored]:
        """In turns; the first may be of any size."""
        ready = [c for c in self._cursors.values() if c.held and not c.paused and c.tp not in self._moved]
        if not ready:
            return []
        self._turn = (self._turn + 1) % len(ready)
        ready = ready[self._turn :] + ready[: self._turn]
        out: list[Stored] = []
        left_bytes = max_bytes
        for index, cursor in enumerate(ready):
            share = max(1, (max_records - len(out)) // (len(ready) - index))
            for _ in range(min(share, len(cursor.held), max_records - len(out))):
                record = cursor.held[0]
                size = len(record.value or b"") + len(record.key)
                if out and size > left_bytes:
                    return out
                left_bytes -= size
                out.append(cursor.held.popleft())
                cursor.next = record.offset + 1
        return out

    def _is_behind(self) -> bool:
        """Something is known to stand behind a cursor that waits."""
        for cursor in self._cursors.values():
            if not (cursor.paused or cursor.beyond or cursor.tp in self._moved):
                end = self._consumer.highwater(cursor.kafka)
                if end is None or cursor.next < end:
                    return True
        return False

    async def _at_end(self, began_s: float) -> bool:
        """Nothing stands behind any cursor: by an answer that was given after `began_s`."""
        waiting = [c for c in self._cursors.values() if not (c.paused or c.beyond)]
        asked = [c for c in waiting if not self._confirmed(c, began_s)]
        if not asked:
            return True
        ends = await self._cluster.offsets({cursor.tp: LATEST for cursor in asked})
        return all(cursor.next >= ends[cursor.tp] for cursor in asked)

    def _confirmed(self, cursor: _Cursor, began_s: float) -> bool:
        """The fetch that found nothing for it says that there is nothing."""
        if not self._fetched(cursor, began_s):
            return False
        end = self._consumer.highwater(cursor.kafka)
        return end is not None and cursor.next >= end

    def _answered(self, began_s: float) -> bool:
        """Every fetch was; what stands behind the cursors is undecided then."""
        return all(
            self._fetched(cursor, began_s)
            for cursor in self._cursors.values()
            if not (cursor.paused or cursor.beyond)
        )

    def _fetched(self, cursor: _Cursor, began_s: float) -> bool:
        if cursor.tp in self._moved:
            return False
        answered_ms = self._consumer.last_poll_timestamp(cursor.kafka)
        return answered_ms is not None and answered_ms >= began_s * 1000


async def _outcome(task: asyncio.Future[None]) -> None:
    """Its result, without cancelling it where this is cancelled."""
    await asyncio.shield(task)


def _stored(record: ConsumerRecord) -> Stored:
    return Stored(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        (record.key or b"").decode("utf-8", "replace"),
        record.value,
        tuple(record.headers),
    )
