"""The corpus in one SQLite file: a row for each page, and how far each feed was read, in one transaction.

Killed at any instant, it holds exactly what some commit left. A power loss may take back the last commits,
rows and positions alike, and the feeds go on from there. What is deleted is overwritten at once
(`secure_delete`).

A row's columns are what is looked up; the row itself is MessagePack in zstd. `changed` numbers the changes of
this file: readers that keep something else current (an index, a snapshot's difference) go by it.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec
import zstandard

from consumers.corpus.database import named, opened
from consumers.corpus.freshness import KEPT_S, Fresh, age_of, step_of
from consumers.corpus.page import Change, Listed, Page, Told
from consumers.corpus.row import Row, applied

LEVEL: Final = 3
Key = tuple[str, int]
"""A page: its wiki, and its id there."""


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
    sequence: int = 0
    """Of the newest event; 0 where only a listing speaks of the page."""


class Committed(NamedTuple):
    applied: int
    """Changes that altered a row; the rest was known, late or behind."""
    gone: int
    """Rows that lost their text."""


class Total(NamedTuple):
    """Of a wiki."""

    live: int
    gone: int
    """Tombstones."""


class Read(NamedTuple):
    """How far a feed was read."""

    feed: str
    position: str
    at_s: float
    """When it was committed: seconds since 1970."""


class _Stored(NamedTuple):
    """A row as the file has it."""

    row: Row
    changed: int


class State:
    """Of one file; a context manager. Not for several threads at once; other processes may read and write.

    All methods raise StateError where the file can't be read or written; then nothing of a commit is there.
    """

    def __init__(self, path: Path, *, create: bool = False, clock: Callable[[], float] = time.time) -> None:
        """Raises StateError where there is none (unless `create`), and of what is no corpus of ours."""
        self.path = path
        self._clock = clock
        self._pruned_s = 0.0
        self._packer = zstandard.ZstdCompressor(level=LEVEL)
        self._unpacker = zstandard.ZstdDecompressor()
        self._decoder = msgspec.msgpack.Decoder(Row)
        self._encoder = msgspec.msgpack.Encoder()
        self._db = opened(path, create=create)

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
        with named(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                committed = self._apply(list(changes))
                at_s = self._clock()
                self._db.executemany(
                    "INSERT OR REPLACE INTO position (feed, position, at) VALUES (?, ?, ?)",
                    [(feed, position, at_s) for feed, position in (positions or {}).items()],
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)", (facts or {}).items()
                )
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite ends it by itself where a disk is full
                    self._db.execute("ROLLBACK")
                raise
        return committed

    def _apply(self, changes: Sequence[Change]) -> Committed:
        if not changes:
            return Committed(0, 0)
        before = self._stored({(change.wiki, change.page) for change in changes})
        rows: dict[Key, Row] = {}
        withdrawn: dict[tuple[Key, int, int], None] = {}
        ages: Counter[int] = Counter()
        altered, now_s = 0, self._clock()
        for change in changes:
            key = (change.wiki, change.page)
            was = rows.get(key) or (before[key].row if key in before else None)
            row = applied(was, change)
            withdrawn |= {
                (key, revision, sequence): None for revision, sequence in _withdrawn(was, row, change)
            }
            if row is None or row is was:
                continue
            rows[key] = row
            altered += 1
            if isinstance(change, Told) and change.happened:
                ages[step_of(now_s - change.happened / 1e6)] += 1
        number = self._withdraw(self.changed(), withdrawn)
        gone = self._store(number, rows, before, {key for key, _, _ in withdrawn})
        self._count_ages(now_s, ages)
        return Committed(altered, gone)

    def _withdraw(self, number: int, withdrawn: Iterable[tuple[Key, int, int]]) -> int:
        """The number of the last change. What is withdrawn already is not so again."""
        found = [(number + i, *key, *rest) for i, (key, *rest) in enumerate(withdrawn, 1)]
        self._db.executemany(
            "INSERT OR IGNORE INTO withdrawal (changed, wiki, page, revision, sequence)"
            " VALUES (?, ?, ?, ?, ?)",
            found,
        )
        return number + len(found)

    def _store(
        self, number: int, rows: Mapping[Key, Row], before: Mapping[Key, _Stored], withdrawn: set[Key]
    ) -> int:
        """How many lost their text. A row that still shows the same keeps its number: nothing is to be done
        about it elsewhere.
        """
        totals: Counter[tuple[str, bool]] = Counter()
        values: list[tuple[object, ...]] = []
        lost = 0
        for key, row in rows.items():
            stored, content, gone = before.get(key), row.content, row.gone
            if stored is not None:
                was_gone = stored.row.gone
                totals[row.wiki, was_gone is None] -= 1
                lost += was_gone is None and gone is not None
            totals[row.wiki, gone is None] += 1
            if stored and key not in withdrawn and stored.row.content == content and stored.row.gone == gone:
                changed = stored.changed
            else:
                number += 1
                changed = number
            place = (content.namespace, content.title) if content else (None, None)
            packed = self._packer.compress(self._encoder.encode(row))
            values.append((*key, gone, row.sequence, row.revision, *place, changed, packed))
        self._db.executemany(
            "INSERT INTO page (wiki, page, gone, sequence, revision, namespace, title, changed, row)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (wiki, page) DO UPDATE SET gone = excluded.gone,"
            " sequence = excluded.sequence, revision = excluded.revision, namespace = excluded.namespace,"
            " title = excluded.title, changed = excluded.changed, row = excluded.row",
            values,
        )
        wikis = {wiki for wiki, _ in totals}
        self._db.executemany(
            "INSERT INTO total (wiki, live, gone) VALUES (?, ?, ?) ON CONFLICT (wiki)"
            " DO UPDATE SET live = live + excluded.live, gone = gone + excluded.gone",
            [(wiki, totals[wiki, True], totals[wiki, False]) for wiki in wikis],
        )
        return lost

    def _count_ages(self, now_s: float, ages: Mapping[int, int]) -> None:
        minute = int(now_s) // 60 * 60
        self._db.executemany(
            "INSERT INTO fresh (minute, step, events) VALUES (?, ?, ?) ON CONFLICT (minute, step)"
            " DO UPDATE SET events = events + excluded.events",
            [(minute, step, events) for step, events in ages.items()],
        )
        if minute > self._pruned_s:
            self._pruned_s = minute
            self._db.execute("DELETE FROM fresh WHERE minute < ?", (minute - KEPT_S,))

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read within is as of one moment, whatever others commit meanwhile. Not for commits of
        one's own; SQLite's log grows as long as it lasts.
        """
        self._db.execute("BEGIN")
        try:
            self.changed()  # the moment is that of the first look
            yield
        finally:
            self._db.execute("ROLLBACK")

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
        with named(self.path):
            found = self._db.execute("SELECT name, value FROM fact ORDER BY name")
            return {name: value for name, value in found if name.startswith(prefix)}

    def reads(self) -> list[Read]:
        with named(self.path):
            return [
                Read(*read)
                for read in self._db.execute("SELECT feed, position, at FROM position ORDER BY feed")
            ]

    def totals(self) -> dict[str, Total]:
        """By wiki."""
        with named(self.path):
            found = self._db.execute("SELECT wiki, live, gone FROM total ORDER BY wiki")
            return {wiki: Total(live, gone) for wiki, live, gone in found}

    def freshness(self, since_s: float = 0) -> list[Fresh]:
        """Of events that altered a row, by the minute in which they did (from that time on, seconds since
        1970) and by age; KEPT_S are kept.
        """
        query = "SELECT minute, step, events FROM fresh WHERE minute >= ? ORDER BY minute, step"
        with named(self.path):
            found = self._db.execute(query, (int(since_s) // 60 * 60,)).fetchall()
        return [Fresh(minute, age_of(step), events) for minute, step, events in found]

    def row(self, wiki: str, page: int) -> Row | None:
        found = self._stored({(wiki, page)})
        return found[wiki, page].row if found else None

    def _stored(self, keys: Iterable[Key]) -> dict[Key, _Stored]:
        by_wiki: dict[str, list[int]] = {}
        for wiki, page in keys:
            by_wiki.setdefault(wiki, []).append(page)
        query = (
            "SELECT page, row, changed FROM page WHERE wiki = ? AND page IN (SELECT value FROM json_each(?))"
        )
        found: dict[Key, _Stored] = {}
        with named(self.path):
            for wiki, pages in by_wiki.items():
                for page, row, changed in self._db.execute(query, (wiki, json.dumps(pages))):
                    found[wiki, page] = _Stored(self._unpacked(row), changed)
        return found

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
        for row in self.rows(wiki):
            assert row.content is not None
            yield row.content

    def rows(self, wiki: str) -> Iterator[Row]:
        """The same, with what is known of them beside their content."""
        query = "SELECT row FROM page WHERE wiki = ? AND gone IS NULL ORDER BY page"
        for (row,) in self._db.execute(query, (wiki,)):
            yield self._unpacked(row)

    def changes(self, since: int = 0, limit: int = 1_000) -> list[Changed]:
        """Pages that changed after that number, each once."""
        query = "SELECT changed, row FROM page WHERE changed > ? ORDER BY changed LIMIT ?"
        found = self._db.execute(query, (since, limit))
        rows = ((number, self._unpacked(row)) for number, row in found)
        return [Changed(number, row.wiki, row.page, row.content, row.sequence) for number, row in rows]

    def withdrawals(self, since: int = 0) -> list[Withdrawal]:
        query = "SELECT changed, wiki, page, revision, sequence FROM withdrawal WHERE changed > ?"
        return [Withdrawal(*row) for row in self._db.execute(f"{query} ORDER BY changed", (since,))]

    def sampled(self, rng: random.Random, count: int) -> list[Row]:
        """Rows drawn evenly, tombstones too, each once; fewer where there are no more."""
        query = "SELECT row FROM page WHERE number = ?"
        with named(self.path):
            (most,) = self._db.execute("SELECT coalesce(max(number), 0) FROM page").fetchone()
            drawn = rng.sample(range(1, most + 1), min(most, 2 * count))  # some were removed
            found = (self._db.execute(query, (number,)).fetchone() for number in drawn)
            return [self._unpacked(row) for (row,) in islice(filter(None, found), count)]

    def _unpacked(self, row: bytes) -> Row:
        return self._decoder.decode(self._unpacker.decompress(row))


def _withdrawn(was: Row | None, row: Row | None, change: Change) -> Iterator[tuple[int, int]]:
    """Revision (0: all) and sequence (0: found out by a listing) of what this change withdraws. An event does
    so whatever has become of the row since: texts lie elsewhere too.
    """
    if isinstance(change, Listed):
        if was is not None and row is not None and was.gone is None and row.gone is not None:
            yield (change.revision if change.hidden else 0), 0
        return
    if change.gone == "deleted":
        yield 0, change.sequence
    elif change.gone == "hidden":
        yield change.revision, change.sequence
    if change.hides and change.hides != change.revision * (change.gone is not None):
        yield change.hides, change.sequence
