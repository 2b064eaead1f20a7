"""A real Prometheus judges the rules of deploy/prometheus, an hour of them in a minute, about a service to
which things are done: the alert of that fault fires, no other does, and it clears when the fault is over.
"""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from harness.alerting import watched
from harness.sandboxed import on_sandbox
from recording_setup import KEYS

from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox

EDITS_EVERY_S: Final = 0.2
LARGE: Final = "word " * 30_000


@pytest.mark.timeout(600)
async def test_each_fault_fires_its_alert_and_no_other(tmp_path: Path) -> None:
    """Upstream answers 503; the wikis 429; the disk takes nothing; a partner's client does not read."""
    async with (
        on_sandbox(tmp_path) as (sandbox, service),
        edited(sandbox),
        watched(tmp_path, service) as alerts,
    ):
        async with alerts.alone("SourceStalled"):
            sandbox.faults.add(Fault("status", where="stream", status=503))
            sandbox._bell.cut()
            await alerts.fires("SourceStalled")
            sandbox.faults.clear()
        async with alerts.alone("OriginRefuses"):
            sandbox.faults.add(Fault("status", status=429, retry_after_s=1))
            await alerts.fires("OriginRefuses")
            sandbox.faults.clear()
        async with alerts.alone("LogFails"):
            resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            await alerts.fires("LogFails")
            resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        async with alerts.alone("SlowPartner"), not_reading(await service.port()):
            await edit(sandbox, [LARGE] * 6)
            await alerts.fires("SlowPartner")


@asynccontextmanager
async def not_reading(port: int) -> AsyncIterator[None]:
    """A stream whose client takes nothing after its first bytes."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        key = KEYS["everything"]
        head = f"GET /v2/articles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
        await loop.sock_sendall(sock, head.encode())
        assert (await loop.sock_recv(sock, 64)).startswith(b"HTTP/1.1 200")
        yield


@asynccontextmanager
async def edited(sandbox: Sandbox) -> AsyncIterator[None]:
    """All the while, and only edited: what is removed from a wiki would end a stream that holds it."""

    async def keep_editing() -> None:
        for number in count():
            await edit(sandbox, [f"Text {number}"])
            await asyncio.sleep(EDITS_EVERY_S)

    async with asyncio.TaskGroup() as group:
        editing = group.create_task(keep_editing())
        yield
        editing.cancel()


async def edit(sandbox: Sandbox, texts: Iterable[str]) -> None:
    assert sandbox.world
    async with aiohttp.ClientSession(sandbox.endpoint) as session:
        for number, text in enumerate(texts):
            wiki = list(sandbox.world.wikis)[number % 2]
            change = {"wiki": wiki, "title": f"Page {len(text)}-{number}", "text": text}
            async with session.post("/sandbox/edit", json=change) as response:
                assert response.status == 200
