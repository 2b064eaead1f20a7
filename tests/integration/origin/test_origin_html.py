"""HTML by the client, from the sandbox: what is taken, what is not, and what it costs."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from streamer.config import MediaWikiSettings, Settings
from streamer.metrics import REGISTRY
from streamer.origin import fetch, rendered
from streamer.origin.answer import Found
from streamer.origin.mediawiki import Origin
from streamer.origin.permits import Ask, Done, Permit, Purse
from streamer.origin.rendered import WAITING_MOST, revision_of
from streamer.sandbox.faults import Fault
from streamer.sandbox.pages import HIDDEN_TEXT
from streamer.sandbox.server import Sandbox, SandboxOptions

WIKI, SERVER = "ensandbox", "en.sandbox.example"


def counted() -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for metric in REGISTRY.collect()
        if metric.name == "streamer_enrich_html"
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


@dataclass
class Asker:
    sandbox: Sandbox
    origin: Origin
    before: dict[str, float]

    @property
    def revisions(self) -> list[int]:
        assert self.sandbox.world is not None
        pages = self.sandbox.world.wikis[WIKI].pages.values()
        return [page.current.identifier for page in pages if page.current.model == "wikitext"]

    async def html(self, revision: int) -> str | None:
        return await self.origin.html(WIKI, SERVER, revision)

    def outcomes(self) -> dict[str, float]:
        """Since the start."""
        now = counted()
        return {
            name: now[name] - self.before.get(name, 0) for name in now if now[name] > self.before.get(name, 0)
        }

    def wrong(self, kind: Any, **over: Any) -> None:
        self.sandbox.faults.add(Fault(kind, where="html", **over))


@asynccontextmanager
async def asking(purse: Purse | None = None, **over: Any) -> AsyncIterator[Asker]:
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0, pages_per_wiki=8, late_share=0)) as sandbox:
        mediawiki = {"hosts": ("*.example",), "requests_per_minute": 60_000, "concurrency": 12, **over}
        settings = Settings(mediawiki=MediaWikiSettings(endpoint=sandbox.endpoint, **mediawiki))
        async with Origin(settings, purse=purse) as origin, asyncio.timeout(30):
            yield Asker(sandbox, origin, counted())


async def test_the_html_of_exactly_that_revision() -> None:
    """One request each, which counts in the budget."""
    async with asking() as asker:
        for number, revision in enumerate(asker.revisions[:3], 1):
            html = await asker.html(revision)
            assert html is not None
            assert revision_of(html) == revision
            assert "</html>" in html
            assert asker.origin.budget_used == number
            await asyncio.sleep(0.01)  # its pace is a quarter of the budget's: 4 ms
        assert asker.outcomes() == {"fetched": 3}
        assert asker.sandbox.requests["html:ensandbox"] == 3


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"kind": "status", "status": 403}, "refused"),
        ({"kind": "status", "status": 404}, "missing"),
        ({"kind": "status", "status": 413}, "too_large"),
        ({"kind": "status", "status": 429, "retry_after_s": 1}, "limited"),
        ({"kind": "status", "status": 500}, "failed"),
        ({"kind": "status", "status": 503, "retry_after_s": 1}, "failed"),
        ({"kind": "redirect"}, "failed"),
        ({"kind": "reset"}, "failed"),
        ({"kind": "cut_body"}, "failed"),
        ({"kind": "broken_json"}, "failed"),
        ({"kind": "html"}, "another"),
        ({"kind": "another_page"}, "another"),
        ({"kind": "gzip_bomb", "bytes": 16 << 20}, "too_large"),
        ({"kind": "silent"}, "timeout"),
        ({"kind": "latency", "seconds": 30.0}, "timeout"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value,
)
async def test_what_is_not_taken_is_counted(fault: dict[str, Any], outcome: str) -> None:
    """There is no HTML then, and no error; it is not asked for again, and the wiki's revisions still are."""
    async with asking(html_timeout_s=0.3 if outcome == "timeout" else 10.0) as asker:
        asker.wrong(**fault)
        assert await asker.html(asker.revisions[0]) is None
        assert asker.outcomes() == {outcome: 1}
        assert asker.sandbox.requests["html"] == 1
        assert asker.origin.budget_used == 1
        if outcome != "limited":
            assert isinstance(await asker.origin.revision(WIKI, SERVER, asker.revisions[0]), Found)


async def test_a_document_over_the_bound_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is so large on the wire or unpacked."""
    monkeypatch.setattr(fetch, "MAX_HTML_BYTES", 600)
    async with asking() as asker:
        assert await asker.html(asker.revisions[0]) is None
        assert asker.outcomes() == {"too_large": 1}


async def test_hidden_and_missing_revisions() -> None:
    """The wiki says so, and goes on being asked."""
    async with asking() as asker:
        assert asker.sandbox.world is not None
        wiki = asker.sandbox.world.wikis[WIKI]
        found = wiki.revision(asker.revisions[0])
        assert found is not None
        found[1].hidden = HIDDEN_TEXT
        assert await asker.html(asker.revisions[0]) is None
        await asyncio.sleep(0.01)
        assert await asker.html(99_999_999) is None
        await asyncio.sleep(0.01)
        assert await asker.html(asker.revisions[1]) is not None
        assert asker.outcomes() == {"refused": 1, "missing": 1, "fetched": 1}


async def test_beyond_its_share_nothing_is_asked() -> None:
    """At once: an article doesn't wait for a token of this kind."""
    async with asking(requests_per_minute=40, concurrency=4) as asker:
        first, *others = asker.revisions[:5]
        assert await asker.html(first) is not None
        assert [await asker.html(revision) for revision in others] == [None] * 4
        assert asker.outcomes() == {"fetched": 1, "over_share": 4}
        assert asker.sandbox.requests["html"] == 1


async def test_no_share_is_no_html() -> None:
    """And a share that is given later, by a reload, is one."""
    async with asking(html_share=0.0) as asker:
        assert await asker.html(asker.revisions[0]) is None
        assert asker.outcomes() == {"over_share": 1}
        settings = Settings(
            mediawiki=MediaWikiSettings(
                endpoint=asker.sandbox.endpoint, hosts=("*.example",), requests_per_minute=60_000
            )
        )
        asker.origin.take(settings)
        assert await asker.html(asker.revisions[0]) is not None


async def test_too_many_requests_is_heeded_by_all_that_is_asked_of_the_host() -> None:
    """Retry-After pauses its HTML and its revisions; a failing Parsoid pauses HTML alone."""
    async with asking() as asker:
        asker.wrong("status", status=429, retry_after_s=60, count=1)
        assert await asker.html(asker.revisions[0]) is None
        assert await asker.html(asker.revisions[0]) is None
        assert asker.outcomes() == {"limited": 1, "paused": 1}
        waiting = asyncio.create_task(asker.origin.revision(WIKI, SERVER, asker.revisions[0]))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        assert asker.sandbox.requests["api"] == 0
        waiting.cancel()
    async with asking() as asker:
        asker.wrong("status", status=500, count=1)
        assert await asker.html(asker.revisions[0]) is None
        assert await asker.html(asker.revisions[0]) is None
        assert asker.outcomes() == {"failed": 1, "paused": 1}
        assert isinstance(await asker.origin.revision(WIKI, SERVER, asker.revisions[0]), Found)


async def asked(purse: Purse, number: int) -> Ask:
    """What a keeper hears, once so many wait."""
    async with asyncio.timeout(30):
        while purse.html_wanted < number:
            await asyncio.sleep(0.001)
        while True:
            for said in purse.say(time.monotonic()):
                if isinstance(said, Ask):
                    return said
            await asyncio.sleep(0.01)


async def test_of_a_fleet_the_keeper_says_who_may() -> None:
    """A permit of that kind, which is said to be over when the request is; who is not given one goes without,
    and only a few wait for that.
    """
    purse = Purse("here", 30.0)
    async with asking(purse) as asker, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(asker.html(asker.revisions[0]))
        ask = await asked(purse, 1)
        assert ask.html == 1
        purse.read(Permit("here", ask.number, html=True), 7, time.monotonic())
        purse.came()
        assert await first is not None
        assert Done(7) in purse.say(time.monotonic())
        assert purse.html_wanted == purse.in_flight == 0
        waiting = [tasks.create_task(asker.html(asker.revisions[1])) for _ in range(WAITING_MOST + 1)]
        assert await waiting[-1] is None
        assert [await each for each in waiting] == [None] * (WAITING_MOST + 1)
        assert asker.outcomes() == {"fetched": 1, "over_share": WAITING_MOST + 1}


async def test_without_a_share_nobody_of_a_fleet_waits_for_a_permit() -> None:
    """There is none to come: an article must not be late for it."""
    purse = Purse("here", 30.0)
    async with asking(purse, html_share=0.0) as asker:
        task = asyncio.create_task(asker.html(asker.revisions[0]))
        await asyncio.sleep(0)
        assert task.done()
        assert task.result() is None
        assert purse.html_wanted == 0
        assert asker.outcomes() == {"over_share": 1}


async def test_a_permit_for_who_has_left_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the budget is lost by a lane that goes elsewhere in the midst of it."""
    monkeypatch.setattr(rendered, "PERMIT_WAIT_S", 10.0)
    purse = Purse("here", 30.0)
    async with asking(purse) as asker:
        task = asyncio.create_task(asker.html(asker.revisions[0]))
        ask = await asked(purse, 1)
        purse.read(Permit("here", ask.number, html=True), 7, time.monotonic())
        purse.came()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert purse.in_flight == 0
        assert Done(7) in purse.say(time.monotonic())
        assert asker.sandbox.requests["html"] == 0


async def test_only_hosts_on_the_list() -> None:
    """A change names its own server: that is as untrusted here as for its revision."""
    async with asking() as asker:
        assert await asker.origin.html(WIKI, "evil.example.org", 1) is None
        assert asker.outcomes() == {"not_allowed": 1}
        assert asker.sandbox.requests["html"] == 0


@pytest.mark.parametrize(
    ("html", "revision"),
    [
        ('<!DOCTYPE html>\n<html prefix="dc: x" about="https://x/wiki/Special:Redirect/revision/3">', 3),
        ('<html about="https://x/wiki/Special:Redirect/revision/3x">', 0),
        ('<html about="https://x/wiki/Page">', 0),
        ('<html><body><p about="https://x/wiki/Special:Redirect/revision/3">', 0),
        ("", 0),
        (" " * 5_000 + '<html about="https://x/wiki/Special:Redirect/revision/3">', 0),
    ],
)
def test_which_revision_a_document_says_it_is(html: str, revision: int) -> None:
    """By the root element, as Parsoid writes it, and nothing further down, which anybody may have written."""
    assert revision_of(html) == revision
