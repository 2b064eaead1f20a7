"""What a partner, and all of them, may ask for; and what is told who asks for more."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from streamer.config import DeliverSettings
from tests.conformance.endpoint.reading import streaming
from tests.conformance.endpoint.service import Prepared

Prepare = Callable[..., Awaitable[Prepared]]
FREE_S = 30.0
"""For the places of those who left, where the service is as busy as it can be."""


async def test_connections(prepare: Prepare) -> None:
    """One more than allowed is a 429 with Retry-After; a place that is left can be taken at once, and HEAD
    takes none.
    """
    feed = await prepare("limits = { connections = 2, requests_per_minute = 0 }")
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(streaming(feed.endpoint))
        problem = await feed.endpoint.problem(429)
        assert problem["type"] == "urn:streamer:problem:too_many_connections"
    async with asyncio.timeout(FREE_S):
        while True:
            async with feed.endpoint.ask() as answer:
                if answer.status == 200:
                    break


async def test_requests_count_down(prepare: Prepare) -> None:
    """What `RateLimit` says is left goes down by one with each request, refused ones and HEAD too, and is in
    every answer, the 429 as well; another partner's is not touched.
    """
    feed, other = await prepare("limits = { requests_per_minute = 5 }"), await prepare()
    left = []
    for asked in ({}, {"method": "HEAD"}, {"query": {"since": "x"}}, {"query": {"colour": "red"}}, {}):
        async with feed.endpoint.ask(**asked) as answer:  # type: ignore[arg-type] # its arguments
            assert answer.status != 429
            assert answer.header("ratelimit-policy") == '"requests";q=5;w=60'
            left.append(answer.header("ratelimit"))
    counted = [re.fullmatch(r'"requests";r=(\d+);t=(\d+)', text) for text in left]
    assert all(counted), left
    assert [int(match[1]) for match in counted if match] == [4, 3, 2, 1, 0]
    times = [int(match[2]) for match in counted if match]
    assert times == sorted(times), "the bucket takes longer to fill with each"
    async with feed.endpoint.ask() as answer:
        body = await feed.endpoint.told(answer, 429)
        assert body["type"] == "urn:streamer:problem:too_many_requests"
        assert 1 <= int(answer.header("retry-after")) <= 12
        assert answer.header("ratelimit").startswith('"requests";r=0;')
    async with other.endpoint.ask() as answer:
        assert answer.status == 200
        assert not answer.header("ratelimit"), "an unlimited key has nothing to count"


async def test_all_places_taken(prepared: Prepared) -> None:
    """503 with Retry-After where the server has all the connections that it takes."""
    async with (
        prepared.another_server(DeliverSettings(max_connections=1)) as server,
        streaming(server.endpoint),
    ):
        await server.endpoint.problem(503)


async def test_a_feed_that_is_not_there_yet(prepare: Prepare) -> None:
    """A partner that was just added: 503 with Retry-After, not an empty stream."""
    feed = await prepare()
    await feed.remove_topic()
    await feed.endpoint.problem(503)


async def test_one_key_opens_one_feed(prepare: Prepare) -> None:
    """By no parameter, path or header does a key of one partner get to the feed of another."""
    feed, other = await prepare(), await prepare()
    for path in (f"/v2/articles/{other.name}", f"/v2/{other.topic}", f"/v2/articles?partner={other.name}"):
        async with feed.endpoint.ask(path=path) as answer:
            assert answer.status in (404, 422)
            await feed.endpoint.told(answer, answer.status)
