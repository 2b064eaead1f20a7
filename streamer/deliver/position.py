"""Positions as clients hold them: the `id:` of events, and how it is read back.

    e7c14a09.0:1043,1:999      topic epoch, then the next offset of each partition

Opaque to clients. A partition that is not named starts at its earliest record. KafkaSSE's JSON arrays
are read too: `[{"topic": …, "partition": 0, "offset": 1043}, …]`, with `"timestamp"` (Unix, ms) or an
offset of -1 (live) in place of an offset.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

MAX_OFFSET: Final = 2**63 - 1
MAX_CHARS: Final = 8_000
"""An id of 300 partitions; longer ones are nobody's."""
_ID: Final = re.compile(r"([0-9a-f]{8})\.(\d{1,5}:\d{1,19}(?:,\d{1,5}:\d{1,19})*)", re.ASCII)


class PositionInvalid(ValueError):
    """The text is no position; the message says why."""


@dataclass(frozen=True, slots=True)
class At:
    """Start at this offset (the next one to be delivered)."""

    offset: int


@dataclass(frozen=True, slots=True)
class Since:
    """Start at the first record appended at or after this time."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class Live:
    """Start with what is appended from now on."""


@dataclass(frozen=True, slots=True)
class Earliest:
    """Start with the oldest record that is kept."""


Start = At | Since | Live | Earliest
LIVE: Final = Live()
EARLIEST: Final = Earliest()


@dataclass(frozen=True, slots=True)
class ClientPosition:
    """A parsed id. `epoch` or `topic` is "" where its form does not say it."""

    epoch: str
    topic: str
    starts: Mapping[int, Start]


def format_id(epoch: str, offsets: Sequence[int]) -> str:
    """The position in which `offsets[p]` is the next offset of partition p."""
    return epoch + "." + ",".join([f"{p}:{offset}" for p, offset in enumerate(offsets)])


def parse_id(text: str) -> ClientPosition:
    """Raises PositionInvalid. Whether the offsets exist is the log's to say."""
    if len(text) > MAX_CHARS:
        raise PositionInvalid("is longer than any id of this service")
    if text.lstrip().startswith("["):
        return _parse_kafkasse(text)
    match = _ID.fullmatch(text)
    if match is None:
        raise PositionInvalid("is not an id of this service; send back the last `id:` as it came")
    starts: dict[int, Start] = {}
    for pair in match[2].split(","):
        partition, _, offset = pair.partition(":")
        _put(starts, int(partition), At(int(offset)))
    return ClientPosition(match[1], "", starts)


class _Entry(Struct, frozen=True):
    topic: str
    partition: int
    offset: int | None = None
    timestamp: int | None = None


_entries = msgspec.json.Decoder(tuple[_Entry, ...])


def _parse_kafkasse(text: str) -> ClientPosition:
    try:
        entries = _entries.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise PositionInvalid("is no JSON array of {topic, partition, offset or timestamp}") from None
    if not entries:
        raise PositionInvalid("is an empty array")
    if len({entry.topic for entry in entries}) > 1:
        raise PositionInvalid("names several topics; this feed has one")
    starts: dict[int, Start] = {}
    for entry in entries:
        _put(starts, entry.partition, _start_of(entry))
    return ClientPosition("", entries[0].topic, starts)


def _start_of(entry: _Entry) -> Start:
    if entry.offset is not None and entry.timestamp is None:
        return LIVE if entry.offset == -1 else At(entry.offset)
    if entry.timestamp is not None and entry.offset is None:
        return Since(entry.timestamp)
    raise PositionInvalid("needs either an offset or a timestamp for each partition")


def _put(starts: dict[int, Start], partition: int, start: Start) -> None:
    if partition < 0:
        raise PositionInvalid(f"names the negative partition {partition}")
    if partition in starts:
        raise PositionInvalid(f"names partition {partition} twice")
    if isinstance(start, At) and not 0 <= start.offset <= MAX_OFFSET:
        raise PositionInvalid(f"has an impossible offset for partition {partition}")
    starts[partition] = start


class Vector:
    """The next offset of every partition, and its id, kept as text so that a step costs one number."""

    __slots__ = ("_texts", "epoch", "offsets")

    def __init__(self, epoch: str, offsets: Sequence[int]) -> None:
        self.epoch = epoch
        self.offsets = list(offsets)
        self._texts = [f"{p}:{offset}" for p, offset in enumerate(offsets)]

    def step(self, partition: int, next_offset: int) -> None:
        self.offsets[partition] = next_offset
        self._texts[partition] = f"{partition}:{next_offset}"

    def id(self) -> str:
        return f"{self.epoch}.{','.join(self._texts)}"

    def reaches(self, other: Sequence[int]) -> bool:
        """Whether no partition is behind `other`."""
        return all(mine >= theirs for mine, theirs in zip(self.offsets, other, strict=True))
