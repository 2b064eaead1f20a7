"""How many distinct feeds there may be: for a partner, and in all; and that none is held for nobody."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from harness.delivering import KEY, OTHER_KEY, Delivering, bearer, delivering, metric, problem, raw
from harness.detaching import Way

from streamer.config import DeliverSettings
from streamer.runtime import article_spec

UNHURRIED = "requests_per_minute = 0"


async def come(
    stack: AsyncExitStack, server: Delivering, query: str = "", *, key: str = KEY, **head: str
) -> asyncio.StreamReader:
    """A client whose stream has begun."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
    reader, _ = await stack.enter_async_context(raw(server, lines, target=f"/v2/articles?{query}", key=key))
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return reader


async def channels(count: int) -> None:
    """Waits until there are so many, each with its log."""
    async with asyncio.timeout(30):
        while metric("streamer_deliver_channels") != count:
            await asyncio.sleep(0.005)


def logs_open() -> int:
    found = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found += fd.readlink().name.startswith("memfd:frames")
        except OSError:  # the one that lists them
            continue
    return found


async def test_a_partner_has_so_many_feeds(tmp_path: Path, way: Way) -> None:
    """Equal wishes are one, however they are spelt; one more is 429, until the last client of one has left.
    Other partners have their own.
    """
    async with (
        delivering(tmp_path, limits=f"limits = {{ feeds = 2, {UNHURRIED} }}") as server,
        AsyncExitStack() as staying,
    ):
        topic = server.runtime.topics.of_partner("globex")
        await server.log.ensure_topics([article_spec(server.runtime.settings, topic)])
        await come(staying, server, "fields=name&fields=identifier")
        await come(staying, server, "fields=identifier,name,name")
        async with AsyncExitStack() as leaving:
            await come(leaving, server)
            await come(leaving, server)
            await channels(2)
            assert logs_open() == (0 if way == "elsewhere" else 2)
            for params, headers in (
                ({"parts": "1"}, bearer()),
                ({}, bearer(Accept="application/x-ndjson")),
                ({}, bearer(**{"Accept-Encoding": "gzip"})),
            ):
                refused = await problem(server, 429, params=params, headers=headers)
                assert refused["type"] == "urn:streamer:problem:too_many_feeds"
                assert "2 different" in str(refused["detail"])
            await come(leaving, server, key=OTHER_KEY)
            await channels(3)
        await channels(1)
        await come(staying, server, Accept="application/x-ndjson")
        await channels(2)
    await channels(0)
    assert logs_open() == 0


async def test_a_server_has_so_many_feeds(tmp_path: Path) -> None:
    """Of all partners; one more is 503, and gets in once the last client of another has left."""
    settings = DeliverSettings(max_feeds=1)
    async with (
        delivering(tmp_path, limits=f"limits = {{ {UNHURRIED} }}", deliver=settings) as server,
        AsyncExitStack() as stack,
    ):
        async with AsyncExitStack() as leaving:
            await come(leaving, server)
            await come(leaving, server)
            refused = await problem(server, 503, params={"fields": "name"})
            assert refused["type"] == "urn:streamer:problem:full"
            await channels(1)
        await channels(0)
        await come(stack, server, "fields=name")
        await channels(1)
        assert (await problem(server, 503))["type"] == "urn:streamer:problem:full"


@pytest.mark.parametrize("query", ["since=2020-01-01T00:00:00Z", ""])
@pytest.mark.usefixtures("way")
async def test_a_feed_comes_and_goes_with_its_clients(tmp_path: Path, query: str) -> None:
    """Many times over, in catch-up and live: descriptors and feeds are what they were."""
    async with delivering(tmp_path, limits=f"limits = {{ {UNHURRIED} }}") as server:
        await server.write(range(1, 20), text="x" * 5_000)
        seen: list[int] = []
        for _ in range(12):
            async with AsyncExitStack() as stack:
                await come(stack, server, query)
                await come(stack, server, query, Accept_Encoding="gzip")
                await channels(2)
            await channels(0)
            assert logs_open() == 0
            seen.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))
        assert min(seen[6:]) <= max(seen[:6]), "more with each client; the log opens its few as it is asked"
