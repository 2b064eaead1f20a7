"""Dead letters as they lie in the log: which there are, which were replayed, and what a replay is.

wiki.deadletter.v1   letters, by wiki; beside them records with REPLAYED_KEY that name, by their offsets,
                     those which an operator had replayed
group `deferred`     its positions say which of the `deferred` ones replayed by themselves
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Struct

from streamer.errors import OffsetOutOfRange
from streamer.globs import matcher
from streamer.log.base import Log, Stored, TopicPartition
from streamer.log.position import Position
from streamer.model import DEFERRED, REPLAYED_KEY, UNREADABLE, DeadLetter, Kind, Replayed

GROUP: Final = "deferred"
CODES: Final = frozenset(
    {
        DEFERRED, UNREADABLE, "another_page", "another_revision", "another_wiki", "answer_invalid",
        "bad_timestamp", "host_not_allowed", "incomplete_page", "interwiki", "invalid_id", "invalid_title",
        "origin_unavailable", "page_unresolved", "refused", "slots_missing", "special_page", "stale",
        "text_missing", "textmissing", "too_large", "truncated", "unparsable",
    }
)  # fmt: skip
"""Those of this version; a log may hold others of another one."""
READ_RECORDS: Final = 1_000

_letters = msgspec.json.Decoder(DeadLetter)
_replayed = msgspec.json.Decoder(Replayed)
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


# ── which there are ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Letter:
    """One of them and where it lies; the body is None where it can't be read."""

    partition: int
    offset: int
    timestamp_ms: int
    body: DeadLetter | None

    @property
    def kind(self) -> Kind | None:
        """What failed: of a replay, what is replayed."""
        return self.body.change.meant if self.body else None


def letter_of(record: Stored) -> Letter | None:
    """None for what is no letter: ticks, and words about letters."""
    if record.key.startswith(".") or record.value is None:
        return None
    try:
        body = _letters.decode(record.value)
    except _UNDECODABLE:
        body = None
    return Letter(record.partition, record.offset, record.timestamp_ms, body)


@dataclass(frozen=True, slots=True)
class Filter:
    """What is left open matches all. Times are those of the failure, from `since_ms` to before `until_ms`."""

    wikis: tuple[str, ...] = ()
    codes: frozenset[str] = frozenset()
    kinds: frozenset[Kind] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    def compiled(self) -> Callable[[DeadLetter], bool]:
        has_wiki = matcher(self.wikis)

        def matches(letter: DeadLetter) -> bool:
            return (
                (not self.codes or letter.code in self.codes)
                and (not self.kinds or letter.change.meant in self.kinds)
                and (self.since_ms is None or letter.failed_ms >= self.since_ms)
                and (self.until_ms is None or letter.failed_ms < self.until_ms)
                and has_wiki(letter.change.wiki)
            )

        return matches


# ── which of them wait ─────────────────────────────────────────────────────────────────────────


class _State(Struct, frozen=True):
    cursor: int = 0
    silent: dict[str, int] = {}
    replayed: int = 0


@dataclass(slots=True)
class Standing:
    """How far the `deferred` letters of a partition were dealt with; what a position of GROUP holds.

    Everything below `cursor` was looked at. `silent` names the servers whose letters wait, each with the
    offset from which on they do. So a wiki that is silent for days costs one entry, not one for each letter,
    and letters go in the order in which they came.
    """

    cursor: int
    silent: dict[str, int] = field(default_factory=dict)
    replayed: int = 0

    @classmethod
    def of(cls, position: Position) -> "Standing":
        state = msgspec.convert(position.state, _State)
        return cls(max(state.cursor, position.next), dict(state.silent), state.replayed)

    def position(self) -> Position:
        following = min([self.cursor, *self.silent.values()])
        state = _State(self.cursor, self.silent, self.replayed)
        return Position(following, (), msgspec.structs.asdict(state))

    def waits(self, offset: int, server_name: str) -> bool:
        if offset >= self.cursor:
            return True
        since = self.silent.get(server_name)
        return since is not None and offset >= since


# ── reading all of them ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Status:
    """What became of letters, by partition and offset, as of one look at the whole topic."""

    replays: Counter[tuple[int, int]]
    standings: Mapping[int, Standing]

    def waits(self, letter: Letter) -> bool:
        """It replays by itself."""
        if letter.body is None or letter.body.code != DEFERRED:
            return False
        standing = self.standings.get(letter.partition, Standing(0))
        return standing.waits(letter.offset, letter.body.change.server_name)

    def times(self, letter: Letter) -> int:
        """How often it was replayed."""
        by_itself = letter.body is not None and letter.body.code == DEFERRED and not self.waits(letter)
        return self.replays[letter.partition, letter.offset] + by_itself


async def read_all(
    log: Log, topic: str, matches: Callable[[DeadLetter], bool]
) -> tuple[list[Letter], Status]:
    """The letters that match, and those that can't be read, by the time of their failure."""
    committed = await log.committed(GROUP)
    standings = {tp.partition: Standing.of(at) for tp, at in committed.items() if tp.topic == topic}
    found: list[Letter] = []
    replays: Counter[tuple[int, int]] = Counter()
    async for record in _records(log, topic):
        if record.key == REPLAYED_KEY:
            replays.update((record.partition, offset) for offset in _offsets(record))
            continue
        letter = letter_of(record)
        if letter and (letter.body is None or matches(letter.body)):
            found.append(letter)
    found.sort(key=lambda letter: letter.body.failed_ms if letter.body else letter.timestamp_ms)
    return found, Status(replays, standings)


def _offsets(record: Stored) -> tuple[int, ...]:
    try:
        return _replayed.decode(record.value or b"").offsets
    except _UNDECODABLE:
        return ()


async def _records(log: Log, topic: str) -> AsyncIterator[Stored]:
    """Up to the end as it is now."""
    bounds = await log.all_bounds(topic)
    ends = {TopicPartition(topic, partition): found.end for partition, found in enumerate(bounds)}
    starts = {TopicPartition(topic, partition): found.earliest for partition, found in enumerate(bounds)}
    async with log.reader(starts) as reader:
        while any(reader.position(tp) < end for tp, end in ends.items()):
            try:
                records = await reader.read(max_records=READ_RECORDS)
            except OffsetOutOfRange as error:  # retention was quicker
                reader.assign(TopicPartition(error.topic, error.partition), error.earliest)
                continue
            for record in records:
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record
