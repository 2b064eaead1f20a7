"""Who reads a topic besides us: two clients that share no code with ours, committed records only."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition

from deploy.kafka import Brokers
from harness.schema import checked

POLL_S = 60.0
CONSOLE = "org.apache.kafka.tools.consumer.ConsoleConsumer"

Isolation = Literal["read_committed", "read_uncommitted"]


class Found(NamedTuple):
    partition: int
    key: bytes | None
    value: bytes | None


async def by_librdkafka(brokers: Brokers, topic: str) -> list[dict[str, Any]]:
    """The articles of a topic, each partition to its end."""
    return _articles(found.value for found in await records_by_librdkafka(brokers, topic))


async def records_by_librdkafka(
    brokers: Brokers, topic: str, isolation: Isolation = "read_committed"
) -> list[Found]:
    """Whatever stands there, each partition in its order and to its end."""
    return await asyncio.to_thread(_by_librdkafka, brokers.bootstrap, topic, isolation)


def _by_librdkafka(bootstrap: str, topic: str, isolation: Isolation) -> list[Found]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "judge",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=POLL_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        records: list[Found] = []
        ended: set[int] = set()
        while len(ended) < len(partitions):
            message = consumer.poll(POLL_S)
            assert message is not None, f"{topic}: librdkafka is not at the end, and gets nothing"
            error = message.error()
            if error is None:
                records.append(Found(message.partition(), message.key(), message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise AssertionError(str(error))
        return records
    finally:
        consumer.close()


async def by_console(brokers: Brokers, topic: str) -> list[dict[str, Any]]:
    """The same by Kafka's own console consumer: the first of as many records as there are. (Without a number
    it would end when nothing comes for a while, which on a busy machine is no end.)
    """
    count = len(await records_by_librdkafka(brokers, topic))
    if not count:
        return []
    out = await brokers.tool(
        CONSOLE, "--bootstrap-server", brokers.bootstrap, "--topic", topic, "--from-beginning",
        "--isolation-level", "read_committed", "--max-messages", str(count), "--timeout-ms", "90000",
    )  # fmt: skip
    return _articles(line.encode() for line in out.split("\n") if line != "null")


def _articles(values: Iterable[bytes | None]) -> list[dict[str, Any]]:
    decoded = [json.loads(value) for value in values if value]
    return [checked(value) for value in decoded if "event" in value]  # the rest are ticks
