"""What is held until it has settled, as pure rules: what is due, and what has been overtaken by then.

A settling partner stands at two offsets of the articles: `seen`, up to which they were looked at, and
`released`, up to which each has had its outcome. What carries no text goes out when it is seen, the rest
settles for a while, from its append on; so it is first in, first out, and a busy page waits no longer than
another. Between the two offsets `Ahead` remembers a few numbers of each record, and never a text. It follows
from the articles alone: whoever reads them again from `start` has the same.

A held record has been overtaken when

    ended      a record without text came after it: the page is gone, or its text hidden, and that is out
    reverted   a revision after it has the same content (SHA-1) as one before it, and another than its own

What the wiki itself says of reverts comes beside it (streamer.route.reverts).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from typing import Final, Literal

from msgspec import Struct

from streamer.accounts import seen_by
from streamer.log.base import Stored
from streamer.log.position import Position, Ranges
from streamer.model import content_of, is_tick
from streamer.route.rules import View

Fate = Literal["", "reverted", "ended"]

REMEMBERED: Final = 2_000
"""Offsets before `released` that are remembered too: what a page was before the edit that is held."""
MOST_HELD: Final = 400_000
"""Records held in one lane, at some 140 bytes each; then the partner reads no further until some are due."""
MOST_LEFT: Final = 400
"""Of one partner in one lane, so that the position can say them; more of them wait like the others."""
DEPTH: Final = 100
"""How many of a page's records are looked at for one of the same content. The wikis themselves look at 15."""
RANGES: Final = 16
"""Of one page; with more, those are forgotten that nothing can be judged by any more."""

_PAGE_BITS: Final = 48


class Hold(Struct, frozen=True):
    """What a settling partner's position says beside `seen`."""

    released: int
    left: tuple[int, ...] = ()
    """Ascending offsets of held records that went out already, as a delete: the page left the partner's
    scope. Whether one did depends on the rules of that time: to read it again would not tell.
    """

    def done(self) -> Ranges:
        """As a position's done set."""
        ranges: list[tuple[int, int]] = []
        for offset in self.left:
            if ranges and ranges[-1][1] == offset:
                ranges[-1] = (ranges[-1][0], offset + 1)
            else:
                ranges.append((offset, offset + 1))
        return tuple(ranges)

    def at(self, released: int) -> "Hold":
        return Hold(released, tuple(offset for offset in self.left if offset >= released))


def hold_of(position: Position) -> Hold | None:
    """None where nothing is held."""
    if seen_by(position) == position.next:
        return None
    return Hold(position.next, tuple(offset for low, high in position.done for offset in range(low, high)))


def goes_at_once(stored: Stored, view: View) -> bool:
    """Whether it is held for nobody. A late record keeps its place in the order of its page, text or not."""
    return not view.has_text and "/" not in stored.key


class Ahead:
    """The records of one partition from `start` on; those who stand at the same offset share one.

    `take` each of them in their order. What was taken already changes nothing, so a pass may be repeated.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        """The offset behind what was taken."""
        self.known_ms = 0
        """All that was appended before this was taken. It steps back where the clock does."""
        self._number = 0
        """Of the first row; rows before it are forgotten."""
        self._offsets = array("Q")
        self._times = array("Q")
        self._pages = array("Q")
        self._revisions = array("Q")
        self._hashes = array("Q")
        self._parents = array("Q")
        self._parent_hashes = array("Q")
        self._distances = array("I")
        """To the page's row before; 0: none is known."""
        self._wikis: dict[str, int] = {}
        self._newest: dict[int, int] = {}
        """Page → the number of its newest row."""
        self._ended: dict[int, tuple[int, int]] = {}
        """Page → the offset of the newest record without text, and the page's namespace in it."""
        self._endings: deque[tuple[int, int]] = deque()
        self._restored: dict[int, dict[int, tuple[int, int, int]]] = {}
        """Page → content → its oldest and its newest revision, and the number of the row that said so."""

    def __len__(self) -> int:
        return len(self._offsets)

    # ── what is read ───────────────────────────────────────────────────────────────────────────

    def take(self, stored: Stored, view: View | None) -> None:
        """`view` None: the record holds no article."""
        if stored.offset < self.end:
            return
        self.end = stored.offset + 1
        self.known_ms = stored.timestamp_ms
        if view is None:
            if stored.value is None and not is_tick(stored):  # of a late record: it goes when that does
                self._append(stored, (0, 0, 0, 0, 0))
        elif not goes_at_once(stored, view):
            self._hold(stored, view)
        elif page := self._page(stored.key):
            self._ended[page] = stored.offset, view.namespace.identifier
            self._endings.append((stored.offset, page))

    def skip_to(self, offset: int) -> None:
        """There is no record before it that was not taken."""
        self.end = max(self.end, offset)

    def saw_end(self, time_ms: int) -> None:
        """Nothing stood behind `end` at that time."""
        self.known_ms = time_ms

    def _hold(self, stored: Stored, view: View) -> None:
        page = self._page(stored.key)
        revision, content = int(stored.header("rev") or 0), content_of(stored.header("sha1"))
        parent = parent_content = 0
        if view.previous_version is not None and view.previous_version.sha1:
            parent = view.previous_version.identifier
            parent_content = content_of(view.previous_version.sha1)
        number = self._number + len(self._offsets)
        newest = self._newest.get(page, -1)
        if page:
            self._compare(page, revision, content, newest)
            self._compare(page, parent, parent_content, newest)
            self._newest[page] = number
        self._append(stored, (page, revision, content, parent, parent_content))
        if newest >= self._number:
            self._distances[-1] = number - newest

    def _append(self, stored: Stored, row: tuple[int, int, int, int, int]) -> None:
        page, revision, content, parent, parent_content = row
        self._offsets.append(stored.offset)
        # a cluster's times may step back a little; what comes later is not due before it
        self._times.append(max(stored.timestamp_ms, self._times[-1] if self._times else 0))
        self._pages.append(page)
        self._revisions.append(revision)
        self._hashes.append(content)
        self._parents.append(parent)
        self._parent_hashes.append(parent_content)
        self._distances.append(0)

    def _compare(self, page: int, revision: int, content: int, newest: int) -> None:
        """Whether the page had this content before, or has it in a newer revision that came first."""
        if not revision or not content:
            return
        row = newest - self._number
        for _ in range(DEPTH):
            if row < 0:
                return
            if self._hashes[row] == content and self._revisions[row] != revision:
                self._restores(page, content, self._revisions[row], revision)
            if self._parent_hashes[row] == content and self._parents[row] != revision:
                self._restores(page, content, self._parents[row], revision)
            distance = self._distances[row]
            if not distance:
                return
            row -= distance

    def _restores(self, page: int, content: int, one: int, other: int) -> None:
        spans = self._restored.setdefault(page, {})
        low, high, _ = spans.get(content, (one, other, 0))
        spans[content] = (min(low, one, other), max(high, one, other), self._number + len(self._offsets))
        if len(spans) > RANGES:
            self._restored[page] = {c: span for c, span in spans.items() if span[2] >= self._number}

    # ── what is asked ──────────────────────────────────────────────────────────────────────────

    def fate(self, stored: Stored) -> Fate:
        """What has become of a held record, as far as `end`."""
        page = self._page(stored.key)
        if stored.offset < self._ended.get(page, (0, 0))[0]:
            return "ended"
        spans = self._restored.get(page)
        if spans:
            revision, content = int(stored.header("rev") or 0), content_of(stored.header("sha1"))
            if any(low < revision < high and content != other for other, (low, high, _) in spans.items()):
                return "reverted"
        return ""

    def ended_in(self, stored: Stored) -> int:
        """The namespace in which the page of an ended record was then."""
        return self._ended[self._page(stored.key)][1]

    def due(self, released: int, seen: int, until_ms: int) -> int:
        """The offset of the first held record between the two that was appended after `until_ms`; else
        `seen`.
        """
        row = bisect_right(self._times, until_ms, lo=bisect_left(self._offsets, released))
        return min(seen, self._offsets[row]) if row < len(self._offsets) else seen

    def count(self, low: int, high: int) -> int:
        """Records held of these offsets."""
        return max(0, bisect_left(self._offsets, high) - bisect_left(self._offsets, low))

    def appended_ms(self, offset: int) -> int:
        """When the first held record from there on was appended; `known_ms` where there is none."""
        row = bisect_left(self._offsets, offset)
        return self._times[row] if row < len(self._offsets) else self.known_ms

    def page_at(self, offset: int) -> int:
        """Of a held record; 0: it is not there any more."""
        row = bisect_left(self._offsets, offset)
        return self._pages[row] if row < len(self._offsets) and self._offsets[row] == offset else 0

    def page_of(self, stored: Stored) -> int:
        return self._page(stored.key)

    # ── what is forgotten ──────────────────────────────────────────────────────────────────────

    def forget(self, below: int) -> None:
        """All offsets before that. Cheap where there is little to do."""
        count = bisect_left(self._offsets, below)
        if count < max(1_000, len(self._offsets) // 8):
            return
        for row in range(count):
            page = self._pages[row]
            if self._newest.get(page) == self._number + row:
                del self._newest[page]
                self._restored.pop(page, None)
        for column in (
            self._offsets,
            self._times,
            self._pages,
            self._revisions,
            self._hashes,
            self._parents,
            self._parent_hashes,
            self._distances,
        ):
            del column[:count]
        self._number += count
        self.start = max(self.start, below)
        while self._endings and self._endings[0][0] < below:
            offset, page = self._endings.popleft()
            if self._ended.get(page, (0, 0))[0] == offset:
                del self._ended[page]

    def _page(self, key: str) -> int:
        """A number for the page of a key, the same for its late records; 0 where it names none."""
        wiki, _, page = key.partition("/")[0].rpartition(":")
        if not page.isdecimal() or len(page) > 14:  # fits into _PAGE_BITS
            return 0
        wiki_number = self._wikis.get(wiki)
        if wiki_number is None:
            wiki_number = self._wikis[wiki] = len(self._wikis) + 1
        return wiki_number << _PAGE_BITS | int(page)
