"""One wiki: pages, revisions, logs and what is hidden. Pure: time is an argument, nothing is random here.

What a reader of MediaWiki's API can tell apart is modelled, and no more: page ids survive moves and
restores, revision ids are never used twice, a move makes a revision whose text is unchanged, a
suppression leaves no public trace but its effect.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from streamer.sandbox.pages import (
    INVALID_IN_TITLES,
    SUPPRESSED,
    Deed,
    LogEntry,
    Moved,
    Page,
    RecentChange,
    Revision,
    Site,
    WikiError,
)

KEPT_REVISIONS: Final = 50
"""Of a page: the oldest are forgotten, so that a sandbox may run for weeks."""
KEPT_DELETED: Final = 100
KEPT_LOGS: Final = 2_000


class Wiki:
    """All of one wiki. The caller stamps each action with its time."""

    def __init__(self, site: Site, redirect: str) -> None:
        self.site = site
        self.pages: dict[int, Page] = {}
        self.deleted: dict[int, Page] = {}
        self.logs: deque[LogEntry] = deque(maxlen=KEPT_LOGS)
        self.changes: deque[RecentChange] = deque(maxlen=KEPT_LOGS)
        self._redirect = redirect
        self._titles: dict[str, Page] = {}
        self._revisions: dict[int, tuple[Page, Revision]] = {}
        self._last: dict[str, int] = {"page": 0, "revision": 1000, "log": 0, "change": 0}

    def normalised(self, title: str) -> str:
        return self.site.normalised(title)

    def revision(self, identifier: int) -> tuple[Page, Revision] | None:
        found = self._revisions.get(identifier)
        return found if found and found[0].identifier in self.pages else None

    def titled(self, title: str) -> Page | None:
        return self._titles.get(title)

    def page(self, identifier: int) -> Page | None:
        return self.pages.get(identifier)

    def redirects_to(self, title: str) -> list[Page]:
        return [
            page
            for page in self.pages.values()
            if page.is_redirect and self.normalised(page.leads_to) == title
        ]

    def create(self, title: str, text: str, deed: Deed, *, model: str = "wikitext") -> Page:
        self._require_free(title)
        page = Page(self._next("page"), self.site.namespace_of(title), title, [])
        self._write(page, text, deed, model=model)
        self.pages[page.identifier] = page
        self._titles[title] = page
        self._changed("new", page, page.current)
        return page

    def edit(
        self,
        page: Page,
        text: str,
        deed: Deed,
        *,
        minor: bool = False,
        tags: Iterable[str] = (),
    ) -> Revision:
        self._require_live(page)
        old_size = page.current.size
        revision = self._write(page, text, deed, minor=minor, model=page.current.model)
        revision.tags.extend(tags)
        self._changed("edit", page, revision, old_size=old_size)
        return revision

    def move(self, page: Page, title: str, deed: Deed, *, leave_redirect: bool) -> Moved:
        """Onto a free title, or over a redirect, which is deleted to make way."""
        self._require_live(page)
        overwritten = None
        in_the_way = self._titles.get(title)
        if in_the_way is page or (in_the_way and not in_the_way.is_redirect):
            raise WikiError(f"{title!r} is taken")
        if not in_the_way:
            self._require_free(title)
        if in_the_way:
            self._remove(in_the_way)
            overwritten = self._log(
                "delete", "delete_redir", in_the_way, {}, replace(deed, comment="made way for a move")
            )
        old_title, old_namespace = page.title, page.namespace
        page.title, page.namespace = title, self.site.namespace_of(title)
        del self._titles[old_title]
        self._titles[title] = page
        revision = self._write(page, page.current.text, deed, minor=True, model=page.current.model)
        redirect = None
        if leave_redirect:
            redirect = Page(self._next("page"), old_namespace, old_title, [])
            self._write(redirect, f"{self._redirect} [[{title}]]", deed)
            self.pages[redirect.identifier] = redirect
            self._titles[old_title] = redirect
        log = self._log(
            "move",
            "move_redir" if overwritten else "move",
            page,
            {"target": title, "noredir": "0" if leave_redirect else "1"},
            deed,
            place=(old_namespace, old_title),
        )
        return Moved(revision, old_title, old_namespace, redirect, overwritten, log)

    def delete(self, page: Page, deed: Deed) -> LogEntry:
        self._remove(page)
        return self._log("delete", "delete", page, {}, deed)

    def restore(self, page: Page, deed: Deed) -> LogEntry:
        self._require_free(page.title)
        if self.deleted.pop(page.identifier, None) is None:
            raise WikiError(f"{page.title!r} is not deleted")
        self.pages[page.identifier] = page
        self._titles[page.title] = page
        params = {"count": {"revisions": len(page.revisions)}}
        return self._log("delete", "restore", page, params, deed)

    def set_visibility(self, page: Page, revision: Revision, hidden: int, deed: Deed) -> LogEntry | None:
        """None for a suppression: what is logged of it, nobody outside may read."""
        before, revision.hidden = revision.hidden, hidden
        if (before | hidden) & SUPPRESSED:
            return None
        params = {
            "type": "revision",
            "ids": [str(revision.identifier)],
            "ofield": str(before),
            "nfield": str(hidden),
        }
        return self._log("delete", "revision", page, params, deed)

    def protect(self, page: Page, level: str, deed: Deed) -> LogEntry:
        """Makes a revision without change of text, as MediaWiki does."""
        self._require_live(page)
        page.protection = [{"type": "edit", "level": level, "expiry": "infinity"}]
        self._write(page, page.current.text, deed, minor=True, model=page.current.model)
        details = [{**page.protection[0], "cascade": False}]
        params = {"description": f"[edit={level}] (indefinite)", "cascade": False, "details": details}
        return self._log("protect", "protect", page, params, deed)

    def change_number(self) -> int:
        """The newest `rcid`."""
        return self._last["change"]

    def _require_live(self, page: Page) -> None:
        if page.identifier not in self.pages:
            raise WikiError(f"{page.title!r} is deleted")

    def _require_free(self, title: str) -> None:
        if not title or INVALID_IN_TITLES & set(title):
            raise WikiError(f"{title!r} is no title")
        if title in self._titles:
            raise WikiError(f"{title!r} is taken")

    def _next(self, what: str) -> int:
        self._last[what] += 1
        return self._last[what]

    def _remove(self, page: Page) -> None:
        if self.pages.pop(page.identifier, None) is None:
            raise WikiError(f"{page.title!r} is deleted already")
        del self._titles[page.title]
        self.deleted[page.identifier] = page
        if len(self.deleted) > KEPT_DELETED:
            self._forget(next(iter(self.deleted)))

    def _forget(self, identifier: int) -> None:
        for revision in self.deleted.pop(identifier).revisions:
            del self._revisions[revision.identifier]

    def _write(
        self,
        page: Page,
        text: str,
        deed: Deed,
        *,
        minor: bool = False,
        model: str = "wikitext",
    ) -> Revision:
        parent = page.revisions[-1].identifier if page.revisions else 0
        revision = Revision(
            self._next("revision"),
            parent,
            page.identifier,
            deed.time_ms,
            deed.user,
            deed.comment,
            text,
            minor,
            model,
        )
        deed.user.edit_count += 1
        page.revisions.append(revision)
        self._revisions[revision.identifier] = (page, revision)
        if len(page.revisions) > KEPT_REVISIONS:
            del self._revisions[page.revisions.pop(0).identifier]
        return revision

    def _log(
        self,
        kind: str,
        action: str,
        page: Page,
        params: Mapping[str, object],
        deed: Deed,
        *,
        place: tuple[int, str] | None = None,
    ) -> LogEntry:
        namespace, title = place or (page.namespace, page.title)
        entry = LogEntry(
            self._next("log"),
            kind,
            action,
            page.identifier,
            namespace,
            title,
            params,
            deed.user,
            deed.comment,
            deed.time_ms,
        )
        self.logs.append(entry)
        number = self._next("change")
        self.changes.append(
            RecentChange(
                number,
                "log",
                namespace,
                title,
                page.identifier,
                deed.time_ms,
                deed.user,
                deed.comment,
                log=entry,
            )
        )
        return entry

    def _changed(self, kind: str, page: Page, revision: Revision, *, old_size: int = 0) -> None:
        self.changes.append(
            RecentChange(
                self._next("change"),
                kind,
                page.namespace,
                page.title,
                page.identifier,
                revision.edited_ms,
                revision.user,
                revision.comment,
                revision,
                old_size,
            )
        )
