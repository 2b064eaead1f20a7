"""Four processes, one role each, that meet only in one log file; each is killed -9 in turn, several times."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from harness.feed import Feed
from harness.recording import write_recording
from harness.service import Service, free_port
from recording_oracle import expected
from recording_setup import KEYS, config, until_routed_from_the_start, write_partners
from test_recording import Row, assert_equal, read_all, routed, row_of

from streamer.log.local import LocalLog
from streamer.pipeline import ROLES
from streamer.sandbox.server import Sandbox, SandboxOptions

ROUNDS = 3
BEGINNING = "2020-01-01T00:00:00Z"


async def begin(folder: Path, stack: AsyncExitStack, text: str) -> dict[str, Service]:
    """Each role in a folder of its own; the log and the partners are shared."""
    text = text.replace('"streamer.db"', f'"{folder / "streamer.db"}"')
    text += f'[partners]\nfile = "{folder / "partners.toml"}"\n'
    services: dict[str, Service] = {}
    for role in reversed(ROLES):
        (folder / role).mkdir()
        services[role] = await stack.enter_async_context(Service(folder / role, text, "run", "--role", role))
        if role == "route":
            await until_routed_from_the_start(LocalLog(folder / "streamer.db", clean_every_s=3600))
    return services


async def ready(service: Service) -> None:
    url = f"http://127.0.0.1:{await service.admin_port()}/readyz"
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.05)


def enriched(metrics: dict[str, float]) -> float:
    return metrics.get('streamer_committed_changes_total{outcome="published",role="enrich",scope=""}', 0)


@pytest.mark.timeout(150)
async def test_roles_apart_survive_the_kill_of_each(tmp_path: Path, rng: random.Random) -> None:
    """Whichever role dies, the others go on and it continues: each partner gets what the file says, once,
    both from the log and over connections that were open all the time; the counts of the roles agree.
    """
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, seconds=20, events=700)
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(tmp_path / "partners.toml")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/articles"
    live: dict[str, list[Row]] = {partner: [] for partner in wanted}
    async with (
        Sandbox(SandboxOptions(recording=recording)) as sandbox,
        AsyncExitStack() as stack,
        asyncio.TaskGroup() as group,
    ):
        text = config(recording, sandbox.endpoint, speed="recorded", port=port)
        services = await begin(tmp_path, stack, text)
        stop = asyncio.Event()

        async def follow(partner: str) -> None:
            feed = Feed(url, KEYS[partner], since=BEGINNING)
            async for event in feed.articles(stop):
                live[partner].append(row_of(event))

        followers = [group.create_task(follow(partner)) for partner in wanted]
        for _ in range(ROUNDS):
            for role in rng.sample(ROLES, len(ROLES)):
                # sometimes while it starts, sometimes in the middle of its work
                await asyncio.sleep(rng.uniform(0.1, 1.5))
                await services[role].kill()
                others = [name for name in ROLES if name != role]
                assert all(services[name].running for name in others), f"{role} took another with it"
                await services[role].start()
        await services["enrich"].until(lambda metrics: enriched(metrics) >= total, timeout_s=40)
        await services["route"].until(lambda metrics: routed(metrics) >= 3 * total, timeout_s=40)
        async with asyncio.timeout(20):
            while any(len(live[partner]) < len(rows) for partner, rows in wanted.items()):
                await asyncio.sleep(0.05)
        outcomes = await services["enrich"].committed("enrich")
        assert (await services["source"].committed("source"))["admitted"] == total
        assert outcomes.pop("admitted") == outcomes["published"] == sum(outcomes.values()) == total
        for partner, rows in wanted.items():
            again = await read_all(Feed(url, KEYS[partner], since=BEGINNING), len(rows))
            assert_equal(again, rows, f"{partner} from the log")
        stop.set()
        for follower in followers:
            follower.cancel()
        for role, service in services.items():
            assert await service.terminate() == 0, (role, service.lines[-5:])
            assert not [line for line in service.lines if "Traceback" in line], role
    for partner, rows in wanted.items():
        assert_equal(live[partner], rows, f"{partner} across the kills")
