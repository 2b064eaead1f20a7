"""Listing over the client: continued, counted, refused, and behind whatever else is asked."""

import asyncio
import time

import pytest

from streamer.config import MediaWikiSettings, Settings
from streamer.errors import AnswerInvalid, HostNotAllowed, OriginUnavailable
from streamer.origin.listing import Edited, Logged, More, Span
from streamer.origin.mediawiki import Origin
from streamer.origin.turns import BEHIND
from streamer.sandbox.faults import Fault
from streamer.sandbox.pages import Deed
from streamer.sandbox.server import Sandbox, SandboxOptions

WIKI, HOST = "ensandbox", "en.sandbox.example"


def settings_of(sandbox: Sandbox, **over: object) -> Settings:
    given = {
        "endpoint": sandbox.endpoint, "hosts": ("*.sandbox.example",), "requests_per_minute": 6_000, **over,
    }  # fmt: skip
    return Settings(mediawiki=MediaWikiSettings(**given))  # type: ignore[arg-type]


async def listed(origin: Origin, span: Span) -> tuple[list[Edited], list[Logged], int]:
    """And how many requests it took."""
    edits: list[Edited] = []
    logs: list[Logged] = []
    more: More = ()
    requests = 0
    while requests == 0 or more:
        listing = await origin.listing(WIKI, HOST, span, more)
        requests += 1
        edits += listing.edits
        logs += listing.logs
        more = listing.more
    return edits, logs, requests


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.origin.query.LISTED_MOST", 7)


@pytest.mark.usefixtures("few")
async def test_all_is_listed_in_order_each_once() -> None:
    """Over as many answers as it takes: what the wiki holds of that time, oldest first."""
    async with Sandbox(SandboxOptions(seed=5, edits_per_s=0.001)) as sandbox:
        assert sandbox.world
        wiki = sandbox.world.wikis[WIKI]
        user = sandbox.world.administrator(wiki)
        now_ms = int(time.time() * 1000)
        for number in range(40):
            deed = Deed(user, "c", now_ms - 60_000 + number * 1_000)
            page = sandbox.world.create(wiki, f"Listed {number}", f"text {number}", deed)
            if number % 3 == 0:
                sandbox.world.delete(wiki, page, deed)
        span = Span((now_ms - 60_000) // 1000, now_ms // 1000)
        async with Origin(settings_of(sandbox)) as origin:
            edits, logs, requests = await listed(origin, span)
        wanted = [number for number in range(40) if number % 3]
        assert [edit.title for edit in edits] == [f"Listed {number}" for number in wanted]
        assert all(edit.is_new and not edit.hides for edit in edits)
        assert [entry.title for entry in logs] == [f"Listed {number}" for number in range(0, 40, 3)]
        assert requests == max(-(-len(edits) // 7), -(-len(logs) // 7))


FAULTS = (
    Fault(kind="status", count=1),
    Fault(kind="reset", count=1),
    Fault(kind="cut_body", count=1),
    Fault(kind="maxlag", count=1, seconds=60, retry_after_s=0),
    Fault(kind="internal", count=1),
    Fault(kind="html", count=1),
)


async def test_faults_are_told_and_no_answer_is_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried once, with whatever comes: the caller comes back later."""
    monkeypatch.setattr("streamer.origin.breaker.PAUSE_S", 0.02)
    monkeypatch.setattr("streamer.origin.retry.LATER_LEAST_S", 0.02)
    monkeypatch.setattr("streamer.origin.retry.LATER_S", 0.05)
    span = Span(1, int(time.time()))
    async with (
        Sandbox(SandboxOptions(seed=5, edits_per_s=0.001)) as sandbox,
        Origin(settings_of(sandbox)) as origin,
    ):
        with pytest.raises(HostNotAllowed):
            await origin.listing(WIKI, "en.wikipedia.org", span)
        await origin.listing(WIKI, HOST, span)
        for fault in FAULTS:
            sandbox.faults.add(fault)
            with pytest.raises(OriginUnavailable):
                await origin.listing(WIKI, HOST, span)
            await origin.listing(WIKI, HOST, span)
        sandbox.faults.add(Fault(kind="broken_json", count=1))
        with pytest.raises(AnswerInvalid):
            await origin.listing(WIKI, HOST, span)


AT_ONCE = 3


@pytest.mark.parametrize("is_repair", [False, True])
async def test_an_edit_does_not_wait_for_it(*, is_repair: bool) -> None:
    """With a queue of listings, or of pages to restate, that takes what it may, edits go before all of them
    that have not begun. (How soon, and what is left for them, test_origin_scheduler tells in virtual time.)
    """
    async with (
        Sandbox(SandboxOptions(seed=5, edits_per_s=0.001)) as sandbox,
        Origin(settings_of(sandbox, requests_per_minute=200, concurrency=AT_ONCE, batch=1)) as origin,
        asyncio.TaskGroup() as tasks,
    ):
        assert sandbox.world
        wiki = sandbox.world.wikis[WIKI]
        now_s = int(time.time())
        listings: list[asyncio.Task[object]] = [
            tasks.create_task(
                origin.page(WIKI, HOST, number + 1, priority=BEHIND)
                if is_repair
                else origin.listing(WIKI, HOST, Span(now_s - number - 2, now_s))
            )
            for number in range(20)
        ]
        await asyncio.wait(listings, return_when=asyncio.FIRST_COMPLETED)
        before = sum(task.done() for task in listings)
        edits = [
            asyncio.ensure_future(origin.revision(WIKI, HOST, page.current.identifier))
            for page in list(wiki.pages.values())[:8]
        ]
        while (
            sum(edit.done() for edit in edits) < len(edits) - AT_ONCE
        ):  # until then some wait for their turn
            await asyncio.wait(
                [edit for edit in edits if not edit.done()], return_when=asyncio.FIRST_COMPLETED
            )
        overtaken = [task for task in listings if not task.done()]
        assert len(listings) - len(overtaken) - before <= AT_ONCE
        assert overtaken, "none was left to be overtaken"
        await asyncio.gather(*edits)
        for task in listings:
            task.cancel()
