"""Brokers that die, come back, are silent, or don't know us."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from deploy.kafka import Brokers
from streamer.check.cluster import cluster_of
from streamer.config import LogSettings, SecuritySettings, Settings
from streamer.errors import LogUnavailable
from streamer.log import kafka_cluster
from streamer.log.base import Lane, Record
from streamer.log.kafka import KafkaLog
from streamer.log.position import Position
from tests.conformance.log.checks import read_all, values
from tests.integration.log.test_kafka_log import SPECS, at, opened

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]


@pytest.mark.soak  # a service that waits for its cluster has such a restart, and is judged by its partners
async def test_broker_restart_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Kill -9 of the only broker, twice, under a lane that commits: each number comes out once."""
    async with Brokers(tmp_path) as brokers, opened(brokers) as log:
        await log.ensure_topics(SPECS)
        wanted = 400

        async def work(lane: Lane) -> None:
            found = await lane.positions([at("in")])
            number = found[at("in")].next if found else 0
            while number < wanted:
                number += 1
                records = [Record("out", number % 10, "k", b"%d" % number)]
                await lane.commit(records, {at("in"): Position(number)})

        async def harm() -> None:
            for _ in range(2):
                await asyncio.sleep(1.0)
                await brokers.kill(1)
                await asyncio.sleep(0.5)
                await brokers.start(1)

        async with asyncio.timeout(300), asyncio.TaskGroup() as tasks:
            tasks.create_task(harm())
            tasks.create_task(log.run_lanes("g", "in", work, partitions=[0]))
        read = await read_all(log, [at("out", partition) for partition in range(10)])
        numbers = sorted(int(r.value or b"") for records in read.values() for r in records)
        assert numbers == list(range(1, wanted + 1))


async def test_leader_of_three_dies(tmp_path: Path) -> None:
    """Of three brokers one is killed under a lane that commits, then another, once the first is back: what
    was acknowledged is there, each number once, and the lane needs no help.
    """
    async with Brokers(tmp_path, count=3) as brokers:
        log = KafkaLog(tuple(brokers.bootstrap.split(",")), prefix="three", replication=3)
        async with log, asyncio.timeout(300):
            await log.ensure_topics(SPECS)
            acknowledged = 0
            harmed = asyncio.Event()

            async def work(lane: Lane) -> None:
                nonlocal acknowledged
                found = await lane.positions([at("in")])
                number = found[at("in")].next if found else 0
                while not harmed.is_set() or acknowledged < 100:
                    number += 1
                    records = [Record("out", number % 10, "k", b"%d" % number)]
                    await lane.commit(records, {at("in"): Position(number)})
                    acknowledged = number

            async def until(number: int) -> None:
                while acknowledged < number:
                    await asyncio.sleep(0.05)

            async def harm() -> None:
                for node in (1, 2):
                    await until(acknowledged + 20)
                    await brokers.kill(node)
                    await until(acknowledged + 20)
                    await brokers.start(node)
                harmed.set()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(harm())
                tasks.create_task(log.run_lanes("g", "in", work, partitions=[0]))
            read = await read_all(log, [at("out", partition) for partition in range(10)])
            numbers = sorted(int(r.value or b"") for records in read.values() for r in records)
            assert numbers == list(range(1, acknowledged + 1))


async def test_silence_is_not_taken_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away is LogUnavailable within the deadline, to questions and to a reader that would
    otherwise say that there is nothing; both go on by themselves afterwards.
    """
    async with Brokers(tmp_path) as brokers, opened(brokers) as log:
        await log.ensure_topics(SPECS)
        await log.append([Record("in", 0, "k", b"1")])
        async with log.reader({at("in"): 0}) as reader:
            assert values(await reader.read()) == [b"1"]
            assert await reader.read(wait_s=0.0) == []
            await brokers.kill(1)
            with monkeypatch.context() as shorter:
                shorter.setattr(kafka_cluster, "ASK_S", 2.0)
                with pytest.raises(LogUnavailable):
                    await reader.read(wait_s=0.1)
                with pytest.raises(LogUnavailable):
                    await log.bounds(at("in"))
            await brokers.start(1)
            async with asyncio.timeout(60):
                assert await log.append([Record("in", 0, "k", b"2")]) == [1]
                while not (records := await reader.read()):
                    pass
            assert values(records) == [b"2"]


@pytest.mark.soak  # a fleet under its own users, as `provision` makes it, works on such a one in all runs
async def test_secure_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With SCRAM over TLS and the authorizer: `log.security` opens it; a wrong password and a foreign
    authority don't, and a wrong password is one finding of `streamer check`.
    """
    async with Brokers(tmp_path / "brokers", secure=True) as brokers:
        right = SecuritySettings(
            protocol="SASL_SSL", username=brokers.username, password=brokers.password, ca_file=brokers.ca_file
        )
        async with KafkaLog((brokers.bootstrap,), security=right, replication=1) as log:
            await log.ensure_topics(SPECS)

            async def work(lane: Lane) -> None:
                await lane.commit([Record("out", 0, "k", b"v")], {at("in"): Position(3)})

            await log.run_lanes("g", "in", work, partitions=[0])
            assert values((await read_all(log, [at("out")]))[at("out")]) == [b"v"]
        wrong = [
            msgspec.structs.replace(right, password="guessed"),
            msgspec.structs.replace(right, ca_file=""),
            SecuritySettings(),
        ]
        monkeypatch.setattr(kafka_cluster, "ASK_S", 2.0)
        for security in wrong:
            async with KafkaLog((brokers.bootstrap,), security=security, replication=1) as log:
                with pytest.raises(LogUnavailable):
                    await log.topics()
        caplog.clear()
        password = msgspec.structs.replace(right, password="guessed")
        (found,) = await cluster_of(
            Settings(log=LogSettings(kind="kafka", bootstrap=(brokers.bootstrap,), security=password))
        )
        assert found.level == "PROBLEM"
        assert caplog.records == [], "what the client says of its tries"
