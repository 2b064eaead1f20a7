"""Between the service and the wikis: counts, holds, delays and spoils what is asked.

    service ──► down? ──► held before ──► PHP, now or as it was ──► altered ──► held after ──► service

Editors don't pass here: what the service asks is all that is counted. Whatever is held is let go by its
deadline at the latest, and then fails the farm: a test that hangs tells nothing.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from harness.mediawiki.editors import Wiki
from harness.mediawiki.php import Php, Reply
from streamer.sandbox.api import host_of
from streamer.sandbox.spoil import reset

HOP_BY_HOP: Final = ("Connection", "Transfer-Encoding", "Content-Length", "Keep-Alive", "Host")
OURS: Final = "X-Proof-"
HELD_S: Final = 30.0

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the service."""

    wiki: str
    path: str
    params: Mapping[str, str]

    def names(self, key: object) -> bool:
        """Whether it asks for that revision, title or page."""
        values = (self.params.get(kind, "") for kind in ("revids", "titles", "pageids"))
        return any(str(key) in value.split("|") for value in values)


Matching = Callable[[Asked], bool]


def anything(_: Asked) -> bool:
    return True


class Measure:
    """Something that the gate does to requests until it is released; also by leaving it as a context."""

    def __init__(self, matching: Matching) -> None:
        self.matching = matching
        self.met = 0
        """Requests that it was done to."""
        self.released = asyncio.Event()

    def release(self) -> None:
        self.released.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def meets(self, asked: Asked) -> bool:
        if self.released.is_set() or not self.matching(asked):
            return False
        self.met += 1
        return True


class Hold(Measure):
    """`arrived` is set once a request is held."""

    def __init__(self, matching: Matching, when: Literal["before", "after"], deadline_s: float) -> None:
        super().__init__(matching)
        self.when = when
        self.deadline_s = deadline_s
        self.arrived = asyncio.Event()
        self.expired = False

    async def wait(self) -> None:
        self.arrived.set()
        try:
            async with asyncio.timeout(self.deadline_s):
                await self.released.wait()
        except TimeoutError:
            self.expired = True


class Alter(Measure):
    def __init__(self, matching: Matching, change: Callable[[Answer], Answer]) -> None:
        super().__init__(matching)
        self.change = change


class Lag(Measure):
    """Answers come from copies of the database, of which each was made when something was asked: the newest
    that is `seconds` old, and the one of the beginning until there is such a one.
    """

    def __init__(self, wiki: Wiki, seconds: float, matching: Matching) -> None:
        super().__init__(lambda asked: asked.wiki == wiki.name and matching(asked))
        self._wiki = wiki
        self._seconds = seconds
        self._copies: list[tuple[float, int]] = []
        self._one_at_a_time = asyncio.Lock()
        self._copy()

    async def number(self) -> int:
        """Of the copy to answer from."""
        async with self._one_at_a_time:
            now_s = time.monotonic()
            if self._seconds and now_s - self._copies[-1][0] >= self._seconds / 4:
                await asyncio.to_thread(self._copy)
            old = [number for made_s, number in self._copies if now_s - made_s >= self._seconds]
            return old[-1] if old and self._seconds else self._copies[0][1]

    def _copy(self) -> None:
        made_s = time.monotonic()
        home = self._wiki.folder / self._wiki.name
        number = sum(1 for _ in home.glob("replica-*"))
        target = home / f"replica-{number}"
        target.mkdir()
        file = f"{self._wiki.name}.sqlite"
        with (
            closing(sqlite3.connect(f"file:{home / file}?mode=ro", uri=True, timeout=30)) as original,
            closing(sqlite3.connect(target / file)) as made,
        ):
            original.backup(made)
        self._copies.append((made_s, number))


Kind = TypeVar("Kind", bound=Measure)


class Gate:
    """`requests` counts by wiki."""

    def __init__(self, php: Php, wikis: Mapping[str, Wiki]) -> None:
        self._php = php
        self._wikis = wikis
        self._by_host = {wiki.server_name: wiki for wiki in wikis.values()}
        self._down: dict[str, Literal["status", "reset"]] = {}
        self._measures: list[Measure] = []
        self.requests: Counter[str] = Counter()
        self.asked: list[Asked] = []

    # ── what can be done ───────────────────────────────────────────────────────────────────────

    def hold(
        self,
        matching: Matching = anything,
        *,
        when: Literal["before", "after"] = "before",
        deadline_s: float = HELD_S,
    ) -> Hold:
        """Until it is released: every request that matches, before PHP is asked, or its answer, which is then
        as old as the hold is long.
        """
        return self._added(Hold(matching, when, deadline_s))

    def alter(self, change: Callable[[Answer], Answer], matching: Matching = anything) -> Alter:
        """The answers of the action API, as JSON."""
        return self._added(Alter(matching, change))

    def lag(self, wiki: str, seconds: float = 0.0, matching: Matching = anything) -> Lag:
        """A replica that is so far behind; without `seconds` it stands still as of now. Younger revisions are
        bad, younger pages missing, and what was deleted, moved or hidden since is as it was. What does not
        match is answered by one that is not.
        """
        return self._added(Lag(self._wikis[wiki], seconds, matching))

    def down(self, wiki: str, how: Literal["status", "reset"] = "status") -> None:
        """503 or a reset for each request, which is counted all the same."""
        self._down[wiki] = how

    def up(self, wiki: str) -> None:
        self._down.pop(wiki, None)

    def check(self) -> None:
        """Raises AssertionError for what nobody released in time."""
        expired = [one for one in self._measures if isinstance(one, Hold) and one.expired]
        assert not expired, "a held request was not released before its deadline"

    def release_all(self) -> None:
        for measure in self._measures:
            measure.release()

    def _added(self, measure: Kind) -> Kind:
        self._measures.append(measure)
        return measure

    # ── what passes ────────────────────────────────────────────────────────────────────────────

    def routes(self) -> list[web.RouteDef]:
        return [
            web.route("*", "/w/api.php", self._handle),
            web.route("*", "/w/rest.php/{path:.*}", self._handle),
        ]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        wiki = self._by_host.get(host_of(request))
        if wiki is None:
            return web.Response(status=404, text="Domain not found.\n")
        body = await request.read()
        form = dict(parse_qsl(body.decode("utf-8", "replace"))) if body else {}
        asked = Asked(wiki.name, request.path, {**request.query, **form})
        self.requests[wiki.name] += 1
        self.asked.append(asked)
        if wiki.name in self._down:
            if self._down[wiki.name] == "reset":
                reset(request)
            return web.Response(status=503, text="Service Unavailable\n")
        await self._held(asked, "before")
        reply = await self._answered(request, wiki, asked, body)
        await self._held(asked, "after")
        return web.Response(status=reply.status, headers=_end_to_end(reply.headers), body=reply.body)

    async def _held(self, asked: Asked, when: str) -> None:
        for measure in self._measures:
            if isinstance(measure, Hold) and measure.when == when and measure.meets(asked):
                await measure.wait()

    async def _answered(self, request: web.Request, wiki: Wiki, asked: Asked, body: bytes) -> Reply:
        headers = _end_to_end(request.headers)
        alters = [one for one in self._measures if isinstance(one, Alter) and one.meets(asked)]
        if alters:
            headers.popall("Accept-Encoding", None)
        for measure in self._measures:
            if isinstance(measure, Lag) and measure.meets(asked):
                headers["X-Proof-Replica"] = str(await measure.number())
        reply = await self._php.ask(
            wiki.server_name, request.raw_path, method=request.method, headers=headers, data=body or None
        )
        if not alters:
            return reply
        answer = msgspec.json.decode(reply.body, type=dict[str, Any])
        for alter in alters:
            answer = alter.change(answer)
        return Reply(reply.status, reply.headers, msgspec.json.encode(answer))


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in [*HOP_BY_HOP, *(name for name in kept if name.startswith(OURS))]:
        kept.popall(name, None)
    return kept
