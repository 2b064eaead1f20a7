"""Producers: one for each lane, with a transactional id of its own, and one for appends.

A producer that failed is dropped and a new one started under the same id, never used again: after an
error `abort_transaction` may return without ending the transaction, and what was "aborted" comes out
with the next commit. Starting the new one ends the old one's transaction at the broker.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka

from streamer.errors import RecordTooLarge
from streamer.log.base import MAX_RECORD_BYTES, Record, TopicPartition
from streamer.log.kafka_client import Access, ended, hear, named, within
from streamer.log.kafka_cluster import Cluster

MAX_REQUEST_BYTES: Final = 17_000_000
BATCH_BYTES: Final = 1_048_576
"""Records of a partition that are compressed as one, before compression; a larger record is alone."""
RETRY_BACKOFF_MS: Final = 20
"""Between two tries of a transaction's requests; the default of 100 is most of a slow commit."""
START_S: Final = 20.0
STOP_S: Final = 5.0
TRANSACTION_TIMEOUT_MS: Final = 60_000
"""Longer than a commit may take (kafka_lane.COMMIT_S), so that the broker never ends one that we still
mean to commit; and how long readers wait for a lane whose process died and is not replaced."""


Sent = tuple[TopicPartition, "asyncio.Future[Any]", list[int]]
"""A batch's place, its answer, and which records (by index) are in it."""


async def start(access: Access, transactional_id: str | None = None) -> AIOKafkaProducer:
    """With an id: fences whoever had it before, and returns once their transaction is decided."""
    options: dict[str, Any] = {"enable_idempotence": True}
    if transactional_id is not None:
        options |= {"transactional_id": transactional_id, "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS}
    producer = AIOKafkaProducer(
        acks="all",
        compression_type="zstd",
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        **options,
        **access.options,
    )
    try:
        await within(START_S, producer.start(), "starting a producer")
    except BaseException:
        await drop(producer)
        raise
    return producer


async def drop(producer: AIOKafkaProducer) -> None:
    """Closes it without sending what it still holds; takes STOP_S at most."""
    await ended(_drop(producer), STOP_S)


async def _drop(producer: AIOKafkaProducer) -> None:
    """`stop()` alone flushes first, and what its sender is at goes on until it succeeds: with the broker down
    it never ends, and a commit would come through later. There is no public way to skip that.
    """
    producer.client.send = _refuse
    producer._message_accumulator.fail_all(kafka.ProducerClosed())  # noqa: SLF001
    for batches in producer._message_accumulator._batches.values():  # noqa: SLF001
        for batch in batches:  # failed as undelivered, which nobody but the library asks about
            hear(batch._drain_waiter)  # noqa: SLF001
    if producer._sender.sender_task is not None:  # noqa: SLF001
        producer._sender.sender_task.cancel()  # noqa: SLF001
    transaction = producer._txn_manager._transaction_waiter  # noqa: SLF001
    if transaction is not None:
        hear(transaction)
    await producer.client.close()  # what waits for an answer hears that none will come
    await producer.stop()


async def _refuse(*_: object, **__: object) -> None:
    raise kafka.ProducerClosed


@contextmanager
def saying_why(producer: AIOKafkaProducer) -> Iterator[None]:
    """Within a transaction. Its end may be told to the sender in the background, between two calls of ours,
    and the next only says that there is none (by an error that is no KafkaError): this raises what ended it.
    """
    try:
        yield
    except kafka.IllegalOperation as error:
        waiter = producer._txn_manager._transaction_waiter  # noqa: SLF001
        cause = waiter.exception() if waiter.done() and not waiter.cancelled() else None
        raise cause or kafka.KafkaError(str(error)) from error


def check_sizes(records: Sequence[Record]) -> None:
    """Raises RecordTooLarge; UnicodeEncodeError for a key that is no text."""
    for record in records:
        size = len(record.value or b"") + len(record.key.encode())
        if size > MAX_RECORD_BYTES:
            raise RecordTooLarge(
                f"{record.topic}/{record.partition}: a record of {size} bytes, "
                f"at most {MAX_RECORD_BYTES} are taken"
            )


async def check_topics(cluster: Cluster, records: Sequence[Record], tps: Sequence[TopicPartition]) -> None:
    """Raises TopicMissing. A producer that is given a topic that doesn't exist hangs for ever."""
    for topic, partition in {*((r.topic, r.partition) for r in records), *tps}:
        await cluster.existing(topic, partition)


def _batches(
    producer: AIOKafkaProducer, records: Sequence[Record], now_ms: int
) -> Iterator[tuple[TopicPartition, Any, list[int]]]:
    """Filled batches in the order of the records, each with the indexes of those in it."""
    by_partition: dict[TopicPartition, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        by_partition[TopicPartition(record.topic, record.partition)].append(index)
    for tp, indexes in by_partition.items():
        batch, held = producer.create_batch(), list[int]()
        for index in indexes:
            if not _put(batch, records[index], now_ms):
                yield tp, batch, held
                batch, held = producer.create_batch(), []
                _put(batch, records[index], now_ms)  # the first always fits
            held.append(index)
        batch.close()
        yield tp, batch, held


def _put(batch: Any, record: Record, now_ms: int) -> bool:  # noqa: ANN401 - aiokafka is untyped
    key, headers = record.key.encode(), list(record.headers)
    return batch.append(timestamp=now_ms, key=key, value=record.value, headers=headers) is not None


async def write(
    producer: AIOKafkaProducer, records: Sequence[Record], now_ms: int
) -> "asyncio.Future[list[int]]":
    """Hands all records over; their offsets, once every batch of them is answered.

    Every batch must be asked about before a commit: one that was refused, and that nobody asked about,
    is missing from a transaction that commits all the same.
    """
    sent: list[Sent] = []
    for tp, batch, held in _batches(producer, records, now_ms):
        answer = await producer.send_batch(batch, tp.topic, partition=tp.partition)
        answer.add_done_callback(hear)
        sent.append((tp, answer, held))
    done = asyncio.ensure_future(_offsets(sent, len(records)))
    done.add_done_callback(hear)
    return done


async def _offsets(sent: Sequence[Sent], count: int) -> list[int]:
    """Raises TopicRefused, or what the first other batch failed with."""
    offsets = [0] * count
    if sent:
        await asyncio.wait([answer for _, answer, _ in sent])
    for tp, answer, held in sent:
        error = answer.exception()
        if isinstance(error, kafka.KafkaError):
            raise named(error, f"{tp.topic}/{tp.partition}", tp.topic) from error
        for place, index in enumerate(held):
            offsets[index] = answer.result().offset + place
    return offsets
