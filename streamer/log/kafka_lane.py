"""A lane on a cluster: a producer whose transactional id is the lane's.

    start   producer.start()  fences the worker before, and ends its transaction
    then    positions()       only now are the committed positions the last ones
    then    commit()          records and positions in one transaction, as long as nobody has fenced us

Repeating that is the only way to recover, and it is always safe. After any error in a transaction the
producer is dropped and the lane has to start anew.
"""

import asyncio
import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaProducer, OffsetAndMetadata
from aiokafka import TopicPartition as KafkaPartition

from streamer import metrics
from streamer.errors import (
    LaneLost,
    LogError,
    LogUnavailable,
    StreamerError,
    TopicMissing,
    TopicRefused,
)
from streamer.faultpoints import Point, reached
from streamer.log.base import LaneMain, Record, TopicPartition
from streamer.log.kafka_client import FENCED, LIBRARY_ERRORS, Access, abandon, within
from streamer.log.kafka_cluster import Cluster
from streamer.log.kafka_producer import (
    begin,
    check_sizes,
    check_topics,
    drop,
    saying_why,
    start,
    write,
)
from streamer.log.lanes import counted
from streamer.log.position import Position

NEWS_S: Final = 1.5
"""Within this a process that has lost its place in its group knows it (kafka_groups.HEARTBEAT_MS)."""
LOOK_S: Final = 2.0
"""A commit that takes longer may wait for a topic that is gone."""
COMMIT_S: Final = 30.0
"""A broker that is killed and started again is back within this, and the same transaction goes on."""


BrokenLanes = dict[tuple[str, str, int], LogUnavailable]
"""By group, topic and partition: lanes of this process that the cluster's failure has ended, until they have
begun anew."""


class KafkaLane:
    """Commits go one after the other."""

    def __init__(
        self,
        cluster: Cluster,
        producer: AIOKafkaProducer,
        now_ms: Callable[[], int],
        *,
        group: str,
        group_id: str,
        topic: str,
        partition: int,
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._now_ms = now_ms
        self._group = group
        self._group_id = group_id
        self._topic = topic
        self._partition = partition
        self._turn = asyncio.Lock()
        self._ended: LogError | None = None

    @property
    def group(self) -> str:
        return self._group

    @property
    def topic(self) -> str:
        return self._topic

    @property
    def partition(self) -> int:
        return self._partition

    async def positions(self, wanted: Iterable[TopicPartition]) -> dict[TopicPartition, Position]:
        return await self._cluster.committed(self._group_id, wanted)

    async def commit(
        self, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        stored = {
            TopicPartition(*tp): OffsetAndMetadata(position.next, position.metadata())
            for tp, position in positions.items()
        }
        check_sizes(records)
        async with counted(self._group), self._turn:
            if self._ended is None:
                await check_topics(self._cluster, records, list(stored))
            if self._ended is not None:
                raise copy.copy(self._ended)
            if not records and not stored:
                return []
            began_s = time.monotonic()
            try:
                offsets = await within(COMMIT_S, self._commit(records, stored), self._name)
            except TopicMissing as error:
                # looked up just before: a broker that has just begun knows no topics for a moment
                self.end(LogUnavailable(str(error)))
                raise LogUnavailable(str(error)) from error
            except BaseException as error:
                # unknown, refused or fenced: this producer must not be used again
                self.end(error if isinstance(error, LogError) else None)
                raise
        metrics.LOG_COMMIT_SECONDS.observe(time.monotonic() - began_s)
        metrics.LOG_APPENDED_RECORDS.inc(len(records))
        metrics.LOG_APPENDED_BYTES.inc(sum(len(r.value or b"") + len(r.key) for r in records))
        return offsets

    async def _commit(
        self, records: Sequence[Record], stored: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> list[int]:
        """A topic that was taken away since it was looked at makes the producer wait for ever, or fail
        without saying which: so it is looked for where a commit takes long or fails. Raises TopicRefused.
        """
        work = asyncio.ensure_future(self._transact(records, stored))
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=LOOK_S)
                error = work.exception() if work.done() else None
                if not work.done() or (isinstance(error, LIBRARY_ERRORS) and not isinstance(error, FENCED)):
                    with suppress(LogUnavailable):  # the cluster itself is away
                        await within(LOOK_S, self._look(records, stored), self._name)
            return work.result()
        finally:
            if not work.done():
                await abandon(work)

    async def _look(
        self, records: Sequence[Record], stored: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> None:
        """Raises TopicRefused."""
        self._cluster.forget()
        try:
            await check_topics(self._cluster, records, list(stored))
        except TopicMissing as error:  # which to the caller means that the lane goes on
            raise TopicRefused(str(error), *error.topics) from None

    async def _transact(
        self, records: Sequence[Record], stored: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> list[int]:
        with saying_why(self._producer):
            await begin(self._producer)
            written = await write(self._producer, records, self._now_ms())
            reached(Point.KAFKA_COMMIT_MIDDLE)
            if stored:
                offsets_at = {KafkaPartition(*tp): offset for tp, offset in stored.items()}
                await self._producer.send_offsets_to_transaction(offsets_at, self._group_id)
            offsets = await written  # of all batches: the commit would pass without one that was refused
            reached(Point.KAFKA_COMMITTING)
            await self._producer.commit_transaction()
            reached(Point.KAFKA_COMMITTED)
            return offsets

    def end(self, error: LogError | None = None) -> None:
        """What still holds the lane can't commit any more; it gets this error, or LaneLost."""
        if self._ended is None:
            self._ended = error or LaneLost(f"{self._name} has ended")

    @property
    def _name(self) -> str:
        return f"the lane of {self._group} at {self._topic}/{self._partition}"


class LaneRunner:
    """One partition's lane, as often as it takes; for `keep_running`."""

    def __init__(
        self,
        access: Access,
        cluster: Cluster,
        now_ms: Callable[[], int],
        settled: asyncio.Event,
        broken: BrokenLanes,
        *,
        prefix: str,
        group: str,
        topic: str,
        partition: int,
        run: LaneMain,
    ) -> None:
        self._access = access
        self._cluster = cluster
        self._now_ms = now_ms
        self._settled = settled
        self._broken = broken
        self._prefix = prefix
        self._group = group
        self._topic = topic
        self._partition = partition
        self._run = run

    async def __call__(self, failed: StreamerError | None) -> None:
        key = self._group, self._topic, self._partition
        try:
            await self._attempt(failed, lambda: self._broken.pop(key, None))
        except LogUnavailable as error:
            self._broken[key] = error
            raise
        except BaseException:
            self._broken.pop(key, None)  # it is another's now, or ends
            raise

    async def _attempt(self, failed: StreamerError | None, on_begun: Callable[[], object]) -> None:
        if isinstance(failed, LaneLost):
            # most likely the partition is another's, and the group has yet to tell us: don't fence it back
            await asyncio.sleep(NEWS_S)
        await self._settled.wait()
        producer = await start(
            self._access, transactional_id(self._prefix, self._group, self._topic, self._partition)
        )
        on_begun()  # the cluster has written the new producer's epoch
        lane = KafkaLane(
            self._cluster,
            producer,
            self._now_ms,
            group=self._group,
            group_id=group_id(self._prefix, self._group),
            topic=self._topic,
            partition=self._partition,
        )
        try:
            reached(Point.KAFKA_CLAIMED)
            await self._run(lane)
        finally:
            lane.end()
            await drop(producer)


def transactional_id(prefix: str, group: str, topic: str, partition: int) -> str:
    """The lane's own, in whichever process it runs. Random ones would leave a dead process's transaction
    open, and every reader of its partitions waiting, until the broker gives it up.
    """
    return f"{prefix}-{group}-{topic}-{partition}"


def group_id(prefix: str, group: str) -> str:
    return f"{prefix}-{group}"
