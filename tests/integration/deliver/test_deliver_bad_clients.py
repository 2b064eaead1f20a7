"""Clients that speak HTTP and mean no good, or speak it oddly: by the hundred, and nobody else notices."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from harness.delivering import KEY, Delivering, delivering, metric, raw, streams_open
from harness.malformed import SMUGGLED
from harness.onslaught import Footing, at_once, bystander, eavesdropping

from streamer.config import DeliverSettings

LIMITS = "limits = { connections = 0, requests_per_minute = 0 }"
LATE_S = 15.0
GROWN_BYTES = 40_000_000
HEAD = f"GET /v2/articles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n".encode()
SLOW_S = 0.5


async def connected(server: Delivering) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def onslaught(folder: Path, client: Callable[[Delivering], Awaitable[None]], count: int) -> None:
    """So many at once, twice; nothing is left of them."""
    settings = DeliverSettings(heartbeat_s=0.3, retained_mb=1)
    async with delivering(folder, limits=LIMITS, deliver=settings) as server:

        async def one(_: int) -> None:
            await client(server)

        async with asyncio.timeout(100), bystander(server, late_s=LATE_S):
            with eavesdropping():
                await at_once(one, range(count), count)
                await streams_open(0)
                footing = Footing.now()
                await at_once(one, range(count), count)
                await streams_open(0)
                await footing.regained(grown_bytes=GROWN_BYTES)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is slow is waited for, but not long."""
    monkeypatch.setattr("streamer.deliver.protocol.HEAD_DEADLINE_S", SLOW_S)
    monkeypatch.setattr("streamer.deliver.body.BODY_DEADLINE_S", SLOW_S)


async def dripped(writer: asyncio.StreamWriter, data: bytes) -> None:
    """A byte now and then, as long as the server takes them."""
    with contextlib.suppress(ConnectionError):
        for byte in data * 1_000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(SLOW_S / 10)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("said", [b"", HEAD + b"Content-Length: 1000\r\n\r\n"], ids=["head", "body"])
async def test_dripping(tmp_path: Path, said: bytes) -> None:
    """Heads and bodies that never end cost a connection for their deadline, whatever trickles in."""

    async def drip(server: Delivering) -> None:
        reader, writer = await connected(server)
        writer.write(said)
        dripping = asyncio.create_task(dripped(writer, b"GET /x HTTP/1.1\r\nX: " if not said else b"x"))
        began_s = asyncio.get_running_loop().time()
        answer = b""
        with contextlib.suppress(ConnectionError):
            while b"}" not in answer and (chunk := await reader.read(65_536)):
                answer += chunk
        assert asyncio.get_running_loop().time() - began_s < SLOW_S + LATE_S
        assert not said or b" 400 " in answer or not answer
        dripping.cancel()
        writer.transport.abort()

    await onslaught(tmp_path, drip, 150)


async def test_resets(tmp_path: Path) -> None:
    """Requests, whole and half, whose connection is reset at once, or when the stream has begun."""
    turn = 0

    async def reset(server: Delivering) -> None:
        nonlocal turn
        turn += 1
        reader, writer = await connected(server)
        writer.write(HEAD + (b"\r\n" if turn % 3 else b"X"))
        if turn % 3 == 1:
            await reader.readuntil(b":ok\n")
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    await onslaught(tmp_path, reset, 300)


async def never_reading(folder: Path, count: int) -> None:
    settings = DeliverSettings(heartbeat_s=0.3, retained_mb=1, max_connections=2 * count)
    text = "x" * 20_000
    async with (
        delivering(folder, limits=LIMITS, deliver=settings) as server,
        asyncio.timeout(100),
        AsyncExitStack() as stack,
        bystander(server, late_s=LATE_S),
    ):
        for _ in range(count):
            reader, _writer = await stack.enter_async_context(raw(server, receive_buffer=4_096))
            await reader.readuntil(b":ok\n")
            reader._transport.pause_reading()  # type: ignore[attr-defined] # not even by its buffer
        before = Footing.now()
        for _ in range(60):
            await server.write(range(1, 6), text=text)
            assert metric("streamer_deliver_retained_bytes") <= 1_000_000
        await streams_open(0)  # they fell behind the window, and were reset
        # what the transport may hold of each: a write of 64 kB, and what is joined for it
        assert Footing.now().bytes - before.bytes < count * 400_000 + GROWN_BYTES


async def test_many_that_never_read(tmp_path: Path) -> None:
    """They are reset once they are behind the retained window; memory is bounded by the configuration."""
    await never_reading(tmp_path, 100)


@pytest.mark.soak
async def test_a_thousand_that_never_read(tmp_path: Path) -> None:
    """The same by the thousand."""
    await never_reading(tmp_path, 1_000)


async def test_a_client_that_half_closes_has_left(tmp_path: Path) -> None:
    """Its FIN can't be told from that of one that went away, whose place is promised to be free at once: the
    stream ends, without a heartbeat that finds out.
    """
    async with delivering(tmp_path) as server, asyncio.timeout(30), raw(server) as (reader, writer):
        await reader.readuntil(b":ok\n")
        writer.write_eof()
        await streams_open(0)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass


async def test_what_follows_a_stream_is_not_read(tmp_path: Path) -> None:
    """A second request behind one that streams is never answered, and who sends a flood of them is not read:
    it fills its own socket's buffers, and its stream goes on.
    """
    async with (
        delivering(tmp_path, deliver=DeliverSettings(heartbeat_s=0.1)) as server,
        asyncio.timeout(60),
        raw(server) as (reader, writer),
    ):
        got = await reader.readuntil(b":ok\n")
        writer.write(SMUGGLED * 500_000)  # 18 MB, which this side of the socket holds
        before = Footing.now()
        await server.write([1])
        got += await reader.readuntil(b'"identifier":1')
        got += await reader.readuntil(b":hb\n")
        assert b"/problem" not in got
        assert writer.transport.get_write_buffer_size() > 0, "all of it was read"
        assert Footing.now().bytes - before.bytes < GROWN_BYTES // 4
