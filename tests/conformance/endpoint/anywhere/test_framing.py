"""What goes over the wire, byte for byte."""

import asyncio

import pytest

from tests.conformance.endpoint.lines import PREAMBLE, Ndjson, Sse
from tests.conformance.endpoint.reading import EVER, FORMATS, TYPES, Format, covering, read, streaming
from tests.conformance.endpoint.wire import Endpoint

SOME = 40
AT_ONCE_S = 12.0
"""Less than to a heartbeat, which would push out what was kept back."""


@pytest.mark.parametrize("fmt", FORMATS)
async def test_the_stream_begins_at_once(endpoint: Endpoint, fmt: Format) -> None:
    """Headers and the first bytes come before any event: a live stream of a filter's worth of nothing."""
    async with (
        asyncio.timeout(AT_ONCE_S),
        endpoint.ask(headers={"Accept": TYPES[fmt]}, query={"parts": "9"}) as answer,
    ):
        assert answer.status == 200
        assert answer.header("cache-control") == "no-store"
        assert answer.header("transfer-encoding") == "chunked"
        first = await anext(answer.blocks())
        assert first.startswith(PREAMBLE if fmt == "sse" else b" ")
        (Sse() if fmt == "sse" else Ndjson()).feed(first)


@pytest.mark.parametrize("fmt", FORMATS)
async def test_every_article_is_one_line(endpoint: Endpoint, fmt: Format) -> None:
    """The strict parsers find nothing else: LF only, articles unnamed with id and data, one object each, no
    raw U+0085, U+2028 or U+2029, no byte order mark, times without fractions, licensed.
    """
    items = await read(endpoint, SOME, fmt, query={"since": EVER})
    assert len({item.place for item in items}) == SOME


async def test_both_formats_carry_the_same_bytes(endpoint: Endpoint) -> None:
    """What an SSE client finds behind `data: ` an NDJSON client finds on its line."""
    items = await read(endpoint, SOME, query={"since": EVER})
    async with streaming(endpoint, "ndjson", query={"since": EVER}) as stream:
        lines = await covering(stream, items)
    assert all(lines[item.place].data == item.data for item in items)


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_live_article_is_framed_like_an_old_one(endpoint: Endpoint, fmt: Format) -> None:
    """Live, then by its own place in the log: the same bytes. Skips on a feed where nothing happens."""
    async with streaming(endpoint, fmt) as stream:
        try:
            (live,) = await stream.articles(1)
        except TimeoutError:
            pytest.skip("no article came while this test waited")
    partition, offset = live.place
    query = {"offsets": f'{{"{partition}":{offset}}}'}
    async with streaming(endpoint, fmt, query=query) as stream:
        items = await stream.take(lambda found: found[-1].name == "message" and found[-1].place == live.place)
    assert items[-1].data == live.data


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_stream_is_never_silent(endpoint: Endpoint, fmt: Format) -> None:
    """A heartbeat, or an event, at least every 15 s (and a little for the way)."""
    async with streaming(endpoint, fmt, query={"parts": "0"}) as stream:
        for _ in range(2):
            assert await stream.take(bool, within_s=25.0)
