"""The clients of the tests are no less patient than a partner's: a 503 is no end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from harness.feed import Feed, Refused
from harness.patience import TIMES, answered
from harness.served import PartnersFeed, Slow

LATER = {"Retry-After": "0"}
STREAM = b':ok\n:hb "name":"Border"\n\n'


@asynccontextmanager
async def refusing(times: int) -> AsyncIterator[tuple[int, list[str]]]:
    """The port of a service that has something after so many requests, and what was asked of it."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if len(asked) <= times:
            return web.Response(status=503, text="not now", headers=LATER)
        return web.Response(body=STREAM, content_type="text/event-stream")

    app = web.Application()
    app.router.add_get("/v2/articles", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1], asked
    finally:
        await runner.cleanup()


async def test_who_is_refused_comes_again() -> None:
    """As long as a few times are enough."""
    async with refusing(TIMES - 1) as (port, asked):
        reading = Feed(f"http://127.0.0.1:{port}/v2/articles", "key")
        assert [event.name async for event in reading.events()] == ["heartbeat"]
        assert len(asked) == TIMES


async def test_who_is_always_refused_says_so() -> None:
    """With the answer."""
    async with refusing(TIMES) as (port, asked):
        reading = Feed(f"http://127.0.0.1:{port}/v2/articles", "key")
        with pytest.raises(Refused, match="not now"):
            [event async for event in reading.events()]
        assert len(asked) == TIMES


@pytest.mark.parametrize("times", [0, TIMES - 1])
async def test_the_other_clients_come_again_too(times: int) -> None:
    """The one that reads slowly, and each request of the others."""
    async with (
        refusing(times) as (port, _),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        answered(session, "GET", "/v2/articles") as response,
    ):
        assert response.status == 200
    async with refusing(times) as (port, asked), Slow(PartnersFeed(port, "key", "topic")) as slow:
        assert await slow.read({}, ["Border"]) == set()
        assert len(asked) == times + 1


async def test_the_last_refusal_is_an_answer() -> None:
    """Which who asked may judge."""
    async with refusing(TIMES) as (port, asked), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/v2/articles"
        async with answered(session, "GET", url) as response:
            assert response.status == 503
        assert len(asked) == TIMES
