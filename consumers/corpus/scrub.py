"""What was deleted in the corpus file is also gone from its free space and its WAL.

A row loses its text with the change that withdraws it (`row`), and `secure_delete` overwrites what is deleted
where it lies. But SQLite leaves copies of small rows in the gaps of pages between which it moved them, and
the WAL holds what was written before. So the file is written anew, which takes as long as copying it twice,
as much free disk beside it, for the WAL, and as much for temporary files; then the WAL is cut to nothing.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from consumers.corpus.database import BUSY_S
from consumers.errors import StateError


def scrub(path: Path, *, busy_s: float = BUSY_S) -> None:
    """Raises StateError where another command reads or writes it for longer than `busy_s`."""
    try:
        with closing(sqlite3.connect(path, timeout=busy_s, isolation_level=None)) as db:
            db.execute("PRAGMA secure_delete = ON")
            busy = _emptied(db)
            if not busy:  # else the WAL would grow by all of the file, and in vain
                db.execute("VACUUM")
                busy = _emptied(db)
    except sqlite3.DatabaseError as error:
        raise StateError(f"{path} can't be written anew: {error}") from None
    if busy:
        raise StateError(f"{path} is being read by another command, so its WAL can't be emptied: try again")


def _emptied(db: sqlite3.Connection) -> bool:
    """The WAL; whether someone is in its way."""
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(busy)
