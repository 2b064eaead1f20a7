"""Where a lane stands: the next offset, what beyond it is already done, and a little state.

Work finishes out of order (one slow wiki must not hold the others), so a position is more than a
number. It travels in the metadata of a Kafka offset commit, which takes 4,096 characters; an
engine stores `next` beside it.
"""

import zlib
from base64 import b85decode, b85encode
from bisect import bisect_right, insort
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

import msgspec

METADATA_CHARS: Final = 4_000
"""A broker takes 4,096 and makes the producer unusable at one more; the rest is margin."""
DONE_CHARS: Final = 3_300
MAX_AHEAD: Final = 20_000
"""A lane stops reading this many offsets beyond its next one, however well the done set packs."""

CHARS_PER_CHANGE: Final = 8
"""What an offset taken or finished adds to the done set at the worst."""
FULL_MARGIN: Final = 200
"""So near to DONE_CHARS it would have to be packed again every few records."""

Ranges = tuple[tuple[int, int], ...]
State = dict[str, object]


@dataclass(frozen=True, slots=True)
class Position:
    """`done` are half-open ranges of offsets beyond `next`, ascending and disjoint."""

    next: int
    done: Ranges = ()
    state: State = field(default_factory=dict)

    def metadata(self) -> str:
        """The done set and the state in at most METADATA_CHARS characters; ValueError if they don't fit."""
        text = f"{encode_done(self.next, self.done)} {msgspec.json.encode(self.state).decode()}"
        if len(text) > METADATA_CHARS:
            raise ValueError(f"position of {len(text)} characters, at most {METADATA_CHARS} fit")
        return text

    @classmethod
    def restore(cls, next_offset: int, metadata: str) -> "Position":
        """The inverse of `metadata`; empty metadata is an empty done set and no state."""
        done, _, state = metadata.partition(" ")
        return cls(
            next_offset,
            decode_done(next_offset, done),
            msgspec.json.decode(state, type=dict[str, object]) if state else {},
        )

    def is_done(self, offset: int) -> bool:
        if offset < self.next:
            return True
        at = bisect_right(self.done, offset, key=itemgetter(0))
        return at > 0 and offset < self.done[at - 1][1]


def encode_done(base: int, done: Ranges) -> str:
    """The smaller of deflated ranges (`r`) and deflated bitmap (`b`), in base85; empty for none."""
    if not done:
        return ""
    varints = bytearray()
    last = base
    for start, end in done:
        _put_varint(varints, start - last)
        _put_varint(varints, end - start)
        last = end
    ranges = zlib.compress(bytes(varints), 9)
    bits = 0
    for start, end in done:
        bits |= ((1 << (end - start)) - 1) << (start - base)
    bitmap = zlib.compress(bits.to_bytes((done[-1][1] - base + 7) // 8, "little"), 9)
    if len(ranges) <= len(bitmap):
        return "r" + b85encode(ranges).decode()
    return "b" + b85encode(bitmap).decode()


def decode_done(base: int, text: str) -> Ranges:
    if not text:
        return ()
    packed = zlib.decompress(b85decode(text[1:]))
    if text[0] == "r":
        numbers = _varints(packed)
        ranges: list[tuple[int, int]] = []
        last = base
        for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
            ranges.append((last + gap, last + gap + length))
            last += gap + length
        return tuple(ranges)
    return _ranges_of_bits(base, int.from_bytes(packed, "little"))


def _ranges_of_bits(base: int, bits: int) -> Ranges:
    ranges: list[tuple[int, int]] = []
    at = 0
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        ones = (~bits & (bits + 1)).bit_length() - 1
        bits >>= ones
        ranges.append((base + at + zeros, base + at + zeros + ones))
        at += zeros + ones
    return tuple(ranges)


def _put_varint(out: bytearray, number: int) -> None:
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _varints(data: bytes) -> list[int]:
    numbers: list[int] = []
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return numbers


class Progress:
    """The running form of a position: what was taken, what is still open.

    `take` offsets in ascending order as they are read (holes need not be named: whatever was not
    taken below `read_to` counts as done), `finish` them in any order, `position()` at each commit.
    """

    def __init__(self, start: Position) -> None:
        self._done_before = start
        self._read_to = max(start.next, start.done[-1][1] if start.done else 0)
        self._cursor = start.next
        self._open: list[int] = []
        self._done_chars = len(encode_done(start.next, start.done))
        self._changes = 0

    def take(self, offset: int) -> bool:
        """False when the offset was done before the restart, and must not be worked on again."""
        self._cursor = max(self._cursor, offset + 1)
        self._read_to = max(self._read_to, self._cursor)
        if self._done_before.is_done(offset):
            return False
        insort(self._open, offset)
        self._changes += 1
        return True

    def finish(self, offset: int) -> None:
        """ValueError if it isn't open: finishing twice would be counting twice."""
        self._open.remove(offset)
        self._changes += 1

    def skip_to(self, offset: int) -> None:
        """The reader has passed everything below `offset` (holes at the end of what was read)."""
        self._cursor = max(self._cursor, offset)
        self._read_to = max(self._read_to, self._cursor)

    @property
    def open_count(self) -> int:
        return len(self._open)

    def position(self, state: State, *, without: frozenset[int] | set[int] = frozenset()) -> Position:
        """What would be committed if the open offsets in `without` were finished too."""
        pending = [offset for offset in self._open if offset not in without]
        # what was done before the restart and not yet passed again by `take` stays done
        done: list[tuple[int, int]] = []
        if self._cursor < self._read_to:
            pending_tail = _complement(self._cursor, self._read_to, self._done_before.done)
            pending = pending + pending_tail
        if not pending:
            return Position(self._read_to, (), state)
        start = pending[0]
        for offset in pending:
            if offset > start:
                done.append((start, offset))
            start = offset + 1
        if start < self._read_to:
            done.append((start, self._read_to))
        return Position(pending[0], tuple(done), state)

    def is_full(self) -> bool:
        """True when reading on could make a position that doesn't fit."""
        if not self._open:
            return False
        if self._read_to - self._open[0] >= MAX_AHEAD:
            return True
        # packing takes a millisecond, and this is asked for each record: only when it may have filled up
        if self._done_chars + self._changes * CHARS_PER_CHANGE < DONE_CHARS:
            return False
        if self._changes:
            position = self.position({})
            self._done_chars = len(encode_done(position.next, position.done))
            self._changes = 0
        return self._done_chars >= DONE_CHARS - FULL_MARGIN


def _complement(start: int, end: int, ranges: Ranges) -> list[int]:
    """The offsets of [start, end) that lie in none of the ranges."""
    missing: list[int] = []
    at = start
    for low, high in ranges:
        if high <= at:
            continue
        missing.extend(range(at, min(low, end)))
        at = max(at, high)
    missing.extend(range(at, end))
    return missing
