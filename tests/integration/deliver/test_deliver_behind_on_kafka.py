"""A partner that reads its topic from Kafka is behind by where its own groups have committed to go on."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from harness.delivering import metric
from harness.delivering_on_kafka import delivering_on_kafka

from deploy.kafka import Brokers
from streamer.deliver.behind import Behind
from streamer.log.base import TopicPartition
from streamer.metrics import REGISTRY


def of_groups() -> float | None:
    return REGISTRY.get_sample_value(
        "streamer_partner_behind_seconds", {"partner": "acme", "reader": "group"}
    )


@asynccontextmanager
async def reading(brokers: Brokers, group: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A member of the group."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=brokers.bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        while not consumer.assignment():
            await asyncio.sleep(0.02)
        yield consumer
    finally:
        await consumer.stop()


async def commit_as(consumer: AIOKafkaConsumer, ends: dict[int, int]) -> None:
    topics = {tp.topic for tp in consumer.assignment()}
    await consumer.commit({KafkaPartition(topic, n): end for topic in topics for n, end in ends.items()})


async def commit(brokers: Brokers, group: str, topic: str, ends: dict[int, int]) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers.bootstrap, group_id=group, enable_auto_commit=False)
    consumer.assign([KafkaPartition(topic, partition) for partition in ends])
    await consumer.start()
    try:
        offsets = {KafkaPartition(topic, partition): end for partition, end in ends.items()}
        await consumer.commit(offsets)
    finally:
        await consumer.stop()


async def test_a_group_is_behind_by_its_next_record(brokers: Brokers, tmp_path: Path) -> None:
    """No sample without a group of the partner's in its topic, be there one in another, nor of one that has
    no members and commits nothing any more; the age of the oldest record that the slowest of them has not
    read; 0 once all have reached what was there at the look before.
    """
    name = secrets.token_hex(4)
    async with delivering_on_kafka(brokers, tmp_path) as server:
        looking = Behind(server.runtime, server.partners, dict)
        await server.write(range(1, 30))
        other = server.runtime.topics.of_partner("globex")
        ends = {number: bounds.end for number, bounds in enumerate(await server.log.all_bounds(server.topic))}
        await commit(brokers, f"acme.{name}.other", other, {0: 0})
        await commit(brokers, f"acme.{name}.slow", server.topic, dict.fromkeys(ends, 0))
        await looking.look()
        assert of_groups() is None
        assert metric("streamer_partner_retained_seconds", partner="acme") > 0
        await commit(brokers, f"acme.{name}.slow", server.topic, {**dict.fromkeys(ends, 0), 0: ends[0]})
        await commit(brokers, f"acme.{name}.quick", server.topic, ends)
        await looking.look()
        behind_s = of_groups()
        assert behind_s is not None
        assert 0 < behind_s <= metric("streamer_partner_retained_seconds", partner="acme") + 1
        await server.write(range(1, 30))
        await commit(brokers, f"acme.{name}.slow", server.topic, ends)
        await looking.look()
        assert of_groups() == 0
        async with reading(brokers, f"acme.{name}.member", server.topic) as consumer:
            await commit_as(consumer, dict.fromkeys(ends, 0))
            fresh = Behind(server.runtime, server.partners, dict)
            await fresh.look()
            behind_s = of_groups()
            assert behind_s is not None
            assert behind_s > 0


async def test_many_topics_are_asked_about_at_once(brokers: Brokers, tmp_path: Path) -> None:
    """Of topics that are there: their bounds, and when their oldest records were appended."""
    async with delivering_on_kafka(brokers, tmp_path) as server:
        await server.write([1])
        globex = server.runtime.topics.of_partner("globex")
        found = await server.log.extents([server.topic, globex, "none"])
        assert set(found) == {server.topic, globex}
        for topic, extent in found.items():
            assert extent.info == await server.log.topic(topic)
            assert list(extent.bounds) == await server.log.all_bounds(topic)
        tps = [TopicPartition(server.topic, number) for number in range(found[server.topic].info.partitions)]
        oldest_ms = await server.log.oldest_ms(tps)
        assert {tp.partition for tp in oldest_ms} == {partition for partition, _ in server.written}
        assert all(abs(time.time() * 1000 - appended_ms) < 3_600_000 for appended_ms in oldest_ms.values())
