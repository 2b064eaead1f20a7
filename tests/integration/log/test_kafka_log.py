"""What only a cluster does: it refuses, moves lanes between processes, and keeps its own policies."""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.record.memory_records import MemoryRecords

from deploy.kafka import Brokers
from streamer.errors import ConfigError, LaneLost, LogUnavailable, TopicMissing, TopicRefused
from streamer.log import kafka_cluster, kafka_lane
from streamer.log.base import Lane, Record, TopicPartition, TopicSpec
from streamer.log.kafka import KafkaLog
from streamer.log.kafka_groups import Membership
from streamer.log.kafka_producer import write
from streamer.log.kafka_protocol import TOPIC, AlterTopics
from streamer.log.position import Position
from streamer.ticks import Ticks
from tests.conformance.log.checks import read_all, values

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]

SPECS = [TopicSpec(name, 10, compact=False, retention_ms=None) for name in ("in", "out", "narrow")]


def at(topic: str, partition: int = 0) -> TopicPartition:
    return TopicPartition(topic, partition)


def opened(brokers: Brokers, prefix: str = "test") -> KafkaLog:
    return KafkaLog(tuple(brokers.bootstrap.split(",")), prefix=prefix, replication=1)


@pytest.fixture
async def log(brokers: Brokers) -> AsyncIterator[KafkaLog]:
    async with opened(brokers, f"t{random.getrandbits(32):08x}") as log:
        await log.ensure_topics(SPECS)
        yield log
        for spec in SPECS:
            await log.delete_topic(spec.name)


async def test_refused_batch_refuses_the_commit(log: KafkaLog) -> None:
    """A batch that the broker refuses takes the whole commit with it: no record anywhere, no position. The
    lane starts anew from there, and goes on once the topic is mended.
    """
    narrow = {"narrow": {"max.message.bytes": "1000"}}
    await log._cluster.ask(AlterTopics(narrow))
    large = random.Random(1).randbytes(5_000)
    refusals = 0

    async def work(lane: Lane) -> None:
        nonlocal refusals
        assert await lane.positions([at("in")]) == {}
        records = [Record("out", 1, "k", b"good"), Record("narrow", 0, "k", large)]
        if refusals < 2:
            refusals += 1
            with pytest.raises(TopicRefused, match="narrow"):
                await lane.commit(records, {at("in"): Position(1)})
            with pytest.raises(TopicRefused):  # this lane is over, whatever its owner thinks
                await lane.commit(records[:1], {at("in"): Position(1)})
            if refusals == 2:
                await log._cluster.ask(AlterTopics({"narrow": {"max.message.bytes": "100000"}}))
            raise LogUnavailable("for a test")
        await lane.commit(records, {at("in"): Position(7)})

    async with asyncio.timeout(60):
        await log.run_lanes("g", "in", work, partitions=[0])
    assert values((await read_all(log, [at("out", 1)]))[at("out", 1)]) == [b"good"]
    assert await log.committed("g") == {at("in"): Position(7)}


async def test_a_fence_between_two_batches_is_lane_lost(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The producer hears in the background that another has its lane, and its next call only says that there
    is no transaction: the lane is lost by its name, and starts anew; the process does not end.
    """
    lost: list[LaneLost] = []

    async def fenced(
        producer: AIOKafkaProducer, records: Sequence[Record], now_ms: int
    ) -> "asyncio.Future[list[int]]":
        if lost:
            return await write(producer, records, now_ms)
        await log.fence("g", "in", 0)
        await asyncio.wait([await write(producer, records[:1], now_ms)])
        return await write(producer, records[1:], now_ms)

    async def work(lane: Lane) -> None:
        try:
            await lane.commit([Record("out", n, "k", b"v") for n in (0, 1)], {at("in"): Position(1)})
        except LaneLost as error:
            lost.append(error)
            raise

    monkeypatch.setattr(kafka_lane, "write", fenced)
    async with asyncio.timeout(60):
        await log.run_lanes("g", "in", work, partitions=[0])
    assert len(lost) == 1
    read = await read_all(log, [at("out", 0), at("out", 1)])
    assert [values(records) for records in read.values()] == [[b"v"], [b"v"]]


async def test_lanes_are_shared_and_move(brokers: Brokers, log: KafkaLog) -> None:
    """Two workers share the lanes, each is run once; what one of them held goes to the other when it ends."""
    async with opened(brokers, log._prefix) as other:
        held: dict[str, set[int]] = {"one": set(), "two": set()}
        told: dict[str, list[int]] = {"one": [], "two": []}

        async def worker(name: str, its_log: KafkaLog) -> None:
            async def work(lane: Lane) -> None:
                held[name].add(lane.partition)
                try:
                    while True:
                        await lane.commit([Record("out", lane.partition, name, b"x")], {})
                        await asyncio.sleep(0.05)
                finally:
                    held[name].discard(lane.partition)

            await its_log.run_lanes(
                "g", "in", work, held=lambda partitions: told[name].append(len(partitions))
            )

        async def until(one: int, two: int) -> None:
            async with asyncio.timeout(60):
                while (len(held["one"]), len(held["two"])) != (one, two):
                    await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(worker("one", log))
            await until(10, 0)
            second = tasks.create_task(worker("two", other))
            await until(5, 5)
            assert held["one"] | held["two"] == set(range(10))
            assert (told["one"][0], told["one"][-1], told["two"][-1]) == (10, 5, 5)
            first.cancel()
            await until(0, 10)
            second.cancel()


async def test_a_topic_that_can_not_be_seen_is_no_reason_to_stand_by(log: KafkaLog) -> None:
    """A member of the group that knows of no such topic is not told that others have its lanes; it gets them
    within seconds of the topic's being there.
    """
    told: list[frozenset[int] | None] = []
    heard = asyncio.Event()

    def held(lanes: frozenset[int] | None) -> None:
        told.append(lanes)
        heard.set()

    async def lane(_: int) -> None:
        await asyncio.Event().wait()

    group = f"{log._prefix}-later"
    member = Membership(log._access, "later", group, group, range(10), held=held)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(member.run(lane, None))
        async with asyncio.timeout(60):
            await heard.wait()
        assert told == [None]
        await log.ensure_topics([TopicSpec(group, 10, compact=False, retention_ms=None)])
        async with asyncio.timeout(30):
            while told[-1] != frozenset(range(10)):
                await asyncio.sleep(0.05)
        assert frozenset() not in told
        running.cancel()
    await log.delete_topic(group)


async def test_a_broker_that_has_just_begun_is_asked_again(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may know no topic for a moment: neither a question for one nor a reader takes that for an end."""
    await log.bounds(at("in"))
    understood = kafka_cluster._view
    ignorant = 0

    def just_begun(answer: object) -> kafka_cluster.View:
        nonlocal ignorant
        if ignorant:
            ignorant -= 1
            return kafka_cluster.View({}, frozenset())
        return understood(answer)

    monkeypatch.setattr(kafka_cluster, "_view", just_begun)
    ignorant = 1
    assert await log.topic("in") is not None
    log._cluster.forget()
    ignorant = 2
    assert (await log.bounds(at("in"))).earliest == 0
    assert ignorant == 0


async def test_a_topic_that_is_gone_keeps_nobody_waiting(brokers: Brokers, log: KafkaLog) -> None:
    """The first look that misses it believes what was known, for the others' sake; a second one, not before
    CONFIRM_S, tells who asks for it.
    """
    name = f"gone-{random.getrandbits(32):08x}"
    await log.ensure_topics([TopicSpec(name, 10, compact=False, retention_ms=None)])
    cluster = log._cluster
    known = await cluster.topic(name)
    assert known is not None
    async with opened(brokers) as other:
        await other.delete_topic(name)
    began_s = time.monotonic()
    while await cluster.topic("out") and await cluster.topic(name) == known:
        cluster.forget()
    assert await cluster.topic(name) is None
    assert time.monotonic() - began_s >= kafka_cluster.CONFIRM_S


async def test_a_topic_made_anew_is_seen_at_once(brokers: Brokers, log: KafkaLog) -> None:
    """Who saw it missing before asks again, however long else what it knows is believed."""
    await log.delete_topic("out")
    with pytest.raises(TopicMissing, match="out"):
        await log.all_bounds("out")
    async with opened(brokers, "other") as other:
        await other.ensure_topics(SPECS)
    await asyncio.sleep(kafka_cluster.CONFIRM_S)
    assert len(await log.all_bounds("out")) == 10


async def test_single_lane_has_a_stand_by(brokers: Brokers, log: KafkaLog) -> None:
    """Of two processes that want only partition 0 one has it, and the other is told that it has none; when
    the first ends the other goes on from its position. One that stands by ends when it drains.
    """
    async with opened(brokers, log._prefix) as other, asyncio.timeout(90):
        logs = {"one": log, "two": other}
        began: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        told: dict[str, list[frozenset[int]]] = {"one": [], "two": []}
        draining = asyncio.Event()

        async def worker(name: str) -> None:
            async def work(lane: Lane) -> None:
                found = await lane.positions([at("in")])
                number = found[at("in")].next if found else 0
                await lane.commit([], {at("in"): Position(number + 1)})
                began.put_nowait((name, number))
                await asyncio.Event().wait()

            held = told[name].append
            await logs[name].run_lanes("g", "in", work, partitions=[0], draining=draining, held=held)

        async with asyncio.TaskGroup() as tasks:
            runs = {name: tasks.create_task(worker(name)) for name in logs}
            first, number = await began.get()
            assert number == 0
            idle = "two" if first == "one" else "one"
            while not told[idle]:
                await asyncio.sleep(0.02)
            assert (told[first][-1], told[idle][-1]) == ({0}, set())
            runs[first].cancel()
            second, number = await began.get()
            assert (second, number) == (idle, 1)
            assert told[second][-1] == {0}
            runs[first] = tasks.create_task(worker(first))
            draining.set()
            await runs[first]
            assert not runs[second].done()
            runs[second].cancel()
        assert began.empty()


async def test_overwritten_text_leaves_the_disk(brokers: Brokers) -> None:
    """Of a quiet partition text that a later record of its key (or a tombstone) has replaced stays on disk
    after its window; with one tick, no sooner than it is due, it goes.
    """
    spec = TopicSpec("kept", 10, compact=True, retention_ms=None, compaction_lag_ms=1_000)
    folder = brokers.data(1) / "kept-0"
    ticks = Ticks(spec)
    async with opened(brokers) as log:
        await log.ensure_topics([spec])
        written = [Record("kept", 0, key, b"a canary") for key in ("page", "late")]
        written += [Record("kept", 0, "page", b"no more"), Record("kept", 0, "late", None)]
        await log.append(written)
        ticks.committed(written, time.monotonic())
        await asyncio.sleep(4)  # four windows and eight looks of the cleaner: it is not about to go
        assert b"a canary" in on_disk(folder)
        (tick,) = ticks.due(time.monotonic())
        await log.append([tick])
        async with asyncio.timeout(60):
            while b"a canary" in on_disk(folder):
                await asyncio.sleep(0.1)
        assert b"no more" in on_disk(folder)
        await log.delete_topic("kept")


def on_disk(folder: Path) -> set[bytes | None]:
    """The values in all segments of a partition, the cleaner's copies too."""
    found: set[bytes | None] = set()
    for path in folder.glob("*.log*"):
        with suppress(FileNotFoundError):
            batches = MemoryRecords(path.read_bytes())
            while batches.has_next():
                found |= {bytes(r.value) if r.value is not None else None for r in batches.next_batch()}
    return found


async def test_policies_are_kept_and_an_operators_own_left_alone(brokers: Brokers, log: KafkaLog) -> None:
    """What the service sets follows its settings, also on a topic that is there; what it does not name is the
    operator's. More replicas than there are brokers is a mistake in the settings, by name.
    """

    async def settings() -> dict[str, str]:
        answer = await log._cluster.ask(DescribeConfigsRequest([(TOPIC, "out", None)]))
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}

    assert (await settings())["cleanup.policy"] == "delete"
    await log._cluster.ask(AlterTopics({"out": {"segment.bytes": "7777777", "max.message.bytes": "5000"}}))
    async with asyncio.timeout(60):
        while (await settings())["max.message.bytes"] != "5000":  # a broker hears of it a moment later
            await asyncio.sleep(0.05)
    hour_ms = 3_600_000
    await log.ensure_topics(
        [TopicSpec("out", 10, compact=True, retention_ms=720 * hour_ms, compaction_lag_ms=6 * hour_ms)]
    )
    kept = await settings()
    assert kept["cleanup.policy"] == "compact,delete"
    assert kept["retention.ms"] == str(720 * hour_ms)
    assert kept["min.compaction.lag.ms"] == kept["max.compaction.lag.ms"] == str(6 * hour_ms)
    assert kept["segment.ms"] == str(hour_ms // 2)
    assert kept["max.message.bytes"] == "16842752"
    assert kept["segment.bytes"] == "7777777"
    async with KafkaLog((brokers.bootstrap,), replication=3) as other:
        with pytest.raises(ConfigError, match="replication"):
            await other.ensure_topics([TopicSpec("more", 10, compact=False, retention_ms=None)])


async def test_values_are_zstd_and_16_mib_pass(brokers: Brokers, log: KafkaLog) -> None:
    """What is as large as may be and does not compress passes in a transaction; batches are zstd."""
    value = random.Random(2).randbytes(16 * 1024 * 1024 - 1)

    async def work(lane: Lane) -> None:
        await lane.commit(
            [Record("out", 0, "k", value), Record("out", 0, "k", b"z" * 100_000)], {at("in"): Position(1)}
        )

    async with asyncio.timeout(60):
        await log.run_lanes("g", "in", work, partitions=[0])
        read = (await read_all(log, [at("out")]))[at("out")]
    assert [len(v or b"") for v in values(read)] == [len(value), 100_000]
    stored = sum(path.stat().st_size for path in (brokers.data(1) / "out-0").glob("*.log"))
    assert stored < len(value) + 20_000


async def test_partners_read_it_with_any_client(brokers: Brokers, log: KafkaLog) -> None:
    """A plain consumer of Kafka sees keys, headers and committed records only."""
    headers = (("ce_type", b"wiki.tick"), ("ce_type", b""))

    async def work(lane: Lane) -> None:
        await lane.commit([Record("out", 2, "enwiki:1", b"{}", headers)], {at("in"): Position(1)})

    await log.run_lanes("g", "in", work, partitions=[0])
    async with AIOKafkaConsumer(
        "out",
        bootstrap_servers=brokers.bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    ) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 60)
    assert (record.key, record.value, tuple(record.headers)) == (b"enwiki:1", b"{}", headers)


async def test_a_time_after_all_records_passes_over_none(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is appended while the first record since a time is looked for, and none is there yet, is found."""
    bounds = KafkaLog.bounds

    async def appended_before(self: KafkaLog, tp: TopicPartition) -> object:
        await self.append([Record("in", 0, "k", b"{}")])
        return await bounds(self, tp)

    began_ms = time.time_ns() // 1_000_000
    monkeypatch.setattr(KafkaLog, "bounds", appended_before)
    assert await log.offset_at(at("in"), began_ms) == 0


async def test_a_reader_that_is_given_up_while_it_starts(log: KafkaLog) -> None:
    """Whenever that is: it leaves no connection behind (pytest tells of sockets that nobody closed)."""
    for after_s in (0.0, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02):
        with suppress(TimeoutError):
            async with asyncio.timeout(after_s), log.reader({at("in"): 0}) as reader:
                await reader.read(wait_s=5)
    gc.collect()
