"""What is sent when nothing happens."""

import asyncio
import time

import pytest

from streamer.config import DeliverSettings
from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.lines import vector
from tests.conformance.endpoint.reading import FORMATS, Format, streaming, together
from tests.conformance.endpoint.service import HEARTBEAT_S, Prepared


async def test_heartbeats(prepared: Prepared) -> None:
    """One after each `heartbeat_s` without an event, and nothing else, in both formats, packed and not; an
    article in between is whole.
    """
    heard = asyncio.Barrier(5)

    async def listen(fmt: Format, gzip: bool) -> None:
        async with streaming(prepared.endpoint, fmt, gzip=gzip) as stream:
            if fmt == "ndjson":
                await stream.beat()  # the first byte is one too
            began_s = time.monotonic()
            for _ in range(3):
                assert [item.name for item in await stream.beat()] == ["hb"]
            took_s = time.monotonic() - began_s
            assert took_s > 0.8 * 3 * HEARTBEAT_S
            await heard.wait()
            assert len(await stream.articles(1)) == 1

    async with asyncio.TaskGroup() as group:
        for fmt in FORMATS:
            for gzip in (False, True):
                group.create_task(listen(fmt, gzip))
        await heard.wait()
        await prepared.write([Varied(1)])


async def test_a_cursor_for_what_is_no_event(prepared: Prepared) -> None:
    """Tombstones and ticks: within 5 s (and what a busy machine adds) the position behind them, once."""
    async with streaming(prepared.endpoint) as stream:
        await stream.beat()
        await prepared.write_silent([3])
        items = await stream.take(lambda found: found[-1].name == "cursor", within_s=20.0)
        cursor = items[-1]
        assert sum(vector(cursor.id).values()) >= 2
        assert cursor.object == {"position": cursor.id}
        assert "cursor" not in [item.name for item in await stream.beat()]
    async with streaming(prepared.endpoint, headers={"Last-Event-ID": cursor.id}) as stream:
        await stream.beat()
        await prepared.write([Varied(3)])
        (item,) = await stream.articles(1)
    partition, offset = item.place
    assert offset >= vector(cursor.id)[partition]


async def test_a_pipe_of_both_formats_at_once(prepared: Prepared) -> None:
    """Live streams of both formats, packed and not, get the same bytes of the same write."""
    async with (
        streaming(prepared.endpoint, "sse") as a,
        streaming(prepared.endpoint, "ndjson") as b,
        streaming(prepared.endpoint, "sse", gzip=True) as c,
        streaming(prepared.endpoint, "ndjson", gzip=True) as d,
    ):
        streams = (a, b, c, d)
        await together(*(stream.beat() for stream in streams))
        await prepared.write(Varied.some(30))
        readings = await together(*(stream.articles(30) for stream in streams))
    assert len({tuple(item.data for item in reading) for reading in readings}) == 1


@pytest.mark.parametrize("fmt", FORMATS)
async def test_gzip_waits_for_nothing(prepared: Prepared, fmt: Format) -> None:
    """Where no heartbeat would push it out: the beginning comes at once, and each article alone."""
    async with (
        prepared.another_server(DeliverSettings(heartbeat_s=120.0)) as server,
        streaming(server.endpoint, fmt, gzip=True) as stream,
    ):
        await stream.begun()
        for page in range(3):
            await prepared.write([Varied(page)])
            await stream.articles(1)
