"""What is left of a text, or of its vector, in the files of a corpus and its sinks: all that can be read of them."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import lance
import numpy as np
import pyarrow.parquet as pq
import zstandard

SLICE = 24
"""Bytes of a compressed row that are looked for: too many to be in another one by chance."""
SKIPPED = 40
"""Of its beginning, which may look like another one's."""


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


def slices(blob: bytes) -> list[bytes]:
    """Of a compressed row: some of them are left where a part of it is."""
    return [blob[at : at + SLICE] for at in range(SKIPPED, len(blob) - SLICE, SLICE)]


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
        for vector in table["vector"].to_pylist():
            yield f"{name} version {version['version']} vector", np.array(vector, "<f4").tobytes()
