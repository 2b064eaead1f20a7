"""A partner that reads its topic from Kafka is behind by where its own groups have committed to go on."""

import secrets
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from harness.delivering import metric
from harness.delivering_on_kafka import delivering_on_kafka

from deploy.kafka import Brokers
from streamer.deliver.behind import Behind
from streamer.metrics import REGISTRY


def of_groups() -> float | None:
    return REGISTRY.get_sample_value(
        "streamer_partner_behind_seconds", {"partner": "acme", "reader": "group"}
    )


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
    """No sample without a group of the partner's in its topic, be there one in another; the age of the oldest
    record that the slowest of them has not read; 0 once all have reached what was there at the look before.
    """
    name = secrets.token_hex(4)
    async with delivering_on_kafka(brokers, tmp_path) as server:
        looking = Behind(server.runtime, server.partners, dict)
        await server.write(range(1, 30))
        other = server.runtime.topics.of_partner("globex")
        await commit(brokers, f"acme.{name}.other", other, {0: 0})
        await looking.look()
        assert of_groups() is None
        assert metric("streamer_partner_retained_seconds", partner="acme") > 0
        ends = {number: bounds.end for number, bounds in enumerate(await server.log.all_bounds(server.topic))}
        await commit(brokers, f"acme.{name}.slow", server.topic, dict.fromkeys(ends, 0))
        await commit(brokers, f"acme.{name}.quick", server.topic, ends)
        await looking.look()
        behind_s = of_groups()
        assert behind_s is not None
        assert 0 < behind_s <= metric("streamer_partner_retained_seconds", partner="acme") + 1
        await server.write(range(1, 30))
        await commit(brokers, f"acme.{name}.slow", server.topic, ends)
        await looking.look()
        assert of_groups() == 0
