"""A large frame is on its way to a client that takes little, and what it holds is withdrawn meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from harness.delivering import KEY, Delivering, delivering, metric, raw
from harness.feed import Feed

from streamer.config import DeliverSettings
from streamer.model import Hideable

EVER: Final = "2020-01-01T00:00:00Z"
LARGE: Final = 15_000_000
IN_BUFFERS: Final = 4_000_000
"""More than all that the kernels, the loop and this reader may hold."""
WAYS: Final = {
    "live": ("", "/v2/articles"),
    "since": ("", f"/v2/articles?since={EVER}"),
    "ndjson": ("Accept: application/x-ndjson\r\n", "/v2/articles"),
    "ndjson since": ("Accept: application/x-ndjson\r\n", f"/v2/articles?since={EVER}"),
    "gzip": ("Accept-Encoding: gzip\r\n", "/v2/articles"),
    "gzip since": ("Accept-Encoding: gzip\r\n", f"/v2/articles?since={EVER}"),
    "fields": ("", "/v2/articles?fields=article_body.*&fields=version.*"),
}


def large_text(rng: random.Random) -> str:
    """That gzip can do little with."""
    return rng.randbytes(LARGE // 2).hex()


@asynccontextmanager
async def dripping(
    server: Delivering, way: str, text: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client that has taken the beginning of a large article of page 1, and no more."""
    head, target = WAYS[way]
    if "since" in way:
        await server.write([1], text=text)
    async with raw(server, head, target=target, receive_buffer=4096) as (reader, writer):
        body = await reader.readuntil(b"\r\n\r\n")
        if "since" not in way:
            await reader.readuntil(b"\r\n")  # the size of the preamble's chunk
            await server.write([1], text=text)
        while len(body) < 100_000:
            body += await reader.read(10_000)
        yield reader, writer


async def rest(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """How many bytes come still, and whether a reset ends them."""
    size = 0
    try:
        while data := await reader.read(1 << 20):
            size += len(data)
    except ConnectionResetError:
        return size, True
    return size, False


@pytest.mark.parametrize("hides", [("text",), ("comment",), ("editor",)])
@pytest.mark.parametrize("way", ["live", "since"])
async def test_the_client_is_reset(
    tmp_path: Path, rng: random.Random, way: str, hides: Sequence[Hideable]
) -> None:
    """It gets what was in the buffers, an error at the end, and what was withdrawn never again."""
    await is_reset(tmp_path, rng, way, hides)


@pytest.mark.parametrize("way", ["ndjson", "ndjson since", "gzip", "gzip since", "fields"])
async def test_whatever_it_asked_for(tmp_path: Path, rng: random.Random, way: str) -> None:
    """In each format and encoding, caught up or live, and of what a projection left."""
    await is_reset(tmp_path, rng, way, ("text",))


async def is_reset(folder: Path, rng: random.Random, way: str, hides: Sequence[Hideable]) -> None:
    before = metric("streamer_deliver_ended_streams_total", partner="acme", reason="withdrawn")
    async with delivering(folder) as server, asyncio.timeout(30):
        async with dripping(server, way, large_text(rng)) as (reader, _):
            await server.withdraw(1, hides, revision=1001)
            size, is_error = await rest(reader)
        assert is_error
        assert size < IN_BUFFERS
        await server.write([2])
        async for event in Feed(server.url, KEY, since=EVER).events():
            if event.name != "message":
                continue
            if event.article["identifier"] == 2:
                break
            assert "text" not in hides
            assert hides[0] not in event.article["version"]  # type: ignore[operator] # an object
    after = metric("streamer_deliver_ended_streams_total", partner="acme", reason="withdrawn")
    assert after - before == 1


async def test_what_is_withdrawn_of_others_does_not_disturb_it(tmp_path: Path, rng: random.Random) -> None:
    """Another page, another revision of this one, and what was hidden below it: the frame comes whole."""
    async with delivering(tmp_path) as server, asyncio.timeout(30):
        async with dripping(server, "live", large_text(rng)) as (reader, _):
            await server.withdraw(2)
            await server.withdraw(1, revision=77)
            server.sequence = 0
            await server.withdraw(1)  # its sequence is the frame's own, which is not below it
            body = b""
            while not body.endswith(b"}\n\n\r\n"):
                body += await reader.read(1 << 20)
        assert len(body) > LARGE - IN_BUFFERS


async def test_a_reset_waits_for_no_drain(tmp_path: Path, rng: random.Random) -> None:
    """The stream is to end in some seconds anyhow: the text does not go on until then."""
    settings = DeliverSettings(drain_s=600.0)
    async with delivering(tmp_path, deliver=settings) as server, asyncio.timeout(30):
        async with dripping(server, "live", large_text(rng)) as (reader, _):
            async with raw(server) as (idle, _):
                await idle.readuntil(b":ok\n")
                server.runtime.draining.set()
                await idle.readuntil(b"event: bye\n")
            await server.withdraw(1)
            size, is_error = await rest(reader)
        assert is_error
        assert size < IN_BUFFERS
