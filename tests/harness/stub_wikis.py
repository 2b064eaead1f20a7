"""All wikis of a mix behind one `Fetch.query`: they know what was changed, and answer as MediaWiki does.

    happened(change) ──► pages, revisions, log          what a wiki knows from then on
    query(parameters) ──► a body of formatversion=2     after its time, cut and continued where it is large

Answers hold little text and the sizes of the real ones: of what is cut at 8 MiB the sizes decide. Every
request is counted at an instant between its start and its end, as the other side would. What is random
hangs on the seed.
"""

import asyncio
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import exp
from statistics import NormalDist
from types import TracebackType
from typing import Any, Final, Self
from zlib import crc32

import msgspec

from streamer.errors import OriginUnavailable
from streamer.model import Change, rfc3339
from streamer.origin.parse import Reply

RESULT_BYTES: Final = 8 * 1024 * 1024
"""Of one answer, the API's limit: what is beyond it comes by `continue`."""
LIST_MOST: Final = 500
"""Rows of one list in one answer, of all its pages together, for a client without further rights."""
TEXT_CHARS: Final = 200
MODULES: Final = ("revisions", "info", "pageprops", "categories", "templates", "redirects")
LISTS: Final = {"categories": ("cl", 14), "templates": ("tl", 10), "redirects": ("rd", 0)}
"""The prefix of each list's parameters, and the namespace of what it lists."""


@dataclass(frozen=True, slots=True)
class Nature:
    """How the wikis are. Shares are of one."""

    mean_s: float = 0.5
    spread: float = 0.0
    """The sigma of a log-normal time to answer; 0: each takes `mean_s`."""
    hangs: float = 0.0
    """Requests that take HANGS_S."""
    lagging: float = 0.001
    """Revisions that the replica which is asked does not have yet, for LAGS_S."""
    gone: float = 0.001
    """Revisions that were deleted before anyone asked."""
    maxlag: float = 0.001
    """Requests that are told to come again later."""
    html_mean_s: float = 0.75
    html_hangs: float = 0.01
    """Of the requests for HTML."""
    listed: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"categories": (8.0, 0.8), "templates": (25.0, 1.0), "redirects": (0.7, 1.3)}
    )
    """Of a page: the median, and the sigma of its log-normal distribution."""


HANGS_S: Final = 15.0
LAGS_S: Final = 4.0
LATER_S: Final = 5.0


@dataclass(slots=True)
class _Page:
    page_id: int
    title: str
    namespace: int
    content_model: str
    last: int = 0
    is_missing: bool = False
    is_redirect: bool = False


@dataclass(slots=True)
class _Revision:
    page: _Page
    parent: int
    edited_ms: int
    size: int
    known_s: float
    """From when on it is found."""


@dataclass(slots=True)
class _Wiki:
    name: str
    pages: dict[str, _Page] = field(default_factory=dict)
    by_id: dict[int, _Page] = field(default_factory=dict)
    revisions: dict[int, _Revision] = field(default_factory=dict)
    logged: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    """Log id, page id and second of each removal from a title."""


class StubWikis:
    """In the place of streamer.origin.fetch.Fetch."""

    def __init__(
        self,
        nature: Nature,
        seed: int,
        *,
        on_answer: Callable[[str, int], object] = lambda _wiki, _revision: None,
    ) -> None:
        """`on_answer`: a revision was answered with all that was asked of it."""
        self._nature = nature
        self._rng = random.Random(f"{seed}:wikis")
        self._on_answer = on_answer
        self._by_server: dict[str, _Wiki] = {}
        self._page_ids = 0
        self.seen_s: list[float] = []
        """Of each request, when a wiki counted it."""
        self.kinds: Counter[str] = Counter()
        self.gone: set[tuple[str, int]] = set()
        """Revisions of a wiki that nobody can be given."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    # ── what happens ───────────────────────────────────────────────────────────────────────────

    def happened(self, change: Change, at_s: float) -> None:
        """Right when it is told."""
        wiki = self._by_server.setdefault(change.server_name, _Wiki(change.wiki))
        if change.kind == "delete":
            page = self._page(wiki, change.title, change.namespace, change.page_id)
            page.is_missing = True
            entry = (change.log_id, page.page_id, change.edited_ms // 1000)
            wiki.logged.setdefault(change.title, []).append(entry)
            return
        if change.previous is not None:
            page = self._page(wiki, change.previous.title, change.previous.namespace, change.page_id)
            wiki.pages.pop(change.previous.title, None)
            page.title, page.namespace = change.title, change.namespace
            wiki.pages[page.title] = page
        page = self._page(wiki, change.title, change.namespace, change.page_id)
        page.is_missing = False
        page.is_redirect = bool(change.is_redirect)
        known_s = at_s
        number = change.revision
        if number:
            chance = self._rng.random()
            if chance < self._nature.gone:
                self.gone.add((wiki.name, number))
                return
            if chance < self._nature.gone + self._nature.lagging:
                known_s += LAGS_S
        else:  # of a move, an upload: the page has one that no edit told of
            number = 10**15 + len(wiki.revisions)
        size = change.size if change.size is not None else 3_000
        wiki.revisions[number] = _Revision(page, change.parent, change.edited_ms, size, known_s)
        page.last = max(page.last, number)

    def _page(self, wiki: _Wiki, title: str, namespace: int, told_id: int) -> _Page:
        """With the id that is told, where it is."""
        page = wiki.by_id.get(told_id) or wiki.pages.get(title)
        if page is None or (told_id and page.page_id != told_id):
            self._page_ids += 1
            is_item = wiki.name == "wikidatawiki" and namespace == 0
            model = "wikibase-item" if is_item else "wikitext"
            page = wiki.pages[title] = _Page(told_id or self._page_ids, title, namespace, model)
            wiki.by_id[page.page_id] = page
        return page

    # ── what is asked ──────────────────────────────────────────────────────────────────────────

    async def query(self, server_name: str, parameters: Mapping[str, str], timeout_s: float) -> Reply:
        wiki = self._by_server[server_name]
        kind = _kind(parameters)
        await self._take(kind, timeout_s, self._nature.mean_s, self._nature.hangs)
        if "maxlag" in parameters and self._rng.random() < self._nature.maxlag:
            self.kinds["told to come later"] += 1
            return Reply(msgspec.json.encode({"error": {"code": "maxlag", "type": "db", "lag": 6}}), LATER_S)
        body, answered = self._answer(wiki, server_name, parameters)
        for revision in answered:
            self._on_answer(wiki.name, revision)
        return Reply(msgspec.json.encode(body))

    async def html(self, server_name: str, revision: int, timeout_s: float) -> Reply:
        """Of Parsoid, by the REST API."""
        wiki = self._by_server[server_name]
        await self._take("html", timeout_s, self._nature.html_mean_s, self._nature.html_hangs)
        if revision not in wiki.revisions:
            raise OriginUnavailable("status_404")
        about = f"https://{server_name}/wiki/Special:Redirect/revision/{revision}"
        return Reply(f'<html about="{about}"><body><p>text</p></body></html>'.encode())

    async def _take(self, kind: str, timeout_s: float, mean_s: float, hangs: float) -> None:
        """One request's time; raises OriginUnavailable where that is more than it is given."""
        rng, sigma = self._rng, self._nature.spread
        latency_s = mean_s * exp(rng.gauss(-(sigma**2) / 2, sigma)) if sigma else mean_s
        if rng.random() < hangs:
            latency_s = HANGS_S
        now_s = asyncio.get_running_loop().time()
        self.seen_s.append(now_s + min(latency_s, timeout_s) * rng.random())
        self.kinds[kind] += 1
        if latency_s > timeout_s:
            await asyncio.sleep(timeout_s)
            raise OriginUnavailable("timeout")
        await asyncio.sleep(latency_s)

    def _answer(
        self, wiki: _Wiki, server_name: str, parameters: Mapping[str, str]
    ) -> tuple[dict[str, Any], list[int]]:
        query: dict[str, Any] = {}
        body: dict[str, Any] = {"batchcomplete": True, "query": query}
        answered: list[int] = []
        if parameters.get("meta") == "siteinfo":
            self.kinds["site info rode along"] += 1
            query |= _site(wiki.name, server_name)
        if "logevents" in parameters.get("list", ""):
            query["logevents"] = self._log(wiki, parameters.get("letitle", ""))
            query["recentchanges"] = []
        elif "prop" in parameters:
            answered = self._pages(wiki, parameters, query, body)
        return body, answered

    def _log(self, wiki: _Wiki, title: str) -> list[dict[str, object]]:
        return [
            {"logid": log_id, "type": "delete", "action": "delete", "timestamp": rfc3339(at_s * 1000),
             "logpage": page_id}
            for log_id, page_id, at_s in wiki.logged.get(title, ())
        ]  # fmt: skip

    def _pages(
        self, wiki: _Wiki, parameters: Mapping[str, str], query: dict[str, Any], body: dict[str, Any]
    ) -> list[int]:
        """Fills `query` and `body`; the revisions that came whole."""
        done = set(parameters.get("continue", "").partition("||")[2].split("|"))
        asked = [name for name in MODULES if name in parameters["prop"].split("|") and name not in done]
        if limits := {
            name: LIST_MOST for name in asked if parameters.get(_parameter(name, "limit")) == "max"
        }:
            body["limits"] = limits
        found, bad, missing = self._found(wiki, parameters)
        pages = {page.page_id: page for page in (revision.page for revision in found.values())}
        objects = {page_id: _object(page) for page_id, page in sorted(pages.items())}
        more: dict[str, object] = {}
        cut: set[int] = set()
        if "revisions" in asked:
            cut = self._revisions(found, objects, parameters, more)
        if "info" in asked:
            for page_id, page in pages.items():
                objects[page_id] |= _info(page)
        for name in asked:
            if name in LISTS and not cut:
                self._list(name, pages, objects, parameters, more)
        if cut:  # what came no further tells no lists either
            asked = [name for name in asked if name not in LISTS]
        if more:
            unfinished = {name for name in MODULES if _parameter(name, "continue") in more}
            finished = [name for name in (*asked, *sorted(done - {""})) if name not in unfinished]
            body["continue"] = more | {"continue": "||" + "|".join(dict.fromkeys(finished))}
            del body["batchcomplete"]
        query["pages"] = [*objects.values(), *missing]
        if bad:
            query["badrevids"] = {str(number): {"revid": number, "missing": True} for number in bad}
        return [] if more and not cut else [number for number in found if number not in cut]

    def _found(
        self, wiki: _Wiki, parameters: Mapping[str, str]
    ) -> tuple[dict[int, _Revision], list[int], list[dict[str, object]]]:
        """The revisions that are asked for, by number; ids of no revision; objects of no page."""
        now_s = asyncio.get_running_loop().time()
        if "revids" in parameters:
            numbers = sorted({int(text) for text in parameters["revids"].split("|")})
            found = {number: wiki.revisions[number] for number in numbers if number in wiki.revisions}
            found = {number: each for number, each in found.items() if each.known_s <= now_s}
            return found, [number for number in numbers if number not in found], []
        by_title = "titles" in parameters
        values = parameters["titles" if by_title else "pageids"].split("|")
        found, missing = {}, []
        for value in values:
            page = wiki.pages.get(value) if by_title else wiki.by_id.get(int(value))
            revision = page and wiki.revisions.get(page.last)
            if page is None or page.is_missing or revision is None:
                missing.append({"title": value} if by_title else {"pageid": int(value)})
                missing[-1]["missing"] = True
            else:
                found[page.last] = revision
        return found, [], missing

    def _revisions(
        self,
        found: dict[int, _Revision],
        objects: dict[int, dict[str, Any]],
        parameters: Mapping[str, str],
        more: dict[str, object],
    ) -> set[int]:
        """Those that did not come any more."""
        from_number = int(parameters.get("rvcontinue", 0))
        size = 0
        numbers = sorted(number for number in found if number >= from_number)
        for index, number in enumerate(numbers):
            revision = found[number]
            size += revision.size
            if index and size > RESULT_BYTES:
                more["rvcontinue"] = number
                self.kinds["cut at 8 MiB"] += 1
                return set(numbers[index:])
            objects[revision.page.page_id].setdefault("revisions", []).append(_row(number, revision))
        return set()

    def _list(
        self,
        name: str,
        pages: dict[int, _Page],
        objects: dict[int, dict[str, Any]],
        parameters: Mapping[str, str],
        more: dict[str, object],
    ) -> None:
        """MediaWiki's way: page by page, until the limit of the whole answer is full."""
        prefix, namespace = LISTS[name]
        told = parameters.get(f"{prefix}limit", "10")
        room = LIST_MOST if told == "max" else min(LIST_MOST, int(told))
        page_id, _, at = parameters.get(f"{prefix}continue", "0|0").partition("|")
        order = sorted(pages)
        for number in order[bisect_left(order, int(page_id)) :]:
            page = pages[number]
            start = int(at) if number == int(page_id) else 0
            there = self._length(name, page)
            taken = min(there - start, room)
            if taken > 0:
                objects[number][name] = [
                    _listed(name, namespace, number, index) for index in range(start, start + taken)
                ]
                room -= taken
            if start + taken < there:
                more[f"{prefix}continue"] = f"{number}|{start + taken}"
                self.kinds[f"{name} cut at {LIST_MOST}"] += 1
                return

    def _length(self, name: str, page: _Page) -> int:
        """The same each time."""
        median, sigma = self._nature.listed[name]
        chance = (crc32(f"{name}|{page.page_id}".encode()) + 0.5) / 2**32
        return round(median * exp(sigma * NormalDist().inv_cdf(chance)))


def most_in_a_minute(seen_s: Iterable[float]) -> int:
    """Of any 60 s."""
    ordered = sorted(seen_s)
    most = first = 0
    for index, at_s in enumerate(ordered):
        while ordered[first] <= at_s - 60.0 + 1e-9:
            first += 1
        most = max(most, index - first + 1)
    return most


def _kind(parameters: Mapping[str, str]) -> str:
    if "list" in parameters:
        return "listing" if "recentchanges" in parameters["list"] else "log entries"
    if any(name.endswith("continue") for name in parameters):
        return "continued"
    return {"revids": "by revision", "titles": "by title", "pageids": "by page"}[
        next(name for name in ("revids", "titles", "pageids") if name in parameters)
    ]


def _parameter(name: str, of: str) -> str:
    """That of one module, or a name that no request has."""
    return f"rv{of}" if name == "revisions" else f"{LISTS[name][0]}{of}" if name in LISTS else ""


def _object(page: _Page) -> dict[str, Any]:
    return {"pageid": page.page_id, "ns": page.namespace, "title": page.title}


def _info(page: _Page) -> dict[str, Any]:
    told: dict[str, Any] = {
        "contentmodel": page.content_model,
        "pagelanguage": "en",
        "pagelanguagedir": "ltr",
        "lastrevid": page.last,
        "protection": [],
    }
    return told | {"redirect": True} if page.is_redirect else told


def _row(number: int, revision: _Revision) -> dict[str, Any]:
    return {
        "revid": number,
        "parentid": revision.parent,
        "timestamp": rfc3339(revision.edited_ms),
        "size": revision.size,
        "sha1": f"{number:040x}",
        "comment": "",
        "user": "Someone",
        "userid": 7,
        "tags": [],
        "slots": {
            "main": {
                "contentmodel": revision.page.content_model,
                "content": "text " * (min(revision.size, TEXT_CHARS) // 5),
            }
        },
    }


def _listed(name: str, namespace: int, page_id: int, index: int) -> dict[str, object]:
    row: dict[str, object] = {"ns": namespace, "title": f"{name} {page_id} {index}"}
    return row | {"pageid": 10**9 + page_id * 1000 + index} if name == "redirects" else row


def _site(wiki: str, server_name: str) -> dict[str, Any]:
    return {
        "general": {
            "wikiid": wiki,
            "sitename": wiki,
            "lang": "en",
            "rtl": False,
            "server": f"https://{server_name}",
            "articlepath": "/wiki/$1",
            "scriptpath": "/w",
        },
        "namespaces": {str(number): {"id": number, "name": f"Namespace {number}"} for number in range(16)},
        "namespacealiases": [],
        "rightsinfo": {"url": "https://creativecommons.org/licenses/by-sa/4.0/", "text": "CC BY-SA 4.0"},
    }
