"""The corpus in one SQLite file: a row for each page, and how far each feed was read, in one transaction.

Killed at any instant, it holds exactly what some commit left. A power loss may take back the last commits,
rows and positions alike, and the feeds go on from there. What is deleted is overwritten at once
(`secure_delete`).

A row's columns are what is looked up; the row itself is MessagePack in zstd. `changed` numbers the changes of
this file: readers that keep something else current (an index, a snapshot's difference) go by it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec
import zstandard

from consumers.corpus.page import Change, Page, Told
from consumers.corpus.row import Row, applied
from consumers.errors import StateError

VERSION: Final = 1
BUSY_S: Final = 60.0
"""So long a command waits for another one's commit."""
LEVEL: Final = 3

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
CREATE TABLE position (feed TEXT PRIMARY KEY, position TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE withdrawal (
  changed INTEGER PRIMARY KEY, wiki TEXT NOT NULL, page INTEGER NOT NULL,
  revision INTEGER NOT NULL,    -- 0: all of the page
  sequence INTEGER NOT NULL     -- 0: a listing said so
);
"""


class Withdrawal(NamedTuple):
    """What must not be kept any more, in no sink: erased where it is found."""

    changed: int
    wiki: str
    page: int
    revision: int
    """Of this revision; 0: whatever was said of the page before `sequence`."""
    sequence: int
    """Of the event that withdrew it. 0: the page was found to be gone."""


class Changed(NamedTuple):
    """A page as it is now, in the order in which pages last changed."""

    changed: int
    wiki: str
    page: int
    content: Page | None
    """None: it is gone."""


class Committed(NamedTuple):
    applied: int
    """Changes that altered a row; the rest was known, late or behind."""
    gone: int
    """Rows that lost their text."""


class State:
    """Of one file; a context manager. Not for several threads at once; other processes may read and write."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Raises StateError where there is none (unless `create`), and of what is no corpus of ours."""
        self.path = path
        if not create and not path.exists():
            raise StateError(f"there is no corpus at {path}: `corpus bootstrap` or `corpus follow` makes one")
        self._packer = zstandard.ZstdCompressor(level=LEVEL)
        self._unpacker = zstandard.ZstdDecompressor()
        self._decoder = msgspec.msgpack.Decoder(Row)
        self._encoder = msgspec.msgpack.Encoder()
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._set_up()
        except sqlite3.DatabaseError as error:
            raise StateError(f"{path} can't be opened as a corpus: {error}") from None

    def _set_up(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StateError(f"{self.path} was written by a newer version (its format is {version})")
        if not version:
            self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or not at all
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("BEGIN IMMEDIATE")
            if not self._db.execute("PRAGMA user_version").fetchone()[0]:
                for statement in _TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")
            self._db.execute("COMMIT")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA secure_delete = ON")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    # ── writing ────────────────────────────────────────────────────────────────────────────────

    def commit(
        self,
        changes: Iterable[Change] = (),
        positions: Mapping[str, str] | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> Committed:
        """All of it or nothing: rows, how far the feeds were read, and facts (names of the caller's)."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            committed = self._apply(list(changes))
            self._put("position", "feed, position", positions)
            self._put("fact", "name, value", facts)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return committed

    def _put(self, table: str, columns: str, values: Mapping[str, str] | None) -> None:
        statement = f"INSERT OR REPLACE INTO {table} ({columns}) VALUES (?, ?)"  # noqa: S608  # names of ours
        self._db.executemany(statement, (values or {}).items())

    def _apply(self, changes: Sequence[Change]) -> Committed:
        before: dict[tuple[str, int], Row | None] = {}
        rows: dict[tuple[str, int], Row] = {}
        number = self.changed()
        altered = 0
        for change in changes:
            key = (change.wiki, change.page)
            if key not in before:
                before[key] = self.row(*key)
            was = rows.get(key, before[key])
            row = applied(was, change)
            if row is None or row is was:
                continue
            rows[key] = row
            altered += 1
            if isinstance(change, Told) and (change.hides or (change.gone and row.told is change)):
                number += 1
                revision = 0 if change.gone == "deleted" else change.hides or change.revision
                self._withdraw(number, change, revision, change.sequence)
        gone = 0
        for key, row in rows.items():
            number += 1
            self._store(number, row)
            was_row = before[key]
            if row.gone and was_row is not None and not was_row.gone:
                gone += 1
                if row.shown is row.listed:
                    number += 1
                    self._withdraw(number, row, 0, 0)
        return Committed(altered, gone)

    def _withdraw(self, number: int, what: Change | Row, revision: int, sequence: int) -> None:
        self._db.execute(
            "INSERT INTO withdrawal (changed, wiki, page, revision, sequence) VALUES (?, ?, ?, ?, ?)",
            (number, what.wiki, what.page, revision, sequence),
        )

    def _store(self, number: int, row: Row) -> None:
        content = row.content
        self._db.execute(
            "INSERT INTO page (wiki, page, gone, sequence, revision, namespace, title, changed, row)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (wiki, page) DO UPDATE SET gone = excluded.gone,"
            " sequence = excluded.sequence, revision = excluded.revision, namespace = excluded.namespace,"
            " title = excluded.title, changed = excluded.changed, row = excluded.row",
            (
                row.wiki,
                row.page,
                row.gone,
                row.sequence,
                row.shown.revision,
                content and content.namespace,
                content and content.title,
                number,
                self._packer.compress(self._encoder.encode(row)),
            ),
        )

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    def changed(self) -> int:
        """The number of the last change in this file; 0 of an empty one."""
        (pages,) = self._db.execute("SELECT max(changed) FROM page").fetchone()
        (withdrawals,) = self._db.execute("SELECT max(changed) FROM withdrawal").fetchone()
        return max(pages or 0, withdrawals or 0)

    def position(self, feed: str) -> str | None:
        found = self._db.execute("SELECT position FROM position WHERE feed = ?", (feed,)).fetchone()
        return str(found[0]) if found else None

    def positions(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT feed, position FROM position"))

    def fact(self, name: str) -> str | None:
        found = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else None

    def facts(self, prefix: str = "") -> dict[str, str]:
        """Those whose names begin so."""
        found = self._db.execute("SELECT name, value FROM fact ORDER BY name")
        return {name: value for name, value in found if name.startswith(prefix)}

    def row(self, wiki: str, page: int) -> Row | None:
        found = self._db.execute("SELECT row FROM page WHERE wiki = ? AND page = ?", (wiki, page)).fetchone()
        return self._unpacked(found[0]) if found else None

    def titled(self, wiki: str, title: str) -> Page | None:
        """The page of that title; the one that was said so last, where two are."""
        found = self._db.execute(
            "SELECT row FROM page WHERE wiki = ? AND title = ? ORDER BY changed DESC LIMIT 1", (wiki, title)
        ).fetchone()
        return self._unpacked(found[0]).content if found else None

    def wikis(self) -> list[str]:
        return [str(wiki) for (wiki,) in self._db.execute("SELECT DISTINCT wiki FROM page ORDER BY wiki")]

    def pages(self, wiki: str) -> Iterator[Page]:
        """Those of a wiki that can be read, by page id, as of one moment."""
        query = "SELECT row FROM page WHERE wiki = ? AND gone IS NULL ORDER BY page"
        for (row,) in self._db.execute(query, (wiki,)):
            content = self._unpacked(row).content
            assert content is not None
            yield content

    def changes(self, since: int = 0, limit: int = 1_000) -> list[Changed]:
        """Pages that changed after that number, each once."""
        query = "SELECT changed, wiki, page, row FROM page WHERE changed > ? ORDER BY changed LIMIT ?"
        found = self._db.execute(query, (since, limit))
        return [Changed(number, wiki, page, self._unpacked(row).content) for number, wiki, page, row in found]

    def withdrawals(self, since: int = 0) -> list[Withdrawal]:
        query = "SELECT changed, wiki, page, revision, sequence FROM withdrawal WHERE changed > ?"
        return [Withdrawal(*row) for row in self._db.execute(f"{query} ORDER BY changed", (since,))]

    def _unpacked(self, row: bytes) -> Row:
        return self._decoder.decode(self._unpacker.decompress(row))
