"""What the streams hold, and where a reader stands in it. Pure: Wikimedia's SSE server (KafkaSSE) as it is.

One sequence in order of arrival over all topics; a topic is a stream in one data centre. An id says,
per topic, the time of the last event **plus one millisecond** once one was seen on this connection,
else `offset: -1`. Resuming starts at the first event of the topic that isn't older than that, so
what shares the last event's millisecond is skipped, as it is in production.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson

from streamer.sandbox.events import Event, iso_ms, schema_stream

DATA_CENTRES: Final = ("eqiad", "codfw")
CAPACITY: Final = 10_000
"""Events that are kept at least; who resumes further back starts at the earliest, without a word."""


class BadId(ValueError):
    """The Last-Event-ID is none: status 400."""


@dataclass(frozen=True, slots=True)
class Entry:
    sequence: int
    topic: str
    time_ms: int
    data: bytes


class TopicPosition(msgspec.Struct, frozen=True):
    topic: str
    partition: int
    timestamp: int | None = None
    offset: int | None = None


_ids = msgspec.json.Decoder(list[TopicPosition])


def topic_name(data_centre: str, stream: str) -> str:
    return f"{data_centre}.{schema_stream(stream)}"


class Feed:
    """`coarse_ms`: times are rounded down to it; older recordings have whole seconds."""

    def __init__(self, *, capacity: int = CAPACITY, coarse_ms: int = 1) -> None:
        self._entries: list[Entry] = []
        self._capacity = capacity
        self._offsets: dict[str, int] = {}
        self._coarse_ms = coarse_ms
        self._next = 0

    @property
    def end(self) -> int:
        """The sequence number that comes next."""
        return self._next

    @property
    def earliest(self) -> int:
        return self._next - len(self._entries)

    def append(self, data_centre: str, stream: str, time_ms: int, event: Event) -> None:
        """Completes `meta` with what only the topic knows."""
        topic = topic_name(data_centre, stream)
        time_ms -= time_ms % self._coarse_ms
        # Unrelated numbers per topic: an offset means nothing in another data centre.
        offset = self._offsets.setdefault(topic, 1_000_000 + 7_919 * len(self._offsets) ** 2)
        self._offsets[topic] = offset + 1
        meta = event["meta"]
        assert isinstance(meta, dict)
        meta |= {"stream": schema_stream(stream), "dt": iso_ms(time_ms)}
        if meta.get("domain") != "canary":
            meta |= {"topic": topic, "partition": 0, "offset": offset}
        self.append_raw(topic, time_ms, orjson.dumps(event))

    def append_raw(self, topic: str, time_ms: int, data: bytes) -> None:
        self._entries.append(Entry(self._next, topic, time_ms, data))
        self._next += 1
        if len(self._entries) >= 2 * self._capacity:  # in one go, so that each costs nothing
            del self._entries[: -self._capacity]

    def read(self, sequence: int, count: int) -> list[Entry]:
        """From `sequence` on, or from the earliest where that is gone."""
        start = max(0, sequence - self.earliest)
        return self._entries[start : start + count]

    def at_time(self, topic: str, time_ms: int) -> int:
        """The first of the topic, in order of arrival, that isn't older; the end where there is none."""
        for entry in self._entries:
            if entry.topic == topic and entry.time_ms >= time_ms:
                return entry.sequence
        return self._next

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for entry in self._entries:
            counts[entry.topic] = counts.get(entry.topic, 0) + 1
        return counts


class Cursor:
    """Where one connection stands in the topics of its streams."""

    def __init__(self, streams: Sequence[str], starts: Mapping[str, int], end: int) -> None:
        self._starts = {
            topic_name(data_centre, stream): end for stream in streams for data_centre in DATA_CENTRES
        }
        self._starts |= {topic: start for topic, start in starts.items() if topic in self._starts}
        self._seen_ms: dict[str, int] = {}
        self.sequence = min(self._starts.values())

    def take(self, entries: Iterable[Entry]) -> list[tuple[bytes, Entry]]:
        """Those that this connection gets, each with its id; moves on."""
        taken = []
        for entry in entries:
            self.sequence = entry.sequence + 1
            start = self._starts.get(entry.topic)
            if start is None or entry.sequence < start:
                continue
            self._seen_ms[entry.topic] = entry.time_ms
            taken.append((self._id(), entry))
        return taken

    def _id(self) -> bytes:
        return orjson.dumps(
            [
                {"topic": topic, "partition": 0, "timestamp": self._seen_ms[topic] + 1}
                if topic in self._seen_ms
                else {"topic": topic, "partition": 0, "offset": -1}
                for topic in self._starts
            ]
        )


def frame(identifier: bytes, data: bytes) -> bytes:
    return b"event: message\nid: " + identifier + b"\ndata: " + data + b"\n\n"


def resume(feed: Feed, last_event_id: str) -> dict[str, int]:
    """Topic to the sequence number it starts at; raises BadId. `offset: -1` means the end as of now."""
    try:
        positions = _ids.decode(last_event_id)
    except msgspec.DecodeError as error:
        raise BadId(str(error)) from None
    starts = {}
    for position in positions:
        if position.timestamp is not None:
            starts[position.topic] = feed.at_time(position.topic, position.timestamp)
        elif position.offset is not None:
            starts[position.topic] = feed.end if position.offset < 0 else feed.earliest
        else:
            raise BadId("an entry has neither timestamp nor offset")
    return starts


def since(feed: Feed, streams: Sequence[str], time_ms: int) -> dict[str, int]:
    topics = [topic_name(data_centre, stream) for stream in streams for data_centre in DATA_CENTRES]
    return {topic: feed.at_time(topic, time_ms) for topic in topics}
