"""How streams end: `bye` with a reason on an event border, the trailer of gzip, and never by silence."""

import asyncio

import pytest

from streamer.config import DeliverSettings
from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.reading import EVER, FORMATS, Format, streaming, together
from tests.conformance.endpoint.service import Prepared
from tests.conformance.endpoint.wire import Endpoint


def said(items: list[object]) -> list[object]:
    return [(item.name, item.object) for item in items if item.name not in ("hb", "message", "cursor")]  # type: ignore[attr-defined] # items


async def test_a_drain(prepared: Prepared) -> None:
    """Streams of both formats, packed and not, end cleanly on an event border, SSE with the reason; packed
    ones with the last block, CRC and length that make them whole files (the client checks).
    """
    await prepared.write(Varied(page) for page in range(20))
    async with prepared.another_server(DeliverSettings(heartbeat_s=0.3)) as server:

        async def follow(fmt: Format, gzip: bool) -> None:
            async with streaming(server.endpoint, fmt, gzip=gzip, query={"since": EVER}) as stream:
                await stream.articles(20)
                ready.release()
                items = await stream.end()
                assert not stream.torn
                assert said(items) == ([("bye", {"reason": "drain"})] if fmt == "sse" else [])

        ready = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as group:
            for fmt in FORMATS:
                for gzip in (False, True):
                    group.create_task(follow(fmt, gzip))
            for _ in range(4):
                await ready.acquire()
            server.drain()


async def test_old_clients_see_an_end_too(prepared: Prepared) -> None:
    """HTTP/1.0: the connection closes behind `bye`."""
    async with prepared.another_server(DeliverSettings(heartbeat_s=0.3)) as server:
        async with server.endpoint.ask(version="1.0") as answer:
            blocks = answer.blocks()
            text = await anext(blocks)
            server.drain()
            async with asyncio.timeout(30):
                async for block in blocks:
                    text += block
        assert text.endswith(b'event: bye\ndata: {"reason":"drain"}\n\n')


@pytest.mark.parametrize("gzip", [False, True])
async def test_a_revoked_key(prepared: Prepared, gzip: bool) -> None:
    """Its streams end soon with `bye: expired`, NDJSON's without a word but cleanly; the next request
    is a 401.
    """
    async with (
        streaming(prepared.endpoint, gzip=gzip) as sse,
        streaming(prepared.endpoint, "ndjson", gzip=gzip) as ndjson,
    ):
        await together(sse.beat(), ndjson.beat())
        await prepared.revoke()
        items, lines = await together(sse.end(within_s=20.0), ndjson.end(within_s=20.0))
        assert said(items) == [("bye", {"reason": "expired"})]
        assert not said(lines)
        assert not sse.torn
        assert not ndjson.torn
    await prepared.endpoint.problem(401)


async def test_the_key_is_not_in_reports(endpoint: Endpoint) -> None:
    """What pytest would print of an endpoint, or of its key, does not tell it."""
    assert endpoint.key not in repr(endpoint)
    assert endpoint.key not in repr({"key": endpoint.key})
