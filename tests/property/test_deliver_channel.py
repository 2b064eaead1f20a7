"""A channel against a naive list of all that was taken, said, evicted and withdrawn."""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from harness.fed import Fed

from streamer.cutoffs import Cutoffs
from streamer.deliver.channel import ENTRY_OVERHEAD_BYTES, FRAME_OVERHEAD_BYTES, Channel, chunk
from streamer.deliver.encode import HEARTBEAT, NDJSON_HEARTBEAT, cursor, frame_of, hidden_in
from streamer.deliver.gzipped import unpacked
from streamer.deliver.rendering import JOINED_BYTES
from streamer.deliver.wanted import Wanted
from streamer.log.base import Stored
from streamer.model import Hideable, is_delete

STEPS = 50
WISHES = (
    ("sse", "identity", (), (), ()),
    ("ndjson", "identity", (), (), ()),
    ("sse", "gzip", (), (), ()),
    ("ndjson", "gzip", (), (), (1,)),
    ("sse", "identity", (("version.comment", "why"),), (), ()),
    ("ndjson", "gzip", (("version.editor.name", "Somebody"), ("visibility.comment", True)), (), ()),
    ("sse", "gzip", (("visibility.editor", False),), (), ()),
    ("sse", "identity", (), ("name", "event.*", "version.comment", "visibility.*"), ()),
    ("ndjson", "identity", (("identifier", [1, 2]),), ("name", "event.*", "version.editor.*"), (0,)),
)

Articles = list[tuple[Stored, str]]
"""Each with the id behind it."""


def shown(wanted: Wanted, record: Stored, position: str, hidden: frozenset[Hideable]) -> bytes:
    """The event or line, made from the record by what is hidden; nothing where it is not to be sent."""
    if "text" in hidden:
        return b""
    frame = frame_of(record, position, hidden)
    if wanted.filters is not None and not wanted.filters.match(frame.data(), is_delete=frame.is_delete):
        return b""
    if wanted.projection is not None:
        frame = frame.carrying(wanted.projection.apply(frame.data()))
    return frame.sse if wanted.format == "sse" else frame.ndjson()


def hidden_of(record: Stored, cutoffs: Cutoffs) -> frozenset[Hideable]:
    return hidden_in(frame_of(record, "", frozenset()), cutoffs)


@dataclass
class Item:
    """An entry: articles, or what was said."""

    position: str
    position_before: str
    articles: Articles = field(default_factory=list)
    said: bytes = b""
    had: bytes = b""
    """As it was put in, before gzip."""
    raw: bytes = b""
    is_patched: bool = False


class Naive:
    """All that one channel was ever given."""

    def __init__(self, channel: Channel, fed: Fed) -> None:
        self.channel = channel
        self.wanted = channel.wanted
        self.fed = fed
        self.items: list[Item] = []
        self.first = 0
        self.began = fed.feed.vector.id()

    def now(self, record: Stored, position: str) -> bytes:
        return shown(self.wanted, record, position, hidden_of(record, self.fed.known.cutoffs))

    def take(self, batch: Articles, before: str) -> None:
        joined: Articles = []
        size = 0
        wished = [
            (record, position, data)
            for record, position in batch
            if record.partition in self.wanted.partitions and (data := self.now(record, position))
        ]
        for number, (record, position, data) in enumerate(wished, 1):
            joined.append((record, position))
            size += len(data)
            if size >= JOINED_BYTES or number == len(wished):
                had = b"".join(self.now(*article) for article in joined)
                self.items.append(Item(position, before, joined, had=had))
                before, joined, size = position, [], 0

    @property
    def told(self) -> str:
        return self.items[-1].position if self.items else self.began

    def left(self, item: Item) -> bytes:
        """What of it goes out by now."""
        return item.said or b"".join(self.now(*article) for article in item.articles)

    def check(self, rng: random.Random) -> None:
        channel = self.channel
        assert (channel.first, channel.next) == (self.first, len(self.items))
        assert len(channel) == len(self.items) - self.first
        borders = self.check_entries()
        assert channel.log.end == borders[-1]
        assert channel.start == borders[self.first]
        assert channel.told == self.told
        for offset in (*borders[self.first :], *(rng.randrange(borders[self.first], borders[-1] + 1),) * 3):
            self.check_place(offset, borders)
        articles = [sum(len(item.articles) for item in self.items[:n]) for n in range(len(self.items) + 1)]
        assert channel.events == articles[-1]

    def check_entries(self) -> list[int]:
        """All borders."""
        channel, is_gzip = self.channel, self.wanted.encoding == "gzip"
        borders = [0]
        held = 0
        for number, item in enumerate(self.items):
            if number < self.first:
                borders.append(borders[-1] + len(item.raw))
                continue
            entry = channel.entry(number)
            if not item.raw:
                item.raw = channel.log.read(entry.start, entry.end)
            assert channel.log.read(entry.start, entry.end) == item.raw
            assert entry.start == borders[-1]
            borders.append(entry.end)
            size, _, rest = item.raw.partition(b"\r\n")
            assert (rest[:-2], rest[-2:]) == (rest[: int(size, 16)], b"\r\n")
            assert (unpacked(rest[:-2]) if is_gzip else rest[:-2]) == item.had
            payload, left = channel.payload(entry), self.left(item)
            assert (unpacked(payload) if is_gzip and payload else payload) == left
            goes_out = channel.log.read(entry.start, entry.end) if entry.patch is None else entry.patch
            assert goes_out == chunk(payload)
            if left != item.had:
                assert entry.patch == chunk(payload)
            item.is_patched = entry.patch is not None
            if is_gzip:
                block = channel.block_of(entry)
                assert (block.packed, block.crc, block.length) == (payload, zlib.crc32(left), len(left))
            assert (entry.position, entry.position_before) == (item.position, item.position_before)
            kept = [article for article in item.articles if self.now(*article)]
            assert [(frame.key, frame.sequence) for frame in entry.frames] == [
                (record.key, int(record.header("ce_sequence"))) for record, _ in kept
            ]
            held += len(item.raw) + len(entry.patch or b"")
            held += ENTRY_OVERHEAD_BYTES + FRAME_OVERHEAD_BYTES * len(kept)
        assert channel.bytes == held
        return borders

    def check_place(self, offset: int, borders: list[int]) -> None:
        channel, items = self.channel, self.items
        number = max(n for n in range(len(borders)) if borders[n] <= offset)
        assert channel.number_at(offset) == number
        assert channel.offset_of(number) == borders[number]
        assert channel.is_border(offset) == (offset == borders[number])
        before = items[:number]
        payload = sum(len(item.raw.partition(b"\r\n")[2]) - 2 for item in before)
        assert channel.counts_at(offset) == (sum(len(item.articles) for item in before), payload)
        had = b"".join(item.had for item in before) if self.wanted.encoding == "gzip" else b""
        assert channel.totals_at(borders[number]) == (zlib.crc32(had), len(had))
        patched = [n for n in range(self.first, len(items)) if items[n].is_patched and borders[n] >= offset]
        entry = channel.next_patched(offset)
        assert entry is (channel.entry(patched[0]) if patched else None)
        assert not patched or channel.patched_end >= borders[patched[-1] + 1]


def records_of(rng: random.Random, fed: Fed) -> list[Stored]:
    """Some are late, and have their revision in the key; a delete has no version."""
    made = []
    for _ in range(rng.randrange(1, 7)):
        size = rng.choice([0, 200, 7_000, 30_000])
        late = f"/{1_001 + fed.sequence}" if rng.random() < 0.2 else ""
        gone = not late and rng.random() < 0.15
        page, partition = rng.randrange(1, 5), rng.randrange(2)
        made.append(fed.record(page, partition=partition, size=size, late=late, is_delete=gone))
    return made


def publish(fed: Fed, naives: Sequence[Naive], records: Sequence[Stored]) -> None:
    cutoffs = fed.known.cutoffs
    vector = fed.feed.vector
    before = vector.id()
    offsets = list(vector.offsets)
    batch: Articles = []
    for record in records:
        offsets[record.partition] = record.offset + 1
        if is_delete(record) or "text" not in hidden_of(record, cutoffs):
            said = ",".join(f"{p}:{offset}" for p, offset in enumerate(offsets))
            batch.append((record, f"{fed.feed.info.epoch}.{said}"))
    fed.publish(*records)
    for naive in naives:
        naive.take(batch, before)


def say(rng: random.Random, naive: Naive) -> None:
    position = naive.told
    if naive.wanted.format == "ndjson":
        data = NDJSON_HEARTBEAT
    elif rng.random() < 0.5:
        data = HEARTBEAT
    else:
        position = naive.fed.feed.vector.id()
        data = cursor(position)
    naive.channel.say(data, position)
    naive.items.append(Item(position, position, said=data, had=data))


@pytest.mark.parametrize("has_memfd", [True, False], ids=["memfd", "heap"])
def test_a_channel_is_what_was_put_into_it(
    rng: random.Random, monkeypatch: pytest.MonkeyPatch, has_memfd: bool
) -> None:
    """Entries, borders, positions, counts and totals, at any offset; what a cut-off reaches is at once what
    the record would be made to now, by filter, projection, format and gzip.
    """
    monkeypatch.setattr("streamer.deliver.framelog.HAS_MEMFD", has_memfd)
    monkeypatch.setattr("streamer.deliver.channel.TRIM_ENTRIES", 5)
    fed = Fed(partitions=2)
    naives = [
        Naive(fed.channel(fmt, encoding, filters=filters, fields=fields, partitions=parts), fed)  # type: ignore[arg-type] # words as they come
        for fmt, encoding, filters, fields, parts in WISHES
    ]
    for _ in range(STEPS):
        step = rng.choice(["publish", "publish", "say", "evict", "withdraw"])
        if step == "publish":
            publish(fed, naives, records_of(rng, fed))
        elif step == "say":
            for naive in rng.sample(naives, 3):
                say(rng, naive)
        elif step == "evict":
            for naive in naives:
                for _ in range(rng.randrange(min(len(naive.channel), 6) + 1)):
                    naive.channel.evict()
                    naive.first += 1
        else:
            page, revision = rng.randrange(1, 5), 1_000 + rng.randrange(1, fed.sequence + 2)
            hides = rng.sample(["text", "comment", "comment", "editor", "editor"], rng.randrange(1, 3))
            key = rng.choice([f"{page}", f"{page}/{revision}"])
            fed.withdraw(key, hides, below=rng.randrange(1, fed.sequence + 2))  # type: ignore[arg-type] # 〃
            for naive in naives:
                assert not naive.channel.reached(f"enwiki:{key}", fed.known.cutoffs)
        for naive in naives:
            naive.check(rng)
    for naive in naives:
        fed.feed.drop(naive.channel)
