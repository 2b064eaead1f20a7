"""What leads from one snapshot to another: rows that are new or other, and ids of those that are gone.

A difference is a folder as a snapshot is (its rows are those to be put), with `deletes/WIKI.parquet` beside
them; or a file of JSON lines with tombstones. Both are made in one pass over the two, a few rows in memory.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, Self

from msgspec.structs import replace

from consumers.corpus import manifest as manifests
from consumers.corpus.columns import Entry, Tombstone, line_of
from consumers.corpus.jsonl import writing
from consumers.corpus.manifest import Change, Manifest, checked, counted
from consumers.corpus.shards import Shards, of_wiki
from consumers.corpus.split import SPLITS
from consumers.corpus.whole import whole
from consumers.errors import SinkError, UsageError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

FOLDER: Final = "deletes"
BATCH: Final = 50_000
"""Ids that are written, or read, at once."""


def difference(before: Path, after: Path) -> Iterator[Entry | Tombstone]:
    """By wiki and page id. Splits of a wiki whose contents are the same in both are not read."""
    ours, theirs = manifests.read(before), manifests.read(after)
    for wiki in sorted({*ours.wikis, *theirs.wikis}):
        splits = [s for s in SPLITS if ours.wikis.get(wiki, {}).get(s) != theirs.wikis.get(wiki, {}).get(s)]
        yield from _merged(of_wiki(before, ours, wiki, splits), of_wiki(after, theirs, wiki, splits))


def _merged(before: Iterator[Entry], after: Iterator[Entry]) -> Iterator[Entry | Tombstone]:
    was, now = next(before, None), next(after, None)
    while was is not None or now is not None:
        if now is None or (was is not None and was.page_id < now.page_id):
            assert was is not None, "one of the two is there"
            yield Tombstone(was.id, was.wiki, was.page_id)
            was = next(before, None)
        elif was is None or now.page_id < was.page_id:
            yield now
            now = next(after, None)
        else:
            if now != was:
                yield now
            was, now = next(before, None), next(after, None)


def diff(before: Path, after: Path, path: Path) -> Manifest:
    """As a folder, complete or not at all. Its manifest is that of `after`, with `change`.

    Raises UsageError where `path` is there already, SinkError where one of them can't be read or written.
    """
    ours, theirs = _told(before), _told(after)
    deletes = 0
    with whole(path, folder=True) as place:
        with Shards(place) as shards, Deletes(place) as gone:
            for row in difference(before, after):
                if isinstance(row, Tombstone):
                    gone.add(row)
                    deletes += 1
                else:
                    shards.add(row)
        change = Change(ours.contents, theirs.contents, deletes)
        made = counted(replace(theirs, change=change, erased=[]), shards.files)
        manifests.write(place, made)
    return made


def diff_lines(before: Path, after: Path, path: Path) -> tuple[int, int]:
    """As JSON lines, compressed as the name says; numbers of rows and of tombstones. Raises as `diff`."""
    for folder in (before, after):
        _told(folder)
    with whole(path) as place, writing(place, path.name) as file:
        return _written(file, difference(before, after))


def _written(file: IO[bytes], rows: Iterable[Entry | Tombstone]) -> tuple[int, int]:
    counts = [0, 0]
    for row in rows:
        counts[isinstance(row, Tombstone)] += 1
        file.write(line_of(row) + b"\n")
    return counts[0], counts[1]


def patched(before: Path, change: Path, path: Path) -> Manifest:
    """The snapshot after a difference that is a folder: that which it was made of, file by file.

    Raises UsageError where `change` is of another snapshot, which can't be told once rows of one were erased.
    """
    ours, theirs = _told(before), manifests.read(change)
    if theirs.change is None:
        raise UsageError(f"{change} is a snapshot, and no difference of two")
    is_erased = bool(ours.erased or theirs.erased)
    if ours.contents != theirs.change.base and not is_erased:
        raise UsageError(
            f"{change} leads from another snapshot than {before}: their contents are not the same"
        )
    with whole(path, folder=True) as place:
        with Shards(place) as shards:
            for wiki in sorted({*ours.wikis, *theirs.wikis}):
                upserts = of_wiki(change, theirs, wiki)
                for entry in _put(of_wiki(before, ours, wiki), upserts, _deletes(change, wiki)):
                    shards.add(entry)
        made = counted(replace(theirs, change=None, erased=[]), shards.files)
        if made.contents != theirs.change.result and not is_erased:
            raise SinkError(f"{before} and {change} do not give what {change} was made of: one is damaged")
        manifests.write(place, made)
    return made


def _put(rows: Iterator[Entry], upserts: Iterator[Entry], deletes: Iterator[int]) -> Iterator[Entry]:
    upsert, gone = next(upserts, None), next(deletes, None)
    for row in rows:
        while upsert is not None and upsert.page_id < row.page_id:
            yield upsert
            upsert = next(upserts, None)
        while gone is not None and gone < row.page_id:
            gone = next(deletes, None)
        if upsert is not None and upsert.page_id == row.page_id:
            yield upsert
            upsert = next(upserts, None)
        elif gone != row.page_id:
            yield row
    if upsert is not None:
        yield upsert
    yield from upserts


class Deletes:
    """Writes ids, wiki by wiki, each in order. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._ids: list[Tombstone] = []
        self._writer: pq.ParquetWriter | None = None

    def add(self, gone: Tombstone) -> None:
        if self._ids and self._ids[-1].wiki != gone.wiki:
            self._close()
        self._ids.append(gone)
        if len(self._ids) > BATCH:  # one is kept, which names the wiki
            self._write(BATCH)

    def _write(self, count: int) -> None:
        import pyarrow as pa  # noqa: PLC0415 - only what writes or reads Parquet waits for it
        import pyarrow.parquet as pq  # noqa: PLC0415

        written, self._ids = self._ids[:count], self._ids[count:]
        columns = ("id", "wiki", "page_id")
        table = pa.table({name: [getattr(gone, name) for gone in written] for name in columns})
        if self._writer is None:
            self._folder.mkdir(exist_ok=True)
            path = self._folder / f"{checked(written[0].wiki)}.parquet"
            self._writer = pq.ParquetWriter(path, table.schema, compression="zstd")
        self._writer.write_table(table)

    def _close(self) -> None:
        if self._ids:
            self._write(len(self._ids))
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._close()
        elif self._writer is not None:
            with suppress(OSError):  # a full disk has no room for its end
                self._writer.close()


def _deletes(folder: Path, wiki: str) -> Iterator[int]:
    import pyarrow.parquet as pq  # noqa: PLC0415

    path = folder / FOLDER / f"{checked(wiki)}.parquet"
    if not path.exists():
        return
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH, columns=["page_id"]):
                yield from batch.column("page_id").to_pylist()
    except OSError as error:
        raise SinkError(f"{path} can't be read: {error}") from None


def _told(folder: Path) -> Manifest:
    """Of a snapshot."""
    manifest = manifests.read(folder)
    if manifest.change is not None:
        raise UsageError(f"{folder} is a difference of two snapshots, and no snapshot")
    return manifest
