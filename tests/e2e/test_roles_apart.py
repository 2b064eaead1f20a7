"""Each role in a process of its own on one log file: they tail each other, and each may die at any time."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from harness.feed import Feed
from harness.recording import write_recording
from harness.service import Service, free_port
from recording_oracle import expected
from recording_setup import KEYS, config, write_partners
from test_recording import Row, assert_equal, read_all, routed, row_of

from streamer.log.local import LocalLog
from streamer.sandbox.server import Sandbox, SandboxOptions

KILLS = 16
ROLES = ("deliver", "route", "enrich", "source")
PARTITIONS = 10
PARTNERS = ("everything", "words")
"""The third asks for bots, which a move's redirect does not always say: another matter."""


async def until_routed_from_the_start(file: Path, positions: int) -> None:
    async with asyncio.timeout(30), LocalLog(file, clean_every_s=3600) as log:
        while len(await log.committed("route")) < positions:
            await asyncio.sleep(0.05)


@pytest.mark.timeout(240)
async def test_roles_apart_survive_kills(tmp_path: Path, rng: random.Random) -> None:
    """16 kill -9, each of one role: every change has one outcome, no reader sees a hole or a double."""
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, seconds=30, events=450)
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(tmp_path / "partners.toml")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/articles"
    live: list[Row] = []
    async with Sandbox(SandboxOptions(recording=recording)) as sandbox, AsyncExitStack() as stack:
        text = config(recording, sandbox.endpoint, speed="recorded", port=port)
        services: dict[str, Service] = {}
        for role in ROLES:
            if role == "source":  # the partners begin live: before there is anything to miss
                await until_routed_from_the_start(tmp_path / "streamer.db", len(wanted) * PARTITIONS)
            service = Service(tmp_path, text, "run", "--role", role)
            services[role] = await stack.enter_async_context(service)
        feed = Feed(url, KEYS["everything"], since="2020-01-01T00:00:00Z")
        stop = asyncio.Event()

        async def follow() -> None:
            async for event in feed.articles(stop):
                live.append(row_of(event))  # noqa: PERF401 - it is looked at while it grows

        async with asyncio.TaskGroup() as group:
            follower = group.create_task(follow())
            for _ in range(KILLS):
                # sometimes while it starts, sometimes in the middle of its work
                await asyncio.sleep(rng.uniform(0.2, 2.0))
                service = services[rng.choice(ROLES)]
                await service.kill()
                await service.start()
            await services["route"].until(lambda metrics: routed(metrics) >= 3 * total, timeout_s=90)
            async with asyncio.timeout(30):
                while len(live) < total:
                    await asyncio.sleep(0.05)
            stop.set()
            follower.cancel()
        assert (await services["source"].committed("source"))["admitted"] == total
        outcomes = await services["enrich"].committed("enrich")
        assert outcomes.pop("admitted") == sum(outcomes.values()) == total
        for partner in PARTNERS:
            rows = wanted[partner]
            again = Feed(url, KEYS[partner], since="2020-01-01T00:00:00Z")
            assert_equal(await read_all(again, len(rows)), rows, f"{partner} from the log")
    assert_equal(live, wanted["everything"], "across the kills")
