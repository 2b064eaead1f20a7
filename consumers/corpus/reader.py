"""All that can be read of a corpus file.

A row's columns are what is looked up; the row itself is MessagePack in zstd. `changed` numbers the changes of
a file: readers that keep something else current (an index, a snapshot's difference) go by it.
"""

import json
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
import zstandard

from consumers.corpus.database import named, opened
from consumers.corpus.freshness import Fresh, age_of
from consumers.corpus.page import Page
from consumers.corpus.row import Row

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


class Stored(NamedTuple):
    """A row as the file has it."""

    row: Row
    changed: int


class Reader:
    """Of one file; a context manager. Not for several threads at once; other processes may read and write.

    All methods raise StateError where the file can't be read.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Raises StateError where there is none (unless `create`), and of what is no corpus of ours."""
        self.path = path
        self._unpacker = zstandard.ZstdDecompressor()
        self._decoder = msgspec.msgpack.Decoder(Row)
        self._db = opened(path, create=create)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

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
        ((pages,),) = self._all("SELECT max(changed) FROM page")
        ((withdrawals,),) = self._all("SELECT max(changed) FROM withdrawal")
        return max(pages or 0, withdrawals or 0)

    def position(self, feed: str) -> str | None:
        return self.positions().get(feed)

    def positions(self) -> dict[str, str]:
        return {read.feed: read.position for read in self.reads()}

    def fact(self, name: str) -> str | None:
        found = self._all("SELECT value FROM fact WHERE name = ?", name)
        return str(found[0][0]) if found else None

    def facts(self, prefix: str = "") -> dict[str, str]:
        """Those whose names begin so."""
        found = self._all("SELECT name, value FROM fact ORDER BY name")
        return {name: value for name, value in found if name.startswith(prefix)}

    def reads(self) -> list[Read]:
        return [Read(*read) for read in self._all("SELECT feed, position, at FROM position ORDER BY feed")]

    def totals(self) -> dict[str, Total]:
        """By wiki."""
        found = self._all("SELECT wiki, live, gone FROM total ORDER BY wiki")
        return {wiki: Total(live, gone) for wiki, live, gone in found}

    def freshness(self, since_s: float = 0) -> list[Fresh]:
        """Of events that altered a row, by the minute in which they did (from that time on, seconds since
        1970) and by age; KEPT_S are kept.
        """
        query = "SELECT minute, step, events FROM fresh WHERE minute >= ? ORDER BY minute, step"
        found = self._all(query, int(since_s) // 60 * 60)
        return [Fresh(minute, age_of(step), events) for minute, step, events in found]

    def row(self, wiki: str, page: int) -> Row | None:
        found = self.stored({(wiki, page)})
        return found[wiki, page].row if found else None

    def stored(self, keys: Iterable[Key]) -> dict[Key, Stored]:
        """Those of these pages that there are."""
        by_wiki: dict[str, list[int]] = {}
        for wiki, page in keys:
            by_wiki.setdefault(wiki, []).append(page)
        query = (
            "SELECT page, row, changed FROM page WHERE wiki = ? AND page IN (SELECT value FROM json_each(?))"
        )
        found: dict[Key, Stored] = {}
        for wiki, pages in by_wiki.items():
            for page, row, changed in self._all(query, wiki, json.dumps(pages)):
                found[wiki, page] = Stored(self._unpacked(row), changed)
        return found

    def titled(self, wiki: str, title: str) -> Page | None:
        """The page of that title; the one that was said so last, where two are."""
        query = "SELECT row FROM page WHERE wiki = ? AND title = ? ORDER BY changed DESC LIMIT 1"
        found = self._all(query, wiki, title)
        return self._unpacked(found[0][0]).content if found else None

    def wikis(self) -> list[str]:
        """Of which there are rows, tombstones too."""
        return list(self.totals())

    def pages(self, wiki: str) -> Iterator[Page]:
        """Those of a wiki that can be read, by page id, as of one moment."""
        for row in self.rows(wiki):
            assert row.content is not None
            yield row.content

    def rows(self, wiki: str) -> Iterator[Row]:
        """The same, with what is known of them beside their content."""
        query = "SELECT row FROM page WHERE wiki = ? AND gone IS NULL ORDER BY page"
        with named(self.path):
            for (row,) in self._db.execute(query, (wiki,)):
                yield self._unpacked(row)

    def changes(self, since: int = 0, limit: int = 1_000) -> list[Changed]:
        """Pages that changed after that number, each once."""
        query = "SELECT changed, row FROM page WHERE changed > ? ORDER BY changed LIMIT ?"
        rows = ((number, self._unpacked(row)) for number, row in self._all(query, since, limit))
        return [Changed(number, row.wiki, row.page, row.content, row.sequence) for number, row in rows]

    def withdrawals(self, since: int = 0) -> list[Withdrawal]:
        query = "SELECT changed, wiki, page, revision, sequence FROM withdrawal WHERE changed > ?"
        return [Withdrawal(*row) for row in self._all(f"{query} ORDER BY changed", since)]

    def sampled(self, rng: random.Random, count: int) -> list[Row]:
        """Rows drawn evenly, tombstones too, each once; fewer where there are no more."""
        query = "SELECT row FROM page WHERE number = ?"
        with named(self.path):
            (most,) = self._db.execute("SELECT coalesce(max(number), 0) FROM page").fetchone()
            drawn = rng.sample(range(1, most + 1), min(most, 2 * count))  # some were removed
            found = (self._db.execute(query, (number,)).fetchone() for number in drawn)
            return [self._unpacked(row) for (row,) in islice(filter(None, found), count)]

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with named(self.path):
            return self._db.execute(query, values).fetchall()

    def _unpacked(self, row: bytes) -> Row:
        return self._decoder.decode(self._unpacker.decompress(row))
