"""What a corpus knows of one page, and how a change alters it: pure, idempotent, and the same in any order.

Two kinds of sources speak of a page. Events of the feed are ordered among themselves by their sequence; dumps
and wikis that were asked, by when they were. Between the two a listing counts as lower than any event of its
page at the same or a newer revision; that a page is not there, which has no revision, is held against the
time of the newest event. Both are kept as long as a listing is the newer one: an event that is yet to come
may put it behind again, and then what the feed said last must be at hand.
"""

from msgspec import Struct
from msgspec.structs import replace

from consumers.corpus.page import Change, Gone, Listed, Page, Told


class Row(Struct, frozen=True):
    wiki: str
    page: int
    told: Told | None = None
    """The newest that the feed said, by sequence."""
    listed: Listed | None = None
    """The newest listing, while it is not behind the feed."""
    highest: int = 0
    """Of the revisions that events named."""

    @property
    def content(self) -> Page | None:
        """As it is to be read; None of a tombstone."""
        return self.shown.content

    @property
    def gone(self) -> Gone | None:
        return self.shown.gone

    @property
    def sequence(self) -> int:
        """0 where only a listing speaks of the page."""
        return self.told.sequence if self.told else 0

    @property
    def shown(self) -> Told | Listed:
        shown = self.listed or self.told
        assert shown is not None, "a row is made by a change"
        return shown


def applied(row: Row | None, change: Change) -> Row | None:
    """The row after it; the same object where it changes nothing. None: there is still no row."""
    if isinstance(change, Told) and change.late:
        return row
    before = row or Row(change.wiki, change.page)
    assert (before.wiki, before.page) == (change.wiki, change.page)
    after = _told(before, change) if isinstance(change, Told) else _listed(before, change)
    if after.listed is not None and not _is_ahead(after.listed, after):
        after = replace(after, listed=None)
    return row if row is not None and after == row else after


def _told(row: Row, event: Told) -> Row:
    highest = max(row.highest, event.revision)
    if row.told is not None and row.told.sequence >= event.sequence:
        return replace(row, highest=highest)
    return replace(row, told=event, highest=highest)


def _listed(row: Row, listing: Listed) -> Row:
    if row.listed is not None and (row.listed.at, row.listed.revision) >= (listing.at, listing.revision):
        return row
    return replace(row, listed=listing)


def _is_ahead(listing: Listed, row: Row) -> bool:
    if row.told is None:
        return True
    if listing.revision:
        return listing.revision > row.highest
    return listing.at > row.told.sequence
