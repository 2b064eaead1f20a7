"""How the canary reads a feed, from a service that answers what is put into its mouth."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from streamer.canary.feed import Feed
from streamer.canary.verdict import Arrival

DEADLINE_S = 30.0
PREAMBLE = b"retry: 3000\n:ok\n"


def article(revision: int, identifier: str) -> bytes:
    event = {"kind": "edit", "sequence": revision, "date_created": "2026-11-21T12:00:00Z"}
    data = json.dumps({"identifier": 1, "version": {"identifier": revision}, "event": event})
    return f"id: {identifier}\ndata: {data}\n\n".encode()


class Scripted:
    """One answer a connection: a status, or what is sent before the stream ends; then it stays silent."""

    def __init__(self, *answers: int | bytes) -> None:
        self._answers = list(answers)
        self.last_ids: list[str] = []
        self.keys: list[str] = []
        self.over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.last_ids.append(request.headers.get("Last-Event-ID", ""))
        self.keys.append(request.headers["Authorization"])
        if not self._answers:
            self.over.set()
            await asyncio.sleep(DEADLINE_S)
        answer = self._answers.pop(0)
        if isinstance(answer, int):
            return web.Response(status=answer)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(answer)
        return response


@asynccontextmanager
async def read(scripted: Scripted, *keys: str) -> AsyncIterator[tuple[Feed, list[Arrival]]]:
    """Until all was answered."""
    app = web.Application()
    app.router.add_get("/v2/articles", scripted.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    left = list(keys)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v2/articles"
        heard: list[Arrival] = []
        feed = Feed(url, lambda: left.pop(0) if left else "key", {}, heard.append)
        reading = asyncio.create_task(feed.run())
        async with asyncio.timeout(DEADLINE_S):
            await scripted.over.wait()
        yield feed, heard
        reading.cancel()
        await asyncio.wait((reading,))
    finally:
        await runner.cleanup()


async def test_after_a_break_it_goes_on_behind_the_last_event_that_was_whole() -> None:
    """An event that was cut has not come; control events and comments move the position or nothing."""
    first = PREAMBLE + article(1, "e.0:1") + b"event: cursor\nid: e.0:5\ndata: {}\n\n:hb\n"
    torn = PREAMBLE + article(2, "e.0:6") + article(3, "e.0:7")[:-1]
    async with read(Scripted(first, torn, 503, PREAMBLE)) as (_, heard):
        pass
    assert [arrival.revision for arrival in heard] == [1, 2]


async def test_it_resumes_by_that_position_and_begins_live_where_it_expired() -> None:
    """410 says that the position is no longer known: what is missed by that is the canary's own loss."""
    scripted = Scripted(PREAMBLE + article(1, "e.0:1"), 503, 410, PREAMBLE)
    async with read(scripted):
        pass
    assert scripted.last_ids == ["", "e.0:1", "e.0:1", "", ""]


@pytest.mark.parametrize(
    ("answer", "problem"), [(401, "status_401"), (302, "status_302"), (204, "status_204"), (b"", "ended")]
)
async def test_what_keeps_the_stream_from_being_open_is_said(answer: int | bytes, problem: str) -> None:
    """In a few words, until it is open."""
    async with read(Scripted(answer)) as (feed, _):
        assert feed.problem == problem
        assert not feed.opened.is_set()


async def test_a_key_is_asked_for_at_each_connection() -> None:
    """So a rotated one is taken up; while it can't be read, nobody is asked."""
    scripted = Scripted(PREAMBLE, PREAMBLE)
    async with read(scripted, "old", "", "new", "new"):
        pass
    assert scripted.keys == ["Bearer old", "Bearer new", "Bearer new"]


async def test_what_is_no_article_is_passed_over() -> None:
    """And what follows it is heard."""
    async with read(Scripted(PREAMBLE + b"id: a\ndata: {}\n\n" + article(4, "b"))) as (_, heard):
        assert [arrival.revision for arrival in heard] == [4]
