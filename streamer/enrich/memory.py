"""What a worker remembers of pages and revisions: bounded, rebuilt by reading back, never the truth.

The truth is the log. Forgetting costs a `late` flag, a hint's figures or a request, never a change.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from streamer.model import Change, Hint, Place, Visibility, content_of

K = TypeVar("K")
V = TypeVar("V")

MAX_PAGES: Final = 100_000
"""About an hour of all wikis' edits, some 60 MB."""
MAX_REMOVALS: Final = 20_000
MAX_TOLD: Final = 20_000
MAX_HIDDEN: Final = 20_000
MAX_HINTS: Final = 40_000
"""As many changes as ten lanes hold open in a backlog, each of which has one, at some 1.3 kB. Live they come
within seconds of their edit."""


MAX_CONTENTS: Final = 20_000
"""Pages, some 10 MB: vandalism that is undone by hand is mostly undone within the hour."""
CONTENTS_OF_A_PAGE: Final = 15
"""As many as the wikis themselves look back for a revert."""


class Recent(Generic[K, V]):
    """A dictionary that forgets what was written longest ago."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: K) -> V | None:
        return self._items.get(key)

    def put(self, key: K, value: V) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._limit:
            self._items.popitem(last=False)

    def __contains__(self, key: K) -> bool:
        return key in self._items

    def drop(self, key: K) -> None:
        self._items.pop(key, None)


class Newest:
    """The revision that was published last of each page, and where."""

    def __init__(self, limit: int = MAX_PAGES) -> None:
        self._revisions: Recent[tuple[str, int], tuple[int, int, Place]] = Recent(limit)
        self._pages: Recent[tuple[str, str], int] = Recent(limit)

    def revision(self, wiki: str, page_id: int) -> int:
        """0: not known, or no text of it is out."""
        return (self._revisions.get((wiki, page_id)) or (0, 0))[0]

    def place(self, wiki: str, page_id: int) -> Place | None:
        """Where it stood then. None as 0 for `revision`."""
        known = self._revisions.get((wiki, page_id))
        return known[2] if known else None

    def published_ms(self, wiki: str, page_id: int) -> int:
        """When that was, by the wall clock; 0 as for `revision`."""
        return (self._revisions.get((wiki, page_id)) or (0, 0))[1]

    def page_under(self, wiki: str, title: str) -> int:
        """The page that was newest under this title; 0: not known."""
        return self._pages.get((wiki, title)) or 0

    def published(
        self, wiki: str, page_id: int, revision: int, title: str, now_ms: int = 0, *, namespace: int = 0
    ) -> None:
        """In the order of sequences; a late one is not told here. The revision may be lower than the last:
        a restored page may have lost its newest.
        """
        self._revisions.put((wiki, page_id), (revision, now_ms, Place(title, namespace)))
        if title:
            self._pages.put((wiki, title), page_id)

    def removed(self, wiki: str, page_id: int) -> None:
        """Undelete keeps revision numbers, so a page that comes back may come back lower."""
        self._revisions.drop((wiki, page_id))

    def moved(self, wiki: str, page_id: int, previous: Place) -> None:
        if self._pages.get((wiki, previous.title)) == page_id:
            self._pages.drop((wiki, previous.title))


@dataclass(frozen=True, slots=True)
class Removal:
    read_no: int
    """The count of what had been read, this one included."""
    edited_ms: int

    def overtakes(self, *, read_no: int, edited_ms: int | None) -> bool:
        """What a change that was read as number `read_no` has found of the page: see Removals."""
        return read_no < self.read_no or (edited_ms is not None and edited_ms < self.edited_ms)


class Removals:
    """Which pages were read to be removed, and when: what was read before that is `gone`."""

    def __init__(self, limit: int = MAX_REMOVALS) -> None:
        self.read_no = 0
        """How many changes this process has read; a wiki's are all in one lane, so in its order."""
        self._pages: Recent[tuple[str, int], Removal] = Recent(limit)
        self._titles: Recent[tuple[str, str], int] = Recent(limit)

    def read(self, wiki: str, title: str, read_no: int) -> None:
        self._titles.put((wiki, title), read_no)

    def resolved(self, wiki: str, page_id: int, removal: Removal) -> None:
        self._pages.put((wiki, page_id), removal)

    def is_known(self, wiki: str, page_id: int) -> bool:
        """Whether a removal of this page was read lately; it may have come back since."""
        return self._pages.get((wiki, page_id)) is not None

    def title_removed_after(self, wiki: str, title: str, read_no: int) -> bool:
        """Whether a removal under this title was read after `read_no`: enough to believe a "missing"."""
        return (self._titles.get((wiki, title)) or 0) > read_no

    def overtakes(self, wiki: str, page_id: int, *, read_no: int, edited_ms: int | None) -> bool:
        """Whether what a change that was read as number `read_no` has found of this page is `gone`.

        A removal waits for nobody, so whatever was read before it and is not out yet must not come out
        after it: not what was asked before, and not what a lagging replica still answers. `edited_ms` is
        given for a create, an edit or a replay only: one that was made before the removal and read after it
        (the stream is out of order; a replay comes at any time) is gone too. Wikis count whole seconds, so
        equal times tell nothing.
        """
        removal = self._pages.get((wiki, page_id))
        return removal is not None and removal.overtakes(read_no=read_no, edited_ms=edited_ms)


class Told:
    """The highest revision that changes told of each title, as they were read: known before anything of it
    is published, while `Newest` is known after.
    """

    def __init__(self, limit: int = MAX_TOLD) -> None:
        self._titles: Recent[tuple[str, str], int] = Recent(limit)

    def read(self, change: Change) -> int:
        """Takes a change in; what had been told before it of the page it is about, 0: nothing."""
        here = (change.wiki, change.title)
        if change.kind == "delete":  # what comes back under the title may come back lower
            self._titles.drop(here)
            return 0
        if change.previous and not change.replays:
            there = (change.wiki, change.previous.title)
            moved = self._titles.get(there) or 0
            self._titles.drop(there)
            self._titles.drop(here)
            if now := max(moved, change.revision):
                self._titles.put(here, now)
            return moved
        told = self._titles.get(here) or 0
        if change.kind in ("create", "edit", "restore") and change.revision > told:
            self._titles.put(here, change.revision)
        return told


class HiddenRevisions:
    """What the stream said was hidden of a revision: kept over an API that lags behind it."""

    def __init__(self, limit: int = MAX_HIDDEN) -> None:
        self._revisions: Recent[tuple[str, int], Visibility] = Recent(limit)

    def told(self, wiki: str, revision: int, visibility: Visibility) -> None:
        if visibility.hides():
            self._revisions.put((wiki, revision), visibility)
        else:
            self._revisions.drop((wiki, revision))

    def of(self, wiki: str, revision: int) -> Visibility:
        return self._revisions.get((wiki, revision)) or Visibility()


class Hints:
    """Free metadata by revision; several hints about one are joined, the later word wins."""

    def __init__(self, limit: int = MAX_HINTS) -> None:
        self._revisions: Recent[tuple[str, int], tuple[Hint, bool]] = Recent(limit)
        """And whether the edit itself was told."""

    def add(self, hint: Hint) -> None:
        key = (hint.wiki, hint.revision)
        known = self._revisions.get(key)
        if known is None:
            self._revisions.put(key, (hint, hint.is_of_edit))
        else:
            before, has_edit = known
            self._revisions.put(key, (_joined(before, hint), has_edit or hint.is_of_edit))

    def of(self, wiki: str, revision: int) -> Hint | None:
        known = self._revisions.get((wiki, revision))
        return known[0] if known else None

    def has_edit(self, wiki: str, revision: int) -> bool:
        """Whether the edit itself was told, and not its tags or scores alone."""
        known = self._revisions.get((wiki, revision))
        return known is not None and known[1]


class Restored(NamedTuple):
    """A page has the content of an earlier revision again."""

    revision: int
    """That one."""
    oldest: int
    newest: int
    """What came between, as far as it is known: the newest is the parent of the one that restored."""
    is_new: bool
    """Nothing was said of the restoring revision before."""


class Contents:
    """What pages consisted of lately, by the SHA-1s that hints tell: so that an edit that only has an old
    text again is known for a revert, whatever the wiki says of it.
    """

    def __init__(self, limit: int = MAX_CONTENTS) -> None:
        self._pages: Recent[tuple[str, int], tuple[tuple[int, int], ...]] = Recent(limit)
        self._reverted: Recent[tuple[str, int], frozenset[int]] = Recent(limit)
        """Revisions of a page that are known to have been reverted."""

    def take(self, hint: Hint) -> Restored | None:
        """What this revision restores; None: nothing. What was taken before is said again, so that who reads
        the same hints twice comes to the same.
        """
        if not (hint.page_id and hint.revision and hint.sha1):
            return None
        key = hint.wiki, hint.page_id
        known = self._pages.get(key) or ()
        content = content_of(hint.sha1)
        if hint.parent and hint.parent_sha1 and all(revision != hint.parent for revision, _ in known):
            known = (*known, (hint.parent, content_of(hint.parent_sha1)))
        is_new = all(revision != hint.revision for revision, _ in known)
        if is_new:
            known = (*known, (hint.revision, content))
        self._pages.put(key, known[-CONTENTS_OF_A_PAGE:])
        before = max((one for one, its in known if its == content and one < hint.revision), default=0)
        if not before or before in (hint.parent, hint.revision - 1):
            return None
        between = [one for one, _ in known if before < one < hint.revision]
        newest = hint.parent or max(between, default=before + 1)
        return Restored(before, min(between, default=newest), newest, is_new)

    def judge(self, hint: Hint) -> Hint:
        """A hint that says what it restored: with the word that this had been reverted itself, where that is
        known. Then nothing is known to be wrong with what came between.
        """
        if not (hint.page_id and (hint.reverted_oldest or hint.reverted_newest)):
            return hint
        key = hint.wiki, hint.page_id
        reverted = self._reverted.get(key) or frozenset()
        if hint.restored in reverted:
            return replace(hint, restored_reverted=True)
        ends = hint.reverted_oldest or hint.reverted_newest, hint.reverted_newest or hint.reverted_oldest
        between = {one for one, _ in self._pages.get(key) or () if ends[0] <= one <= ends[1]}
        self._reverted.put(key, frozenset(sorted(reverted | between | {*ends})[-CONTENTS_OF_A_PAGE:]))
        return hint


def _joined(before: Hint, after: Hint) -> Hint:
    return replace(
        after,
        page_id=after.page_id or before.page_id,
        parent=after.parent or before.parent,
        sha1=after.sha1 or before.sha1,
        parent_sha1=after.parent_sha1 or before.parent_sha1,
        content_model=after.content_model or before.content_model,
        size=before.size if after.size is None else after.size,
        parent_size=before.parent_size if after.parent_size is None else after.parent_size,
        parent_edited_ms=before.parent_edited_ms
        if after.parent_edited_ms is None
        else after.parent_edited_ms,
        editor=after.editor or before.editor,
        reverted_oldest=after.reverted_oldest or before.reverted_oldest,
        reverted_newest=after.reverted_newest or before.reverted_newest,
        restored=after.restored or before.restored,
        restored_reverted=after.restored_reverted or before.restored_reverted,
        tags=before.tags if after.tags is None else after.tags,
        previous_tags=before.previous_tags if after.previous_tags is None else after.previous_tags,
        scores={**(before.scores or {}), **(after.scores or {})} or None,
    )
