"""Readers of many kinds that check each event when it comes: what it is, whether it was due, and what must no
longer be in it.

A reader breaks off where it likes, is cut or reset where the service likes, and goes on by what it has: over
all its connections it must get every article once, each partition in order.
"""

import asyncio
import random
import socket
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from harness.chronicle import Ask, Chronicle, Clockwork, Entry
from harness.delivering import PARTITIONS
from streamer.model import Hideable
from tests.conformance.endpoint.lines import Item, vector
from tests.conformance.endpoint.reading import EVER, Format, positions, streaming
from tests.conformance.endpoint.wire import Answer, Endpoint, Torn

SMALL_BYTES: Final = 4_096
LARGE_BYTES: Final = 1 << 20
BUFFERED_BYTES: Final = 700_000
"""All that kernels and TLS hold for a reader with a small buffer: no more than that was on its way to it when
a cut-off came.
"""
AGAIN_S: Final = 0.02

Pace = Literal["fast", "slow", "breaking", "stalled"]
Start = Literal["first", "ever", "offsets", "late", "late live"]


@dataclass(frozen=True, slots=True)
class Habit:
    """`late`: it comes once the writing is under way. `hops`: each connection to another process. `stalled`:
    takes nothing until it is `awake`.
    """

    format: Format = "sse"
    gzip: bool = False
    version: str = "1.1"
    ask: Ask = field(default_factory=Ask)
    start: Start = "first"
    pace: Pace = "fast"
    process: int = 0
    hops: bool = False

    def __str__(self) -> str:
        of = "gzip " * self.gzip + self.format
        what = " ".join(self.ask.query) or "all"
        where = "all processes" if self.hops else f"process {self.process}"
        return f"{self.pace} {of}/{self.version} of {what}, start {self.start}, {where}"


class Broken(Exception):
    """The reader has had enough of this connection."""


class _Tap:
    """In place of a connection's reader: takes as much as it likes, when it likes."""

    def __init__(self, answer: Answer, habit: Habit, rng: random.Random, awake: asyncio.Event) -> None:
        self._reader = answer.reader
        self._sock = answer.writer.get_extra_info("socket")
        self._awake = awake
        self._rng = rng
        self._pace = habit.pace
        mean = rng.choice((3_000, 40_000, 400_000, 2_000_000))
        self._left = int(rng.expovariate(1 / mean)) + 1 if habit.pace == "breaking" else -1

    async def read(self, size: int) -> bytes:
        if self._pace == "stalled" and not self._awake.is_set():
            await self._awake.wait()
            self._reader._limit = LARGE_BYTES  # type: ignore[attr-defined] # it has slept long enough
            with suppress(OSError):  # it was reset meanwhile
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LARGE_BYTES)
        if self._pace == "slow":
            size = min(size, self._rng.choice((SMALL_BYTES, 16_384, 65_536)))
            await asyncio.sleep(0.4 if self._rng.random() < 0.01 else 0.001)
        if self._left > 0:
            size = min(size, self._left)
        elif self._left == 0:
            raise Broken
        data = await self._reader.read(size)
        if self._left > 0:
            self._left -= len(data)
        return data


class Follower:
    """`follow` sets `done` once it has all, and returns when the service then ends its stream as it should.
    Raises AssertionError for the first thing that is wrong.
    """

    def __init__(
        self,
        habit: Habit,
        endpoints: Sequence[Endpoint],
        chronicle: Chronicle,
        clockwork: Clockwork,
        rng: random.Random,
    ) -> None:
        self.habit = habit
        self.connections: Counter[str] = Counter()
        """By how they ended."""
        self.articles = 0
        self.ready = asyncio.Event()
        """Its first stream is open."""
        self.awake = asyncio.Event()
        self.done = asyncio.Event()
        self._endpoints = endpoints
        self._chronicle = chronicle
        self._clockwork = clockwork
        self._rng = rng
        self._wanted = chronicle.wanted(habit.ask)
        # the index of what comes next, None where only the service knows yet where a live stream began
        self._at: dict[int, int | None] = dict.fromkeys(
            habit.ask.partitions, None if habit.start == "late live" else 0
        )
        self._last_id = ""
        self._begun_op = 0
        """What was begun when its stream had."""
        self._knows_op = 0
        """What has been committed, as it knows from this connection."""
        self._late_bytes: dict[int, int] = defaultdict(int)
        self._process = habit.process

    async def follow(self) -> None:
        try:
            while True:
                if self.habit.hops:
                    self._process = self._rng.randrange(len(self._endpoints))
                ended = await self._connection()
                self.connections[ended] += 1
                if self.done.is_set():
                    assert ended == ("drain" if self.habit.format == "sse" else "ended"), ended
                    return
                await asyncio.sleep(AGAIN_S)
        except AssertionError as error:
            error.add_note(f"{self.habit}, after {self.articles} articles, {dict(self.connections)}")
            raise

    @property
    def _is_done(self) -> bool:
        ends = self._wanted.entries
        return self._clockwork.over.is_set() and all(
            at is not None and self._skippable(p, at, len(ends[p])) for p, at in self._at.items()
        )

    def _asked(self) -> dict[str, object]:
        query, headers = dict(self.habit.ask.query), {}
        if self._last_id:
            if self._rng.random() < 0.5:
                headers["Last-Event-ID"] = self._last_id
            else:
                query["last_event_id"] = self._last_id
        elif all(at is not None for at in self._at.values()) and (
            self.habit.start == "offsets" or self.connections
        ):
            query["offsets"] = positions({p: self._offset(p) for p in self._at})
        elif self.habit.start in ("ever", "late"):
            query["since"] = EVER
        return {"query": query, "headers": headers}

    def _offset(self, partition: int) -> int:
        """The last one + 1, as clients of NDJSON do it."""
        at = self._at[partition]
        return self._wanted.entries[partition][at - 1].offset + 1 if at else 0

    async def _connection(self) -> str:
        """How it ended."""
        habit = self.habit
        self._knows_op = self._clockwork.committed
        small = SMALL_BYTES if self._is_small else 0
        said = "ended"
        async with streaming(
            self._endpoints[self._process],
            habit.format,
            gzip=habit.gzip,
            version=habit.version,
            receive_buffer=small,
            **self._asked(),
        ) as stream:
            try:
                stream.answer.reader = _Tap(stream.answer, habit, self._rng, self.awake)
                if habit.pace == "stalled":  # what comes first is the preamble, which nobody waits for
                    self.ready.set()
                await stream.begun()
                self._begun_op = self._clockwork.begun
                self.ready.set()
                async for item in stream.items():
                    self._take(item)
                    assert said == "ended", "something follows `bye`"
                    if item.name == "bye":
                        said = item.object["reason"]
                    if item.name == "hb" and self._is_done:  # what comes twice has come before it
                        self.done.set()
            except (Broken, TimeoutError):
                return "broken"
            except Torn:  # before its first byte was read
                return "torn"
        return "torn" if stream.torn else said

    @property
    def _is_small(self) -> bool:
        return self.habit.pace in ("slow", "stalled")

    # ── what comes ─────────────────────────────────────────────────────────────────────────────

    def _take(self, item: Item) -> None:
        assert item.name != "gap"
        if item.name == "message":
            self._take_article(item)
        if item.id and item.name != "bye":
            self._take_position(vector(item.id))
            self._last_id = item.id

    def _take_article(self, item: Item) -> None:
        partition, offset = item.place
        assert (partition, offset) in self._wanted.index, f"nobody asked for {partition}:{offset}"
        index = self._wanted.index[partition, offset]
        entry = self._wanted.entries[partition][index]
        at = self._at[partition]
        if at is None:
            at = self._began(partition, index)
        assert index >= at, f"a second time: {entry}"
        assert self._skippable(partition, at, index), (
            f"missing: {self._missing(partition, at, index)} before {entry}"
        )
        self._at[partition] = index + 1
        self.articles += 1
        self._judge(item.data, entry)
        self._knows_op = max(self._knows_op, entry.op)
        self._clockwork.heard(self._process, entry.op)

    def _judge(self, data: bytes, entry: Entry) -> None:
        hidden = self._chronicle.hidden_in(data, entry, self.habit.ask)
        must = self._clockwork.hidden(entry, self._knows_op)
        assert "text" not in must, f"withdrawn: {entry}, known: {self._knows_op}"
        if hidden is not None:
            may = self._clockwork.hidden(entry, self._clockwork.begun)
            assert must <= hidden <= may, f"{set(hidden)} is hidden, must be {set(must)}: {entry}"
        if self._is_small:
            self._judge_late(data, entry, hidden)

    def _judge_late(self, data: bytes, entry: Entry, hidden: frozenset[Hideable] | None) -> None:
        """What was withdrawn before, and comes now, must have been on its way. Of bytes that hold neither
        comment nor editor (None) the text alone counts.
        """
        for cutoff in self._clockwork.heard_cutoffs(self._process, entry):
            shown = cutoff.hides & {"text"} if hidden is None else cutoff.hides - hidden
            if shown:
                self._late_bytes[cutoff.op] += len(data)
                assert self._late_bytes[cutoff.op] < BUFFERED_BYTES, f"{cutoff}, and sent still: {entry}"

    def _take_position(self, told: dict[int, int]) -> None:
        """It says of each partition how far this reader has got, exactly."""
        assert set(told) == set(range(PARTITIONS))
        for partition, at in self._at.items():
            index = self._wanted.first_from(partition, told[partition])
            at = self._began(partition, index) if at is None else at  # noqa: PLW2901 - where it stands
            assert index >= at, f"the id goes back: {partition}:{told[partition]}"
            assert self._skippable(partition, at, index), (
                f"the id passes over {self._missing(partition, at, index)}"
            )
            self._at[partition] = index

    def _began(self, partition: int, index: int) -> int:
        """A live stream turns out to have begun in front of this index: not behind what was appended once it
        was open.
        """
        entries = self._wanted.entries[partition]
        first = next((i for i, entry in enumerate(entries) if entry.op > self._begun_op), len(entries))
        return min(first, index)

    def _skippable(self, partition: int, at: int, end: int) -> bool:
        return not self._missing(partition, at, end)

    def _missing(self, partition: int, at: int, end: int) -> list[Entry]:
        """All of these whose text was never withdrawn."""
        begun = self._clockwork.begun
        mine = self._wanted.entries[partition]
        return [mine[i] for i in range(at, end) if "text" not in self._clockwork.hidden(mine[i], begun)]
