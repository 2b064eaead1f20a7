"""The whole service on a cluster: what holds on the local log holds there."""

import random
from pathlib import Path

import pytest
from harness.recording import write_recording
from recording_setup import OnKafka
from test_kills import run_under_kills
from test_recording import run_through
from test_roles_apart import run_apart

from deploy.kafka import Brokers

pytestmark = pytest.mark.xdist_group("kafka")


@pytest.mark.timeout(240)
async def test_own_recording_reaches_each_partner_exactly(
    tmp_path: Path, rng: random.Random, brokers: Brokers
) -> None:
    """Each partner gets what its rules say, once, in order per page, with the right content; counts agree."""
    recording = tmp_path / "own.sse"
    write_recording(recording, rng)
    await run_through(recording, tmp_path, "full", OnKafka(brokers).settings)


@pytest.mark.timeout(580)
async def test_own_recording_survives_thirty_kills(
    tmp_path: Path, rng: random.Random, brokers: Brokers
) -> None:
    """30 kill -9 of the whole service; readers that resume by id see one sequence without hole or double."""
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, seconds=60, events=900)
    await run_under_kills(recording, tmp_path, rng, OnKafka(brokers))


@pytest.mark.timeout(400)
async def test_roles_apart_with_two_workers(tmp_path: Path, rng: random.Random, brokers: Brokers) -> None:
    """Five processes, two of them share enrich: each is killed several times, one worker sleeps until its
    lanes are the other's; each partner gets what the file says, once, and the fleet's counts agree.
    """
    await run_apart(tmp_path, rng, OnKafka(brokers))
