"""One bad partner on a cluster: it waits with an alarm, nobody else waits with it, and it misses nothing."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from harness.articles import PARTITIONS, Page

from deploy.kafka import Brokers
from deploy.kafka.artefacts import Unavailable
from streamer.config import LogSettings, SecuritySettings, Settings
from streamer.errors import LogUnavailable, TopicRefused
from streamer.log import kafka_cluster
from streamer.log.base import Lane, Record, Stored, TopicPartition, TopicSpec
from streamer.log.kafka import KafkaLog
from streamer.log.kafka_protocol import AlterTopics
from streamer.log.position import Position
from streamer.metrics import REGISTRY
from streamer.partners import PartnersWatch
from streamer.route.stage import run_route
from streamer.runtime import Runtime, article_spec, topic_specs
from tests.conformance.log.checks import read_all, values

pytestmark = [
    pytest.mark.xdist_group("kafka"),
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("waits_in_vain"),
]

DEADLINE_S = 60.0
DELAY_S = 50.0
"""More than any article of another partner's takes, from its append to that partner's topic, whatever happens
to the bad one: a look at the topics (2 s) and a lane's restart, on a machine that does ten other things. A
commit that waits for its topic in vain takes VAIN_S, and a lane that is refused for ever never ends."""
VAIN_S = 58.0
"""A little less than a transaction may; 30 s where nobody says otherwise."""
RETRY_S = 0.3
PARTNERS = ("bad", "worse", "good")


class Place:
    """The role on a cluster, with a stream of articles that does not end, and what came of it."""

    def __init__(self, settings: Settings, log: KafkaLog, operator: KafkaLog, file: Path) -> None:
        self.runtime = Runtime(settings, log)
        self.operator = operator
        """Who may do everything."""
        self.file = file
        self.published: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}
        self.sequence = 0
        self.delays_s: list[float] = []
        self._sent_s: dict[int, float] = {}
        self._restarts = 0.0

    def topic(self, partner: str) -> str:
        return self.runtime.topics.of_partner(partner)

    @property
    def restarts(self) -> int:
        """Of lanes, in this place, because a topic was refused; a broker that is slow has others."""
        return int(restarts() - self._restarts)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._restarts = restarts()
        watch = PartnersWatch(self.file, poll_s=0.2)
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(watch.run())]
            role = tasks.create_task(run_route(self.runtime, watch, retry_s=RETRY_S))
            await until(lambda: self.runtime.health.components().get("route") == "ready")
            beside += [tasks.create_task(self._publish()), tasks.create_task(self._follow())]
            yield
            self.runtime.draining.set()
            await role
            for task in beside:
                task.cancel()

    async def _publish(self) -> None:
        """Fifty a second."""
        while True:
            pages = [Page(self.sequence + n, page_id=random.randrange(40)) for n in range(1, 6)]
            records = [page.record(self.runtime.topics) for page in pages]
            for page, record in zip(pages, records, strict=True):
                self._sent_s[page.sequence] = time.monotonic()
                self.published[record.partition].append(page.sequence)
            self.sequence += len(pages)
            await self.operator.append(records)
            await asyncio.sleep(0.1)

    async def _follow(self) -> None:
        """The good partner's own reader."""
        starts = {TopicPartition(self.topic("good"), partition): 0 for partition in range(PARTITIONS)}
        async with self.operator.reader(starts) as reader:
            while True:
                for stored in await reader.read(wait_s=1.0):
                    sent_s = self._sent_s.pop(sequence_of(stored), time.monotonic())
                    self.delays_s.append(time.monotonic() - sent_s)

    async def got(self, partner: str) -> dict[int, list[int]]:
        tps = [TopicPartition(self.topic(partner), partition) for partition in range(PARTITIONS)]
        read = await read_all(self.operator, tps)
        return {tp.partition: [sequence_of(stored) for stored in stored_] for tp, stored_ in read.items()}

    async def caught_up(self, *partners: str) -> None:
        """Until they have all that is published by now."""
        ends = await self.operator.all_bounds(self.runtime.topics.articles)
        wanted = {
            TopicPartition(self.topic(partner), partition): end
            for partner in partners
            for partition, (_, end) in enumerate(ends)
        }
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = await self.operator.committed("route")
                if all(tp in found and found[tp].next >= end for tp, end in wanted.items()):
                    return
                await asyncio.sleep(0.05)

    async def others_go_on(self, seconds: float = 0.7) -> None:
        await asyncio.sleep(seconds)
        await self.caught_up("good")

    def judge_whole(self, got: dict[int, list[int]]) -> None:
        """Everything, once, in order."""
        for partition, numbers in self.published.items():
            assert got[partition] == numbers[: len(got[partition])], "a hole, a double, or another order"
            assert len(numbers) - len(got[partition]) < 100

    def judge_tail(self, got: dict[int, list[int]], first: int) -> None:
        """A topic that was made anew holds what its partner had not been given, without a hole: all behind
        `first`, and nothing twice.
        """
        for partition, numbers in self.published.items():
            assert got[partition], partition
            begin = numbers.index(got[partition][0])
            assert numbers[begin] <= min(n for n in numbers if n > first)
            assert got[partition] == numbers[begin : begin + len(got[partition])]


def sequence_of(stored: Stored) -> int:
    return int(stored.header("ce_sequence"))


def restarts() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "streamer_log_lane_restarts_total"
        and sample.labels == {"group": "route", "code": "topic_refused"}
    )


def is_parked(partner: str) -> bool:
    return REGISTRY.get_sample_value("streamer_route_parked", {"partner": partner}) == 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def placed(settings: Settings, operator_settings: LogSettings, file: Path) -> AsyncIterator[Place]:
    file.write_text("".join(f"[{partner}]\n" for partner in PARTNERS))
    async with opened(settings.log) as log, opened(operator_settings) as operator:
        specs = [
            *topic_specs(settings),
            *(article_spec(settings, Runtime(settings, log).topics.of_partner(name)) for name in PARTNERS),
        ]
        await operator.ensure_topics(specs)
        yield Place(settings, log, operator, file)
        for topic in await operator.topics():
            if topic.name in {spec.name for spec in specs}:
                await operator.delete_topic(topic.name)


def opened(settings: LogSettings) -> KafkaLog:
    return KafkaLog(
        settings.bootstrap,
        security=settings.security,
        prefix=settings.prefix,
        replication=settings.replication,
    )


@pytest.fixture
def waits_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """So long that it is told from what a busy machine needs."""
    monkeypatch.setattr("streamer.log.kafka_lane.COMMIT_S", VAIN_S)


@pytest.fixture
async def place(brokers: Brokers, tmp_path: Path) -> AsyncIterator[Place]:
    log = LogSettings("kafka", bootstrap=(brokers.bootstrap,), prefix=a_prefix(), replication=1)
    async with placed(Settings(log=log), log, tmp_path / "partners.toml") as place:
        yield place


def a_prefix() -> str:
    return f"p{random.getrandbits(32):08x}"


async def test_missing_topic(place: Place) -> None:
    """A topic that is deleted under a stream parks its partner; made anew by the operator, it gets all that
    was not written to the one before.
    """
    async with place.running():
        await place.others_go_on()
        await place.operator.delete_topic(place.topic("bad"))
        deleted = place.sequence
        await until(lambda: is_parked("bad"))
        await place.others_go_on(1.5)
        assert is_parked("bad")
        assert not is_parked("good")
        assert place.runtime.health.components()["route"] == "ready"
        ended = place.restarts
        assert ended <= PARTITIONS
        await place.others_go_on()
        assert place.restarts == ended, "who waits costs the others nothing"
        await place.operator.ensure_topics([article_spec(place.runtime.settings, place.topic("bad"))])
        await until(lambda: not is_parked("bad"))
        # something in each partition that only the new topic can hold
        await until(lambda: all(numbers and numbers[-1] > deleted for numbers in place.published.values()))
        await place.caught_up("bad", "good")
        assert place.restarts <= ended + 1
        place.judge_tail(await place.got("bad"), deleted)
        place.judge_whole(await place.got("good"))
        place.judge_whole(await place.got("worse"))
    assert max(place.delays_s) < DELAY_S


async def test_too_small_topic(place: Place) -> None:
    """Where `max.message.bytes` is below what has to go there each lane starts anew once, and tries again
    only when it is raised; then nothing is missing and nothing is there twice.
    """
    topic = place.topic("bad")
    async with place.running():
        await place.others_go_on()
        await place.operator._cluster.ask(AlterTopics({topic: {"max.message.bytes": "200"}}))
        await until(lambda: is_parked("bad"))
        await place.others_go_on(2.0)
        await place.others_go_on()
        assert 1 <= place.restarts <= PARTITIONS  # some lanes learn of it later than others, each once
        await place.operator._cluster.ask(AlterTopics({topic: {"max.message.bytes": "16842752"}}))
        await until(lambda: not is_parked("bad"))
        await place.caught_up("bad", "good")
        assert place.restarts <= PARTITIONS
        for partner in PARTNERS:
            place.judge_whole(await place.got(partner))
    assert max(place.delays_s) < DELAY_S


async def test_topic_goes_in_the_middle_of_a_commit(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer waits for ever for a topic that was deleted after it was looked for: the commit names it
    after a few seconds, and nothing of it is there.
    """
    monkeypatch.setattr(kafka_cluster, "KNOWN_S", 3600.0)
    prefix = a_prefix()
    names = [f"{prefix}-{name}" for name in ("in", "good", "gone")]
    where, good, gone = (TopicPartition(name, 0) for name in names)
    settings = LogSettings("kafka", bootstrap=(brokers.bootstrap,), prefix=prefix, replication=1)
    async with opened(settings) as log:
        await log.ensure_topics(TopicSpec(name, 1, compact=False, retention_ms=None) for name in names)

        async def work(lane: Lane) -> None:
            records = [Record(tp.topic, 0, "k", b"v") for tp in (good, gone)]
            await lane.commit(records, {where: Position(1), gone: Position(1)})
            async with opened(settings) as other:
                await other.delete_topic(gone.topic)
            began_s = time.monotonic()
            with pytest.raises(TopicRefused) as raised:
                await lane.commit(records, {where: Position(2), gone: Position(2)})
            assert raised.value.topics == (gone.topic,)
            assert time.monotonic() - began_s < DELAY_S

        async with asyncio.timeout(DEADLINE_S):
            await log.run_lanes("g", where.topic, work)
            await log.fence("g", where.topic, 0)
        assert values((await read_all(log, [good]))[good]) == [b"v"]
        assert await log.committed("g") == {where: Position(1)}
        for name in names[:2]:
            await log.delete_topic(name)


async def test_reader_over_its_quota(place: Place, brokers: Brokers) -> None:
    """A partner whose reads the broker slows to a trickle slows nobody else's, and has everything soon after
    the quota is lifted.
    """
    async with place.running():
        client = a_prefix()
        await quota(brokers, client, "--add-config", "consumer_byte_rate=2000")
        async with (
            follow(brokers, place.topic("bad"), client) as slow,
            follow(brokers, place.topic("good"), a_prefix()) as quick,
        ):
            await asyncio.sleep(6.0)
            await place.caught_up("bad", "good")
            total = place.sequence
            await until(lambda: len(quick) >= total)
            behind = total - len(slow)
            await quota(brokers, client, "--delete-config", "consumer_byte_rate")
            assert behind > total / 4, "the quota was not felt"
            await until(lambda: len(slow) >= total)
        assert len(slow) == len(set(slow))
        assert place.restarts == 0
    assert max(place.delays_s) < DELAY_S


async def quota(brokers: Brokers, client: str, *change: str) -> None:
    await brokers.tool(
        "kafka.admin.ConfigCommand", "--bootstrap-server", brokers.bootstrap, "--alter",
        "--entity-type", "clients", "--entity-name", client, *change,
    )  # fmt: skip


@asynccontextmanager
async def follow(brokers: Brokers, topic: str, client: str) -> AsyncIterator[list[tuple[int, int]]]:
    """The places of the records that a partner's own consumer has got."""
    found: list[tuple[int, int]] = []
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers.bootstrap,
        client_id=client,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=10_000,
    )

    async def read() -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.extend((record.partition, record.offset) for record in records)

    async with consumer, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        yield found
        reading.cancel()


# ── refused by ACLs ────────────────────────────────────────────────────────────────────────────

USER = "router"
PASSWORD = "of-the-test"


class Operator:
    """Users and ACLs of a secure cluster."""

    def __init__(self, brokers: Brokers) -> None:
        self._admin = AdminClient(
            {
                "bootstrap.servers": brokers.bootstrap,
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": brokers.username,
                "sasl.password": brokers.password,
                "ssl.ca.location": brokers.ca_file,
                "log_level": 0,  # it goes on for a while after the broker has ended
            }
        )

    async def add_user(self) -> None:
        change = UserScramCredentialUpsertion(
            USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
        )
        await _done(self._admin.alter_user_scram_credentials([change]).values())

    async def allow(self, prefix: str) -> None:
        """What route needs, and not to see policies (DESCRIBE_CONFIGS)."""
        kinds = {
            ResourceType.TOPIC: (AclOperation.READ, AclOperation.WRITE, AclOperation.CREATE),
            ResourceType.GROUP: (AclOperation.READ,),
            ResourceType.TRANSACTIONAL_ID: (AclOperation.WRITE, AclOperation.DESCRIBE),
        }
        await _done(
            self._admin.create_acls(
                [
                    _acl(kind, prefix, ResourcePatternType.PREFIXED, operation, AclPermissionType.ALLOW)
                    for kind, operations in kinds.items()
                    for operation in operations
                ]
            ).values()
        )

    @asynccontextmanager
    async def denied(self, operation: AclOperation, *topics: str) -> AsyncIterator[None]:
        acls = [
            _acl(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, operation, AclPermissionType.DENY)
            for topic in topics
        ]
        await _done(self._admin.create_acls(acls).values())
        try:
            yield
        finally:
            filters = [
                AclBindingFilter(
                    acl.restype, acl.name, acl.resource_pattern_type, acl.principal, acl.host, acl.operation,
                    acl.permission_type,
                )
                for acl in acls
            ]  # fmt: skip
            await _done(self._admin.delete_acls(filters).values())


def _acl(
    kind: ResourceType,
    name: str,
    pattern: ResourcePatternType,
    operation: AclOperation,
    permission: AclPermissionType,
) -> AclBinding:
    return AclBinding(kind, name, pattern, f"User:{USER}", "*", operation, permission)


async def _done(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        await asyncio.wrap_future(future)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    running = Brokers(tmp_path_factory.mktemp("secure"), secure=True)
    loop = asyncio.new_event_loop()
    try:
        try:
            loop.run_until_complete(running.__aenter__())
        except Unavailable as error:
            pytest.skip(str(error))
        yield running
        loop.run_until_complete(running.__aexit__(None, None, None))
    finally:
        loop.close()


@pytest.fixture
async def operator(secure: Brokers) -> Operator:
    operator = Operator(secure)
    await operator.add_user()
    return operator


@pytest.fixture
async def guarded(secure: Brokers, operator: Operator, tmp_path: Path) -> AsyncIterator[Place]:
    """Route under a user of its own."""
    admin, user = accesses(secure, a_prefix())
    await operator.allow(user.prefix)
    async with placed(Settings(log=user), admin, tmp_path / "partners.toml") as place:
        yield place


def accesses(secure: Brokers, prefix: str) -> tuple[LogSettings, LogSettings]:
    """The administrator's, and route's."""
    return tuple(
        LogSettings(
            "kafka",
            bootstrap=(secure.bootstrap,),
            prefix=prefix,
            replication=1,
            security=SecuritySettings("SASL_SSL", "SCRAM-SHA-512", user, password, ca_file=secure.ca_file),
        )
        for user, password in ((secure.username, secure.password), (USER, PASSWORD))
    )  # type: ignore[return-value] # two


async def test_refused_by_acls(guarded: Place, operator: Operator) -> None:
    """A topic that may not even be seen when the role starts, and several that may not be written any more,
    park their partners, with one restart of each lane at most; each goes on by itself when it may.
    """
    place = guarded
    bad, worse = place.topic("bad"), place.topic("worse")
    async with AsyncExitStack() as unseen:
        await unseen.enter_async_context(operator.denied(AclOperation.DESCRIBE, bad))
        async with place.running():
            assert is_parked("bad")
            await place.others_go_on()
            await place.caught_up("worse")
            await unseen.aclose()
            await until(lambda: not is_parked("bad"))
            await place.caught_up(*PARTNERS)
            assert place.restarts == 0
            async with operator.denied(AclOperation.WRITE, bad, worse):
                await until(lambda: is_parked("bad") and is_parked("worse"))
                await place.others_go_on(1.5)
                assert place.runtime.health.components()["route"] == "ready"
                ended = place.restarts
                assert ended <= PARTITIONS
                await place.others_go_on()
                assert place.restarts == ended
            await until(lambda: not is_parked("bad") and not is_parked("worse"))
            await place.caught_up(*PARTNERS)
            assert place.restarts == ended
            for partner in PARTNERS:
                place.judge_whole(await place.got(partner))
    assert max(place.delays_s) < DELAY_S


async def test_refused_in_the_middle_of_a_commit(
    secure: Brokers, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right that is lost after it was looked for: the commit names all topics that refuse it and no other,
    and nobody ever sees anything of it. What is not part of the transaction is not even sent: no end of one
    would decide that.
    """
    monkeypatch.setattr(kafka_cluster, "KNOWN_S", 3600.0)
    admin, user = accesses(secure, a_prefix())
    await operator.allow(user.prefix)
    names = [f"{user.prefix}-{name}" for name in ("in", "good", "one", "two")]
    where, good, one, two = (TopicPartition(name, 0) for name in names)
    records = [Record(tp.topic, 0, "k", b"v") for tp in (good, one, two)]
    denials = [(AclOperation.WRITE, (one, two)), (AclOperation.READ, (two,))]
    async with opened(admin) as boss, opened(user) as log:
        await boss.ensure_topics(TopicSpec(name, 1, compact=False, retention_ms=None) for name in names)

        async def work(lane: Lane) -> None:
            found = await lane.positions([where])
            at = found[where].next if found else 0
            positions = {tp: Position(at + 1) for tp in (where, one, two)}
            await log.check_topic(good.topic)
            await lane.commit(records, positions)
            if at == len(denials):
                return
            operation, refused = denials[at]
            while at == 0 and (await boss.bounds(good)).end < 2:  # its marker comes after its answer
                await asyncio.sleep(0.02)
            async with operator.denied(operation, *(tp.topic for tp in refused)):
                with pytest.raises(TopicRefused) as raised:
                    await lane.commit(records, positions)
            assert set(raised.value.topics) == {tp.topic for tp in refused}
            if operation is AclOperation.WRITE:
                assert (await boss.bounds(good)).end == 2, "sent, and part of no transaction"
            raise LogUnavailable("for a test")

        async with asyncio.timeout(DEADLINE_S):
            await log.run_lanes("g", where.topic, work)
        for tp in (good, one, two):
            assert values((await read_all(boss, [tp]))[tp]) == [b"v"] * (len(denials) + 1)
        for name in names:
            await boss.delete_topic(name)
