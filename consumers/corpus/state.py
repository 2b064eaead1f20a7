"""The corpus in one SQLite file: a row for each page, and how far each feed was read, in one transaction.

Killed at any instant, it holds exactly what some commit left. A power loss may take back the last commits,
rows and positions alike, and the feeds go on from there; `sync` is for those who hand out numbers of changes.
What is deleted is overwritten at once
(`secure_delete`).
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import zstandard

from consumers.corpus.database import named
from consumers.corpus.freshness import KEPT_S, step_of
from consumers.corpus.page import Change, Told
from consumers.corpus.reader import Changed, Key, Read, Reader, Stored, Total, Withdrawal
from consumers.corpus.row import Row, applied, withdrawals_of
from consumers.errors import StateBusy, StateError

logger = logging.getLogger(__name__)

__all__ = ["Changed", "Committed", "Read", "State", "Total", "Withdrawal"]

LEVEL: Final = 3
"""Of zstd: 19 µs for 4 kB."""


class Committed(NamedTuple):
    applied: int
    """Changes that altered a row; the rest was known, late or behind."""
    gone: int
    """Rows that lost their text."""


class State(Reader):
    """What is read of it, and commits. Each raises StateError where the file can't be written; then nothing
    of it is there.
    """

    def __init__(self, path: Path, *, create: bool = False, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, create=create)
        self._clock = clock
        self._pruned_s = 0.0
        self._packer = zstandard.ZstdCompressor(level=LEVEL)
        self._encoder = msgspec.msgpack.Encoder()

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

    def commit_when_free(
        self,
        changes: Iterable[Change] = (),
        positions: Mapping[str, str] | None = None,
        facts: Mapping[str, str] | None = None,
        *,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Committed:
        """For those who run long: waits for as long as another command has the file, as `erase` does while it
        writes it anew. Raises StateBusy only where `is_over`.
        """
        changes = list(changes)
        begun_s = time.monotonic()
        while True:
            try:
                return self.commit(changes, positions, facts)
            except StateBusy:
                if is_over():
                    raise
            waited_s = round(time.monotonic() - begun_s)
            logger.warning(
                "the corpus is in use by another command, is it erased? Waiting",
                extra={"corpus": str(self.path), "waited_s": waited_s},
            )

    def sync(self) -> None:
        """What was committed until now, no power loss takes back: before somebody is told its number."""
        path = self.path.resolve()  # beside which SQLite keeps it
        log = path.with_name(f"{path.name}-wal")
        try:
            with suppress(FileNotFoundError), log.open("rb") as file:  # none: all is in the file itself
                os.fsync(file.fileno())
        except OSError as error:
            raise StateError(f"{log}: {error.strerror}") from None

    def _apply(self, changes: Sequence[Change]) -> Committed:
        if not changes:
            return Committed(0, 0)
        before = self.stored({(change.wiki, change.page) for change in changes})
        rows: dict[Key, Row] = {}
        withdrawn: dict[tuple[Key, int, int], None] = {}
        ages: Counter[int] = Counter()
        altered, now_s = 0, self._clock()
        for change in changes:
            key = (change.wiki, change.page)
            was = rows.get(key) or (before[key].row if key in before else None)
            row = applied(was, change)
            withdrawn |= {
                (key, revision, sequence): None for revision, sequence in withdrawals_of(was, row, change)
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
        self, number: int, rows: Mapping[Key, Row], before: Mapping[Key, Stored], withdrawn: set[Key]
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
