"""kill -9 at random instants while a recording runs: nothing is lost, nothing comes twice."""

import asyncio
import random
from pathlib import Path

import pytest
from harness.feed import Feed
from harness.recording import write_recording
from harness.service import Service, free_port
from recording_oracle import expected
from recording_setup import KEYS, LOCAL, OnKafka, config, until_routed_from_the_start, write_partners
from test_recording import Row, assert_equal, read_all, routed, row_of

from streamer.log.local import LocalLog
from streamer.sandbox.server import Sandbox, SandboxOptions

KILLS = 30


async def run_under_kills(
    recording: Path, folder: Path, rng: random.Random, kafka: OnKafka | None = None
) -> None:
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(folder / "partners.toml")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/articles"
    live: dict[str, list[Row]] = {partner: [] for partner in wanted}
    async with Sandbox(SandboxOptions(recording=recording)) as sandbox:
        text = config(
            recording, sandbox.endpoint, speed="recorded", port=port, log=kafka.settings if kafka else LOCAL
        )
        async with Service(folder, text) as service, asyncio.TaskGroup() as group:
            stop = asyncio.Event()
            feeds = {partner: Feed(url, KEYS[partner], since="2020-01-01T00:00:00Z") for partner in wanted}

            async def follow(partner: str) -> None:
                async for event in feeds[partner].articles(stop):
                    live[partner].append(row_of(event))

            followers = [group.create_task(follow(partner)) for partner in wanted]
            log = kafka.open() if kafka else LocalLog(folder / "streamer.db", clean_every_s=3600)
            await until_routed_from_the_start(log)
            for _ in range(KILLS):
                # sometimes while it starts, sometimes in the middle of its work
                await asyncio.sleep(rng.uniform(0.3, 3.0))
                await service.kill()
                await service.start()
            await service.until(lambda metrics: routed(metrics) >= 3 * total, timeout_s=150)
            async with asyncio.timeout(60):
                while any(len(live[partner]) < len(rows) for partner, rows in wanted.items()):
                    await asyncio.sleep(0.05)
            outcomes = await service.committed("enrich")
            assert outcomes.pop("admitted") == total
            assert sum(outcomes.values()) == total
            for partner, rows in wanted.items():
                again = Feed(url, KEYS[partner], since="2020-01-01T00:00:00Z")
                assert_equal(await read_all(again, len(rows)), rows, f"{partner} from the log")
            stop.set()
            for follower in followers:
                follower.cancel()
    for partner, rows in wanted.items():
        assert_equal(live[partner], rows, f"{partner} across the kills")
        assert feeds[partner].breaks >= 1


@pytest.mark.timeout(300)
async def test_real_recording_survives_thirty_kills(
    shared_data: Path, tmp_path: Path, rng: random.Random
) -> None:
    """30 kill -9 of the whole service; readers that resume by id see one sequence without hole or double."""
    await run_under_kills(shared_data / "recentchange-2021.sse", tmp_path, rng)


@pytest.mark.timeout(300)
async def test_own_recording_survives_thirty_kills(tmp_path: Path, rng: random.Random) -> None:
    """The same on a recording of our own."""
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, seconds=60, events=900)
    await run_under_kills(recording, tmp_path, rng)
