"""What happened on a wiki between a dump's start and the feed's earliest event, closed by listing changes.

`list=recentchanges` (kept for thirty days) names the pages that were edited, `list=logevents` those that were
deleted, restored, moved, merged or hidden; each page is then fetched once, as it is now. A move names no page
for the redirect that it leaves: that one is asked for by its title. Revisions whose text was hidden are
withdrawn, the newest of a page or not. What a wiki hides from its own log can't be listed (`corpus verify`
samples for it).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from consumers.corpus.asked import BATCH, pages_of
from consumers.corpus.page import Listed, Told
from consumers.corpus.progress import Closing, Hole, closing_name, fact, hole_name, known
from consumers.corpus.site import Site
from consumers.corpus.state import State
from consumers.errors import UsageError
from consumers.wiki import Wiki

KEPT: Final = timedelta(days=30)
"""So long wikis keep recent changes."""
MARGIN_S: Final = 3_600
"""Beyond the feed's earliest event: its partitions begin at different times."""
AGAIN_S: Final = 60
"""Before where an earlier call was ended: a change is listed a while after its time."""
LIMIT: Final = 500
NO_PAGES: Final = frozenset(
    {
        "patrol",
        "thanks",
        "newusers",
        "block",
        "rights",
        "review",
        "abusefilter",
        "renameuser",
        "globalauth",
        "gblblock",
    }
)
"""Types of log entries that alter no page."""

Row = dict[str, Any]


def needed(state: State, wiki: str, since: datetime, until: datetime, *, now: datetime) -> Closing | None:
    """What is to be done; None where nothing lies between."""
    since_s, until_s = int(since.timestamp()), int(until.timestamp())
    if since_s >= until_s:
        return None
    until_s = min(until_s + MARGIN_S, int(now.timestamp()))
    stored = known(state, closing_name(wiki), Closing)
    if stored and stored.since_s <= since_s:
        return replace(stored, until_s=max(stored.until_s, until_s))
    return Closing(since_s, until_s, since_s, since_s)


def listable(state: State, wiki: str, closing: Closing, *, now: datetime, accept_holes: bool) -> Closing:
    """As far as the wiki can list it. What it no longer keeps is a hole: a fact of the corpus with
    `accept_holes`, else UsageError.
    """
    kept_s = int((now - KEPT).timestamp())
    if closing.changes_s >= kept_s:
        return closing
    until_s = min(kept_s, closing.until_s)
    if not accept_holes:
        first, last = (datetime.fromtimestamp(at, UTC).isoformat() for at in (closing.changes_s, until_s))
        raise UsageError(
            f"{wiki} lists no changes older than {KEPT.days} days, and the feed keeps none either: edits from"
            f" {first} to {last} would be missing. Take a newer dump, or --accept-holes"
        )
    state.commit(facts={hole_name(wiki): fact(Hole(closing.changes_s, until_s))})
    return replace(closing, changes_s=until_s)


class Closer:
    """Lists, fetches, commits."""

    def __init__(
        self,
        state: State,
        wiki: Wiki,
        site: Site,
        *,
        keep_wikitext: bool = True,
        namespaces: Sequence[int] | None = None,
        advanced: Callable[[Closing], object] = lambda _closing: None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._state, self._wiki, self._site = state, wiki, site
        self._keep_wikitext, self._advanced, self._now_s = keep_wikitext, advanced, now_s
        self._namespaces = namespaces
        self._known: set[int | str] = set()
        """Pages and titles that were asked for."""

    def close(self, closing: Closing) -> Closing:
        """All of it; raises WikiError, and goes on there when it is called with the same again."""
        for kind in ("logs_s", "changes_s"):  # what was hidden, before newer revisions
            begin_s = max(closing.since_s, getattr(closing, kind) - AGAIN_S)
            for rows in self._lists(kind, begin_s, closing.until_s):
                last_s = max((_seconds(row.get("timestamp")) for row in rows), default=begin_s)
                closing = self._fetched(rows, closing, kind, max(getattr(closing, kind), last_s))
            closing = self._fetched([], closing, kind, closing.until_s)
        return closing

    def _lists(self, kind: str, since_s: int, until_s: int) -> Iterable[Sequence[Row]]:
        times = {"dir": "newer", "start": _written(since_s), "end": _written(until_s), "limit": LIMIT}
        if kind == "changes_s":
            params: dict[str, object] = {"list": "recentchanges", "rctype": "edit|new|log"}
            params |= {"rcprop": "ids|title|timestamp|loginfo"}
            params |= {f"rc{name}": value for name, value in times.items()}
        else:
            params = {"list": "logevents", "leprop": "ids|title|type|timestamp|details"}
            params |= {f"le{name}": value for name, value in times.items()}
        for answer in self._wiki.listed(**params):
            yield answer.get("query", {}).get(params["list"], ())

    def _fetched(self, rows: Sequence[Row], closing: Closing, kind: str, until_s: int) -> Closing:
        ids: set[int] = set()
        titles: set[str] = set()
        for row in rows:
            if row.get("logtype", row.get("type")) in NO_PAGES:
                continue
            ids.update(number for name in ("pageid", "logpage") if (number := _id(row.get(name))))
            titles.update(_places(row))
        pages = []
        for batch in _batches(sorted(ids - self._known)):
            pages += pages_of(self._wiki, self._site, ids=batch, keep_wikitext=self._keep_wikitext)
        known = {page.content.title for page in pages if page.content}
        for some in _batches(sorted(titles - self._known - known)):
            pages += pages_of(self._wiki, self._site, titles=some, keep_wikitext=self._keep_wikitext)
        shown = {(page.page, page.revision) for page in pages if page.content}
        hides = [told for row in rows for told in _hides(self._site.wiki, row)]
        changes = [told for told in hides if (told.page, told.hides) not in shown]
        self._known |= ids | titles | {page.page for page in pages}
        after = replace(closing, asked=closing.asked + len(pages), **{kind: until_s})
        self._state.commit_when_free(
            [*changes, *self._wanted(pages)], facts={closing_name(self._site.wiki): fact(after)}
        )
        self._advanced(after)
        return after

    def _wanted(self, pages: Sequence[Listed]) -> list[Listed]:
        """Of the namespaces in question, or there already: what moved out of them is no stale row. What is
        gone is so in any.
        """
        if self._namespaces is None:
            return list(pages)
        held = self._state.stored((page.wiki, page.page) for page in pages)
        return [
            page
            for page in pages
            if page.content is None
            or page.content.namespace in self._namespaces
            or (page.wiki, page.page) in held
        ]


def _hides(wiki: str, row: Row) -> Iterable[Told]:
    """Of a log entry that hides the text of revisions: as a late event of the feed, for it says nothing of
    what is newest.
    """
    params, page = row.get("params"), _id(row.get("logpage"))
    if (
        (row.get("type"), row.get("action")) != ("delete", "revision")
        or not isinstance(params, dict)
        or not page
    ):
        return
    new, ids = params.get("new"), params.get("ids")
    if params.get("type") != "revision" or not (isinstance(new, dict) and new.get("content")):
        return
    for number in ids.values() if isinstance(ids, dict) else ids if isinstance(ids, list) else ():
        if str(number).isdecimal():
            sequence = _seconds(row.get("timestamp")) * 1_000_000
            yield Told(wiki, page, sequence, 0, late=True, hides=int(number))


def _places(row: Row) -> Iterable[str]:
    """Titles whose pages a log entry may have altered beside the page it names: of a move the redirect that
    it leaves, of a merge both.
    """
    if "logtype" not in row and "logid" not in row:
        return
    params = row.get("logparams", row.get("params"))
    places = [row.get("title")]
    if isinstance(params, dict):
        places += [params.get("target_title"), params.get("dest_title")]
    yield from (title for title in places if isinstance(title, str) and title and "|" not in title)


def _batches(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _id(number: object) -> int:
    """0: it is none."""
    return number if isinstance(number, int) and number > 0 else 0


def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(timestamp: object) -> int:
    try:
        return int(datetime.fromisoformat(str(timestamp)).timestamp())
    except ValueError:
        return 0
