"""A recording through all four roles: each partner gets what an independent script reads in the file."""

import random
from pathlib import Path

import pytest
from harness.feed import Feed
from harness.judge import BEGINNING, judge, read_all, routed
from harness.recording import write_recording
from harness.service import Service
from recording_oracle import expected
from recording_setup import KEYS, LOCAL, config, write_partners

from streamer.sandbox.server import Sandbox, SandboxOptions


async def run_through(recording: Path, folder: Path, speed: str, log: str = LOCAL) -> None:
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(folder / "partners.toml")
    async with Sandbox(SandboxOptions(recording=recording)) as sandbox:
        text = config(recording, sandbox.endpoint, speed=speed, log=log)
        async with Service(folder, text) as service:
            url = f"http://127.0.0.1:{await service.port()}/v2/articles"
            await service.until(lambda metrics: routed(metrics) >= 3 * total, timeout_s=240)
            admitted = (await service.committed("source"))["admitted"]
            outcomes = await service.committed("enrich")
            assert admitted == total
            assert outcomes.pop("admitted") == admitted
            assert sum(outcomes.values()) == admitted
            assert outcomes.get("published") == total, outcomes
            for partner, rows in wanted.items():
                counts = await service.committed("route", partner)
                assert sum(counts.values()) == total, (partner, counts)
                assert counts["published"] == len(rows), (partner, counts)
                feed = Feed(url, KEYS[partner], since=BEGINNING)
                judge(partner, await read_all(feed, len(rows)), rows).check()
            assert await service.terminate() == 0, service.lines[-5:]


async def test_own_recording_reaches_each_partner_exactly(tmp_path: Path, rng: random.Random) -> None:
    """Each partner gets what its rules say, once, in order per page, with the right content; counts agree."""
    recording = tmp_path / "own.sse"
    write_recording(recording, rng)
    await run_through(recording, tmp_path, "full")


@pytest.mark.parametrize("speed", ["full", pytest.param("recorded", marks=pytest.mark.soak)])
async def test_real_recording_reaches_each_partner_exactly(
    shared_data: Path, tmp_path: Path, speed: str
) -> None:
    """The same for 66 seconds of 73 real wikis, at once and at the pace at which they were recorded."""
    await run_through(shared_data / "recentchange-2021.sse", tmp_path, speed)
