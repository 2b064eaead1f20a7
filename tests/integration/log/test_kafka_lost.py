"""A topic that is made anew under its lanes, where the cluster forgets the positions in it."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from deploy.kafka import Brokers
from streamer.config import Settings
from streamer.log.base import Lane, TopicPartition
from streamer.log.kafka_cluster import View
from streamer.lost import Stops
from streamer.runtime import Runtime
from tests.integration.log.test_kafka_log import SPECS, opened

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]


async def test_a_topic_made_anew_stops_its_lanes(tmp_path: Path, brokers: Brokers) -> None:
    """Whether a lane notices by reading, or is taken away with the topic and given back with the next: none
    goes on there as if nothing had been lost, and all return when they drain.
    """
    async with opened(brokers, f"t{tmp_path.name[-4:]}") as log, asyncio.timeout(120):
        await log.ensure_topics(SPECS)
        runtime = Runtime(Settings(), log)
        reading: set[int] = set()

        async def work(lane: Lane) -> None:
            async with log.reader({TopicPartition(lane.topic, lane.partition): 0}) as reader:
                reading.add(lane.partition)
                try:
                    while not runtime.draining.is_set():
                        await reader.read()
                finally:
                    reading.discard(lane.partition)

        async with asyncio.TaskGroup() as tasks:
            lanes = Stops(runtime, "made-anew").around(work)
            tasks.create_task(log.run_lanes("g", "in", lanes, draining=runtime.draining))
            while len(reading) < 10:
                await asyncio.sleep(0.05)
            await log.delete_topic("in")
            await log.ensure_topics(SPECS)
            while runtime.health.problems().get("made-anew_input", "").count("while it was read") < 10:
                await asyncio.sleep(0.05)
            assert not reading
            runtime.draining.set()
        for spec in SPECS:
            await log.delete_topic(spec.name)


async def test_a_broker_that_knows_no_topics_for_a_moment_is_not_believed(
    tmp_path: Path, brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answer without the topic, as from a broker that has just begun: nobody hears that it is gone."""
    async with opened(brokers, f"t{tmp_path.name[-4:]}") as log:
        await log.ensure_topics(SPECS)
        cluster = log._cluster
        assert await cluster.topic("in") is not None
        real, empty = cluster._metadata, 1

        async def metadata(names: list[str] | None) -> View:
            nonlocal empty
            empty -= 1
            return View({}, frozenset()) if empty >= 0 else await real(names)

        async def views(_: Iterable[str]) -> list[View]:
            return []

        monkeypatch.setattr(cluster, "_metadata", metadata)
        cluster.forget()
        with monkeypatch.context() as nowhere:
            nowhere.setattr(cluster, "views", views)
            assert await cluster.topic("in") is not None
        empty = 1
        assert await log.topic("in") is not None
        for spec in SPECS:
            await log.delete_topic(spec.name)
        assert await log.topic("in") is None
