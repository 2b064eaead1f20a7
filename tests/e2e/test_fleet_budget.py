"""Processes of enrich on one cluster share one budget of requests, as the wiki counts it."""

import asyncio
import random
import time
from bisect import bisect_left
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from harness.on_kafka import OnKafka
from harness.recording import write_recording
from harness.service import Service
from recording_setup import config

from deploy.kafka import Brokers
from streamer.sandbox.server import Sandbox, SandboxOptions

pytestmark = pytest.mark.xdist_group("kafka")

PER_MINUTE = 600
AT_ONCE = 9
"""So that all is used though an answer takes most of a second, as it may on a machine without time."""
BURST = 10
"""A twentieth of the minute, at most ten, or what may fly at once."""
ASKED = 2
"""Of each at least: their wikis take turns, and one of the two may have a single one."""
SPAN_S = 5.0
"""With a burst, half of the budget still gives less than nearly all of it in such a time."""
IN_SPAN = PER_MINUTE * SPAN_S / 60
AWAY_S = 90.0
"""A session, a rebalance, what the new keeper pays off, and a span: of a machine with time a third of it."""
BUDGET = "streamer_origin_budget_requests"
KEEPER = "streamer_origin_budget_keeper"


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

    def most_in(self, span_s: float, from_s: float = -inf) -> int:
        seen_s = [at_s for at_s in self.seen_s if at_s >= from_s]
        spans = (bisect_left(seen_s, at_s + span_s) - number for number, at_s in enumerate(seen_s))
        return max(spans, default=0)

    async def until_all_is_used(self) -> None:
        """In some span from now on: one in which the machine had time for us."""
        now_s, most = time.monotonic(), 0
        try:
            async with asyncio.timeout(AWAY_S):
                while (most := self.most_in(SPAN_S, now_s)) < 0.9 * IN_SPAN:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{most} of {IN_SPAN} at most in {SPAN_S} s") from None


async def asked(service: Service) -> float:
    metrics = await service.metrics()
    return sum(value for name, value in metrics.items() if name.startswith("streamer_origin_requests_total"))


async def until_asked(service: Service, more: int) -> None:
    count = await asked(service) + more
    async with asyncio.timeout(AWAY_S):
        while await asked(service) < count:
            await asyncio.sleep(0.05)


async def keeper_of(*services: Service) -> Service:
    async with asyncio.timeout(AWAY_S):
        while True:
            kept = [service for service in services if (await service.metrics()).get(KEEPER)]
            if kept:
                assert len(kept) == 1
                return kept[0]
            await asyncio.sleep(0.1)


@pytest.mark.timeout(600)
async def test_processes_keep_one_budget_whoever_keeps_it(
    tmp_path: Path, rng: random.Random, brokers: Brokers
) -> None:
    """With more to ask than they may both ask at the pace of the one budget, and one alone has all of it when
    the other is killed, be it the keeper; which of the two is told, and that the other is none.
    """
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, events=2_000)
    async with Sandbox(SandboxOptions(recording=recording)) as sandbox, asyncio.TaskGroup() as tasks:
        text = config(recording, sandbox.endpoint, speed="full", log=OnKafka(brokers).settings).replace(
            "requests_per_minute = 6000",
            f"requests_per_minute = {PER_MINUTE}\nconcurrency = {AT_ONCE}\nbatch = 1",
        )
        witness = Witness(sandbox)
        watching = tasks.create_task(witness.run())
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        async with (
            Service(tmp_path / "one", text, "run", "--role", "source", "--role", "enrich") as one,
            Service(tmp_path / "two", text, "run", "--role", "enrich") as two,
        ):
            await until_asked(two, ASKED)
            await until_asked(one, ASKED)
            keeper = await keeper_of(one, two)
            other = two if keeper is one else one
            metrics = await keeper.metrics()
            assert metrics[BUDGET] == PER_MINUTE
            assert (await other.metrics())[BUDGET] == 0
            await witness.until_all_is_used()
            await keeper.kill()
            await witness.until_all_is_used()
            assert await keeper_of(other) is other
            await keeper.start()
            await until_asked(keeper, ASKED)
        watching.cancel()
    assert witness.most_in(SPAN_S) <= IN_SPAN + BURST + AT_ONCE
    gaps = [later_s - at_s for at_s, later_s in pairwise(witness.seen_s)]
    assert max(gaps) < AWAY_S
