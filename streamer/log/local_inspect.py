"""A look at a local log from outside: changes nothing, makes nothing, disturbs nobody who writes it."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamer.log.local_file import connect, errors, is_log

GROUPS: Final = ("source", "enrich", "route")
"""The groups whose workers hold a lock file."""
SAMPLE_RECORDS: Final = 20_000
SAMPLE_S: Final = 10.0
"""A rate is told from no shorter time."""
ROW_BYTES: Final = 120
"""A row with its index entries, beside key, headers and value."""


@dataclass(frozen=True, slots=True)
class Inspected:
    bytes: int
    """Of the file and its WAL."""
    records: int
    bytes_per_s: float | None
    """At which the newest records were appended; None where there are too few to tell."""


def inspect(path: Path) -> Inspected:
    """Raises LogError, LogTooNew."""
    with _connected(path) as connection:
        if not is_log(connection, path):  # made, and nothing written yet
            return Inspected(path.stat().st_size, 0, None)
        (records,) = connection.execute("SELECT count(*) FROM records").fetchone()
        first_ms, last_ms, size = connection.execute(
            "SELECT min(ms), max(ms), sum(length(key) + coalesce(length(headers), 0)"
            " + coalesce(length(value), 0) + ?) FROM (SELECT * FROM records ORDER BY number DESC LIMIT ?)",
            (ROW_BYTES, SAMPLE_RECORDS),
        ).fetchone()
    span_s = (last_ms - first_ms) / 1_000 if records else 0.0
    wal = Path(f"{path}-wal")
    size_bytes = path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    return Inspected(size_bytes, records, size / span_s if span_s >= SAMPLE_S else None)


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    with errors(path):
        connection = connect(path, writing=False)
        try:
            yield connection
        finally:
            connection.close()


def holders(path: Path) -> dict[str, int]:
    """By group the process that runs it."""
    found: dict[str, int] = {}
    for group in GROUPS:
        pid = _holder(Path(f"{path}.{group}.lock"))
        if pid:
            found[group] = pid
    return found


def _holder(lock: Path) -> int:
    """0: nobody. Who is long gone is not even tried, so that a start at this moment finds its lock free."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.pread(descriptor, 20, 0)
        pid = int(text) if text.isdigit() else 0
        if not pid or not Path(f"/proc/{pid}").exists():
            return 0
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return pid
    finally:
        os.close(descriptor)
    return 0
