"""Keeps a Lance table of chunks what the corpus is: only what changed is embedded."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from consumers.corpus.chunk import Chunk, chunks, edit
from consumers.corpus.embed import Embedder, embedded
from consumers.corpus.sink import SINK
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
IDENTITY: Final = "identity"
"""Fact of a corpus: random, so that a table knows whether it is of this one."""


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
        self, state: State, folder: Path, embedder: Embedder, *, ann: bool = False, ann_rows: int = ANN_ROWS
    ) -> None:
        """Raises UsageError where the folder is of another embedder, or holds something else."""
        self._state = state
        self._folder = folder.resolve()
        self._check_folder()
        self._embedder = embedder
        self._ann, self._ann_rows = ann, ann_rows
        self._unsettled = 0
        self._of = state.fact(IDENTITY) or secrets.token_hex(16)
        state.commit(facts={IDENTITY: self._of, f"{SINK}{self._folder}": KIND})
        with locked(self._folder):
            table = Table.made(self._folder, embedder)
            if not table.is_of(self._of):
                self._drop_strangers(table)

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
            changes = self._state.changes(self._since(table), limit)
            if not changes:
                return None
            counts = self._write(table, changes)
            table.done(self._of, changes[-1].changed)
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
            page = each.content
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

    def _since(self, table: Table) -> int:
        """From the beginning where the table knows changes that the corpus doesn't: an older copy of it was
        brought back, or a power loss took them. Nothing is embedded twice by it.
        """
        cursor = table.cursor(self._of)
        if cursor <= self._state.changed():
            return cursor
        self._drop_strangers(table)
        return 0

    def _drop_strangers(self, table: Table) -> None:
        """Pages of another corpus that this one doesn't know. The others are compared in turn."""
        strangers = {page for page in table.pages() if self._state.row(*page) is None}
        table.remove([row.id for rows in table.stored(strangers).values() for row in rows])
