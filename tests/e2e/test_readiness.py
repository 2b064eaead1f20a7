"""`/readyz` turns false when the log, the stream or the wikis fail, says why, and turns true when they are
back; `/livez` stays true meanwhile. One role a process, so that each is judged by itself.
"""

import asyncio
import resource
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from harness.sandboxed import live_config
from harness.service import Service
from recording_setup import write_partners

from streamer.log_watch import DEADLINE_S, LOOK_S, WRITE_S
from streamer.pipeline import ROLES
from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

SLACK_S = 20.0
"""For a machine that has other things to do."""
DRAIN_S = 3 * SLACK_S
"""Which a drain that has nothing to wait for is not seen to take."""
SILENCE_S = 3.0
"""Of a stream whose next sign of life is a connection; a busy machine is silent for a second by itself."""
CUT_SEEN_S = 2.5
"""Longer than the pause after a normal cut."""


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[tuple[Sandbox, dict[str, Service]]]:
    """All ready. At the end each is drained, at once and with 0."""
    write_partners(folder / "partners.toml")
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=0)) as sandbox,
        AsyncExitStack() as stack,
    ):
        text = live_config(sandbox).replace('"streamer.db"', f'"{folder / "streamer.db"}"')
        text = text.replace("[mediawiki]", f"silence_s = {SILENCE_S}\n[mediawiki]")
        text = text.replace("heartbeat_s = 1", f"heartbeat_s = 1\ndrain_s = {DRAIN_S}")
        text += f'[partners]\nfile = "{folder / "partners.toml"}"\n'
        services: dict[str, Service] = {}
        for role in ROLES:
            (folder / role).mkdir()
            services[role] = await stack.enter_async_context(
                Service(folder / role, text, "run", "--role", role)
            )
        for service in services.values():
            await service.event("admin listening")
        yield sandbox, services
        for role, service in services.items():
            began_s = time.monotonic()
            assert await service.terminate() == 0, (role, service.lines[-5:])
            assert time.monotonic() - began_s < SLACK_S, role


async def edit(sandbox: Sandbox, *wikis: str) -> None:
    async with aiohttp.ClientSession() as session:
        for wiki in wikis:
            change = {"wiki": wiki, "title": "A page", "text": str(time.monotonic())}
            async with session.post(f"{sandbox.endpoint}/sandbox/edit", json=change) as response:
                assert response.status == 200


async def live(service: Service) -> None:
    assert (await service.admin("livez"))[0] == 200


@pytest.mark.timeout(600)
async def test_stream_wikis_and_log(tmp_path: Path) -> None:
    """Each fails and comes back; only who needs it is unready, within the time that is promised."""
    async with fleet(tmp_path) as (sandbox, services):
        assert sandbox.world
        one, other = list(sandbox.world.wikis)[:2]
        await wikis_fail(sandbox, services, one, other)
        async with asyncio.TaskGroup() as both:  # which do not concern the same processes
            both.create_task(stream_fails(sandbox, services["source"], one))
            both.create_task(log_takes_nothing(services))
        await log_is_gone(tmp_path / "streamer.db", services)


async def wikis_fail(sandbox: Sandbox, services: dict[str, Service], one: str, other: str) -> None:
    enrich = services["enrich"]
    await services["source"].event("connected to the stream")
    await enrich.until_ready()
    sandbox.faults.add(Fault("status", status=503))
    await edit(sandbox, one)
    await enrich.until_ready("enrich", "no wiki answers")
    await live(enrich)
    await services["deliver"].until_ready()
    sandbox.faults.clear()
    await enrich.until_ready()
    # one of many: its requests fail as often as those did before
    sandbox.faults.add(Fault("status", status=503, wiki=one))
    failed = sandbox.requests["fault:status"]
    await edit(sandbox, one, other)
    async with asyncio.timeout(60):
        while sandbox.requests["fault:status"] < failed + 4:
            assert (await enrich.ready())[0]
            await asyncio.sleep(0.1)
    sandbox.faults.clear()


async def stream_fails(sandbox: Sandbox, source: Service, wiki: str) -> None:
    await edit(sandbox, wiki)  # its first event: a stream without any is silent by this configuration
    await source.until_ready()
    sandbox.faults.add(Fault("status", where="stream", status=503))
    sandbox._bell.cut()
    await source.until_ready("source", "it answered 503")
    await live(source)
    sandbox.faults.clear()
    await edit(sandbox, wiki)
    await source.until_ready()
    await source.until_ready("source", "no byte", timeout_s=SILENCE_S + SLACK_S)
    connected = sandbox.requests["stream"]
    async with asyncio.timeout(60):
        while sandbox.requests["stream"] < connected + 2:  # connecting alone is no sign of life after it
            assert not (await source.ready())[0]
            await asyncio.sleep(0.02)
    await edit(sandbox, wiki)
    await source.until_ready()


async def log_takes_nothing(services: dict[str, Service]) -> None:
    """A full disk, as the kernel tells it. Who only reads is not concerned."""
    writers = [services[role] for role in ("enrich", "route")]
    for service in writers:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    for service in writers:
        await service.until_ready("log", "cannot be written", timeout_s=WRITE_S + DEADLINE_S + SLACK_S)
        await live(service)
    await services["deliver"].until_ready()
    for service in writers:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    for service in writers:
        await service.until_ready(timeout_s=LOOK_S + SLACK_S)


async def log_is_gone(path: Path, services: dict[str, Service]) -> None:
    """The path leads nowhere, as when its disk was unmounted: reading is no longer reading the log."""
    away = path.with_name("away.db")
    path.rename(away)
    for role in ("enrich", "route", "deliver"):
        await services[role].until_ready("log", "cannot be read", timeout_s=LOOK_S + DEADLINE_S + SLACK_S)
        await live(services[role])
    away.rename(path)
    for role in ("enrich", "route", "deliver"):
        await services[role].until_ready()


async def test_a_normal_cut_and_a_loop_that_stands_still(tmp_path: Path) -> None:
    """Upstream cuts each connection every 15 minutes: ready all the while. A process that stands still
    answers no probe, and does again when it goes on.
    """
    write_partners(tmp_path / "partners.toml")
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=20)) as sandbox,
        Service(tmp_path, live_config(sandbox)) as service,
    ):
        await service.until_ready()
        for abort in (False, True):
            connected = sandbox.requests["stream"]
            sandbox._bell.cut(abort=abort)
            until_s = time.monotonic() + CUT_SEEN_S
            async with asyncio.timeout(60):
                while time.monotonic() < until_s or sandbox.requests["stream"] == connected:
                    ready, components = await service.ready()
                    assert ready, components
                    await asyncio.sleep(0.02)
            assert sandbox.requests["stream"] == connected + 1
        service.signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await service.admin("livez", timeout_s=0.3)
        service.signal(signal.SIGCONT)
        await live(service)
        service.signal(signal.SIGTERM)
        assert await service.wait() == 0
