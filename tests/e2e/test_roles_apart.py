"""Four processes, one role each, that meet only in one log file; each is killed -9 in turn, several times."""

import asyncio
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from harness.judge import Readers, routed
from harness.on_kafka import OnKafka
from harness.recording import write_recording
from harness.service import Service, free_port
from recording_oracle import expected
from recording_setup import KEYS, LOCAL, config, until_routed_from_the_start, write_partners

from streamer.log.kafka_groups import SESSION_MS
from streamer.log.local import LocalLog
from streamer.sandbox.server import Sandbox, SandboxOptions

ROUNDS = 2


async def begin(folder: Path, stack: AsyncExitStack, text: str, kafka: OnKafka | None) -> dict[str, Service]:
    """Each role in a folder of its own, on a cluster two of enrich; the log and the partners are shared."""
    text = text.replace('"streamer.db"', f'"{folder / "streamer.db"}"')
    text += f'[partners]\nfile = "{folder / "partners.toml"}"\n'
    services: dict[str, Service] = {}
    for name in ("deliver", "route", "enrich", *(("enrich-2",) if kafka else ()), "source"):
        role = name.partition("-")[0]
        (folder / name).mkdir()
        services[name] = await stack.enter_async_context(Service(folder / name, text, "run", "--role", role))
        if role == "route":
            log = kafka.open() if kafka else LocalLog(folder / "streamer.db", clean_every_s=3600)
            await until_routed_from_the_start(log)
    return services


async def ready(service: Service) -> None:
    url = f"http://127.0.0.1:{await service.admin_port()}/readyz"
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.05)


async def committed(services: dict[str, Service], role: str) -> Counter[str]:
    """By outcome, of all that run the role: each lane is told by the process that has it."""
    counts: Counter[str] = Counter()
    for name, service in services.items():
        if name.partition("-")[0] == role:
            counts.update(await service.committed(role))
    return counts


async def enriched(services: dict[str, Service], total: int) -> Counter[str]:
    """Once these are all there are. One that wakes up tells counts of lanes that are another's by now, for
    as long as it takes it to hear of that.
    """
    async with asyncio.timeout(90):
        while (await committed(services, "enrich"))["published"] < total:
            await asyncio.sleep(0.1)
    deadline_s = asyncio.get_running_loop().time() + 20
    while True:
        outcomes = await committed(services, "enrich")
        if outcomes["published"] == total or asyncio.get_running_loop().time() > deadline_s:
            return outcomes
        await asyncio.sleep(0.1)


async def run_apart(folder: Path, rng: random.Random, kafka: OnKafka | None = None) -> None:
    recording = folder / "own.sse"
    write_recording(recording, rng, seconds=14, events=500)
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(folder / "partners.toml")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/articles"
    async with (
        Sandbox(SandboxOptions(recording=recording)) as sandbox,
        AsyncExitStack() as stack,
        Readers(url, KEYS) as readers,
    ):
        text = config(
            recording, sandbox.endpoint, speed="recorded", port=port, log=kafka.settings if kafka else LOCAL
        )
        services = await begin(folder, stack, text, kafka)
        for _ in range(ROUNDS):
            for name in rng.sample(sorted(services), len(services)):
                # sometimes while it starts, sometimes in the middle of its work
                await asyncio.sleep(rng.uniform(0.1, 1.5))
                await services[name].kill()
                others = [other for other in services if other != name]
                assert all(services[other].running for other in others), f"{name} took another with it"
                await services[name].start()
        if kafka:
            await freeze(services["enrich-2"])
        outcomes = await enriched(services, total)
        await services["route"].until(lambda metrics: routed(metrics) >= 3 * total, timeout_s=240)
        assert (await services["source"].committed("source"))["admitted"] == total
        assert outcomes.pop("admitted") == outcomes["published"] == outcomes.total() == total
        for verdict in await readers.judged(wanted):
            verdict.check()
        for name, service in services.items():
            assert await service.terminate() == 0, (name, service.lines[-5:])
            assert not [line for line in service.lines if "Traceback" in line], name


async def freeze(service: Service) -> None:
    """Long enough for the group to take its lanes away; it wakes in the middle of what it was at."""
    service.signal(signal.SIGSTOP)
    await asyncio.sleep(1.5 * SESSION_MS / 1_000)
    service.signal(signal.SIGCONT)


async def test_roles_apart_survive_the_kill_of_each(tmp_path: Path, rng: random.Random) -> None:
    """Whichever role dies, the others go on and it continues: each partner gets what the file says, once,
    both from the log and over connections that were open all the time; the counts of the roles agree.
    """
    await run_apart(tmp_path, rng)
