"""kill -9 once a cut-off is durable and its change still open: the text stays withdrawn, nothing doubles."""

import asyncio
import signal
from pathlib import Path

import aiohttp
from harness.faults import Faults, Fired
from harness.feed import Feed, Received
from harness.judge import BEGINNING
from harness.sandboxed import live_config
from harness.service import Service
from recording_setup import KEYS, until_routed_from_the_start, write_partners
from test_bad_input import accounted, articles, write

from streamer.faultpoints import Point
from streamer.log.local import LocalLog
from streamer.sandbox.server import Sandbox, SandboxOptions

SECRET = "what nobody must read any more"


async def hide(sandbox: Sandbox, title: str, revision: int) -> None:
    assert sandbox.world
    asked = {"wiki": next(iter(sandbox.world.wikis)), "title": title, "action": "hide", "revision": revision}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.endpoint}/sandbox/edit", json=asked) as response,
    ):
        assert response.status == 200, await response.text()


async def test_a_kill_behind_an_early_cutoff_shows_no_hidden_text(tmp_path: Path) -> None:
    """The successor withdraws again and answers for the change once: one visibility record, no text."""
    write_partners(tmp_path / "partners.toml")
    faults = Faults(tmp_path / "fired")
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=0.0)) as sandbox,
        Service(tmp_path, live_config(sandbox)) as service,
    ):
        await service.event("connected to the stream")
        await until_routed_from_the_start(LocalLog(tmp_path / "streamer.db", clean_every_s=3600))
        await write(sandbox, "Page", SECRET)
        revision = await write(sandbox, "Page", f"{SECRET}, and more of it")
        await articles(service, 2)
        assert await service.terminate() == 0
        service.environ = faults.arm("kill", {Point.ENRICH_CUT_OFF_EARLY: "1"})
        await service.start()
        await service.event("connected to the stream")
        pid = service.pid
        await hide(sandbox, "Page", revision)
        assert await service.wait(60) == -signal.SIGKILL
        assert faults.fired() == [Fired(Point.ENRICH_CUT_OFF_EARLY.label, "kill", 1, pid)]
        service.environ = {}
        await service.start()
        assert await accounted(service, 3) == {"admitted": 3, "published": 3}
        found = await seen(service)
        assert [event.article["event"]["kind"] for event in found] == ["create", "visibility"]  # type: ignore[index]
        assert "and more of it" not in "".join(event.data for event in found)
        assert await service.terminate() == 0


async def seen(service: Service) -> list[Received]:
    """What the log serves now, up to the change of visibility."""
    url = f"http://127.0.0.1:{await service.port()}/v2/articles"
    found: list[Received] = []
    stream = Feed(url, KEYS["everything"], since=BEGINNING).events()
    async with asyncio.timeout(60):
        async for event in stream:
            if event.name == "message":
                found.append(event)
            elif event.name == "heartbeat" and len(found) >= 2:
                break
    await stream.aclose()
    return found
