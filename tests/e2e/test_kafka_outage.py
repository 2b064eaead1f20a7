"""The cluster is away for longer than every deadline, and then answers too slowly: one role a process, each
judged by itself, and all that they write accounted for.
"""

import asyncio
import random
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from harness.judge import Readers, routed, settled
from harness.on_kafka import OnKafka
from harness.recording import write_recording
from harness.sandboxed import live_config
from harness.service import Service, free_port
from recording_oracle import expected
from recording_setup import KEYS, config, until_routed_from_the_start, write_partners

from deploy.kafka import Brokers
from streamer.config import DeliverSettings
from streamer.health import LOOP_STALL_S
from streamer.lag import LOOK_S
from streamer.log.kafka_cluster import ASK_S
from streamer.log.kafka_groups import SESSION_MS
from streamer.log.kafka_lane import COMMIT_S
from streamer.sandbox.server import Sandbox, SandboxOptions

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]

AWAY_S = max(ASK_S, COMMIT_S) + 2.0
SLOW_S = 10.0
BACK_S = 90.0
"""A lane tries again every ten seconds, and a try may take its deadline; of a quick machine a half."""
NAMES = ("deliver", "route", "enrich", "source")
GROWN_KB = 40_000
"""What a process may grow by while its cluster is away: a client that is being made, a batch that waits."""


@pytest.mark.soak
async def test_cluster_that_is_away_for_long_and_then_slow(tmp_path: Path, rng: random.Random) -> None:
    """It goes while roles start, read back and commit, and stays away for longer than every deadline; later
    it stands still for a while. No process ends, each is live, none is ready, memory stays where it was; all
    are ready again by themselves and every change has come out once, and metrics tell what happened. Who
    starts meanwhile is live as well and stops when told to.
    """
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, seconds=12, events=500)
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(tmp_path / "partners.toml")
    port = free_port()
    async with (
        Brokers(tmp_path / "brokers") as brokers,
        Sandbox(SandboxOptions(recording=recording)) as sandbox,
        AsyncExitStack() as stack,
        Readers(f"http://127.0.0.1:{port}/v2/articles", KEYS) as readers,
    ):
        kafka = OnKafka(brokers)
        text = config(recording, sandbox.endpoint, speed="recorded", port=port, log=kafka.settings)
        text += f'[partners]\nfile = "{tmp_path / "partners.toml"}"\n'
        services: dict[str, Service] = {}
        for name in NAMES:
            services[name] = await begun(stack, tmp_path / name, text)
            if name == "route":
                await until_routed_from_the_start(kafka.open())
        await all_ready(services)
        await services["route"].until(lambda metrics: routed(metrics) >= total / 4)

        for name in ("route", "enrich"):
            await services[name].kill()
            await services[name].start()
        for name in ("route", "enrich"):
            await services[name].until_ready("log", "ready")
        await asyncio.sleep(rng.uniform(0.0, 2.0))  # it asks for its lanes, reads back, or has begun
        await brokers.kill(1)
        away_s = time.monotonic()
        await none_ready(services)
        before = {name: rss_kb(service) for name, service in services.items()}
        late = await begun(stack, tmp_path / "late", text.replace(f"port = {port}", "port = 0"), "deliver")
        await asyncio.sleep(LOOP_STALL_S + 2.0)
        assert (await late.admin("livez"))[0] == 200
        assert not (await late.ready())[0]
        began_s = time.monotonic()
        assert await late.terminate() == 0
        assert time.monotonic() - began_s < DeliverSettings().drain_s
        await asyncio.sleep(max(0.0, away_s + AWAY_S - time.monotonic()))
        await all_live(services.values())
        grown = {name: rss_kb(service) - before[name] for name, service in services.items()}
        assert max(grown.values()) < GROWN_KB, grown
        await brokers.start(1)
        await all_ready(services)

        brokers.pause(1)
        began_s = time.monotonic()
        await none_ready(services)
        await all_live(services.values())
        await asyncio.sleep(max(0.0, began_s + SLOW_S - time.monotonic()))
        brokers.resume(1)
        await all_ready(services)

        await services["route"].until(lambda metrics: routed(metrics) >= 3 * total, timeout_s=240)
        sums = await settled(services, KEYS, total)
        assert sums.wrong(total) == []
        await told_by_metrics(services)
        for verdict in await readers.judged(wanted):
            verdict.check()
        for name, service in services.items():
            lines = [line for line in service.lines if '"a library says"' in line]
            assert len(lines) < 60, (name, len(lines), lines[-3:])
            assert await service.terminate() == 0, (name, service.lines[-5:])
            assert not [line for line in service.lines if "Traceback" in line or "by a defect" in line], name


def summed(metrics: Mapping[str, float], name: str) -> float:
    return sum(value for sample, value in metrics.items() if sample.startswith(name))


async def begun(stack: AsyncExitStack, folder: Path, text: str, role: str = "") -> Service:
    folder.mkdir()
    role = role or folder.name.partition("-")[0]
    return await stack.enter_async_context(Service(folder, text, "run", "--role", role))


async def told_by_metrics(services: Mapping[str, Service]) -> None:
    """Commits, lanes, a client made anew (deliver's tables always need one); at the end nothing is behind."""
    for group in ("enrich", "route"):
        metrics = await services[group].metrics()
        outcomes = {
            name: value
            for name, value in metrics.items()
            if name.startswith(f'streamer_log_commits_total{{group="{group}"')
        }
        assert outcomes[f'streamer_log_commits_total{{group="{group}",outcome="committed"}}'] >= 1
        assert metrics[f'streamer_log_lanes{{group="{group}"}}'] == 10
        assert metrics[f'streamer_log_rebalances_total{{group="{group}"}}'] >= 1
        lag = f'streamer_log_lag_offsets{{group="{group}",'
        async with asyncio.timeout(3 * LOOK_S):
            while [v for name, v in metrics.items() if name.startswith(lag)] != [0] * 10:
                await asyncio.sleep(0.5)
                metrics = await services[group].metrics()
    assert summed(await services["deliver"].metrics(), "streamer_log_clients_replaced_total") >= 1


async def all_ready(services: Mapping[str, Service]) -> None:
    began_s = time.monotonic()
    for service in services.values():
        await service.until_ready(timeout_s=max(1.0, began_s + BACK_S - time.monotonic()))


async def none_ready(services: Mapping[str, Service]) -> None:
    """Each says of the log that it can't be read."""
    for service in services.values():
        await service.until_ready("log", "the log cannot be read")
        assert not (await service.ready())[0]


async def all_live(services: Iterable[Service]) -> None:
    for service in services:
        assert service.running, service.lines[-5:]
        assert (await service.admin("livez"))[0] == 200


def rss_kb(service: Service) -> int:
    for line in Path(f"/proc/{service.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {service.pid} has no memory")


async def test_frozen_source_finds_its_lane_taken(tmp_path: Path, brokers: Brokers) -> None:
    """Of two sources one stands by and is ready; it goes on when the other is frozen for longer than its
    session. When that one wakes, one of them has lost its only lane: it stands by and is ready.
    """
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=20)) as sandbox, AsyncExitStack() as stack:
        text = live_config(sandbox).replace('path = "streamer.db"', OnKafka(brokers).settings)
        services = [await begun(stack, tmp_path / name, text) for name in ("source-1", "source-2")]
        for service in services:
            await service.until_ready()
        async with asyncio.timeout(BACK_S):
            while await shares(services) != [("ready", 1), ("standing by", 0)]:
                await asyncio.sleep(0.1)
        first, second = services if await lanes(services[0]) else services[::-1]
        first.signal(signal.SIGSTOP)
        async with asyncio.timeout(SESSION_MS / 1_000 + BACK_S):
            while not (await lanes(second) and (await second.ready())[0]):
                await asyncio.sleep(0.1)
        first.signal(signal.SIGCONT)
        async with asyncio.timeout(BACK_S):
            while not await is_told_anew(first):
                await asyncio.sleep(0.1)
            while await shares(services) != [("ready", 1), ("standing by", 0)]:
                await asyncio.sleep(0.1)
        for service in services:
            await service.until_ready()
            assert (await service.metrics())['streamer_log_rebalances_total{group="source"}'] >= 2
        for service in services:
            assert await service.terminate() == 0, service.lines[-5:]


async def is_told_anew(service: Service) -> bool:
    """It has heard from its group since."""
    return (await service.metrics())['streamer_log_rebalances_total{group="source"}'] >= 2


async def shares(services: Iterable[Service]) -> list[tuple[str, float]]:
    return sorted([((await service.ready())[1]["source"], await lanes(service)) for service in services])


async def lanes(service: Service) -> float:
    return (await service.metrics())['streamer_log_lanes{group="source"}']
