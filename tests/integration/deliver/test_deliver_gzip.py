"""gzip on the wire: readable event by event, shared by all, and whole only where the stream has ended."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from harness.delivering import Delivering, bearer, delivering, metric, problem, raw
from harness.detaching import Adopted, Way

from streamer.config import DeliverSettings
from streamer.deliver.connection import Connection
from streamer.deliver.encode import PREAMBLE
from streamer.deliver.gzipped import HEADER, Block, block

EVER: Final = "2020-01-01T00:00:00Z"
GZIP: Final = "Accept-Encoding: gzip\r\n"


@dataclass
class Body:
    """A chunked body, unpacked as it comes."""

    reader: asyncio.StreamReader
    head: bytes = b""
    packed: bytes = b""
    plain: bytes = b""
    decoder: Any = field(default_factory=lambda: zlib.decompressobj(wbits=31))

    async def chunk(self) -> bytes:
        """b"" at the end."""
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        self.packed += data
        self.plain += self.decoder.decompress(data)
        return data

    async def until(self, end: bytes) -> bytes:
        """What there is by the time that it ends so; each chunk is an event border."""
        while not self.plain.endswith(end):
            assert await self.chunk()
        taken, self.plain = self.plain, b""
        return taken

    async def rest(self) -> bytes:
        while await self.chunk():
            pass
        return self.plain


@asynccontextmanager
async def gunzipped(server: Delivering, head: str = "", target: str = "/v2/articles") -> AsyncIterator[Body]:
    async with asyncio.timeout(30), raw(server, GZIP + head, target=target) as (reader, _):
        body = Body(reader)
        body.head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in body.head
        yield body


async def test_each_event_is_readable_when_it_is_sent(tmp_path: Path) -> None:
    """Live, before the next one is even written, in either format; heartbeats between them too."""
    async with (
        delivering(tmp_path, deliver=DeliverSettings(heartbeat_s=0.05)) as server,
        gunzipped(server) as sse,
        gunzipped(server, "Accept: application/x-ndjson\r\n") as ndjson,
    ):
        assert b"Content-Encoding: gzip\r\n" in sse.head
        assert b"Vary: Accept, Accept-Encoding\r\n" in sse.head
        assert await sse.until(PREAMBLE) == PREAMBLE
        assert sse.packed[:10] == HEADER
        for sequence in range(1, 6):
            await server.write([1])
            event = await sse.until(b"\n\n")
            assert event.count(b"\n\n") == 1
            assert b'"sequence":%d,' % sequence in event
            line = await ndjson.until(b"\n")
            assert line.strip() == event.split(b"data: ")[1].strip()
            await sse.until(b":hb\n")
            await ndjson.until(b" ")


async def test_who_does_not_ask_gets_it_as_it_is(tmp_path: Path) -> None:
    """Without the header, or where identity is liked better; `Vary` is said to all. Neither is 406."""
    async with delivering(tmp_path) as server:
        for accept in ("", "Accept-Encoding: gzip;q=0.1, identity\r\n", "Accept-Encoding: br, deflate\r\n"):
            async with asyncio.timeout(30), raw(server, accept) as (reader, _):
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"Content-Encoding" not in head
                assert b"Vary: Accept, Accept-Encoding\r\n" in head
                assert PREAMBLE in await reader.readuntil(b":ok\n")
        await problem(server, 406, headers=bearer(**{"Accept-Encoding": "gzip;q=0, identity;q=0"}))


@pytest.mark.usefixtures("way")
async def test_a_stream_that_ended_is_a_whole_file(tmp_path: Path) -> None:
    """Checksum and length are right, of what was caught up and what came live; each byte sent is counted."""
    async with delivering(tmp_path) as server:
        counted = metric("streamer_deliver_bytes_total", partner="acme")
        await server.write([1, 2, 3] * 50, text="some text " * 300)
        async with gunzipped(server, target=f"/v2/articles?since={EVER}") as body:
            while body.plain.count(b"\n\n") < 150:
                await body.chunk()
            await server.write([1, 2], text="more")
            while body.plain.count(b"\n\n") < 152:
                await body.chunk()
            server.runtime.draining.set()
            plain = await body.rest()
        assert plain.endswith(b'event: bye\ndata: {"reason":"drain"}\n\n')
        assert body.decoder.eof
        assert gzip.decompress(body.packed) == plain
        assert metric("streamer_deliver_bytes_total", partner="acme") - counted == len(body.packed)
        assert len(body.packed) < len(plain) / 4


async def test_ndjson_that_ended_is_a_whole_file(tmp_path: Path) -> None:
    """It has no `bye`; the file's end says that nothing is missing."""
    async with (
        delivering(tmp_path) as server,
        gunzipped(server, "Accept: application/x-ndjson\r\n") as body,
    ):
        await body.until(b" ")
        await server.write([1])
        line = await body.until(b"\n")
        server.runtime.draining.set()
        assert await body.rest() == b""
        assert gzip.decompress(body.packed) == b" " + line


async def test_a_stream_that_is_reset_has_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client sees an error, in gzip too."""
    gate = asyncio.Event()

    async def mistaken(*_: object) -> None:
        await gate.wait()
        raise KeyError("mistake")

    monkeypatch.setattr(Connection, "_catch_up", mistaken)
    async with delivering(tmp_path) as server, gunzipped(server) as body:
        await body.until(PREAMBLE)
        gate.set()
        with pytest.raises(ConnectionResetError):
            await body.rest()
        assert not body.decoder.eof


async def test_an_http_1_0_client_reads_to_the_end(tmp_path: Path) -> None:
    """Without chunks: the connection's end is the body's, and the trailer says that it is whole."""
    async with delivering(tmp_path) as server, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        key = bearer()["Authorization"]
        writer.write(f"GET /v2/articles HTTP/1.0\r\nAuthorization: {key}\r\n{GZIP}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        assert b"chunked" not in head
        body = await reader.readexactly(len(HEADER))
        await server.write([1])
        server.runtime.draining.set()
        plain = gzip.decompress(body + await reader.read())
        assert plain.startswith(PREAMBLE)
        assert plain.endswith(b'event: bye\ndata: {"reason":"drain"}\n\n')
        writer.close()


async def test_connections_share_a_frames_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """Three clients of one format get the same bytes; they are packed once."""
    packed: list[bytes] = []

    def noted(data: bytes) -> Block:
        packed.append(data)
        return block(data)

    for module in ("rendering", "channel", "outlet", "hub"):
        monkeypatch.setattr(f"streamer.deliver.{module}.block", noted)
    adopted = Adopted(monkeypatch)
    async with (
        delivering(tmp_path) as server,
        gunzipped(server) as one,
        gunzipped(server) as two,
        gunzipped(server) as three,
    ):
        bodies = (one, two, three)
        for body in bodies:
            await body.until(PREAMBLE)
        if way == "detached":
            await adopted.reach(3)
        packed.clear()
        await server.write([1])
        events = {await body.until(b"\n\n") for body in bodies}
        assert events == {*packed}
        assert len(packed) == 1
        assert bool(adopted.streams) == (way == "detached")


async def test_a_resume_gives_what_identity_gives(tmp_path: Path) -> None:
    """At every border, byte for byte."""
    async with delivering(tmp_path, limits="limits = { requests_per_minute = 0 }") as server:
        await server.write([1, 2, 3, 4] * 5, text="ü" * 50)
        async with asyncio.timeout(30), raw(server, target=f"/v2/articles?since={EVER}") as (reader, _):
            events = [await _event(reader) for _ in range(20)]
        for border in range(0, 20, 3):
            position = events[border].split(b"\n")[0].removeprefix(b"id: ").decode()
            wanted = PREAMBLE + b"".join(events[border + 1 :])
            async with gunzipped(server, f"Last-Event-ID: {position}\r\n") as body:
                while len(body.plain) < len(wanted):
                    await body.chunk()
                assert body.plain == wanted


async def _event(reader: asyncio.StreamReader) -> bytes:
    text = b""
    while not text.endswith(b"\n\n"):
        line = await reader.readline()
        if line.startswith((b"id: ", b"data: ")) or line == b"\n":
            text += line
    return text
