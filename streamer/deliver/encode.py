"""Records → what stands on the wire, once for all connections of a feed.

A frame is a whole SSE event; its NDJSON line is a part of the same bytes, so that one buffer serves both
formats. The value is not parsed beyond its top level and `event`: what is in between travels as it was
stored. `event.partition` and `event.offset` are added here, since a value cannot know them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from streamer.cutoffs import Cutoffs
from streamer.log.base import Stored
from streamer.model import DELETE_TYPE, Hideable, encode_value, is_tick
from streamer.tracing import Delivery

PREAMBLE: Final = b"retry: 3000\n:ok\n"
"""No blank line: httpx-sse would make an event of it."""
HEARTBEAT: Final = b":hb\n"
NDJSON_HEARTBEAT: Final = b" "
"""The one byte that every NDJSON client tolerates between lines."""

_DELETE: Final = DELETE_TYPE.encode()
_objects = msgspec.json.Decoder(dict[str, Raw])


@dataclass(slots=True)
class Frame:
    """One event. `sse` is let go once it lies in the channels; what is left is what cut-offs look at."""

    key: str
    revision: int
    sequence: int
    partition: int
    edited_ms: int
    """0: unknown."""
    sse: bytes
    json_at: int
    hidden: frozenset[Hideable]
    """What was already taken out of it, wherever it lies."""
    is_delete: bool = False
    appended_ms: int = 0
    delivered: bool = False
    """Whether it was written to any live connection yet."""
    delivery: Delivery | None = None
    """Of one that is traced."""
    is_broken: bool = False
    """Who asks for a part of it, or for filters, can't have it: deeper than was looked, it is no JSON."""

    def ndjson(self) -> bytes:
        return self.sse[self.json_at : -1] if self.sse else b""

    def position(self) -> str:
        """The id."""
        return self.sse[len(b"id: ") : self.json_at - len(b"\ndata: ")].decode()

    def data(self) -> bytes:
        """The JSON object alone."""
        return self.sse[self.json_at : -2]

    def carrying(self, data: bytes) -> "Frame":
        """The same event with other data, in one line."""
        return replace(self, sse=b"%b%b\n\n" % (self.sse[: self.json_at], data))


def is_article(record: Stored) -> bool:
    """Tombstones and ticks are no events."""
    return record.value is not None and not is_tick(record)


def withheld(hidden: frozenset[Hideable], *, is_delete: bool) -> frozenset[Hideable]:
    """What a cut-off takes from a record. A delete carries no text to withhold, and the page's leaving the
    partner's scope must be told even where the page itself was deleted since.
    """
    return hidden - {"text"} if is_delete else hidden


def hidden_in(frame: Frame, cutoffs: Cutoffs) -> frozenset[Hideable]:
    """What cut-offs take from a frame by now."""
    hidden = cutoffs.hidden(frame.key, frame.revision, frame.sequence)
    return withheld(hidden, is_delete=frame.is_delete)


def first_ages_s(frames: Iterable[Frame], now_ms: int) -> Iterator[float]:
    """How old the edits are that reach a client now for the first time; notes that they did."""
    for frame in frames:
        if not frame.delivered:
            frame.delivered = True
            if frame.delivery is not None:
                frame.delivery.written()
            if frame.edited_ms:
                yield max(0, now_ms - frame.edited_ms) / 1000


class Facts(NamedTuple):
    """What a record's headers say; 0 where one is absent or no number."""

    revision: int
    sequence: int
    edited_ms: int
    is_delete: bool


def facts_of(record: Stored) -> Facts:
    headers = dict(record.headers)
    return Facts(
        _number(headers.get("rev", b"")),
        _number(headers.get("ce_sequence", b"")),
        _ms(headers.get("ce_time", b"")),
        headers.get("ce_type") == _DELETE,
    )


def _number(digits: bytes) -> int:
    return int(digits) if digits.isdigit() else 0


def _ms(time: bytes) -> int:
    try:
        return int(datetime.fromisoformat(time.decode()).timestamp() * 1000)
    except ValueError:
        return 0


def frame_of(record: Stored, position: str, hidden: frozenset[Hideable], facts: Facts | None = None) -> Frame:
    """`position` is the id after this event; `hidden` what must be left out (never "text": such a record
    has no frame). Raises msgspec.DecodeError or ValidationError where the value is no JSON object.
    """
    facts = facts or facts_of(record)
    data = data_of(record, hidden)
    head = b"id: %b\ndata: " % position.encode()
    return Frame(
        key=record.key,
        revision=facts.revision,
        sequence=facts.sequence,
        partition=record.partition,
        edited_ms=facts.edited_ms,
        sse=b"%b%b\n\n" % (head, data),
        json_at=len(head),
        hidden=hidden,
        is_delete=facts.is_delete,
        appended_ms=record.timestamp_ms,
    )


def data_of(record: Stored, hidden: frozenset[Hideable]) -> bytes:
    """The article as this partner's client sees it, in one line."""
    assert record.value is not None
    article = _objects.decode(record.value)
    event = _objects.decode(article["event"]) if "event" in article else {}
    event["partition"] = Raw(b"%d" % record.partition)
    event["offset"] = Raw(b"%d" % record.offset)
    article["event"] = Raw(msgspec.json.encode(event))
    return _one_line(without(article, hidden))


def objects_of(event: bytes) -> dict[str, Raw]:
    """The article's parts, of an event or a line; none where it can't be taken apart."""
    try:
        return _objects.decode(_apart(event)[1])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def withdrawn_from(event: bytes, hidden: frozenset[Hideable]) -> bytes:
    """An event, or a line, without a comment or an editor that was withdrawn since it was made; b"" where it
    can't be taken apart.
    """
    head, end = _apart(event)
    try:
        stripped = _one_line(without(_objects.decode(end), hidden))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""
    return b"%b%b%b" % (head, stripped, end[len(end.rstrip(b"\n")) :])


def _apart(event: bytes) -> tuple[bytes, bytes]:
    """What stands before the JSON, and it with its line's end."""
    if not event.startswith(b"id: "):
        return b"", event
    head, data, end = event.partition(b"\ndata: ")
    return head + data, end


def without(article: dict[str, Raw], hidden: frozenset[Hideable]) -> dict[str, Raw]:
    """Without the comment or the editor, `visibility` saying so."""
    if not hidden:
        return article
    version = _object_in(article, "version")
    gone = hidden & version.keys()
    if gone:
        kept = {name: part for name, part in version.items() if name not in gone}
        article["version"] = Raw(msgspec.json.encode(kept))  # also where nothing is left of it
    visibility = _object_in(article, "visibility")
    if hidden & visibility.keys():
        visibility.update(dict.fromkeys(hidden & visibility.keys(), Raw(b"false")))
        article["visibility"] = Raw(msgspec.json.encode(visibility))
    return article


def _object_in(article: Mapping[str, Raw], name: str) -> dict[str, Raw]:
    raw = article.get(name)
    if raw is None or not bytes(raw).startswith(b"{"):
        return {}
    return _objects.decode(raw)


def _one_line(article: dict[str, Raw]) -> bytes:
    data = encode_value(article)
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    return data


def control(name: str, data: Mapping[str, object], position: str = "") -> bytes:
    """A named event: cursor, gap or bye. With a position it moves the client's."""
    head = f"event: {name}\n" + (f"id: {position}\n" if position else "")
    return b"%bdata: %b\n\n" % (head.encode(), msgspec.json.encode(data))


def cursor(position: str) -> bytes:
    return control("cursor", {"position": position}, position)


def bye(reason: str, position: str) -> bytes:
    """With the position that the client has: requests-sse goes on from the id of an event that broke off in
    an earlier connection, if the first event of the next one has none.
    """
    return b"id: %b\n%b" % (position.encode(), control("bye", {"reason": reason}))
