"""Processes of enrich on one cluster share one budget of requests, as the wiki counts it."""

import asyncio
import random
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
from harness.on_kafka import OnKafka
from harness.recording import write_recording
from harness.service import Service
from recording_setup import config

from deploy.kafka import Brokers
from streamer.sandbox.server import Sandbox, SandboxOptions

pytestmark = pytest.mark.xdist_group("kafka")

PER_MINUTE = 240
AT_ONCE = 2
BURST = 12
"""A twentieth of the minute."""
SPAN_S = 8.0
BUDGET = "streamer_origin_budget_requests"
OVERCOMMITTED = "streamer_origin_budget_overcommitted"


class Witness:
    """When the wiki was asked, to a few milliseconds."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.seen_s: list[float] = []

    async def run(self) -> None:
        while True:
            new = self._sandbox.requests["api"] - len(self.seen_s)
            self.seen_s += [time.monotonic()] * new
            await asyncio.sleep(0.005)

    def most_in(self, span_s: float) -> int:
        return max(
            sum(first_s <= at_s < first_s + span_s for at_s in self.seen_s[number:])
            for number, first_s in enumerate(self.seen_s)
        )


async def asked(service: Service) -> float:
    metrics = await service.metrics()
    return sum(value for name, value in metrics.items() if name.startswith("streamer_origin_requests_total"))


async def until_asked(service: Service, count: int) -> None:
    async with asyncio.timeout(30):
        while await asked(service) < count:
            await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
async def test_two_workers_keep_one_budget(tmp_path: Path, rng: random.Random, brokers: Brokers) -> None:
    """With more to ask than they may, and one of them killed and started anew: together they ask at the pace
    of the one budget, and both have their half of it; a reload gives each half of another, and one that
    forgets the other process gives it no more, and an alarm.
    """
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, events=700)
    async with Sandbox(SandboxOptions(recording=recording)) as sandbox, asyncio.TaskGroup() as tasks:
        text = config(recording, sandbox.endpoint, speed="full", log=OnKafka(brokers).settings).replace(
            "requests_per_minute = 6000",
            f"requests_per_minute = {PER_MINUTE}\nconcurrency = {AT_ONCE}\nworkers = 2\nbatch = 1",
        )
        witness = Witness(sandbox)
        watching = tasks.create_task(witness.run())
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        async with (
            Service(tmp_path / "one", text, "run", "--role", "source", "--role", "enrich") as one,
            Service(tmp_path / "two", text, "run", "--role", "enrich") as two,
        ):
            await until_asked(two, 8)
            await two.kill()
            await two.start()
            await until_asked(two, 8)
            assert await asked(one) >= 16
            text = text.replace(f"= {PER_MINUTE}", f"= {PER_MINUTE + 20}")
            for service in (one, two):
                assert (await service.metrics())[BUDGET] == PER_MINUTE / 2
                service.config.write_text(text)
                service.signal(signal.SIGHUP)
                await service.until(lambda metrics: metrics[BUDGET] == PER_MINUTE / 2 + 10, timeout_s=5)
            text = text.replace("workers = 2", "workers = 1")
            for service in (one, two):
                service.config.write_text(text)
                service.signal(signal.SIGHUP)
            for service in (one, two):
                await service.until(lambda metrics: metrics[OVERCOMMITTED] == 1, timeout_s=25)
                assert (await service.metrics())[BUDGET] == PER_MINUTE / 2 + 10
        watching.cancel()
    assert all(later_s - at_s < SPAN_S for at_s, later_s in pairwise(witness.seen_s)), "nothing was asked"
    assert witness.seen_s[-1] - witness.seen_s[0] >= SPAN_S
    assert witness.most_in(SPAN_S) <= (PER_MINUTE + 20) * SPAN_S / 60 + BURST + AT_ONCE
