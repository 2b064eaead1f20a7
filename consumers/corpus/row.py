"""What a corpus knows of one page, and how a change alters it: pure, idempotent, and the same in any order.

Two kinds of sources speak of a page. Events of the feed are ordered among themselves by their sequence; dumps
and wikis that were asked, by when they were. Between the two:

- Which revision is the newest, revisions say: a listing is behind any event of its page at the same or a
  newer one. So a dump may be read while the feed is followed, and be old.
- Whether the page is there, and may be read, time says. That it is not holds against every event before it;
  what a listing shows was not yet withdrawn when it was begun, so a removal since then holds against it.
- A listing that was begun SURE_US after all that was heard of its page is newer, whatever its revision: this
  is how a restore to an older revision is noticed, if the feed's event of it was lost.

A row remembers of all this a few numbers, each the highest of its kind, so that nothing depends on what came
first. A text stands in it only as long as it may be shown, now or after changes that are yet to come: never
in a row that is gone, and never that of a revision which was hidden.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from consumers.corpus.page import Change, Gone, Listed, Page, Told

SURE_US: Final = 3_600_000_000
"""More than a wiki's replicas lag behind, from which dumps are made."""


class Row(Struct, frozen=True, omit_defaults=True):
    wiki: str
    page: int
    told: Told | None = None
    """The newest that the feed said, by sequence."""
    listed: Listed | None = None
    """The newest listing that showed a text, while it is ahead of the feed."""
    missing: Listed | None = None
    """The newest listing that showed none."""
    newest_listing: tuple[int, int] = (0, 0)
    """When the newest that showed a text was begun, and its revision; be it ahead or not."""
    highest: int = 0
    """Of the revisions that events named."""
    heard: int = 0
    """The highest sequence."""
    removed: int = 0
    """That of the newest deletion."""
    hides: Mapping[int, int] = {}
    """Revisions that late events have hidden since the newest that is not late, each by its sequence."""

    @property
    def content(self) -> Page | None:
        """As it is to be read; None of a tombstone."""
        shown = self.shown
        return shown.content if shown else None

    @property
    def gone(self) -> Gone | None:
        if self.content is not None:
            return None
        if self.missing and self.missing.at > self.sequence:
            return self.missing.gone
        return self.told.gone if self.told else "hidden"

    @property
    def sequence(self) -> int:
        """Of the newest event; 0 where only a listing speaks of the page."""
        return self.told.sequence if self.told else 0

    @property
    def revision(self) -> int:
        """The one that is shown, or was told last; 0: not known."""
        shown = self.shown or self.told
        return shown.revision if shown else self.missing.revision if self.missing else 0

    @property
    def shown(self) -> Told | Listed | None:
        """None where nothing can be. Of one revision the feed knows more than a listing."""
        told = self.told if self.told and self.told.content else None
        if self.listed is None or (told and told.revision == self.listed.revision):
            return told
        return self.listed


def applied(row: Row | None, change: Change) -> Row | None:
    """The row after it; the same object where it changes nothing. None: there is still no row."""
    before = row or Row(change.wiki, change.page)
    assert (before.wiki, before.page) == (change.wiki, change.page)
    if isinstance(change, Listed):
        after = _listed(before, change)
    elif not change.late:
        after = _told(before, change)
    elif change.hides:
        after = _hidden(before, change)
    else:
        return row
    after = _without_withdrawn(after)
    return row if row is not None and after == row else after


def _told(row: Row, event: Told) -> Row:
    row = replace(
        row,
        highest=max(row.highest, event.revision, event.hides),
        heard=max(row.heard, event.sequence),
        removed=max(row.removed, event.sequence if event.gone == "deleted" else 0),
    )
    return replace(row, told=event) if event.sequence > row.sequence else row


def _hidden(row: Row, event: Told) -> Row:
    """A late event tells nothing of what is newest, but what it hides is hidden."""
    since = max(event.sequence, row.hides.get(event.hides, 0))
    return replace(
        row,
        highest=max(row.highest, event.hides),
        heard=max(row.heard, event.sequence),
        hides={**row.hides, event.hides: since},
    )


def _listed(row: Row, listing: Listed) -> Row:
    if listing.content is None:
        newest = row.missing
        if newest and (newest.at, newest.hidden, newest.revision) >= (
            listing.at,
            listing.hidden,
            listing.revision,
        ):
            return row
        return replace(row, missing=listing)
    key = (listing.at, listing.revision)
    return replace(row, listed=listing, newest_listing=key) if key > row.newest_listing else row


def _without_withdrawn(row: Row) -> Row:
    """Without what will not be shown any more, whatever may yet come: each of these is so for good."""
    told, listed = row.told, row.listed
    if told:
        row = replace(row, hides={page: since for page, since in row.hides.items() if since > told.sequence})
        is_missing = row.missing is not None and row.missing.at > told.sequence
        if told.content and (is_missing or told.revision in row.hides):
            told = replace(told, content=None, gone="hidden")
    if listed and not _is_ahead(listed, row):
        listed = None
    return replace(row, told=told, listed=listed)


def _is_ahead(listing: Listed, row: Row) -> bool:
    if row.missing and row.missing.at >= listing.at:
        return False
    if listing.revision > row.highest and listing.at > row.removed:
        return True
    return listing.at > row.heard + SURE_US


def withdrawals_of(was: Row | None, row: Row | None, change: Change) -> Iterator[tuple[int, int]]:
    """Revision (0: all) and sequence (0: found out by a listing) of what this change withdraws. An event does
    so whatever has become of the row since: texts lie elsewhere too.
    """
    if isinstance(change, Listed):
        if was is None or row is None or change.gone is None or row.gone != change.gone:
            return
        known = was.missing.revision if was.missing else was.revision
        if was.gone != change.gone or (change.hidden and known != change.revision):
            yield (change.revision if change.hidden else 0), 0
        return
    if change.gone == "deleted":
        yield 0, change.sequence
    elif change.gone == "hidden":
        yield change.revision, change.sequence
    if change.hides and change.hides != change.revision * (change.gone is not None):
        yield change.hides, change.sequence
