"""A log file as a version of this program wrote it, byte for byte, and what it told of it.

`logs/1.sql` is a dump of a file of format 1: a partner, `everything`, and the lives of three pages (created,
edited, reverted, moved, deleted, restored, hidden, protected). `logs/1.json` holds an id that a client was
given then, what followed it, and the committed counts. They are never made anew: what was written stays
written. A new format gets files of its own beside them.
"""

import contextlib
import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "logs"
KEY: Final = "wrs_test_key_of_everything"
PARTNER: Final = "everything"


@dataclass(frozen=True, slots=True)
class Told:
    """`rest` are the identifiers of the events behind `id`; `counts` by role, or partner, and outcome."""

    id: str
    rest: list[str]
    counts: dict[str, dict[str, int]]


def told(version: int = 1) -> Told:
    return Told(**json.loads((FOLDER / f"{version}.json").read_text(encoding="utf-8")))


def restored(file: Path, version: int = 1) -> None:
    """Times are moved on to now, for retention would take what is a month old."""
    with contextlib.closing(sqlite3.connect(file)) as log:
        log.executescript((FOLDER / f"{version}.sql").read_text(encoding="utf-8"))
        (newest_ms,) = log.execute("SELECT newest_ms FROM log").fetchone()
        shift_ms = time.time_ns() // 1_000_000 - newest_ms
        for table, column in (("log", "newest_ms"), ("records", "ms"), ("positions", "ms")):
            log.execute(f"UPDATE {table} SET {column} = {column} + ?", (shift_ms,))
        log.commit()
