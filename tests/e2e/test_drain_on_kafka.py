"""The service is told to stop while its cluster hangs."""

import asyncio
import random
import time
from pathlib import Path

import pytest
from harness.on_kafka import OnKafka
from harness.recording import write_recording
from harness.service import Service
from recording_setup import config, write_partners

from deploy.kafka import Brokers
from streamer.config import DeliverSettings
from streamer.sandbox.server import Sandbox, SandboxOptions
from streamer.stop import MARGIN_S

SLACK_S = 15.0
"""For a machine that has other things to do than to end a process and to tell us."""
pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]


async def test_a_drain_without_an_answer_is_no_failure(tmp_path: Path, rng: random.Random) -> None:
    """With commits under way when the only broker stops answering, the service ends in the time of a drain
    and with 0: nothing is lost that the next start does not do.
    """
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, events=2_000)
    write_partners(tmp_path / "partners.toml")
    async with (
        Brokers(tmp_path / "brokers") as brokers,
        Sandbox(SandboxOptions(recording=recording)) as sandbox,
    ):
        text = config(recording, sandbox.endpoint, speed="full", log=OnKafka(brokers).settings)
        text += f'[partners]\nfile = "{tmp_path / "partners.toml"}"\n'
        async with Service(tmp_path, text) as service:
            await service.until(lambda metrics: metrics["streamer_log_appended_records_total"] > 50)
            brokers.pause(1)
            await asyncio.sleep(rng.uniform(0.0, 3.0))
            began_s = time.monotonic()
            assert await service.terminate() == 0, service.lines[-10:]
            took_s = time.monotonic() - began_s
        brokers.resume(1)
    assert took_s < DeliverSettings().drain_s + MARGIN_S + SLACK_S
