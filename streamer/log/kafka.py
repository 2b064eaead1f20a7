"""The distributed log: topics, transactions and groups of an Apache Kafka cluster (3.0 or later).

    roles ──► Lane.commit ──► the lane's own producer: one transaction ──► topics + the group's offsets
    readers ◄── consumers without a group, read_committed ◄──┘
    run_lanes ◄── a consumer group that says which process runs which lane, and nothing else

Nothing is fetched before it is asked for, and nothing here waits longer than its deadline: what the
cluster doesn't answer in time is LogUnavailable. What the guarantees rest on is in the README.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaProducer

from streamer import metrics
from streamer.clock import Clock
from streamer.config import SecuritySettings
from streamer.errors import ConfigError, StreamerError, TopicMissing
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
from streamer.log.kafka_client import Access, within
from streamer.log.kafka_cluster import Cluster
from streamer.log.kafka_groups import MEMBER, Membership
from streamer.log.kafka_lane import BrokenLanes, LaneRunner, group_id, transactional_id
from streamer.log.kafka_producer import check_sizes, check_topics, drop, start, write
from streamer.log.kafka_reader import KafkaReader
from streamer.log.kafka_topics import check, delete, ensure, policy
from streamer.log.lanes import keep_running
from streamer.log.position import Position

APPEND_S: Final = 30.0


class KafkaLog:
    """`prefix` begins the names of its groups and transactional ids; `replication` is of the topics that
    it makes. Opening it asks nothing: the first question finds out whether the cluster is there.
    """

    def __init__(
        self,
        bootstrap: tuple[str, ...],
        *,
        security: SecuritySettings | None = None,
        prefix: str = "wiki",
        replication: int = 3,
        clock: Callable[[], int] | None = None,
    ) -> None:
        if not __debug__:
            raise ConfigError("python -O", "the Kafka client says by assertions that a transaction is over")
        self._access = Access.of(bootstrap, security or SecuritySettings())
        self._prefix = prefix
        self._replication = replication
        self._now_ms = clock or Clock().now_ms
        self._cluster = Cluster(self._access)
        self._appending = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._broken: BrokenLanes = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop_producer()
        await self._cluster.close()

    @property
    def is_over_budget(self) -> bool:
        """A cluster's room is its operator's to watch."""
        return False

    # ── topics ─────────────────────────────────────────────────────────────────────────────────

    def policy(self, spec: TopicSpec) -> dict[str, str]:
        """The topic's settings on the brokers."""
        return policy(spec, replication=self._replication)

    async def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        await ensure(self._cluster, list(specs), replication=self._replication, policy_of=self.policy)

    async def delete_topic(self, name: str, *, epoch: str = "") -> None:
        await delete(self._cluster, name, epoch)

    async def topic(self, name: str) -> TopicInfo | None:
        found = await self._cluster.now(name)
        return None if found is None else found.info

    async def topics(self) -> list[TopicInfo]:
        """All that this user may see, others' too; the brokers' own are left out."""
        return [topic.info for topic in (await self._cluster.fresh()).values()]

    async def check_topic(self, name: str, *, batch_bytes: int = 0) -> None:
        """What we may do there is in its metadata. A limit of sizes that this user may not see
        (DESCRIBE_CONFIGS) passes: only a commit can tell.
        """
        await check(self._cluster, name, batch_bytes)

    async def bounds(self, tp: TopicPartition) -> Bounds:
        tp = TopicPartition(*tp)
        return (await self._cluster.bounds([tp]))[tp]

    async def all_bounds(self, topic: str) -> list[Bounds]:
        count = (await self._cluster.existing(topic)).info.partitions
        found = await self._cluster.bounds(TopicPartition(topic, number) for number in range(count))
        return [found[TopicPartition(topic, number)] for number in range(count)]

    async def offset_at(self, tp: TopicPartition, time_ms: int) -> int:
        tp = TopicPartition(*tp)
        wanted = {tp: max(0, time_ms)}
        offset = (await self._cluster.offsets(wanted))[tp]
        if offset < 0:
            # the end first, then the time once more: what is appended between the two answers would else lie
            # behind the end that is returned, and be passed over
            end = (await self.bounds(tp)).end
            offset = (await self._cluster.offsets(wanted))[tp]
            return offset if offset >= 0 else end
        return offset

    # ── reading and appending ──────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def reader(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[KafkaReader]:
        async with KafkaReader(self._access, self._cluster, starts) as reader:
            yield reader

    async def append(self, records: Sequence[Record]) -> list[int]:
        """What goes to one partition is one batch (up to kafka_producer.BATCH_BYTES), whole or not at all.
        Over several partitions it is not atomic: that takes a lane's transaction. Of no records it raises
        what a lane of this process has met that could not begin again since.
        """
        if not records:
            for error in self._broken.values():
                raise copy.copy(error)
            return []
        check_sizes(records)
        await check_topics(self._cluster, records, [])
        async with self._appending:
            if self._producer is None:
                self._producer = await start(self._access)
            try:
                return await within(APPEND_S, self._append(self._producer, records), "appending")
            except BaseException:
                metrics.LOG_CLIENTS_REPLACED.labels("append").inc()
                await self._drop_producer()
                raise

    async def _append(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> list[int]:
        return await (await write(producer, records, self._now_ms()))

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await drop(producer)

    async def committed(self, group: str) -> dict[TopicPartition, Position]:
        return await self._cluster.committed(group_id(self._prefix, group))

    async def extents(self, names: Collection[str]) -> dict[str, Extent]:
        return await self._cluster.extents(names)

    async def oldest_ms(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._cluster.oldest_ms(tps)

    async def readers(self, topics: Mapping[str, Extent]) -> dict[str, dict[str, ReadingGroup]]:
        return await self._cluster.readers(topics)

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
        found: list[TopicInfo] = []

        async def look(_: StreamerError | None) -> None:
            info = await self.topic(topic)
            if info is None:
                raise TopicMissing(f"there is no topic {topic}", topic)
            found.append(info)

        await keep_running(group, MEMBER, look, draining)
        if not found:
            return
        wanted = range(found[0].partitions) if partitions is None else partitions
        membership = Membership(self._access, group, group_id(self._prefix, group), topic, wanted, held=held)

        async def lane(partition: int) -> None:
            runner = LaneRunner(
                self._access,
                self._cluster,
                self._now_ms,
                membership.settled,
                self._broken,
                prefix=self._prefix,
                group=group,
                topic=topic,
                partition=partition,
                run=run,
            )
            try:
                await keep_running(group, partition, runner, draining)
            finally:  # it may have been cancelled between two tries
                self._broken.pop((group, topic, partition), None)

        await membership.run(lane, draining)

    async def fence(self, group: str, topic: str, partition: int) -> None:
        """Takes a lane from the worker that runs it: whatever it commits from now on is refused."""
        await drop(await start(self._access, transactional_id(self._prefix, group, topic, partition)))
