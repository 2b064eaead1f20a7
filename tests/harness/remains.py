"""What is left of a text, or of its vector, in the files of a corpus and its sinks: all that can be read."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import lance
import numpy as np
import pyarrow.parquet as pq
import zstandard

from consumers.corpus.page import Listed, Page, Told
from consumers.corpus.row import Row

SLICE = 24
"""Bytes of a compressed row that are looked for: too many to be in another one by chance."""
FIELDS = {
    field[at : at + 4].encode()
    for struct in (Row, Told, Listed, Page)
    for field in struct.__struct_fields__
    for at in range(max(len(field) - 3, 1))
}
"""Parts of their names, which are in any row."""


def remains(folder: Path, words: Iterable[str], needles: Iterable[bytes] = ()) -> list[str]:
    """Each where, and what: raw bytes of all files, rows of corpora, pages of Parquet, versions of tables."""
    sought = [word.encode() for word in words] + list(needles)
    found = [
        f"{name}: {needle[:40]!r}"
        for name, content in _contents(folder)
        for needle in sought
        if needle in content
    ]
    return sorted(set(found))


def slices(corpus: Path, pages: Iterable[tuple[str, int]]) -> list[bytes]:
    """Of the compressed rows of these pages, without what others have too (names of fields): some of them are
    left where a part of such a row is.
    """
    stored, decompress = blobs(corpus), zstandard.ZstdDecompressor().decompress
    chosen = {key: stored.pop(key) for key in pages}
    others = b"|".join(part for row in stored.values() for part in (row, decompress(row)))
    found = [row[at : at + SLICE] for row in chosen.values() for at in range(0, len(row) - SLICE, SLICE)]
    return [each for each in found if each not in others and not any(name in each for name in FIELDS)]


def blobs(corpus: Path) -> dict[tuple[str, int], bytes]:
    """The rows of a corpus as they are stored."""
    with closing(sqlite3.connect(corpus)) as db:
        return {(wiki, page): row for wiki, page, row in db.execute("SELECT wiki, page, row FROM page")}


def vector_bytes(vector: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> bytes:
    """A part of it that no other vector has."""
    start = int(np.flatnonzero(vector)[0])
    return vector[start : start + 64].astype("<f4").tobytes()


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() and path.suffix == ".lance":
            yield from _versions(path, name)
        if not path.is_file():
            continue
        yield name, path.read_bytes()
        if path.suffix == ".db":
            for key, row in blobs(path).items():
                yield f"{name} row {key}", zstandard.ZstdDecompressor().decompress(row)
        if path.suffix == ".parquet":
            yield f"{name} rows", repr(pq.read_table(path).to_pydict()).encode()
        if path.suffix == ".zst":
            with path.open("rb") as file:
                yield f"{name} decoded", zstandard.ZstdDecompressor().stream_reader(file).read()


def _versions(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    for version in lance.dataset(str(path)).versions():
        table = lance.dataset(str(path), version=version["version"]).to_table()
        yield f"{name} version {version['version']}", repr(table.drop(["vector"]).to_pydict()).encode()
        vectors = table["vector"].combine_chunks().flatten().to_numpy()
        yield f"{name} version {version['version']} vectors", vectors.astype("<f4").tobytes()
