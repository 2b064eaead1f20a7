"""The file of the local log: its schema, how it is opened, and what its errors mean to us.

One SQLite file in WAL mode. What each table is for:

- `log`, one row: the next record number, the number of the last change, the newest timestamp,
  whether the bytes are over their bound for want of anything that may go.
- `topics`, `lanes`: a lane is one partition of one making of a topic. Rows of deleted topics stay
  (without records), so that a topic made anew goes on behind the old offsets: none is used twice.
  `changed` is the change that touched the row last: one cheap scan tells a tailer what moved;
  `compacted` is how far compaction has looked.
- `records`: a file-wide number, never used twice, is the key; the second index finds offsets, the
  third (topics that compact only) finds the records of a key.
- `positions`, `claims`: what a group committed, and the epoch of the worker that may commit.
"""

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streamer.errors import LogError, LogFull, LogTooNew, LogUnavailable
from streamer.log.claims import locked

APPLICATION_ID: Final = 0x57494B49
"""Says `file(1)` and ourselves that this SQLite file is a log."""
SCHEMA_VERSION: Final = 1
OPEN_DEADLINE_S: Final = 10.0
CHECKPOINT_PAGES: Final = 16_000
"""64 MB of WAL: then a commit itself brings them to the file. Before that they go beside the commits."""

SCHEMA: Final = """
CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL, change INTEGER NOT NULL, topics_changed INTEGER NOT NULL,
    newest_ms INTEGER NOT NULL, over_budget INTEGER NOT NULL
);
INSERT INTO log VALUES (1, 1, 0, 0, 0, 0);
CREATE TABLE topics (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, epoch TEXT NOT NULL, alive INTEGER NOT NULL,
    partitions INTEGER NOT NULL, compact INTEGER NOT NULL, retention_ms INTEGER,
    compaction_lag_ms INTEGER NOT NULL, protected INTEGER NOT NULL
);
CREATE UNIQUE INDEX topics_alive ON topics (name) WHERE alive;
CREATE TABLE lanes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL REFERENCES topics,
    partition INTEGER NOT NULL, earliest INTEGER NOT NULL, end INTEGER NOT NULL,
    compacted INTEGER NOT NULL, changed INTEGER NOT NULL,
    UNIQUE (topic, partition)
);
CREATE TABLE records (
    number INTEGER PRIMARY KEY, lane INTEGER NOT NULL, offset INTEGER NOT NULL, ms INTEGER NOT NULL,
    compact INTEGER NOT NULL, key TEXT NOT NULL, headers BLOB, packed INTEGER NOT NULL, value BLOB
);
CREATE UNIQUE INDEX records_offset ON records (lane, offset);
CREATE INDEX records_key ON records (lane, key, offset) WHERE compact;
CREATE TABLE positions (
    grp TEXT NOT NULL, lane INTEGER NOT NULL, next INTEGER NOT NULL, metadata TEXT NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (grp, lane)
) WITHOUT ROWID;
CREATE TABLE claims (grp TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
"""


def open_file(path: Path) -> None:
    """Makes the file where there is none; checks the one there is.

    Raises LogTooNew, or LogError for a file that is not a log or is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(Path(f"{path}.open.lock"), wait_s=OPEN_DEADLINE_S), errors(path):
            connection = sqlite3.connect(path, isolation_level=None, timeout=OPEN_DEADLINE_S)
            try:
                _check_or_make(connection, path)
            finally:
                connection.close()
    except PermissionError as error:
        raise LogError(f"{path}: may not be opened: check owner and mode of {error.filename}") from None
    except OSError as error:
        raise _os_error(error, path) from None


def is_log(connection: sqlite3.Connection, path: Path) -> bool:
    """False for a file with nothing in it. Raises LogTooNew, and LogError for what another program made."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application not in (0, APPLICATION_ID) or (tables and not application):
        raise LogError(f"{path}: is an SQLite file of another program: give log.path another name")
    if version > SCHEMA_VERSION:
        raise LogTooNew(
            f"{path}: written by a newer version (its format is {version}, ours is {SCHEMA_VERSION}): "
            "run that version, or start with another log.path"
        )
    return bool(tables)


def _check_or_make(connection: sqlite3.Connection, path: Path) -> None:
    if is_log(connection, path):
        return
    # these two hold only if they are set before the first table
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
        f"{SCHEMA} COMMIT;"
    )


def connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """A connection for one thread at a time; the busy timeout is for the rare short locks of readers."""
    with errors(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=0.0 if writing else 2.0,
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("PRAGMA cache_size = -16000" if writing else "PRAGMA cache_size = -4000")
        if not writing:
            connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def errors(path: Path) -> Iterator[None]:
    """SQLite's errors → ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise named(error, path) from error


def named(error: sqlite3.Error, path: Path) -> LogError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _disk_is_full(path)):
        return LogFull(f"{path}: the disk is full: free some space, nothing is lost meanwhile")
    if code == sqlite3.SQLITE_NOTADB:
        return LogError(f"{path}: is not a log (no SQLite file): give log.path another name")
    if code == sqlite3.SQLITE_CORRUPT:
        return LogError(f"{path}: is damaged ({error}): move it away and start anew, or restore it")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        # a file system that was remounted or unmounted comes back, and reads may go on meanwhile
        return LogUnavailable(f"{path}: can't be opened for writing ({error}): check path, owner and mode")
    if code == sqlite3.SQLITE_IOERR:  # SQLite does not tell a quota from a broken disk
        return LogUnavailable(f"{path}: {error}: see whether a quota or limit of file size is reached")
    return LogUnavailable(f"{path}: {error}")


def _disk_is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < 1_048_576
    except OSError:
        return False


def _os_error(error: OSError, path: Path) -> LogError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LogFull(f"{path}: the disk is full: free some space")
    return LogError(f"{path}: can't be opened: {error.strerror}: {error.filename}")
