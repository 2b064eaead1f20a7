"""Who reads a topic besides us: two clients that share no code with ours, committed records only."""

import asyncio
import json
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from deploy.kafka import Brokers

POLL_S = 20.0
CONSOLE = "org.apache.kafka.tools.consumer.ConsoleConsumer"


async def by_librdkafka(brokers: Brokers, topic: str) -> list[dict[str, Any]]:
    """The articles of a topic, each partition to its end."""
    return await asyncio.to_thread(_by_librdkafka, brokers.bootstrap, topic)


def _by_librdkafka(bootstrap: str, topic: str) -> list[dict[str, Any]]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "judge",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=POLL_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        values: list[bytes] = []
        ended: set[int] = set()
        while len(ended) < len(partitions):
            message = consumer.poll(POLL_S)
            assert message is not None, f"{topic}: librdkafka is not at the end, and gets nothing"
            error = message.error()
            if error is None:
                values.append(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise AssertionError(str(error))
        return _articles(values)
    finally:
        consumer.close()


async def by_console(brokers: Brokers, topic: str, timeout_ms: int = 8_000) -> list[dict[str, Any]]:
    """The same by Kafka's own console consumer."""
    out = await brokers.tool(
        CONSOLE, "--bootstrap-server", brokers.bootstrap, "--topic", topic, "--from-beginning",
        "--isolation-level", "read_committed", "--timeout-ms", str(timeout_ms),
    )  # fmt: skip
    return _articles([line.encode() for line in out.splitlines() if line != "null"])


def _articles(values: list[bytes]) -> list[dict[str, Any]]:
    decoded = [json.loads(value) for value in values if value]
    return [value for value in decoded if "event" in value]  # the rest are ticks
