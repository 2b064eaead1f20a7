"""A user of a secure cluster, by librdkafka, which shares no code with ours; and what it is refused."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    ThrottleEvent,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from deploy.kafka import Brokers
from streamer.config import SecuritySettings

WAIT_S = 60.0
SILENCE_S = 2.0
"""Ten times as long as a record takes."""


@dataclass(frozen=True, slots=True)
class User:
    """Every question is blocking: ask in a thread. A refusal is an answer: the name of its code."""

    brokers: Brokers
    name: str
    password: str

    @property
    def security(self) -> SecuritySettings:
        return SecuritySettings(
            protocol="SASL_SSL", username=self.name, password=self.password, ca_file=self.brokers.ca_file
        )

    def _options(self, **more: Any) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.brokers.bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": self.name,
            "sasl.password": self.password,
            "ssl.ca.location": self.brokers.ca_file,
            "log_level": 0,
            **more,
        }

    def consumer(self, group: str, **more: Any) -> Consumer:
        return Consumer(
            self._options(**{
                "group.id": group,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 6_000,
                **more,
            })
        )  # fmt: skip

    def may_log_in(self) -> bool:
        told: list[KafkaError] = []
        consumer = self.consumer("none", error_cb=told.append)
        try:
            until_s = time.monotonic() + WAIT_S
            while time.monotonic() < until_s:
                consumer.poll(0.05)
                if any(error.code() == KafkaError._AUTHENTICATION for error in told):
                    return False
                with suppress(KafkaException):
                    consumer.list_topics(timeout=0.2)
                    return True
            raise AssertionError("neither let in nor refused")
        finally:
            consumer.close()

    def topics(self) -> set[str]:
        """That it may see."""
        consumer = self.consumer("none")
        try:
            return set(consumer.list_topics(timeout=WAIT_S).topics)
        finally:
            consumer.close()

    def subscribed(self, topic: str, group: str) -> list[Message] | str:
        """What comes first of a subscription: records, or the refusal."""
        consumer = self.consumer(group)
        try:
            consumer.subscribe([topic])
            return _first(consumer)
        finally:
            consumer.close()

    def assigned(self, *topics: str) -> set[str]:
        """From which of these records come when it takes their partitions without asking a group. Refused
        ones are silent, so it waits for as long again as the first record took, SILENCE_S at least.
        """
        consumer = self.consumer(f"{self.name}.none")
        found: set[str] = set()
        try:
            consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
            began_s = time.monotonic()
            until_s = began_s + WAIT_S
            while time.monotonic() < until_s:
                come = {str(m.topic()) for m in consumer.consume(100, 0.2) if m.error() is None}
                if come and not found:
                    until_s = time.monotonic() + max(SILENCE_S, time.monotonic() - began_s)
                found |= come
            return found
        finally:
            consumer.close()

    def asked(self, topic: str) -> str:
        """What it is told of the topic, without reading it."""
        consumer = self.consumer(f"{self.name}.none")
        try:
            error = consumer.list_topics(topic, timeout=WAIT_S).topics[topic].error
            return error.name() if error else ""
        finally:
            consumer.close()

    def positions(self, group: str) -> str:
        """Of a group, asked from outside."""
        client = AdminClient(self._options())
        asked = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        try:
            asked[group].result(WAIT_S)
        except KafkaException as error:
            return str(error.args[0].name())
        else:
            return ""

    def let_look(self, user: str) -> None:
        """That one may ask, from now on, for all that is the whole cluster's."""
        acls = [
            AclBinding(
                ResourceType.BROKER,
                "kafka-cluster",
                ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for operation in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
        ]
        client = AdminClient(self._options())
        for made in client.create_acls(acls).values():
            made.result(WAIT_S)

    def written(self, topic: str) -> str:
        """Writes a record."""
        answers: list[KafkaError | None] = []
        producer = Producer(self._options(**{"delivery.timeout.ms": int(WAIT_S * 1_000)}))
        producer.produce(topic, b"x", partition=0, on_delivery=lambda error, _: answers.append(error))
        producer.flush(WAIT_S + 1)
        assert answers, "nothing was said of the record"
        return answers[0].name() if answers[0] else ""

    def begun(self, transactional_id: str) -> str:
        """Fences whoever has this id."""
        producer = Producer(self._options(**{"transactional.id": transactional_id}))
        try:
            producer.init_transactions(WAIT_S)
        except KafkaException as error:
            return str(error.args[0].name())
        else:
            return ""

    def throttled(self, topic: str) -> bool:
        """Whether the broker holds it back while it reads all there is."""
        told: list[ThrottleEvent] = []
        consumer = self.consumer("none", throttle_cb=told.append)
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            until_s = time.monotonic() + WAIT_S
            while not told and time.monotonic() < until_s:
                consumer.poll(0.1)
            return bool(told)
        finally:
            consumer.close()


def _first(consumer: Consumer) -> list[Message] | str:
    """A refusal may come as an event, or be raised."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        try:
            messages = consumer.consume(10, 0.5)
        except KafkaException as error:
            return str(error.args[0].name())
        errors = [error for message in messages if (error := message.error())]
        refusals = [error.name() for error in errors if not error.retriable()]
        if refusals:
            return str(refusals[0])
        records = [message for message in messages if message.error() is None]
        if records:
            return records
    raise AssertionError("neither a record nor a refusal")


async def ask(question: Any, *arguments: Any, **named: Any) -> Any:
    """Of a User, from a test's loop."""
    return await asyncio.to_thread(question, *arguments, **named)
