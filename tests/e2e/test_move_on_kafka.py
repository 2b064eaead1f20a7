"""The service moves to another cluster: the walk of deploy/UPGRADES.md, "Another cluster".

Two prefixes on one broker stand for two clusters: topics, groups, positions and transactional ids of one have
nothing in common with the other's.
"""

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.on_kafka import OnKafka
from recording_setup import until_routed_from_the_start
from test_restore import PATIENCE_S, place

from deploy.kafka import Brokers

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]


async def test_a_partner_goes_on_at_a_time(tmp_path: Path, rng: random.Random, brokers: Brokers) -> None:
    """Offsets of the old cluster mean nothing on the new one, and a corpus that comes with them is told so.
    It goes on from a time before the move, and is the wiki: what happened while neither cluster was followed,
    too.
    """
    async with place(tmp_path, rng) as here:
        here.kafka = OnKafka(brokers)
        async with here.service("run") as service:
            await service.event("connected to the stream")
            await until_routed_from_the_start(here.kafka.open())
            await here.deeds()
            await here.held("--since", "2020-01-01T00:00:00Z")
            here.since = datetime.now(UTC)
            await here.deeds()
            assert await service.terminate() == 0
        await here.deeds()

        here.kafka = OnKafka(brokers)
        since = ("--since", here.since.isoformat())
        async with here.service("run", "--role", "enrich", "--role", "route"):
            await until_routed_from_the_start(here.kafka.open())
        async with here.service("run") as service:
            async with here.corpus() as corpus:
                async with asyncio.timeout(PATIENCE_S):
                    while corpus.runs:
                        await asyncio.sleep(0.1)
                assert "say by --since from when on" in corpus.log.read_text()
            await here.held(*since)
            await here.deeds()
            await here.held()
            assert await service.terminate() == 0
