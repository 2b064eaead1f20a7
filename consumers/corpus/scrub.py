"""Physical removal from the corpus file: nothing withdrawn is left in its rows, its free space or its WAL.

`secure_delete` overwrites what is deleted where it lies, but SQLite also leaves stale copies of small rows in
the gaps of pages between which it moved them. So the file is written anew (`VACUUM`), which takes as long as
copying it and as much free disk, and the WAL is cut to nothing.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard
from msgspec.structs import replace

from consumers.corpus.row import Row
from consumers.corpus.state import BUSY_S, LEVEL
from consumers.corpus.withdrawn import Withdrawn
from consumers.errors import StateError


class Scrubbed(NamedTuple):
    rows: int
    """That held what is withdrawn: behind what a listing said, mostly, for what is shown never does."""
    bytes: int
    """That were written."""


def scrubbed(path: Path, is_withdrawn: Withdrawn) -> Scrubbed:
    """Raises StateError where another command reads or writes it for longer than BUSY_S."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as db:
            db.execute("PRAGMA secure_delete = ON")
            rows = _rows(db, is_withdrawn)
            db.execute("VACUUM")
            busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.DatabaseError as error:
        raise StateError(f"{path} can't be written anew: {error}") from None
    if busy:
        raise StateError(f"{path} is being read by another command, so that its WAL can't be emptied: try again")
    return Scrubbed(rows, path.stat().st_size)


def _rows(db: sqlite3.Connection, is_withdrawn: Withdrawn) -> int:
    unpack, pack = zstandard.ZstdDecompressor().decompress, zstandard.ZstdCompressor(level=LEVEL).compress
    altered = 0
    db.execute("BEGIN IMMEDIATE")
    for key in sorted(is_withdrawn.pages):
        found = db.execute("SELECT row FROM page WHERE wiki = ? AND page = ?", key).fetchone()
        row = found and msgspec.msgpack.decode(unpack(found[0]), type=Row)
        if not row:
            continue
        after = _without(row, is_withdrawn)
        if after is not row:
            blob = pack(msgspec.msgpack.encode(after))
            db.execute("UPDATE page SET row = ? WHERE wiki = ? AND page = ?", (blob, *key))
            altered += 1
    db.execute("COMMIT")
    return altered


def _without(row: Row, is_withdrawn: Withdrawn) -> Row:
    told = row.told
    if told is None or told.content is None or row.shown is told:
        return row
    if not is_withdrawn(row.wiki, row.page, told.content.revision, told.sequence):
        return row
    return replace(row, told=replace(told, gone="deleted", content=None))
