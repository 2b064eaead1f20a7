"""gzip that is readable event by event, and the same bytes without it."""

import asyncio

import pytest

from tests.conformance.endpoint.lines import PREAMBLE, vector
from tests.conformance.endpoint.reading import (
    EVER,
    FORMATS,
    TYPES,
    Format,
    by_partition,
    covering,
    read,
    streaming,
    upto,
)
from tests.conformance.endpoint.wire import Endpoint

SOME = 40
AT_ONCE_S = 12.0
"""Less than to a heartbeat, which would push out what was kept back."""


@pytest.mark.parametrize(
    ("accepted", "gzip"),
    [
        ("", False),
        ("identity", False),
        ("br, zstd", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.3, identity;q=0.5", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("x-gzip", None),
        ("*", True),
        ("gzip, deflate, br, zstd", True),
        ("identity;q=0, gzip", True),
    ],
)
async def test_gzip_where_it_is_accepted(endpoint: Endpoint, accepted: str, gzip: bool | None) -> None:
    """By name or by `*`, unless identity is liked better; `Vary` says so in either case."""
    async with endpoint.ask(headers={"Accept-Encoding": accepted} if accepted else {}) as answer:
        assert answer.status == 200
        if gzip is not None:
            assert answer.header("content-encoding") == ("gzip" if gzip else "")
        assert {"accept", "accept-encoding"} <= answer.names("vary")
        assert (await anext(answer.blocks())).startswith(PREAMBLE)


@pytest.mark.parametrize("fmt", FORMATS)
async def test_gzip_begins_at_once(endpoint: Endpoint, fmt: Format) -> None:
    """What is sent before any event is readable before any event."""
    async with (
        asyncio.timeout(AT_ONCE_S),
        endpoint.ask(
            headers={"Accept": TYPES[fmt], "Accept-Encoding": "gzip"}, query={"parts": "9"}
        ) as answer,
    ):
        first = await anext(answer.blocks())
        assert first.startswith(PREAMBLE if fmt == "sse" else b" ")


@pytest.mark.parametrize("fmt", FORMATS)
async def test_gzip_carries_the_same(endpoint: Endpoint, fmt: Format) -> None:
    """The same articles, and fewer bytes on the way."""
    plain = await read(endpoint, SOME, fmt, query={"since": EVER})
    async with streaming(endpoint, fmt, gzip=True, query={"since": EVER}) as stream:
        packed = await covering(stream, plain)
        assert stream.answer.raw_bytes < sum(len(item.data) for item in packed.values())
    assert all(packed[item.place].data == item.data for item in plain)


async def test_a_resume_in_gzip_is_the_same(endpoint: Endpoint) -> None:
    """Ids of the one are positions of the other."""
    items = await read(endpoint, SOME, query={"since": EVER})
    end = vector(items[-1].id)
    for gzip in (True, False):
        last_id = {"Last-Event-ID": items[SOME // 2].id}
        async with streaming(endpoint, gzip=gzip, headers=last_id) as stream:
            rest = await upto(stream, end)
        assert by_partition(rest) == by_partition(items[SOME // 2 + 1 :])


@pytest.mark.parametrize("fmt", FORMATS)
async def test_every_event_is_flushed(endpoint: Endpoint, fmt: Format) -> None:
    """Live, two connections: what came in gzip is whole, and no later than without it by more than a moment.
    Skips on a feed where nothing happens.
    """
    async with (
        streaming(endpoint, fmt) as plain,
        streaming(endpoint, fmt, gzip=True) as packed,
    ):
        try:
            (item,) = await plain.articles(1)
        except TimeoutError:
            pytest.skip("no article came while this test waited")
        found = await packed.take(
            lambda found: found[-1].name == "message" and found[-1].place == item.place, AT_ONCE_S
        )
        assert found[-1].data == item.data


@pytest.mark.parametrize("fmt", FORMATS)
async def test_gzip_is_never_silent(endpoint: Endpoint, fmt: Format) -> None:
    """Heartbeats, or events, in it too; each can be read when it comes."""
    async with streaming(endpoint, fmt, gzip=True, query={"parts": "0"}) as stream:
        for _ in range(2):
            assert await stream.take(bool, within_s=25.0)
