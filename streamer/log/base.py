"""What a log is, for every engine.

A log holds topics; a topic has a fixed number of partitions; a partition is a sequence of records
with offsets that only grow, are never used twice and may have holes (compaction, retention, a
broker's transaction markers). A commit is atomic: all its records, in all their topics, and all
its positions, or nothing. Readers see committed records only, in offset order per partition, each
once.

A **lane** is one input partition of one group with its positions. The worker that runs a lane may
commit; the one that lost it gets `LaneLost`, whatever it still had in hand.

`tests/conformance/log` is this contract as a suite; an engine is an engine when it passes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from streamer.log.position import Position

Headers = tuple[tuple[str, bytes], ...]

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""A larger record is refused with RecordTooLarge by every engine, before compression."""


SEGMENTS_PER_SPAN: Final = 12
"""With 6 hours of history a segment is half an hour, of the one hour that is promised."""
DEFAULT_SEGMENT_MS: Final = 3_600_000


class TopicPartition(NamedTuple):
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is kept. `compact` keeps the newest record of each key once a record is older
    than `compaction_lag_ms`; `retention_ms` deletes whatever is older (None: never).
    """

    name: str
    partitions: int
    compact: bool
    retention_ms: int | None
    compaction_lag_ms: int = 0
    protected: bool = False
    """Never deleted to make room (withdrawals, meta)."""

    @property
    def segment_ms(self) -> int:
        """Of an engine that keeps records in segments. One is compacted, or deleted, only as a whole and when
        its newest record is due: the finer they are, the sooner goes what is due.
        """
        spans = [span for span in (self.compaction_lag_ms, self.retention_ms) if span]
        return max(1, min(spans) // SEGMENTS_PER_SPAN) if spans else DEFAULT_SEGMENT_MS


@dataclass(frozen=True, slots=True)
class TopicInfo:
    name: str
    partitions: int
    epoch: str
    """8 hex digits, drawn when the topic was made: another epoch is another topic of the same name."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is appended. `value` None is a tombstone. `partition` is the caller's choice (`partition_of`)."""

    topic: str
    partition: int
    key: str
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What is read. `timestamp_ms` is when it was appended (Unix, ms)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: str
    value: bytes | None
    headers: Headers = ()

    def header(self, name: str) -> str:
        """The header's text, or "" where there is none."""
        for key, value in self.headers:
            if key == name:
                return value.decode("utf-8", "replace")
        return ""


class Bounds(NamedTuple):
    """`earliest` is the first offset that retention has left, `end` the next one to be written."""

    earliest: int
    end: int


class Extent(NamedTuple):
    """A topic, and the bounds of each of its partitions."""

    info: TopicInfo
    bounds: tuple[Bounds, ...]


class ReadingGroup(NamedTuple):
    """One that others keep."""

    offsets: Mapping[int, int]
    """Where it goes on, by partition."""
    has_members: bool
    """Somebody is reading, or about to."""


class Reader(Protocol):
    """A cursor over some partitions. One task reads at a time."""

    async def read(
        self, *, max_records: int = 500, max_bytes: int = 8_388_608, wait_s: float = 0.25
    ) -> list[Stored]:
        """At least one record if there is one within `wait_s`, else an empty list.

        At least one record is returned however large it is. Partitions take turns, so that none
        starves. Raises OffsetOutOfRange when retention has overtaken a partition's cursor, and
        TopicMissing when its topic is gone or was made anew.
        """
        ...

    def position(self, tp: TopicPartition) -> int:
        """The next offset that `read` would look at: beyond all that was returned, and beyond holes
        once they were skipped. `position(tp) >= end` means caught up with that end.
        """
        ...

    def assign(self, tp: TopicPartition, offset: int) -> None:
        """Adds a partition, or moves the cursor of one."""
        ...

    def drop(self, tp: TopicPartition) -> None: ...
    def pause(self, tps: Iterable[TopicPartition]) -> None: ...
    def resume(self, tps: Iterable[TopicPartition]) -> None: ...


class Lane(Protocol):
    """The right to commit for one input partition of one group, while it lasts."""

    @property
    def group(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...

    async def positions(self, wanted: Iterable[TopicPartition]) -> dict[TopicPartition, Position]:
        """The committed positions of this group at these partitions; those never committed are absent."""
        ...

    async def commit(
        self, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        """Appends and stores in one atomic step; the offsets of the records, in their order.

        Returns once it is durable and visible. Positions may be stored at any existing topic and
        partition. Raises LaneLost (stop, never retry), RecordTooLarge and TopicMissing (nothing
        was written; the lane goes on), TopicRefused (the lane goes on, or is over), LogFull and
        LogUnavailable (unknown or nothing written: leave the lane, it restarts from its committed
        positions). What is a TopicError names all topics that it is about, so that the rest can be
        committed without them. A lane that is over raises at every commit, an empty one too, what
        ended it. A cancelled commit may have happened.
        """
        ...


LaneMain = Callable[[Lane], Awaitable[None]]
LanesHeld = Callable[[frozenset[int] | None], None]
"""Called with the partitions whose lanes this process runs; None: see `run_lanes`."""


class Log(Protocol):
    """One engine. Open it with `async with`."""

    @property
    def is_over_budget(self) -> bool:
        """It has a bound, is over it, and nothing may go: the source should wait until others have read."""
        ...

    async def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Makes what is missing and updates policies; idempotent. A different number of partitions
        is a ConfigError: it is never changed in place.
        """
        ...

    async def delete_topic(self, name: str, *, epoch: str = "") -> None:
        """With its records and all positions at it (a cluster's go a moment later). With `epoch` that making
        of it alone, decided in one step with the deletion. Raises TopicMissing.
        """
        ...

    async def topic(self, name: str) -> TopicInfo | None: ...

    async def topics(self) -> list[TopicInfo]: ...

    async def check_topic(self, name: str, *, batch_bytes: int = 0) -> None:
        """Whether a lane could commit there now, as far as the engine can tell without writing. Raises
        TopicMissing, and TopicRefused where this user may not or where a batch of `batch_bytes` (see
        TopicRefused) is more than it takes.
        """
        ...

    async def bounds(self, tp: TopicPartition) -> Bounds: ...

    async def all_bounds(self, topic: str) -> list[Bounds]:
        """Of each partition, by one question to the engine: whatever was appended before it is within."""
        ...

    async def offset_at(self, tp: TopicPartition, time_ms: int) -> int:
        """The first offset appended at or after `time_ms` (Unix, ms); the end where there is none."""
        ...

    def reader(self, starts: Mapping[TopicPartition, int]) -> AbstractAsyncContextManager[Reader]: ...

    async def append(self, records: Sequence[Record]) -> list[int]:
        """A commit without positions and without a lane: commands, repairs, ticks. On a cluster what goes to
        one partition is whole or not there, but several partitions are not one step. Of no records it raises
        what a commit would meet now, as far as the engine knows without writing anything.
        """
        ...

    async def run_lanes(
        self,
        group: str,
        topic: str,
        run: LaneMain,
        *,
        partitions: Sequence[int] | None = None,
        draining: asyncio.Event | None = None,
        held: LanesHeld | None = None,
    ) -> None:
        """Runs `run(lane)` for each partition of `topic` that this process gets, until cancelled.

        A lane whose partition moves away is cancelled; one that raises a retriable StreamerError
        or LaneLost is started anew, alone, after a backoff, from its committed positions, but not while
        draining; one that returns is done (a drain); any other exception goes up. Returns when all lanes
        returned. `partitions` names some where not all are meant (the source has one lane). On the local
        log a second process for the same group gets LogBusy at once; on a cluster processes share the
        lanes, and one that has none stands by. That one has no lane to return: it is `draining` that
        ends it.
        `held` is told which lanes are this process's, once that is known and whenever it changes: before
        those that came begin, and (perhaps once more) after those that went have ended. None: this process
        has no lane because it can't see the topic, so that perhaps nobody has any.
        """
        ...

    async def committed(self, group: str) -> dict[TopicPartition, Position]:
        """All positions of a group, for status, metrics and late joiners; takes no lane."""
        ...

    # ── of many topics at once, for who watches them all ───────────────────────────────────────

    async def extents(self, names: Collection[str]) -> dict[str, Extent]:
        """Of those that exist and that this user may see, by a few questions for all of them."""
        ...

    async def oldest_ms(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """When the oldest record of each was appended (Unix, ms); what holds none is absent."""
        ...

    async def readers(self, topics: Mapping[str, Extent]) -> dict[str, dict[str, ReadingGroup]]:
        """By owner and name, of groups that others keep: of those whose names begin with an owner of `topics`
        and a dot, where each that has a position in this owner's topic goes on. As far as this user may see
        them; none on the local log, which nobody else reads.
        """
        ...


def partition_of(key: str, partitions: int) -> int:
    """The partition of a record: Java's default for the key's page part (what stands before any `/`)."""
    return murmur2_partition(key.partition("/")[0].encode(), partitions)


def murmur2_partition(data: bytes, partitions: int) -> int:
    """Kafka's default partitioner: positive(murmur2(key)) modulo the number of partitions."""
    return (murmur2(data) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed, as an unsigned integer."""
    length = len(data)
    m = 0x5BD1E995
    h = (0x9747B28C ^ length) & 0xFFFFFFFF
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * m) & 0xFFFFFFFF
        k ^= k >> 24
        k = (k * m) & 0xFFFFFFFF
        h = (h * m) & 0xFFFFFFFF
        h ^= k
    tail = data[whole:]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = (h * m) & 0xFFFFFFFF
    h ^= h >> 13
    h = (h * m) & 0xFFFFFFFF
    return h ^ (h >> 15)
