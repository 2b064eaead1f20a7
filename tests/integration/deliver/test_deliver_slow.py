"""A client that does not read costs the others nothing, and is cut."""

import asyncio
import socket
import struct
from pathlib import Path

import pytest
from aiohttp import web
from harness.delivering import KEY, delivering, metric, raw
from harness.feed import Feed

from streamer.config import DeliverSettings
from streamer.deliver.openapi import OpenApi, encoded
from streamer.deliver.sockets import SEND_BUFFER_BYTES, WRITE_BUFFER_BYTES

TEXT = "x" * 20_000


@pytest.mark.usefixtures("way")
async def test_a_slow_reader_is_cut_and_the_others_are_not(tmp_path: Path) -> None:
    """It falls behind the retained window and is reset; memory stays at the limit; it resumes by its id."""
    settings = DeliverSettings(retained_mb=0.5, heartbeat_s=0.2)
    async with delivering(tmp_path, deliver=settings) as server:
        before = metric("streamer_deliver_ended_streams_total", partner="acme", reason="slow")
        feed = Feed(server.url, KEY)
        got: list[str] = []

        async def read() -> None:
            async for event in feed.events():
                if event.name == "message":
                    got.append(event.id)
                if len(got) == 200:
                    return

        async with asyncio.timeout(30), raw(server, receive_buffer=4096) as (slow, _):
            await slow.readuntil(b":ok\n")
            async with asyncio.TaskGroup() as group:
                group.create_task(read())
                while metric("streamer_deliver_connections", partner="acme", format="sse") < 2:
                    await asyncio.sleep(0.01)
                for round_ in range(40):
                    await server.write(range(1, 6), text=TEXT)
                    while len(got) < 5 * (round_ + 1):
                        await asyncio.sleep(0.005)
                    assert metric("streamer_deliver_retained_bytes") <= 500_000
            assert len(got) == 200
            assert metric("streamer_deliver_ended_streams_total", partner="acme", reason="slow") == before + 1
            with pytest.raises(ConnectionError):  # an error, not a clean end in the middle of a frame
                while await slow.read(65_536):
                    pass


@pytest.mark.usefixtures("way")
async def test_a_client_that_leaves_frees_its_place_at_once(tmp_path: Path) -> None:
    """Without a byte to write to it: a close and a reset are both seen."""
    async with delivering(tmp_path) as server:
        async with asyncio.timeout(30):
            for how in ("close", "reset"):
                async with raw(server) as (reader, writer):
                    await reader.readuntil(b":ok\n")
                    assert metric("streamer_deliver_connections", partner="acme", format="sse") == 1
                    if how == "reset":
                        sock = writer.get_extra_info("socket")
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.close()
                    while metric("streamer_deliver_connections", partner="acme", format="sse"):
                        await asyncio.sleep(0.01)


async def test_a_slow_reader_in_catch_up_holds_one_batch(tmp_path: Path) -> None:
    """Catch-up goes at the client's pace: a client that stops reading does not make the server read on."""
    async with delivering(tmp_path) as server:
        for _ in range(10):
            await server.write(range(1, 21), text=TEXT)  # 4 MB
        before = metric("streamer_deliver_bytes_total", partner="acme")
        target = "/v2/articles?since=2020-01-01T00:00:00Z"
        async with asyncio.timeout(60), raw(server, target=target, receive_buffer=4096) as (reader, _):
            await reader.readuntil(b":ok\n")
            await asyncio.sleep(0.5)
            assert metric("streamer_deliver_bytes_total", partner="acme") - before < 2_500_000
            text = b""
            while text.count(b"\nid: ") < 200:
                text += await reader.read(1 << 20)


@pytest.mark.parametrize(
    ("patience", "least"),
    [("streamer.deliver.sockets.USER_TIMEOUT_MS", 300), ("streamer.deliver.protocol.ANSWER_DEADLINE_S", 0.3)],
    ids=["kernel", "process"],
)
async def test_who_asks_and_never_reads_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: str, least: float
) -> None:
    """Answers that are no streams, too: few are made for who takes none, and then it is reset."""
    monkeypatch.setattr(patience, least)
    made = 0
    handle = OpenApi.handle

    async def counted(self: OpenApi, request: web.Request) -> web.Response:
        nonlocal made
        made += 1
        return await handle(self, request)

    monkeypatch.setattr(OpenApi, "handle", counted)
    async with delivering(tmp_path) as server, asyncio.timeout(60):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
            sock.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            with pytest.raises(ConnectionError):
                while True:
                    sock.send(b" ")  # a kernel that gives up says so only to who speaks
                    await asyncio.sleep(0.02)
        held = SEND_BUFFER_BYTES + WRITE_BUFFER_BYTES
        assert 0 < made <= 2 + held // len(encoded())
