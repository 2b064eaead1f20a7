"""Articles and cut-offs in the one order in which they were committed, and what a reader may get of them.

    chronicle ──appends──► log ──► service ──► readers
        └───────────── what each must, may and must not have got ◄──┘

Nothing of the service's own encoding is asked: a reader's JSON is compared, as a value, with what was stored,
and after that by SHA-256, so that the same article is the same bytes to all who asked for the same.
"""

import asyncio
import hashlib
import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harness.delivering import PARTITIONS, Delivering, article_record
from streamer.log.base import partition_of
from streamer.model import Hideable, page_key
from tests.conformance.endpoint.judge import passes

PAGES: Final = 40
WITHDRAWN_PAGES: Final = 12
"""The first so many: the rest is never withdrawn."""
ALWAYS: Final[Mapping[str, Sequence[str]]] = {
    "identifier": (),
    "name": (),
    "namespace": ("identifier",),
    "is_part_of": ("identifier",),
    "event": (),
}
"""What comes whatever `fields` say, of what these articles have."""
VARIANTS: Final[tuple[frozenset[Hideable], ...]] = (
    frozenset(),
    frozenset({"comment"}),
    frozenset({"editor"}),
    frozenset({"comment", "editor"}),
)
FIRST_FINAL_PAGE: Final = 500


def final_pages() -> list[int]:
    """One in each partition."""
    found: dict[int, int] = {}
    page = FIRST_FINAL_PAGE
    while len(found) < PARTITIONS:
        found.setdefault(partition_of(page_key("enwiki", page), PARTITIONS), page)
        page += 1
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Ask:
    """`fields`: none for all; a field is a name, or `name.*`."""

    fields: tuple[str, ...] = ()
    pages: frozenset[int] | None = None
    parts: frozenset[int] | None = None

    @property
    def query(self) -> dict[str, str]:
        asked = {}
        if self.fields:
            asked["fields"] = ",".join(self.fields)
        if self.pages is not None:
            asked["filters"] = json.dumps(self.filters)
        if self.parts is not None:
            asked["parts"] = ",".join(map(str, sorted(self.parts)))
        return asked

    @property
    def filters(self) -> list[dict[str, Any]]:
        return [{"field": "identifier", "value": sorted(self.pages or ())}]

    @property
    def partitions(self) -> Collection[int]:
        return range(PARTITIONS) if self.parts is None else self.parts

    def selected(self, article: dict[str, Any]) -> dict[str, Any]:
        if not self.fields:
            return article
        whole = {name.removesuffix(".*") for name in self.fields}
        kept = {}
        for name, part in article.items():
            if name in whole or (name in ALWAYS and not ALWAYS[name]):
                kept[name] = part
            elif name in ALWAYS:
                kept[name] = {below: part[below] for below in ALWAYS[name] if below in part}
        return kept


@dataclass(frozen=True, slots=True)
class Entry:
    """One article; `op` is the number of its append."""

    op: int
    partition: int
    offset: int
    page: int
    revision: int
    sequence: int
    value: bytes = field(repr=False)

    def shown(self, hidden: Collection[Hideable], ask: Ask) -> dict[str, Any]:
        article = json.loads(self.value)
        article["event"] |= {"partition": self.partition, "offset": self.offset}
        for part in hidden:
            del article["version"][part]
            article["visibility"][part] = False
        return ask.selected(article)


@dataclass(frozen=True, slots=True)
class Cutoff:
    op: int
    page: int
    revision: int
    """0: all of the page."""
    sequence: int
    hides: frozenset[Hideable]

    def covers(self, entry: Entry) -> bool:
        return (
            entry.page == self.page
            and entry.sequence < self.sequence
            and self.revision in (0, entry.revision)
        )


class Wanted:
    """The articles of one topic that one ask is to get, by partition; it grows."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.entries: list[list[Entry]] = [[] for _ in range(PARTITIONS)]
        self.index: dict[tuple[int, int], int] = {}

    def add(self, entry: Entry) -> None:
        if entry.partition not in self.ask.partitions:
            return
        if self.ask.pages is not None and not passes({"identifier": entry.page}, self.ask.filters):
            return
        mine = self.entries[entry.partition]
        self.index[entry.partition, entry.offset] = len(mine)
        mine.append(entry)

    def first_from(self, partition: int, offset: int) -> int:
        """The index of the first that stands there or behind."""
        mine = self.entries[partition]
        low, high = 0, len(mine)
        while low < high:
            middle = (low + high) // 2
            if mine[middle].offset < offset:
                low = middle + 1
            else:
                high = middle
        return low


class Chronicle:
    """Writes one partner's topic, and knows what stands there. Ops are numbered by the `Clockwork` of all."""

    def __init__(self, writes: Delivering, clockwork: "Clockwork") -> None:
        self._writes = writes
        self._clockwork = clockwork
        self._entries: list[Entry] = []
        self._next = [0] * PARTITIONS
        self._wanted: dict[Ask, Wanted] = {}
        self._digests: dict[tuple[int, int, Ask], dict[bytes, frozenset[Hideable] | None]] = {}

    def wanted(self, ask: Ask) -> Wanted:
        if ask not in self._wanted:
            mine = self._wanted[ask] = Wanted(ask)
            for entry in self._entries:
                mine.add(entry)
        return self._wanted[ask]

    async def write(self, articles: Sequence[tuple[int, str]]) -> None:
        """Pages and texts, in one commit."""
        clock = self._clockwork
        op = clock.begin()
        records = []
        for page, text in articles:
            clock.sequence += 1
            record = article_record(
                self._writes.topic,
                page,
                10_000 + clock.sequence,
                clock.sequence,
                text=text,
                comment=f"comment {clock.sequence}",
                editor=f"Editor {clock.sequence}",
            )
            records.append(record)
            assert record.value is not None
            offset = self._next[record.partition]
            self._next[record.partition] += 1
            entry = Entry(
                op, record.partition, offset, page, 10_000 + clock.sequence, clock.sequence, record.value
            )
            self._entries.append(entry)
            for wanted in self._wanted.values():
                wanted.add(entry)
        await self._writes.log.append(records)
        clock.commit(op)

    def recent(self, rng: random.Random, page: int) -> int:
        """A revision of that page; 0 where it has none."""
        mine = [entry.revision for entry in self._entries if entry.page == page]
        return rng.choice(mine) if mine else 0

    def hidden_in(self, data: bytes, entry: Entry, ask: Ask) -> frozenset[Hideable] | None:
        """What these bytes leave out of the article, None where they hold nothing that could be left out.
        Raises AssertionError where they are not this article.
        """
        known = self._digests.setdefault((entry.partition, entry.offset, ask), {})
        digest = hashlib.sha256(data).digest()
        if digest not in known:
            article = json.loads(data)
            found = [variant for variant in VARIANTS if article == entry.shown(variant, ask)]
            assert found, f"not what was stored: {entry}, {data[:300]!r}"
            hidden = found[0] if len(found) == 1 else None
            assert hidden not in known.values(), f"the same article in other bytes: {entry}"
            known[digest] = hidden
        return known[digest]


@dataclass
class Clockwork:
    """The order of all ops, and the cut-offs, which go by page, whoever's it is."""

    writes: Delivering
    begun: int = 0
    committed: int = 0
    sequence: int = 0
    cutoffs: list[Cutoff] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is written any more."""
    _heard: dict[int, int] = field(default_factory=dict)
    """By process, the newest op that any reader knows of by it: all cut-offs before that apply there."""

    def begin(self) -> int:
        self.begun += 1
        return self.begun

    def commit(self, op: int) -> None:
        assert op == self.begun
        self.committed = op

    async def withdraw(self, page: int, hides: Collection[Hideable], revision: int = 0) -> None:
        op = self.begin()
        self.sequence += 1
        self.cutoffs.append(Cutoff(op, page, revision, self.sequence, frozenset(hides)))
        self.writes.sequence = self.sequence - 1  # it takes the next one
        await self.writes.withdraw(page, tuple(hides), revision=revision)
        self.commit(op)

    def hidden(self, entry: Entry, by_op: int) -> frozenset[Hideable]:
        """What cut-offs up to this op take of it."""
        found: frozenset[Hideable] = frozenset()
        if entry.page <= WITHDRAWN_PAGES:
            for cutoff in self.cutoffs:
                if cutoff.op <= by_op and cutoff.covers(entry):
                    found |= cutoff.hides
        return found

    def heard(self, process: int, op: int) -> None:
        self._heard[process] = max(self._heard.get(process, 0), op)

    def heard_cutoffs(self, process: int, entry: Entry) -> list[Cutoff]:
        """Those that take something of this one and apply in that process."""
        op = self._heard.get(process, 0)
        return [cutoff for cutoff in self.cutoffs if cutoff.op <= op and cutoff.covers(entry)]
