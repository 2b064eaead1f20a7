"""Producers: one for each lane, with a transactional id of its own, and one for appends.

A producer that failed is dropped and a new one started under the same id, never used again: after an
error `abort_transaction` may return without ending the transaction, and what was "aborted" comes out
with the next commit. Starting the new one ends the old one's transaction at the broker.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka

from streamer.errors import RecordTooLarge, TopicRefused
from streamer.log.base import MAX_RECORD_BYTES, Record, TopicPartition
from streamer.log.kafka_client import TOO_LARGE, Access, ended, hear, within
from streamer.log.kafka_cluster import Cluster
from streamer.log.kafka_protocol import READ, WRITE

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


class Sent(NamedTuple):
    tp: TopicPartition
    batch: Any
    answer: "asyncio.Future[Any]"
    held: list[int]
    """Which records, by index."""


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
    _silence(producer)
    if producer._sender.sender_task is not None:  # noqa: SLF001
        producer._sender.sender_task.cancel()  # noqa: SLF001
    transaction = producer._txn_manager._transaction_waiter  # noqa: SLF001
    if transaction is not None:
        hear(transaction)
    await producer.client.close()  # what waits for an answer hears that none will come
    await producer.stop()


def _silence(producer: AIOKafkaProducer) -> None:
    """It sends nothing any more, and what it holds has failed."""
    producer.client.send = _refuse
    accumulator = producer._message_accumulator  # noqa: SLF001
    held = [batch for batches in accumulator._batches.values() for batch in batches]  # noqa: SLF001
    accumulator.fail_all(kafka.ProducerClosed())
    accumulator._batches.clear()  # noqa: SLF001 - its sender trips over what has failed already
    for batch in held:
        hear(batch._drain_waiter)  # noqa: SLF001


async def begin(producer: AIOKafkaProducer) -> None:
    """A transaction. One that fails sends nothing more: where a topic is refused aiokafka would send all
    batches to partitions that are not in the transaction, and no end of a transaction decides those.
    """
    await producer.begin_transaction()

    def failed(end: "asyncio.Future[None]") -> None:
        if end.cancelled() or end.exception() is not None:
            _silence(producer)

    producer._txn_manager.wait_for_transaction_end().add_done_callback(failed)  # noqa: SLF001


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
                f"at most {MAX_RECORD_BYTES} are taken",
                record.topic,
            )


async def check_topics(cluster: Cluster, records: Sequence[Record], tps: Sequence[TopicPartition]) -> None:
    """Raises TopicMissing and TopicRefused. A producer that is given a topic that doesn't exist hangs for
    ever, and one that is refused can't be used again: better to know before.
    """
    wanted = dict.fromkeys(tps, READ)  # as the brokers ask of who stores a position
    for record in records:
        tp = TopicPartition(record.topic, record.partition)
        wanted[tp] = wanted.get(tp, 0) | WRITE
    await cluster.check(wanted)


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
        sent.append(Sent(tp, batch, answer, held))
    done = asyncio.ensure_future(_offsets(sent, len(records)))
    done.add_done_callback(hear)
    return done


async def _offsets(sent: Sequence[Sent], count: int) -> list[int]:
    """Raises TopicRefused for all topics that are too small, or what the first other batch failed with."""
    if sent:
        await asyncio.wait([each.answer for each in sent])
    failed = [each for each in sent if each.answer.exception() is not None]
    if large := [each for each in failed if isinstance(each.answer.exception(), TOO_LARGE)]:
        topics = sorted({each.tp.topic for each in large})
        raise TopicRefused(
            f"{', '.join(topics)}: a batch is larger than it takes (max.message.bytes)",
            *topics,
            batch_bytes=max(each.batch.size() for each in large),
        )
    for each in failed:
        each.answer.result()
    offsets = [0] * count
    for each in sent:
        for place, index in enumerate(each.held):
            offsets[index] = each.answer.result().offset + place
    return offsets
