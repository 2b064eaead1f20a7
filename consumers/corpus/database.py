"""The file of a corpus as SQLite has it: opened, made, or refused with a reason."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from consumers.errors import StateBusy, StateError

VERSION: Final = 1
APPLICATION: Final = 0x636F7270
"""In the file's head: that it is a corpus ("corp"), and nobody else's database."""
BUSY_S: Final = 60.0
"""So long a command waits for another one's commit; `follow` and `bootstrap` go on waiting."""
CACHE_KIB: Final = 64 * 1024
CHECKPOINT_PAGES: Final = 4_000
WAL_BYTES: Final = 64 << 20
"""To which its log is cut back when it had to grow beyond, as under a long reader."""

_TABLES: Final = """
CREATE TABLE page (
  number INTEGER PRIMARY KEY, wiki TEXT NOT NULL, page INTEGER NOT NULL,
  gone TEXT,                    -- NULL: the text may be read; else 'deleted' or 'hidden'
  sequence INTEGER NOT NULL, revision INTEGER NOT NULL, namespace INTEGER, title TEXT,
  changed INTEGER NOT NULL, row BLOB NOT NULL,
  UNIQUE (wiki, page)
);
CREATE INDEX page_changed ON page (changed);
CREATE INDEX page_title ON page (wiki, title) WHERE title IS NOT NULL;
CREATE TABLE position (
  feed TEXT PRIMARY KEY, position TEXT NOT NULL,
  at REAL NOT NULL              -- when it was committed: seconds since 1970
) WITHOUT ROWID;
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE withdrawal (
  changed INTEGER PRIMARY KEY, wiki TEXT NOT NULL, page INTEGER NOT NULL,
  revision INTEGER NOT NULL,    -- 0: all of the page
  sequence INTEGER NOT NULL     -- 0: a listing said so
);
CREATE UNIQUE INDEX withdrawal_once ON withdrawal (wiki, page, revision, sequence) WHERE sequence > 0;
CREATE TABLE total (wiki TEXT PRIMARY KEY, live INTEGER NOT NULL, gone INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fresh (
  minute INTEGER NOT NULL, step INTEGER NOT NULL, events INTEGER NOT NULL, PRIMARY KEY (minute, step)
) WITHOUT ROWID;
"""


def opened(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Raises StateError where there is none (unless `create`), and of what is no corpus of ours."""
    if not create and not path.exists():
        raise StateError(f"there is no corpus at {path}: `corpus bootstrap` or `corpus follow` makes one")
    folder_of(path)
    with named(path):
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _set_up(db, path)
        except BaseException:
            db.close()
            raise
    return db


def folder_of(path: Path) -> Path:
    if not path.parent.is_dir():
        raise StateError(f"there is no folder {path.parent} to make a corpus in")
    return path.parent


def _set_up(db: sqlite3.Connection, path: Path) -> None:
    version = _number(db, "user_version")
    if version > VERSION:
        raise StateError(f"{path} was written by a newer version (its format is {version}, ours {VERSION})")
    if not version:
        _make(db, path)
    elif _number(db, "application_id") != APPLICATION:
        raise StateError(f"{path} is a database of another program")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")


def _make(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise StateError(f"{path} is a database of another program")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or not at all
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    if not _number(db, "user_version"):  # nobody else was faster
        for statement in _TABLES.split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


@contextmanager
def named(path: Path) -> Iterator[None]:
    """What SQLite raises as a StateError that says what to do; what was not committed is not there."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        kind = StateBusy if code.startswith("SQLITE_BUSY") else StateError
        raise kind(_reason(path, code, str(error))) from None


_REASONS: Final = {
    "FULL": "no space is left for it: what was committed is kept; make room and start again",
    "IOERR": "the disk refuses it: is there room, and is it sound? What was committed is kept",
    "READONLY": "it can't be written: it, or its folder, is read-only for this user",
    "CANTOPEN": "it can't be opened: is it a file, and may this user write into its folder?",
    "NOTADB": "it is no corpus, and no SQLite database at all",
    "CORRUPT": "it is damaged: restore a copy, or make it anew by `corpus bootstrap`",
    "BUSY": f"it is in use: another program did not end its transaction within {BUSY_S:.0f} s",
}
"""By SQLite's names of errors, less what stands around them (`SQLITE_READONLY_DIRECTORY`)."""


def _reason(path: Path, code: str, says: str) -> str:
    _, _, name = code.partition("_")
    return f"{path}: {_REASONS.get(name.partition('_')[0], says)}"
