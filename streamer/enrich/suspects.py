"""What a wiki says has happened, until something shows that it was told: what is left was lost. Pure.

    listed (edited, logged) ──► suspects ◄── told (changes, dead letters)  published (articles)  cut_off
                                    │
                                    └──► lost: a `refresh` for each page, and for each hidden revision

A suspect is cleared by whatever makes its repair needless: its own change, in whatever state that is (in
flight, finished, a dead letter), a later one that restates the page, the page's deletion, or an article that
is as new. Not looked at is what was not admitted, and what no configured stream would have told. Rows of
edits come oldest first, and all of a list before what clears it; else feeding is idempotent, in any order.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from streamer.log_actions import Becomes, judge
from streamer.model import (
    Change,
    Hideable,
    Kind,
    Place,
    Visibility,
    identifier_derived,
    identifier_of_log,
    identifier_of_revision,
)
from streamer.origin.listing import Edited, Logged
from streamer.traceparent import NEVER_SAMPLED, traceparent_of

CAUSE: Final = "reconcile"
SLACK_MS: Final = 15_000
"""Between the time that a wiki logs and the one that its stream tells."""
BY_REVISION: Final = frozenset[Kind]({"create", "edit"})

EACH: Final = -1
"""In the place of a hidden revision's number: all of the page."""

Key = tuple[str | int, ...]


@dataclass(slots=True, eq=False)
class Suspect:
    """`change` is what repairs it."""

    change: Change
    at_ms: int
    is_row: bool = False
    """Of a hidden revision: seen by its flags, so that nobody knows when it was hidden."""
    is_held: bool = False
    """Something of it, or of its page, was once in this log."""
    is_restated: bool = False
    """The page was published after it."""

    @property
    def kind(self) -> Kind:
        return self.change.meant


class Suspects:
    """Bounded by who feeds it: `len` is what is open."""

    def __init__(
        self,
        admits: Callable[[Change], bool],
        tells: Callable[[Kind], bool],
        sampled: str = NEVER_SAMPLED,
    ) -> None:
        """`admits` what the source would have admitted; `tells` the kinds that a configured stream tells.
        `sampled`: see traceparent_of.
        """
        self._sampled = sampled
        self._admits = admits
        self._tells = tells
        self._open: dict[str, Suspect] = {}
        self._edits: dict[tuple[str, int], Suspect] = {}
        """The newest of each page."""
        self._index: dict[Key, dict[Suspect, None]] = {}
        """By page, title and log entry; of hidden revisions by their numbers: one entry may hide thousands of
        a page, each of which is told by itself."""

    def __len__(self) -> int:
        return len(self._open)

    @property
    def oldest_ms(self) -> int:
        return min((suspect.at_ms for suspect in self._open.values()), default=0)

    @property
    def wikis(self) -> set[str]:
        return {suspect.change.wiki for suspect in self._open.values()}

    def pages(self) -> set[tuple[str, int]]:
        """Those that articles may clear."""
        return {(s.change.wiki, s.change.page_id) for s in self._open.values() if s.change.page_id}

    # ── what the wiki lists ────────────────────────────────────────────────────────────────────

    def edited(self, wiki: str, server_name: str, row: Edited) -> None:
        """A row of an edit; of several of a page the newest counts. What is hidden counts of each."""
        base = Change(
            identifier=identifier_of_revision(wiki, row.revision),
            kind="create" if row.is_new else "edit",
            wiki=wiki,
            server_name=server_name,
            title=row.title,
            namespace=row.namespace,
            edited_ms=row.edited_ms,
            upstream_ms=row.edited_ms,
            page_id=row.page_id,
            revision=row.revision,
            bot=row.bot,
        )
        if row.hides and self._tells("visibility"):
            named = f"{base.identifier}|{','.join(row.hides)}"
            hidden = replace(base, identifier=named, kind="visibility", visibility=_shown(row.hides))
            self._suspect(hidden, is_row=True)
        before = self._edits.get((wiki, row.page_id))
        if before and before.change.revision >= row.revision:
            return
        if before:
            self._clear(before)
        suspect = self._suspect(base)
        if suspect:
            self._edits[wiki, row.page_id] = suspect

    def logged(self, wiki: str, server_name: str, entry: Logged) -> None:
        becomes = judge(entry.type, entry.action)
        if not isinstance(becomes, Becomes) or not self._tells(becomes.kind):
            return
        base = Change(
            identifier=identifier_of_log(wiki, entry.log_id),
            kind=becomes.kind,
            wiki=wiki,
            server_name=server_name,
            title=entry.title,
            namespace=entry.namespace,
            edited_ms=entry.edited_ms,
            upstream_ms=entry.edited_ms,
            page_id=entry.page_id,
            log_id=entry.log_id,
        )
        for change in _of_log(base, entry):
            self._suspect(change)

    def _suspect(self, base: Change, *, is_row: bool = False) -> Suspect | None:
        if not self._admits(base):
            return None
        identifier = identifier_derived(base.identifier, CAUSE)
        if identifier in self._open:
            return self._open[identifier]
        change = replace(
            base,
            identifier=identifier,
            kind="refresh",
            replays=base.kind,
            cause=CAUSE,
            traceparent=traceparent_of(identifier, self._sampled),
        )
        suspect = Suspect(change, base.edited_ms, is_row)
        self._open[identifier] = suspect
        for key in _keys(suspect):
            self._index.setdefault(key, {})[suspect] = None
        return suspect

    # ── what clears them ───────────────────────────────────────────────────────────────────────

    def told(self, change: Change) -> None:
        """A change that is in the log, be it finished or not."""
        own = self._open.get(change.identifier)
        if own:
            self._clear(own)
        for suspect in self._about(change):
            if change.meant in BY_REVISION and change.revision == suspect.change.revision:
                suspect.is_held = True
            if clears(change, suspect):
                self._clear(suspect)

    def _about(self, change: Change) -> list[Suspect]:
        """By log entry and page; by title where one of the two has no page. Of hidden revisions the same one,
        or all where the page is deleted.
        """
        wiki, log_id, page_id = change.wiki, change.log_id, change.page_id
        hidden = EACH if change.meant == "delete" else change.revision
        found: list[Suspect] = []
        if log_id:
            for revision in {0, change.revision}:
                found += self._index.get((wiki, "log", log_id, revision), ())
        if page_id:
            found += self._of(wiki, page_id, hidden)
        for title in _titles(change):
            found += [
                suspect
                for suspect in self._of(wiki, title, hidden)
                if not (page_id and suspect.change.page_id)
            ]
        return found

    def _of(self, wiki: str, place: int | str, hidden: int) -> list[Suspect]:
        """Of a page, or under a title."""
        return [*self._index.get((wiki, place), ()), *self._index.get((wiki, place, hidden), ())]

    def published(self, wiki: str, page_id: int, revision: int, kind: str, edited_ms: int) -> None:
        """An article of the page, in any order; `kind` is the event's, `edited_ms` of what led to it."""
        edited_ms = _second(edited_ms)
        for suspect in self._of(wiki, page_id, EACH if kind == "delete" else revision):
            if suspect.kind == "visibility":
                suspect.is_held = suspect.is_held or revision == suspect.change.revision
                is_cleared = kind == "delete" and edited_ms > suspect.at_ms
            else:
                suspect.is_held = True
                suspect.is_restated = suspect.is_restated or edited_ms >= suspect.at_ms
                is_cleared = _restates(suspect, revision, kind, edited_ms)
            if is_cleared:
                self._clear(suspect)

    def cut_off(self, wiki: str, page_id: int, revision: int, at_ms: int, hides: Iterable[Hideable]) -> None:
        """A cut-off; `revision` 0: of the whole page."""
        for suspect in list(self._index.get((wiki, page_id, revision or EACH), ())):
            wanted = _hides(suspect.change)
            is_of_it = revision or at_ms >= suspect.at_ms
            if wanted and is_of_it and wanted <= set(hides):
                self._clear(suspect)

    def _clear(self, suspect: Suspect) -> None:
        change = suspect.change
        if self._open.pop(change.identifier, None) is None:
            return
        if self._edits.get((change.wiki, change.page_id)) is suspect:
            del self._edits[change.wiki, change.page_id]
        for key in _keys(suspect):
            found = self._index.get(key, {})
            found.pop(suspect, None)
            if not found:
                self._index.pop(key, None)

    # ── what is left ───────────────────────────────────────────────────────────────────────────

    def lost(self, changes_ms: int, articles_ms: Callable[[str, int], int]) -> list[Change]:
        """What repairs it, oldest first. Since `changes_ms` the log holds all changes that were told, since
        `articles_ms(wiki, page_id)` what is newest of that page; what is older than both has to be held to be
        missed.
        """
        left: dict[object, list[Suspect]] = {}
        needless = {
            (suspect.change.wiki, suspect.change.revision)
            for suspect in self._open.values()
            if suspect.kind in BY_REVISION or (suspect.kind == "visibility" and not suspect.is_row)
        }
        """Revisions whose rows tell nothing more: they come as they are, or a log says what was hidden."""
        for suspect in self._open.values():
            change = suspect.change
            if suspect.is_row and ((change.wiki, change.revision) in needless or not suspect.is_held):
                continue  # what was never here needs no hiding
            if suspect.at_ms < changes_ms and _is_past(suspect, articles_ms):
                continue
            page: object = (change.wiki, change.page_id)
            if suspect.kind == "visibility" or not change.page_id:
                page = change.identifier
            left.setdefault(page, []).append(suspect)
        changes = [_repair(each) for each in left.values()]
        return sorted(changes, key=lambda change: change.edited_ms)


def clears(change: Change, suspect: Suspect) -> bool:  # noqa: PLR0911 - one rule a line
    """Whether a change of the same page, or title, or log entry makes the repair needless."""
    meant, at_ms, wanted = change.meant, suspect.at_ms, suspect.change
    edited_ms = _second(change.edited_ms)
    is_same_time = edited_ms >= at_ms - SLACK_MS
    if change.log_id and change.log_id == wanted.log_id:
        return wanted.revision in (0, change.revision)
    is_repair = change.cause == CAUSE and change.page_id and change.page_id == wanted.page_id
    if is_repair and suspect.kind != "visibility":
        return meant != "visibility" and edited_ms >= at_ms  # one for all that happened before
    if meant == "delete":
        return is_same_time if suspect.kind == "delete" else edited_ms > at_ms
    if suspect.kind == "visibility":
        is_it = meant == "visibility" and change.revision == wanted.revision
        return is_it and is_same_time and (not suspect.is_row or _hides(change) >= _hides(wanted))
    if meant == "create":  # what was under its title before is another page
        is_it = change.revision == wanted.revision > 0
        return is_it or (not wanted.page_id and is_same_time)
    if suspect.kind == "delete":  # it is there again; under its title there may be another page
        return bool(change.page_id) and edited_ms > at_ms
    if suspect.kind == "move":
        return meant == "move" and change.title == wanted.title and is_same_time
    if wanted.revision and meant == "edit" and change.revision:
        return change.revision >= wanted.revision
    if meant == suspect.kind and not (change.log_id and wanted.log_id):
        return is_same_time
    return edited_ms > at_ms


def _restates(suspect: Suspect, revision: int, kind: str, edited_ms: int) -> bool:
    """Whether an article does. A move is missed by those whom only its old place concerns, so that no later
    article will do.
    """
    at_ms = suspect.at_ms
    if kind == "delete":
        return edited_ms >= at_ms - SLACK_MS if suspect.kind == "delete" else edited_ms > at_ms
    if suspect.kind in BY_REVISION:
        return revision >= suspect.change.revision
    if suspect.kind == "move":
        return kind == "move" and edited_ms >= at_ms - SLACK_MS
    if kind in ("refresh", suspect.kind):  # its own, which has the log's time
        return edited_ms >= at_ms
    return edited_ms > at_ms


def _is_past(suspect: Suspect, articles_ms: Callable[[str, int], int]) -> bool:
    """Of what happened before the log's changes begin: a deletion or a hiding of what nobody holds, a move of
    a page that was published since, and whatever of a page the articles have forgotten too, were told for all
    that can be known.
    """
    if suspect.is_held:
        return suspect.kind == "move" and suspect.is_restated
    page_id = suspect.change.page_id
    if suspect.kind in ("delete", "visibility") or not page_id:
        return True
    return suspect.at_ms < articles_ms(suspect.change.wiki, page_id)


def _repair(suspects: list[Suspect]) -> Change:
    """One for all that was lost of a page: it is restated as it is, wherever it came from."""
    ordered = sorted(suspects, key=lambda suspect: suspect.at_ms)
    last = ordered[-1].change
    moves = [suspect.change for suspect in ordered if suspect.kind == "move"]
    if not moves or last.meant == "delete":
        return last
    return replace(moves[-1], previous=moves[0].previous, edited_ms=last.edited_ms)


def _of_log(base: Change, entry: Logged) -> Iterator[Change]:
    if base.kind == "visibility":
        for revision in entry.revisions:
            yield replace(
                base,
                identifier=f"{base.identifier}|{revision}",
                revision=revision,
                visibility=entry.visibility,
                suppressed=entry.suppressed,
            )
    elif base.kind == "move":
        if entry.target is None:
            return
        old = Place(base.title, base.namespace)
        yield replace(base, title=entry.target.title, namespace=entry.target.namespace, previous=old)
        if entry.leaves_redirect:
            yield replace(
                base,
                identifier=identifier_derived(base.identifier, "redirect"),
                kind="create",
                page_id=0,
                log_id=0,
                is_redirect=True,
            )
    elif base.kind == "refresh" or base.page_id:  # a deletion or a return is of a page, not of a title
        yield base


def _second(time_ms: int) -> int:
    """A wiki lists whole ones, and of two things in the same one nobody knows which came first."""
    return time_ms // 1000 * 1000


def _keys(suspect: Suspect) -> Iterator[Key]:
    change = suspect.change
    wiki, revision = change.wiki, change.revision
    if change.log_id:
        yield wiki, "log", change.log_id, revision
    places: list[int | str] = [*_titles(change)]
    if change.page_id:
        places.append(change.page_id)
    for place in places:
        if suspect.kind == "visibility":
            yield wiki, place, revision
            yield wiki, place, EACH
        else:
            yield wiki, place


def _titles(change: Change) -> tuple[str, ...]:
    return (change.title, change.previous.title) if change.previous else (change.title,)


def _shown(hides: Iterable[Hideable]) -> Visibility:
    hidden = set(hides)
    return Visibility(
        text="text" not in hidden, editor="editor" not in hidden, comment="comment" not in hidden
    )


def _hides(change: Change) -> frozenset[Hideable]:
    return frozenset(change.visibility.hides()) if change.visibility else frozenset()
