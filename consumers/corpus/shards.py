"""Rows to Parquet files, a folder for each wiki, and back.

Two snapshots are to share most of their bytes. Pages of the files are cut by their content (Parquet's
content-defined chunking), and row groups and files end at pages that a hash names: a page more or less
changes what is near it, and what follows is as it was.

Memory is that of a row group of each split, whatever the size of a corpus.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from consumers.corpus.columns import (
    CONTENTS,
    NAMES,
    REPETITIVE,
    Entry,
    entries_of,
    hash_of,
    schema,
    table_of,
)
from consumers.corpus.manifest import File, Manifest, files_of, folder_of
from consumers.corpus.split import SPLITS, Split, drawn
from consumers.errors import SinkError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

GROUP_BYTES: Final = 16 << 20
"""Of text in UTF-8: a row group ends at the next page that a hash names, or
at four times as much."""
FILE_BYTES: Final = 512 << 20
"""A file ends with the row group that reaches it: some 200 MB in zstd."""
NAMED: Final = 64
"""One page of so many ends a row group."""
LEVEL: Final = 3
CHUNKS: Final = {"min_chunk_size": 16 << 10, "max_chunk_size": 64 << 10, "norm_level": 0}
"""Bytes."""
BATCH: Final = 256
"""Rows that are read at once."""
_COUNTED: Final = [name for name in NAMES if name.startswith(("page_", "revision_id", "sequence", "date_"))]


class Shards:
    """Takes rows wiki by wiki, each by page id, and writes `data/WIKI/SPLIT-00000.parquet` and on. A context
    manager; `files` are those that are written, by their path in the folder. Raises OSError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Split, Shard] = {}
        self._wiki = ""
        self._numbers: Counter[Split] = Counter()
        self.files: dict[str, File] = {}

    def add(self, entry: Entry) -> None:
        if entry.wiki != self._wiki:
            self._close()
            self._wiki = entry.wiki
            self._numbers.clear()
        shard = self._open.get(entry.split)
        if shard is None:
            name = f"{folder_of(entry.wiki)}/{entry.split}-{self._numbers[entry.split]:05}.parquet"
            self._numbers[entry.split] += 1
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
            shard = self._open[entry.split] = Shard(self._folder / name, name)
        shard.add(entry)
        if shard.is_full:
            self._finish(entry.split)

    def _finish(self, split: Split) -> None:
        shard = self._open.pop(split)
        self.files[shard.name] = shard.close()

    def _close(self) -> None:
        for split in list(self._open):
            self._finish(split)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._close()
        else:
            for shard in self._open.values():
                shard.abandon()


class Shard:
    """One file, of one wiki and split."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self.name = name
        self._writer: pq.ParquetWriter = _writer(path)
        self._group: list[Entry] = []
        self._group_bytes = self._bytes = 0
        self._counts = Counts()

    def add(self, entry: Entry) -> None:
        self._group.append(entry)
        self._group_bytes += len(entry.text.encode())
        self._counts.add(entry)
        enough, too_much = self._group_bytes >= GROUP_BYTES, self._group_bytes >= 4 * GROUP_BYTES
        if too_much or (enough and not drawn(entry.wiki, entry.page_id) % NAMED):
            self._flush()

    @property
    def is_full(self) -> bool:
        return not self._group and self._bytes >= FILE_BYTES

    def _flush(self) -> None:
        if self._group:
            self._writer.write_table(table_of(self._group), row_group_size=len(self._group))
        self._bytes += self._group_bytes
        self._group, self._group_bytes = [], 0

    def close(self) -> File:
        try:
            self._flush()
        finally:
            self._writer.close()
        return self._counts.file(self._path)

    def abandon(self) -> None:
        """The file is of no use after it."""
        self._group = []
        with suppress(OSError):  # a full disk has no room for its end
            self._writer.close()


class Counts:
    """Of one file's rows."""

    def __init__(self) -> None:
        self.rows = self._characters = self._contents = 0
        self._extractors: Counter[str] = Counter()
        self._wiki = self._split = ""

    def add(self, entry: Entry) -> None:
        self.rows += 1
        self._characters += entry.characters
        self._contents = (self._contents + hash_of(entry)) % CONTENTS
        self._extractors[entry.extractor] += 1
        self._wiki, self._split = entry.wiki, entry.split

    def file(self, path: Path) -> File:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        extractors = dict(sorted(self._extractors.items()))
        size = path.stat().st_size
        contents = f"{self._contents:064x}"
        return File(self._wiki, self._split, self.rows, self._characters, contents, extractors, size, sha256)


def _writer(path: Path) -> "pq.ParquetWriter":
    import pyarrow.parquet as pq  # noqa: PLC0415 - only what writes or reads Parquet waits for it

    return pq.ParquetWriter(
        path,
        schema(),
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=list(REPETITIVE),
        write_statistics=_COUNTED,  # those of a text would be a text
        use_content_defined_chunking=CHUNKS,
    )


def entries(path: Path) -> Iterator[Entry]:
    """Of one file, in its order; memory as of a few rows and pages. Raises SinkError."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH, columns=list(NAMES)):
                yield from entries_of(batch)
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        raise SinkError(f"{path} can't be read as a file of a snapshot: {error}") from None


def of_split(folder: Path, manifest: Manifest, wiki: str, split: Split) -> Iterator[Entry]:
    for name in files_of(manifest, wiki, split):
        yield from entries(folder / name)


def of_wiki(folder: Path, manifest: Manifest, wiki: str, splits: Sequence[Split] = SPLITS) -> Iterator[Entry]:
    """By page id."""
    streams = [of_split(folder, manifest, wiki, split) for split in splits]
    return merge(*streams, key=lambda entry: entry.page_id)
