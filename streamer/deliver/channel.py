"""One distinct feed: what its clients get, in one order, as the very bytes that all of them are sent.

    entry │ entry │ entry │ …        a chunk each: some frames, or a cursor or a heartbeat
    ──────┴───────┴───────┴──►  in a FrameLog; clients stand at an offset in it, or at an entry's number

Entries say where an event ends, what a cut-off has to look at, and what gzip's trailer has to say there. An
entry that a cut-off reaches is left as it is in the log, and read no more: its `patch` goes out in its place.
"""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from isal import isal_zlib

from streamer.cutoffs import Cutoffs
from streamer.deliver.encode import Frame, hidden_in, objects_of, withdrawn_from
from streamer.deliver.filters import is_removal
from streamer.deliver.framelog import FrameLog
from streamer.deliver.gzipped import Block, block, span_crc, unpacked
from streamer.deliver.position import Vector
from streamer.deliver.rendering import Part
from streamer.deliver.wanted import Wanted
from streamer.model import Hideable

ENTRY_OVERHEAD_BYTES: Final = 700
"""What Python keeps of an entry beside its bytes, and of each of its frames (measured, rounded up)."""
FRAME_OVERHEAD_BYTES: Final = 600
CHUNK_END: Final = b"\r\n"
NO_BLOCK: Final = Block(b"", 0, 0)
TRIM_ENTRIES: Final = 1_024


class Follower(Protocol):
    """A connection that is not detached."""

    def moved(self) -> None:
        """There are new entries, a new vector, or the feed has ended."""
        ...

    def withdrawn(self) -> None:
        """A cut-off applies, and the channel has not heeded it yet."""
        ...


@dataclass(slots=True)
class Entry:
    """A chunk of HTTP/1.1. What it says of `before` is of the border in front of it."""

    start: int
    payload_at: int
    end: int
    frames: list[Frame]
    """None in a cursor or heartbeat. Their bytes are let go."""
    position: str
    """The id behind it."""
    position_before: str
    events_before: int
    payload_before: int
    crc_before: int
    length_before: int
    appended_ms: int = 0
    patch: bytes | None = None
    """The chunk that goes out instead, or nothing (b"")."""
    patch_block: Block | None = None


def chunk(data: bytes) -> bytes:
    """Nothing for nothing: an empty chunk would be the end of all."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


@dataclass(slots=True)
class Held:
    """What several channels hold together."""

    bytes: int = 0


class Channel:
    """Entries `first` up to but not including `next` are retained. `take` what the feed renders for it."""

    def __init__(self, partner: str, wanted: Wanted, vector: Vector, log: FrameLog) -> None:
        self.partner = partner
        self.wanted = wanted
        self.vector = vector
        """The feed's: what follows `next`."""
        self.log = log
        self.followers: set[Follower] = set()
        """Connections that are not detached."""
        self.first = 0
        self.next = 0
        self.bytes = 0
        """What it holds, overhead included."""
        self.held = Held()
        """By all that are counted together: see streamer.deliver.retained."""
        self.events = 0
        self.payload_bytes = 0
        """Articles, and bytes without the framing of chunks, since it was made."""
        self.told = vector.id()
        """The position that its clients know by what they were sent."""
        self.patched_end = 0
        """Behind the last entry with a patch; most of the time there is none: 0."""
        self.fresh: list[Frame] = []
        """Articles that no client was written yet."""
        self._unsent: list[bytes] = []
        """What was appended since the last round, so that it need not be read again."""
        self._unsent_at = log.end
        self._crc = 0
        self._length = 0
        self._entries: list[Entry] = []
        self._dropped = 0
        """The number of the first in the list; some before `first` may still be there."""
        self._patched: list[int] = []
        self._by_page: dict[str, deque[int]] = {}
        self._is_gzip = wanted.encoding == "gzip"

    def __len__(self) -> int:
        return self.next - self.first

    # ── what is added ──────────────────────────────────────────────────────────────────────────

    def take(self, parts: Iterable[Part], position_before: str) -> None:
        """Articles. `position_before`: the feed's, in front of the batch that they are from."""
        for part in parts:
            for frame in part.frames:
                self._by_page.setdefault(_page(frame.key), deque()).append(self.next)
            last = part.frames[-1]
            entry = self._append(part.block or part.data, last.position(), position_before)
            entry.frames = part.frames
            entry.appended_ms = last.appended_ms
            self.events += len(part.frames)
            self.fresh += part.frames
            self._grow(FRAME_OVERHEAD_BYTES * len(part.frames))
            position_before = entry.position

    def say(self, data: bytes, position: str) -> None:
        """What is no article."""
        self._append(block(data) if self._is_gzip else data, position, position)

    def _append(self, data: bytes | Block, position: str, position_before: str) -> Entry:
        start, crc, length = self.log.end, self._crc, self._length
        if isinstance(data, Block):
            self._crc = isal_zlib.crc32_combine(crc, data.crc, data.length)
            self._length += data.length
            data = data.packed
        whole = chunk(data)
        self.log.append(whole)
        self._unsent.append(whole)
        entry = Entry(
            start=start,
            payload_at=start + len(whole) - len(CHUNK_END) - len(data),
            end=self.log.end,
            frames=[],
            position=position,
            position_before=position_before,
            events_before=self.events,
            payload_before=self.payload_bytes,
            crc_before=crc,
            length_before=length,
        )
        self.payload_bytes += len(data)
        self._entries.append(entry)
        self.next += 1
        self._grow(len(whole) + ENTRY_OVERHEAD_BYTES)
        self.told = position
        return entry

    def unsent(self, start: int) -> bytes:
        """From there to the end."""
        if start == self._unsent_at:
            return self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent)
        return self.log.read(start, self.log.end)

    def sent(self) -> None:
        """A round is over, or is not to be: who comes later reads from the log."""
        self._unsent = []
        self._unsent_at = self.log.end

    # ── where clients stand ────────────────────────────────────────────────────────────────────

    @property
    def start(self) -> int:
        """Of what is retained; who stands before it was overtaken."""
        return self._entries[self.first - self._dropped].start if len(self) else self.log.end

    def entry(self, number: int) -> Entry:
        return self._entries[number - self._dropped]

    def number_at(self, offset: int) -> int:
        """Of the entry that `offset` lies in, or begins; `next` for the end."""
        if offset >= self.log.end:
            return self.next
        return self._dropped + bisect_right(self._entries, offset, key=_start) - 1

    def offset_of(self, number: int) -> int:
        return self.log.end if number == self.next else self.entry(number).start

    def is_border(self, offset: int) -> bool:
        return offset == self.log.end or self.entry(self.number_at(offset)).start == offset

    def next_patched(self, offset: int) -> Entry | None:
        """The first entry with a patch that begins at `offset` or behind it."""
        at = bisect_right(self._patched, offset - 1, key=lambda number: self.entry(number).start)
        return self.entry(self._patched[at]) if at < len(self._patched) else None

    def counts_at(self, offset: int) -> tuple[int, int]:
        """Articles and bytes of payload that lie in whole entries before it."""
        if offset >= self.log.end:
            return self.events, self.payload_bytes
        entry = self.entry(self.number_at(offset))
        return entry.events_before, entry.payload_before

    def appended_ms_at(self, number: int) -> int:
        """When the article was appended that comes next for who stands at this entry; 0 where none does."""
        later = (self.entry(at).appended_ms for at in range(max(number, self.first), self.next))
        return next(filter(None, later), 0)

    def totals_at(self, border: int) -> tuple[int, int]:
        """Checksum and length, before gzip, of all that lies before a border."""
        if border >= self.log.end:
            return self._crc, self._length
        entry = self.entry(self.number_at(border))
        return entry.crc_before, entry.length_before

    def payload(self, entry: Entry) -> bytes:
        """The same without its framing."""
        if entry.patch is None:
            return self.log.read(entry.payload_at, entry.end - len(CHUNK_END))
        return entry.patch[entry.patch.index(CHUNK_END) + 2 : -2] if entry.patch else b""

    def block_of(self, entry: Entry) -> Block:
        """Of gzip: its payload, and what that does to the totals."""
        if entry.patch is not None:
            return entry.patch_block or NO_BLOCK
        crc, length = self.totals_at(entry.end)
        own = length - entry.length_before
        return Block(self.payload(entry), span_crc(entry.crc_before, crc, own), own)

    # ── what is taken away ─────────────────────────────────────────────────────────────────────

    def evict(self) -> None:
        """The oldest entry."""
        entry = self.entry(self.first)
        for frame in entry.frames:
            self._forget(frame, self.first)
        if self.fresh and entry.frames:
            gone = set(map(id, entry.frames))
            self.fresh = [frame for frame in self.fresh if id(frame) not in gone]
        if entry.patch is not None:
            self._patched.remove(self.first)
            if not self._patched:
                self.patched_end = 0
        self._grow(-_cost(entry))
        entry.frames = []
        self.first += 1
        self.log.release(entry.end)
        if self.first - self._dropped >= TRIM_ENTRIES:
            del self._entries[: self.first - self._dropped]
            self._dropped = self.first

    def _forget(self, frame: Frame, number: int) -> None:
        page = _page(frame.key)
        numbers = self._by_page[page]
        if number in numbers:
            numbers.remove(number)
        if not numbers:
            del self._by_page[page]

    def reached(self, key: str, cutoffs: Cutoffs) -> list[Entry]:
        """Those of which a new cut-off with this key takes something: to be looked at before `withdraw`."""
        numbers = dict.fromkeys(self._by_page.get(_page(key), ()))
        entries = [self.entry(number) for number in numbers]
        return [entry for entry in entries if any(newly_hidden(frame, cutoffs) for frame in entry.frames)]

    def withdraw(self, key: str, cutoffs: Cutoffs) -> None:
        """Patches what is reached. The frames' own `hidden` is for the feed to note: channels share them."""
        for entry in self.reached(key, cutoffs):
            self._patch(entry, cutoffs)

    def _patch(self, entry: Entry, cutoffs: Cutoffs) -> None:
        data = self.payload(entry)
        if self._is_gzip:
            data = unpacked(data) if data else b""
        border = b"\n\n" if self.wanted.format == "sse" else b"\n"
        events = [event + border for event in data.split(border)[:-1]]
        assert len(events) == len(entry.frames), "an entry's frames are its events"
        number = self.number_at(entry.start)
        frames: list[Frame] = []
        left: list[bytes] = []
        for frame, event in zip(entry.frames, events, strict=True):
            hidden = newly_hidden(frame, cutoffs)
            kept = event if not hidden else self._without(frame, event, hidden)
            if kept:
                frames.append(frame)
                left.append(kept)
            else:
                self._forget(frame, number)
        before = _cost(entry)
        data = b"".join(left)
        if self._is_gzip:
            entry.patch_block = block(data) if data else None
            data = entry.patch_block.packed if entry.patch_block else b""
        if entry.patch is None:
            insort(self._patched, number)
        entry.frames, entry.patch = frames, chunk(data)
        self.fresh = [frame for frame in self.fresh if not newly_hidden(frame, cutoffs)]
        self._grow(_cost(entry) - before)
        self.patched_end = max(self.patched_end, entry.end)

    def _without(self, frame: Frame, event: bytes, hidden: frozenset[Hideable]) -> bytes:
        """b"" where nothing is left to be shown, also to a filter that asks for what is hidden now; a removal
        passes every filter.
        """
        filters = self.wanted.filters
        asked = filters.fields if filters is not None else ()
        if "text" in hidden:
            return b""
        is_asked = any(_tells(field, part) for field in asked for part in hidden)
        if is_asked and not frame.is_delete and not is_removal(objects_of(event)):
            return b""
        return withdrawn_from(event, hidden)

    def _grow(self, size: int) -> None:
        self.bytes += size
        self.held.bytes += size

    def close(self) -> None:
        self._grow(-self.bytes)
        self.log.close()


def newly_hidden(frame: Frame, cutoffs: Cutoffs) -> frozenset[Hideable]:
    """What cut-offs take from a frame, beside what its bytes lack already."""
    return hidden_in(frame, cutoffs) - frame.hidden


def _tells(field: str, part: Hideable) -> bool:
    """Whether a filter's field says something of what is hidden."""
    return f"{field}.".startswith((f"version.{part}.", f"visibility.{part}."))


def _cost(entry: Entry) -> int:
    patch = len(entry.patch) if entry.patch is not None else 0
    return entry.end - entry.start + patch + ENTRY_OVERHEAD_BYTES + FRAME_OVERHEAD_BYTES * len(entry.frames)


def _start(entry: Entry) -> int:
    return entry.start


def _page(key: str) -> str:
    return key.partition("/")[0]
