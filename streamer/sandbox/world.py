"""The invented wikis and those who edit them: everything that happens, in virtual time.

`World.advance(now_ms)` lets happen what is due and returns the events that enter the streams. All
chance comes from one seeded generator and all time from the caller, so that the same seed tells the
same story. An editor goes round a cycle of `CYCLE` actions that holds one of each thing that a
consumer must cope with; at one action a second any 60 s hold each of them from begin to end.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final
from uuid import UUID

from streamer.sandbox import events
from streamer.sandbox.events import Emitted, Event
from streamer.sandbox.founding import found_site, found_wiki, free_title, people, temporary
from streamer.sandbox.languages import ARABIC, ENGLISH, GERMAN, HEBREW, JAPANESE, Author
from streamer.sandbox.pages import Deed, Page, Revision, User, WikiError
from streamer.sandbox.wiki import Wiki

BY_SA: Final = (
    "Creative Commons Attribution-Share Alike 4.0",
    "https://creativecommons.org/licenses/by-sa/4.0/",
)
BY: Final = ("Creative Commons Attribution 4.0", "https://creativecommons.org/licenses/by/4.0/")
CC0: Final = ("Creative Commons Zero", "https://creativecommons.org/publicdomain/zero/1.0/")
LANGUAGES: Final = ((ENGLISH, BY_SA), (GERMAN, BY), (ARABIC, CC0), (JAPANESE, BY_SA), (HEBREW, BY))

DELAY_MS: Final[Mapping[str, int]] = {
    events.TAGS: 8,
    events.RECENTCHANGE: 14,
    events.VISIBILITY: 22,
    events.PAGE_CHANGE: 45,
    events.RISK: 900,
}
"""From the action to the topic; constant within a stream, so that each page keeps its order there."""
FIRST_CANARY_MS: Final = 5_000
HOT_PAGES: Final = 12
KEPT_REDIRECTS: Final = 50


@dataclass(frozen=True, slots=True)
class WorldOptions:
    seed: int
    pages_per_wiki: int = 60
    canary_every_s: float = 300.0
    switchover_every_s: float = 600.0
    """The streams change data centre so often: their topics and offsets have nothing in common."""
    late_share: float = 0.02
    """Of the ordinary edits, those that recentchange tells up to 5 s too late."""


@dataclass(frozen=True, slots=True)
class Emission:
    stream: str
    data_centre: str
    time_ms: int
    event: Event


class World:
    """Without editors nothing happens by itself (`streamer.sandbox.editor.hire`)."""

    def __init__(self, options: WorldOptions, start_ms: int) -> None:
        self.options = options
        self.rng = Random(options.seed)  # noqa: S311 - a story, not a secret
        self._start_ms = start_ms
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = 0
        self._out: list[Emission] = []
        self._is_silent = False
        self._by_server: dict[str, Wiki] = {}
        self.wikis: dict[str, Wiki] = {}
        self.authors: dict[str, Author] = {}
        self.users: dict[str, list[User]] = {}
        self.busy: set[tuple[str, int]] = set()
        """Pages in the middle of a story: nobody else may touch them."""
        for language, licence in LANGUAGES:
            site = found_site(language, licence)
            author = self.authors[site.wiki] = Author(language, self.rng)
            users = self.users[site.wiki] = people(author, self.rng, start_ms)
            wiki = found_wiki(
                site,
                language,
                author,
                people=users,
                rng=self.rng,
                start_ms=start_ms,
                count=options.pages_per_wiki,
            )
            self.wikis[site.wiki] = self._by_server[site.server_name] = wiki
        if options.canary_every_s > 0:
            self.schedule(start_ms + FIRST_CANARY_MS, self._canaries)

    @property
    def next_due_ms(self) -> int | None:
        return self._due[0][0] if self._due else None

    def wiki_at(self, server_name: str) -> Wiki | None:
        return self._by_server.get(server_name)

    def advance(self, now_ms: int) -> list[Emission]:
        """All that happens up to `now_ms`, in order; a clock that steps back makes nothing happen."""
        while self._due and self._due[0][0] <= now_ms:
            due_ms, _, action = heapq.heappop(self._due)
            action(due_ms)
        out, self._out = self._out, []
        return out

    # ── what can be done, by the editors here and by people through the admin routes ───────────

    def create(self, wiki: Wiki, title: str, text: str, deed: Deed) -> Page:
        page = wiki.create(title, text, deed)
        self._tell(events.created(wiki, page), deed.time_ms)
        self._score(wiki, page, page.current, deed.time_ms)
        return page

    def edit(
        self,
        wiki: Wiki,
        page: Page,
        text: str,
        deed: Deed,
        *,
        minor: bool = False,
        late_ms: int = 0,
    ) -> Revision:
        old = page.current
        revision = wiki.edit(page, text, deed, minor=minor)
        self._tell(events.edited(wiki, page, revision, old), deed.time_ms, late_ms=late_ms)
        self._score(wiki, page, revision, deed.time_ms)
        return revision

    def roll_back(self, wiki: Wiki, page: Page, user: User, now_ms: int, *, count: int = 1) -> Revision:
        """Undoes the newest revisions: the tags of all say so, once before the edit and once after it."""
        if len(page.revisions) <= count:
            raise WikiError(f"{page.title!r} has {len(page.revisions)} revisions: nothing to roll back to")
        good, *undone = page.revisions[-1 - count :]
        bad = undone[-1]
        comment = f"Reverted edits by [[Special:Contributions/{bad.user.name if bad.user else ''}]]"
        deed = Deed(user, comment, now_ms)
        revision = wiki.edit(page, good.text, deed, minor=True, tags=["mw-rollback"])
        told = events.edited(wiki, page, revision, bad, (undone[0], bad))
        self._tell(events.tagged(wiki, page, revision, ()) + told, deed.time_ms)
        for one in undone:
            before = tuple(one.tags)
            one.tags.append("mw-reverted")
            self._tell(events.tagged(wiki, page, one, before), deed.time_ms + 30)
        return revision

    def put_back(self, wiki: Wiki, page: Page, revision: Revision, deed: Deed) -> Revision:
        """An ordinary edit with the text of an older revision: nothing says that it reverts any."""
        return self.edit(wiki, page, revision.text, deed)

    def move(self, wiki: Wiki, page: Page, title: str, deed: Deed, *, redirect: bool) -> None:
        old = page.current
        moved = wiki.move(page, title, deed, leave_redirect=redirect)
        self._tell(events.moved(wiki, page, moved, old), deed.time_ms)

    def delete(self, wiki: Wiki, page: Page, deed: Deed) -> None:
        log = wiki.delete(page, deed)
        self._tell(events.deleted(wiki, page, log), deed.time_ms)

    def restore(self, wiki: Wiki, page: Page, deed: Deed) -> None:
        log = wiki.restore(page, deed)
        self._tell(events.restored(wiki, page, log), deed.time_ms)

    def set_visibility(self, wiki: Wiki, page: Page, revision: Revision, hidden: int, deed: Deed) -> None:
        before = revision.hidden
        log = wiki.set_visibility(page, revision, hidden, deed)
        self._tell(
            events.visibility_set(wiki, page, revision, before=before, log=log, deed=deed), deed.time_ms
        )

    def protect(self, wiki: Wiki, page: Page, deed: Deed) -> None:
        log = wiki.protect(page, "autoconfirmed", deed)
        self._tell(events.protected(wiki, page, log), deed.time_ms)

    # ── chance ─────────────────────────────────────────────────────────────────────────────────

    def some_user(self, wiki: Wiki) -> User:
        """Now and then someone new, without a name."""
        rng = self.rng
        users = self.users[wiki.site.wiki]
        if rng.random() < 0.1:
            users[-1] = temporary(rng, self._start_ms)
        return rng.choice(users)

    def administrator(self, wiki: Wiki) -> User:
        return self.users[wiki.site.wiki][0]

    def some_page(self, *, revisions: int = 1, visible: bool = True) -> tuple[Wiki, Page]:
        """A page that nobody is busy with, no redirect, with at least so many revisions.

        `visible`: nothing is hidden of its two newest ones, so that hiding them changes something.
        """
        rng = self.rng
        for _ in range(200):
            wiki = rng.choice(list(self.wikis.values()))
            page = rng.choice(list(wiki.pages.values())) if wiki.pages else None
            if page and self._free(wiki, page) and len(page.revisions) >= revisions:
                if visible and any(revision.hidden for revision in page.revisions[-2:]):
                    continue
                return wiki, page
        raise WikiError("every page is busy")

    def old_redirects(self) -> list[tuple[Wiki, Page]]:
        """All but the youngest, which may yet be moved over; the oldest first."""
        redirects = [
            (wiki, page) for wiki in self.wikis.values() for page in wiki.pages.values() if page.is_redirect
        ]
        redirects.sort(key=lambda one: one[1].current.edited_ms)
        return redirects[:-KEPT_REDIRECTS]

    def hot_page(self) -> tuple[Wiki, Page]:
        """Edits cluster: a few pages get many."""
        wiki, page = self.some_page(visible=False)
        hot = list(wiki.pages.values())[:HOT_PAGES]
        if self.rng.random() < 0.3:
            page = self.rng.choice(hot)
        return (wiki, page) if self._free(wiki, page) else self.some_page(visible=False)

    def new_title(self, wiki: Wiki, namespace: int = 0) -> str:
        return free_title(wiki, self.authors[wiki.site.wiki], namespace)

    def _free(self, wiki: Wiki, page: Page) -> bool:
        return (wiki.site.wiki, page.identifier) not in self.busy and not page.is_redirect

    # ── the streams ────────────────────────────────────────────────────────────────────────────

    def schedule(self, due_ms: int, action: Callable[[int], None]) -> None:
        self._order += 1
        heapq.heappush(self._due, (due_ms, self._order, action))

    @contextmanager
    def silent(self, is_silent: bool = True) -> Iterator[None]:
        """What happens within is told by no stream."""
        before, self._is_silent = self._is_silent, is_silent
        try:
            yield
        finally:
            self._is_silent = before

    def _tell(self, told: Emitted, now_ms: int, *, late_ms: int = 0) -> None:
        if self._is_silent:
            return
        request = self._uuid()
        for stream, event in told:
            meta = event["meta"]
            assert isinstance(meta, dict)
            meta |= {"id": self._uuid(), "request_id": request}
            born_ms = now_ms + DELAY_MS[stream]
            arrives_ms = born_ms + (late_ms if stream == events.RECENTCHANGE else 0)
            self.schedule(arrives_ms, self._deliver(stream, born_ms, event))

    def _deliver(self, stream: str, born_ms: int, event: Event) -> Callable[[int], None]:
        def deliver(_: int) -> None:
            self._out.append(Emission(stream, self._data_centre(born_ms), born_ms, event))

        return deliver

    def _data_centre(self, now_ms: int) -> str:
        every_ms = self.options.switchover_every_s * 1000
        turn = int((now_ms - self._start_ms) / every_ms) if every_ms > 0 else 0
        return "codfw" if turn % 2 else "eqiad"

    def _score(self, wiki: Wiki, page: Page, revision: Revision, now_ms: int) -> None:
        """Articles only, as in production."""
        if page.namespace == 0:
            probability = round(self.rng.betavariate(1, 6), 6)
            self._tell(events.scored(wiki, page, revision, probability), now_ms)

    def _canaries(self, now_ms: int) -> None:
        """Into both data centres' topics, so that a silent one can be told from a broken one."""
        for stream in events.STREAMS:
            for data_centre in ("eqiad", "codfw"):
                event = events.canary(stream)
                meta = event["meta"]
                assert isinstance(meta, dict)
                meta["id"] = self._uuid()
                self._out.append(Emission(stream, data_centre, now_ms, event))
        self.schedule(now_ms + int(self.options.canary_every_s * 1000), self._canaries)

    def _uuid(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128), version=4))
