"""Keeps a Lance table of chunks what the corpus is: only what changed is embedded.

Of the pages that the filters take, articles by default; a page that they don't take any more leaves it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from consumers.corpus import mark
from consumers.corpus.chunk import Chunk, chunks, edit
from consumers.corpus.embed import Embedder, embedded
from consumers.corpus.quality import Filters, length
from consumers.corpus.sink import ERASED, SINK
from consumers.corpus.state import Changed, State
from consumers.corpus.table import ANN_ROWS, Table, is_free, locked, of_page
from consumers.errors import UsageError

if TYPE_CHECKING:
    from consumers.corpus.page import Page

PAGES: Final = 200
"""That are written at once."""
SETTLE: Final = 50
"""Times that something was written, until files are joined and old versions dropped."""
KIND: Final = "lance"
"""As a sink."""
ARTICLES: Final = Filters(duplicates=True)


class Counts(NamedTuple):
    pages: int = 0
    added: int = 0
    removed: int = 0
    kept: int = 0
    chars: int = 0
    """That were embedded."""

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*map(sum, zip(self, other, strict=True)))


class Index:
    """Of one folder, which the corpus remembers, so that `erase` finds it."""

    def __init__(
        self,
        state: State,
        folder: Path,
        embedder: Embedder,
        filters: Filters = ARTICLES,
        *,
        ann: bool = False,
        ann_rows: int = ANN_ROWS,
    ) -> None:
        """Raises UsageError where the folder is of another embedder, or holds something else."""
        self._state = state
        self._folder = folder.resolve()
        self._check_folder()
        self._embedder = embedder
        self._filters, self._taken_by = filters, msgspec.json.encode(filters).decode()
        self._ann, self._ann_rows = ann, ann_rows
        self._unsettled = 0
        state.commit(facts={f"{SINK}{self._folder}": KIND})
        with locked(self._folder):
            Table.made(self._folder, embedder)

    def _check_folder(self) -> None:
        """What another command wrote stays known as what it is, so that it is erased as such."""
        kind = self._state.fact(f"{SINK}{self._folder}")
        if kind and kind != KIND:
            raise UsageError(
                f"{self._folder} is of the kind {kind!r} already: name another folder for the index; if that"
                f" is no more, `corpus erase --forget {self._folder}` first"
            )
        if not is_free(self._folder):
            raise UsageError(f"{self._folder} holds something else than an index: name another folder")

    def step(self, limit: int = PAGES) -> Counts | None:
        """Brings in the next changes. None: there are none."""
        with locked(self._folder):  # held over reading and writing: `erase` never runs between the two
            table = Table.made(self._folder, self._embedder)
            if not mark.is_known(self._state, table) or table.filters != self._taken_by:
                self._begin(table)
            changes = self._state.changes(table.cursor, limit)
            if not changes:
                return None
            counts = self._write(table, changes)
            mark.moved(self._state, table, changes[-1].changed, self._taken_by)
            self._unsettled += 1
            if self._unsettled >= SETTLE:
                self._settle(table)
        return counts

    def run(self, show: Callable[[Counts], None] = lambda _: None) -> Counts:
        """Until there is nothing more."""
        total = Counts()
        while counts := self.step():
            total = total.plus(counts)
            show(total)
        return total

    def settle(self) -> None:
        """At the end, or now and then: fewer files, and no versions that nobody reads."""
        with locked(self._folder):
            self._settle(Table(self._folder))

    def _settle(self, table: Table) -> None:
        table.settle(ann=self._ann, ann_rows=self._ann_rows)
        self._unsettled = 0

    def _write(self, table: Table, changes: list[Changed]) -> Counts:
        stored = table.stored({(each.wiki, each.page) for each in changes})
        added: list[tuple[Page, Chunk]] = []
        removed: list[str] = []
        retitled: dict[str, Page] = {}
        kept = 0
        for each in changes:
            page = each.content if each.content and self._takes(each.content) else None
            was = {row.id: row.of_page for row in stored[each.wiki, each.page]}
            diff = edit(was.keys(), chunks(page) if page else ())
            removed += diff.removed
            kept += len(diff.kept)
            if page:
                added += ((page, chunk) for chunk in diff.added)
                retitled |= {each: page for each in diff.kept if was[each] != of_page(page)}
        passages = [chunk.passage for _, chunk in added]
        table.remove(removed)  # first: for a moment a passage may be missing, never one that was withdrawn
        table.add(added, embedded(self._embedder, passages))
        table.retitle(retitled)
        return Counts(len(changes), len(added), len(removed), kept, sum(map(len, passages)))

    def _takes(self, page: "Page") -> bool:
        wikis = self._filters.wikis
        if wikis is not None and page.wiki not in wikis:
            return False
        return self._filters.reason(page, length(page.text)) is None

    def _begin(self, table: Table) -> None:
        """Without the pages that this corpus doesn't know; the others are compared in turn. What was erased
        may be in it again.
        """
        strangers = {page for page in table.pages() if self._state.row(*page) is None}
        table.remove([row.id for rows in table.stored(strangers).values() for row in rows])
        mark.begun(self._state, table, self._taken_by, {f"{ERASED}{self._folder}": "0"})
