"""The Lance table of chunks and their vectors: what a retrieval index reads while we keep it current.

A folder with the table and a lock. One process at a time writes, under the lock; readers need none and see a
version of the table, whole. What the table is of (embedder, filters) and how far it is (`cursor`, and the
`mark` by which the corpus knows it) is in the table's own configuration, written after the rows: what is done
twice changes nothing.

A chunk's row says with which revision it came to be as it is. Later revisions that leave it alone don't touch
its row: a page's edit writes what the edit changed, and no vector twice.
"""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from consumers.corpus.chunk import Chunk
from consumers.corpus.page import Page
from consumers.errors import SinkError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from consumers.corpus.embed import Embedder, Vectors

os.environ.setdefault("LANCE_LOG", "error")  # its advice about clusters is not for those who run a command
import lance

NAME: Final = "chunks.lance"
BEGUN: Final = "chunks.begun"
"""As it is called until it says what it is of: killed before, it is made anew."""
LOCK: Final = "lock"
READ_FOR: Final = timedelta(minutes=10)
"""So long a reader may go on with a version that is no longer the newest."""
ANN_ROWS: Final = 50_000
"""Below, all vectors are compared, which is exact and takes some milliseconds."""
_EMBEDDER: Final = "corpus.embedder"
_DIMENSIONS: Final = "corpus.dimensions"
_MARK: Final = "corpus.mark"
_FILTERS: Final = "corpus.filters"
_CURSOR: Final = "corpus.cursor"
_PAGE_INDEX: Final = "page_id_idx"
_VECTOR_INDEX: Final = "vector_idx"
_OF_PAGE: Final = ("title", "url", "language", "attribution", "licence")
"""Columns that may change while the chunk stays."""


class Stored(NamedTuple):
    """Of a row: its id, and the columns that come from its page as it was."""

    id: str
    of_page: tuple[str, ...]


class Found(NamedTuple):
    distance: float
    """Cosine: 0 the same direction, 1 nothing in common."""
    row: dict[str, Any]


class Table:
    def __init__(self, folder: Path) -> None:
        """Raises SinkError where there is none."""
        self.folder = folder
        if not (folder / NAME).is_dir():
            raise SinkError(f"there is no index at {folder}: `corpus index {folder}` makes one")
        try:
            self._lance = lance.dataset(str(folder / NAME))
            self._config = self._lance.config()
            self.embedder, self.dimensions = self._config[_EMBEDDER], int(self._config[_DIMENSIONS])
        except (OSError, ValueError, KeyError) as error:
            raise SinkError(f"{folder} can't be read as an index: {error}") from None

    @classmethod
    def made(cls, folder: Path, embedder: "Embedder") -> "Table":
        """The one that is there, or a new one. Raises UsageError where it is of another embedder. Under the
        lock.
        """
        if not (folder / NAME).is_dir():
            begun = folder / BEGUN
            shutil.rmtree(begun, ignore_errors=True)
            empty = schema(embedder.dimensions).empty_table()
            made = lance.write_dataset(empty, str(begun), mode="create")
            made.update_config({_EMBEDDER: embedder.name, _DIMENSIONS: str(embedder.dimensions)})
            begun.rename(folder / NAME)
        table = cls(folder)
        table.check(embedder)
        return table

    def check(self, embedder: "Embedder") -> None:
        """Raises UsageError where its vectors are of another one."""
        if (self.embedder, self.dimensions) != (embedder.name, embedder.dimensions):
            raise UsageError(
                f"the index at {self.folder} is of {self.embedder} ({self.dimensions} dimensions), not of"
                f" {embedder.name} ({embedder.dimensions}): their vectors can't be compared;"
                f" choose that embedder, or another folder"
            )

    # ── how far it is ──────────────────────────────────────────────────────────────────────────

    @property
    def cursor(self) -> int:
        """The number of the last change of the corpus that is in it; 0: none. See `mark` for which corpus."""
        return int(self._config.get(_CURSOR, "0"))

    @property
    def mark(self) -> str:
        return str(self._config.get(_MARK, ""))

    @property
    def filters(self) -> str:
        """Which pages are in it, as JSON of quality.Filters."""
        return str(self._config.get(_FILTERS, ""))

    def done(self, mark: str, cursor: int, filters: str) -> None:
        """All three at once."""
        self._lance.update_config({_MARK: mark, _CURSOR: str(cursor), _FILTERS: filters})
        self._config = self._lance.config()

    # ── rows ───────────────────────────────────────────────────────────────────────────────────

    def count(self) -> int:
        return int(self._lance.count_rows())

    def stored(self, pages: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[Stored]]:
        """What there is of these."""
        found: dict[tuple[str, int], list[Stored]] = {page: [] for page in pages}
        if not found:
            return found
        numbers = ", ".join(str(number) for number in sorted({number for _, number in found}))
        rows = self._lance.to_table(
            columns=["id", "wiki", "page_id", *_OF_PAGE], filter=f"page_id IN ({numbers})"
        )
        for row in rows.to_pylist():
            of = found.get((row["wiki"], row["page_id"]))
            if of is not None:
                of.append(Stored(row["id"], tuple(row[name] for name in _OF_PAGE)))
        return found

    def pages(self) -> set[tuple[str, int]]:
        rows = self._lance.to_table(columns=["wiki", "page_id"])
        return set(zip(rows["wiki"].to_pylist(), rows["page_id"].to_pylist(), strict=True))

    def add(self, rows: Sequence[tuple[Page, Chunk]], vectors: "Vectors") -> None:
        if rows:
            self._lance.insert(_rows(rows, vectors, self.dimensions))

    def retitle(self, pages: Mapping[str, Page]) -> None:
        """By chunk id: they have another title or address; text and vector stay as they are."""
        if not pages:
            return
        rows = self._lance.to_table(filter=_ids(pages))
        columns = {name: rows[name] for name in rows.column_names}
        for position, name in enumerate(_OF_PAGE):
            columns[name] = [of_page(pages[each])[position] for each in rows["id"].to_pylist()]
        import pyarrow as pa  # noqa: PLC0415

        renewed = pa.table(columns, schema=rows.schema)
        self._lance.merge_insert("id").when_matched_update_all().execute(renewed)

    def remove(self, ids: Collection[str]) -> None:
        if ids:
            self._lance.delete(_ids(ids))

    def search(self, vector: "Vectors", count: int, wiki: str | None = None) -> list[Found]:
        """The nearest first."""
        columns = ["id", "wiki", "page_id", "revision_id", "path", "text", *_OF_PAGE, "_distance"]
        found = self._lance.to_table(
            columns=columns,
            nearest={"column": "vector", "q": vector, "k": count, "metric": "cosine", "nprobes": 20},
            filter=f"wiki = {_quoted(wiki)}" if wiki else None,
            prefilter=bool(wiki),
        )
        return [Found(row.pop("_distance"), row) for row in found.to_pylist()]

    # ── what is kept of it ─────────────────────────────────────────────────────────────────────

    def settle(self, *, ann: bool = False, ann_rows: int = ANN_ROWS) -> None:
        """Joins small files, brings the indices up to date, drops versions that nobody reads any more."""
        self._lance.optimize.compact_files()
        indices = self._indices()
        if _PAGE_INDEX not in indices:
            self._lance.create_scalar_index("page_id", "BTREE", name=_PAGE_INDEX)
        if ann and _VECTOR_INDEX not in indices and self.count() >= ann_rows:
            self._index_vectors()
        self._lance.optimize.optimize_indices()
        self._lance.cleanup_old_versions(older_than=READ_FOR)

    def purge(self) -> None:
        """No file is left that holds a deleted row, its vector, or an older version of the table. Readers of
        older versions fail. Under the lock.
        """
        self._lance.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
        if left := [each.fragment_id for each in self._lance.get_fragments() if each.num_deletions]:
            raise SinkError(f"the index at {self.folder} still holds deleted rows, in fragments {left}")
        indices = self._indices()
        if _VECTOR_INDEX in indices:  # its files hold vectors, of deleted rows too, and means of them
            self._lance.drop_index(_VECTOR_INDEX)
            if self.count() > 1:
                self._index_vectors()
        if _PAGE_INDEX in indices:
            self._lance.create_scalar_index("page_id", "BTREE", name=_PAGE_INDEX, replace=True)
        self._lance.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)

    def _index_vectors(self) -> None:
        partitions = max(int(self.count() ** 0.5), 1)
        self._lance.create_index(
            "vector", "IVF_FLAT", name=_VECTOR_INDEX, num_partitions=partitions, metric="cosine"
        )

    def _indices(self) -> set[str]:
        return {index.name for index in self._lance.describe_indices()}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Waits for whoever writes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # ends with the process, however it ends
        yield


def is_free(folder: Path) -> bool:
    """Whether there is a table, or may be: nothing of anybody else's."""
    if not folder.exists() or (folder / NAME).is_dir():
        return True
    return folder.is_dir() and all(path.name in {NAME, BEGUN, LOCK} for path in folder.iterdir())


def schema(dimensions: int) -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415

    text = pa.string()
    return pa.schema(
        [
            pa.field("id", text, nullable=False),
            pa.field("wiki", text, nullable=False),
            pa.field("page_id", pa.int64(), nullable=False),
            pa.field("revision_id", pa.int64(), nullable=False),
            pa.field("path", pa.list_(text), nullable=False),
            pa.field("text", text, nullable=False),
            *(pa.field(name, text, nullable=False) for name in _OF_PAGE),
            pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False),
        ]
    )


def of_page(page: Page) -> tuple[str, ...]:
    """In the order of the columns."""
    licence = " ".join(each.identifier or each.name for each in page.licence)
    return page.title, page.url, page.language, page.attribution, licence


def _rows(rows: Sequence[tuple[Page, Chunk]], vectors: "Vectors", dimensions: int) -> "pa.Table":
    import pyarrow as pa  # noqa: PLC0415

    columns: dict[str, Any] = {
        "id": [chunk.id for _, chunk in rows],
        "wiki": [page.wiki for page, _ in rows],
        "page_id": [page.page for page, _ in rows],
        "revision_id": [page.revision for page, _ in rows],
        "path": [list(chunk.path) for _, chunk in rows],
        "text": [chunk.text for _, chunk in rows],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimensions),
    }
    for position, name in enumerate(_OF_PAGE):
        columns[name] = [of_page(page)[position] for page, _ in rows]
    return pa.table(columns, schema=schema(dimensions))


def _ids(ids: Iterable[str]) -> str:
    return f"id IN ({', '.join(map(_quoted, ids))})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
