"""A scripted world outside: wikis that answer what a test tells them, when it tells them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.schema import checked_whole
from msgspec.structs import replace

from streamer.config import LogSettings, MediaWikiSettings, Settings
from streamer.enrich.textpool import TextPool
from streamer.errors import HostNotAllowed
from streamer.log.base import Record, Stored, TopicPartition, partition_of
from streamer.log.local import LocalLog
from streamer.model import Change, Hint, encode_value, identifier_of_event, identifier_of_revision, is_tick
from streamer.origin.answer import Answer, Found, Missing, PageAnswer, RevisionAnswer, SiteInfo
from streamer.origin.listing import Edited, Listing, Logged, More, Span
from streamer.origin.turns import BEHIND, LIVE
from streamer.runtime import Runtime, topic_specs

SITE = SiteInfo(
    wiki="testwiki",
    server_name="test.example.org",
    name="Testpedia",
    language="en",
    direction="ltr",
    namespaces={0: "", 1: "Talk", 6: "File", 14: "Category"},
    licence_name="Creative Commons Attribution-Share Alike 4.0",
    licence_url="https://creativecommons.org/licenses/by-sa/4.0/",
    article_path="/wiki/$1",
    script_path="/w",
    server="https://test.example.org",
    fetched_ms=0,
)


def make_found(revision: int, page_id: int, **over: Any) -> Found:
    """`over` goes to the revision, the page or the site, whichever has such a field."""
    rev = RevisionAnswer(
        identifier=revision,
        parent=revision - 1,
        edited_ms=1_000_000,
        minor=False,
        size=len(over.get("content") or f"Text of {revision}."),
        sha1="ab" * 20,
        content=f"Text of {revision}.",
        content_model="wikitext",
        comment=f"Comment {revision}",
        user="Someone",
        user_id=7,
    )
    page = PageAnswer(page_id=page_id, namespace=0, title=f"Page {page_id}", last_revision=revision)
    site = SITE
    asked_ms = over.pop("asked_ms", 10**15)
    for name, value in over.items():
        if name in RevisionAnswer.__struct_fields__ and name != "identifier":
            rev = replace(rev, **{name: value})
        elif name in PageAnswer.__struct_fields__:
            page = replace(page, **{name: value})
        else:
            site = replace(site, **{name: value})
    return Found(site, page, rev, asked_ms)


def make_change(kind: str = "edit", revision: int = 0, title: str = "A", **over: Any) -> Change:
    wiki = over.get("wiki", "testwiki")
    fields: dict[str, Any] = {
        "identifier": identifier_of_revision(wiki, revision)
        if kind in ("create", "edit")
        else identifier_of_event(f"{kind}-{title}"),
        "kind": kind,
        "wiki": wiki,
        "server_name": "test.example.org",
        "title": title,
        "namespace": 0,
        "edited_ms": 2_000_000,
        "upstream_ms": 2_000_100,
        "revision": revision,
    }
    return Change(**{**fields, **over})


class ScriptedWikis:
    """Answers by what was asked: `("revision", 5)`, `("page", 3)`, `("title", "A")`, `("deleted", "A")`.

    A list is answered one by one (the last again and again), a function is called for its answer, an
    exception is raised; with `hold(key)` the answer waits for `go(key)`. What was never scripted is Missing.
    """

    def __init__(self) -> None:
        self.answers: dict[tuple[str, Any], list[Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.behind: set[tuple[str, Any]] = set()
        """What of it was asked behind live work."""
        self.sites: dict[str, SiteInfo] = {"testwiki": SITE}
        self.failing_since: float | None = None
        self.any_host_answers = True
        self.has_backlog = False
        self.under_way: set[int] = set()
        """Revisions that a request was sent for."""
        self._held: dict[tuple[str, Any], asyncio.Event] = {}
        self.lists: dict[str, list[Edited | Logged]] = {}
        """What each wiki lists, oldest first."""
        self.list_most = 500
        self.list_errors: dict[str, list[Exception]] = {}
        """Raised one by one before it does."""
        self.listed: list[tuple[str, Span, More]] = []

    def script(self, key: tuple[str, Any], *answers: Any) -> None:
        self.answers[key] = list(answers)

    def hold(self, key: tuple[str, Any]) -> None:
        self._held[key] = asyncio.Event()

    def go(self, key: tuple[str, Any]) -> None:
        self._held[key].set()

    async def _answer(self, key: tuple[str, Any], missing: Any) -> Any:
        self.asked.append(key)
        asked_answers = self.answers.get(key)
        answer = missing
        if asked_answers:
            answer = asked_answers.pop(0) if len(asked_answers) > 1 else asked_answers[0]
        if key in self._held:
            await self._held[key].wait()
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def revision(self, _wiki: str, _server: str, revision: int, /, *, priority: int = LIVE) -> Answer:
        self.behind |= {("revision", revision)} if priority == BEHIND else set()
        return await self._answer(("revision", revision), Missing(10**15))

    async def title(self, _wiki: str, _server: str, title: str, /, *, priority: int = LIVE) -> Answer:
        self.behind |= {("title", title)} if priority == BEHIND else set()
        return await self._answer(("title", title), Missing(10**15))

    async def page(self, _wiki: str, _server: str, page_id: int, /, *, priority: int = LIVE) -> Answer:
        self.behind |= {("page", page_id)} if priority == BEHIND else set()
        return await self._answer(("page", page_id), Missing(10**15))

    async def html(self, _wiki: str, _server: str, revision: int, /) -> str | None:
        return await self._answer(("html", revision), None)

    async def deleted_page_id(
        self, _wiki: str, _server: str, title: str, _log_id: int, _time_ms: int, /
    ) -> tuple[int, ...]:
        return await self._answer(("deleted", title), ())

    async def listing(self, wiki: str, _server: str, span: Span, more: More = (), /) -> Listing:
        self.listed.append((wiki, span, more))
        await asyncio.sleep(0)
        if self.list_errors.get(wiki):
            raise self.list_errors[wiki].pop(0)
        rows = [r for r in self.lists.get(wiki, ()) if span.since_s <= r.edited_ms // 1000 <= span.until_s]
        at = int(more[0][1]) if more else 0
        taken, left = rows[at : at + self.list_most], rows[at + self.list_most :]
        return Listing(
            tuple(row for row in taken if isinstance(row, Edited)),
            tuple(row for row in taken if isinstance(row, Logged)),
            (("rccontinue", str(at + self.list_most)),) if left else (),
        )

    async def probe(self, _wiki: str, server: str, /) -> None:
        await self._answer(("probe", server), None)

    def site(self, wiki: str, /) -> SiteInfo | None:
        return self.sites.get(wiki)

    def check_host(self, server_name: str, /) -> None:
        if not server_name.endswith(".example.org"):
            raise HostNotAllowed(server_name)

    def is_under_way(self, _wiki: str, revision: int, /) -> bool:
        return revision in self.under_way

    def failing_since_s(self, _wiki: str, /) -> float | None:
        return self.failing_since


class Bench:
    """A real log with the shared topics, and ways to write changes and read what came of them."""

    def __init__(self, log: LocalLog, settings: Settings) -> None:
        self.runtime = Runtime(settings=settings, log=log)
        self.topics = self.runtime.topics

    def restarted(self) -> None:
        """Another process over the same log: nothing of the old one's flags is left."""
        self.runtime = Runtime(settings=self.runtime.settings, log=self.runtime.log)

    async def admit(self, *records: Change | Hint) -> None:
        await self.runtime.log.append(
            [Record(self.topics.changes, partition_of(r.wiki, 10), r.wiki, encode_value(r)) for r in records]
        )

    async def read(self, topic: str) -> list[Stored]:
        """All records of a topic, partition by partition."""
        found: list[Stored] = []
        for partition in range(10):
            tp = TopicPartition(topic, partition)
            bounds = await self.runtime.log.bounds(tp)
            async with self.runtime.log.reader({tp: bounds.earliest}) as reader:
                while reader.position(tp) < bounds.end:
                    found += await reader.read(wait_s=0.01)
        if topic == self.topics.articles:
            for record in found:
                if record.value and not is_tick(record):
                    checked_whole(msgspec.json.decode(record.value))
        return found

    async def counts(self) -> dict[str, int]:
        totals: dict[str, int] = {}
        for position in (await self.runtime.log.committed("enrich")).values():
            counts = position.state.get("counts", {})  # none before the first change
            assert isinstance(counts, dict)
            for outcome, count in counts.items():
                totals[outcome] = totals.get(outcome, 0) + count
        return totals

    async def until(self, condition: Callable[[], Any], deadline_s: float = 60.0) -> None:
        """Waits for a condition (a function or a coroutine function) to be true."""
        async with asyncio.timeout(deadline_s):
            while True:
                result = condition()
                if asyncio.iscoroutine(result):
                    result = await result
                if result:
                    return
                await asyncio.sleep(0.01)

    async def until_admitted(self, number: int) -> dict[str, int]:
        async def enough() -> bool:
            return (await self.counts()).get("admitted", 0) >= number

        await self.until(enough)
        return await self.counts()


@pytest.fixture(autouse=True)
def patient_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds for a text are too few where ten other things run."""
    monkeypatch.setattr("streamer.enrich.stage.TextPool", partial(TextPool, timeout_s=60.0))


@pytest.fixture
def wikis() -> ScriptedWikis:
    return ScriptedWikis()


@pytest.fixture
def found() -> Callable[..., Found]:
    return make_found


@pytest.fixture
def change() -> Callable[..., Change]:
    return make_change


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("streamer.enrich.patience.BACKOFF_S", 0.02)
    settings = Settings(
        log=LogSettings(path=str(tmp_path / "log.db")),
        mediawiki=MediaWikiSettings(missing_retry_s=0.05, retries=3, defer_after_s=1.0),
    )
    async with LocalLog(settings.log.path) as log:
        await log.ensure_topics(topic_specs(settings))
        yield Bench(log, settings)
