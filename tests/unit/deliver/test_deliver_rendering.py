"""A batch as each feed wants it: every form made once, and the same channel for the same wish."""

import random
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from harness.fed import Fed

from streamer.deliver import rendering
from streamer.deliver.encode import Frame
from streamer.deliver.filters import parse_filters
from streamer.deliver.gzipped import Block, block, unpacked
from streamer.deliver.negotiate import Encoding
from streamer.deliver.rendering import JOINED_BYTES, Rendering
from streamer.deliver.request import Format, parameters_of, parse
from streamer.deliver.wanted import Wanted, wanted_of
from streamer.metrics import DISCARDED, ERRORS
from streamer.projection import Projection


def frame(offset: int, size: int = 10, *, partition: int = 0) -> Frame:
    head = b"id: e7c14a09.0:%d\ndata: " % (offset + 1)
    data = b'{"name":"A","version":{"identifier":%d,"comment":"why"},"abstract":"%b"}' % (offset, b"x" * size)
    return Frame("enwiki:1", 1, 1, partition, 0, head + data + b"\n\n", len(head), frozenset())


def wanted(
    fmt: Format = "sse",
    encoding: Encoding = "identity",
    *,
    fields: Sequence[str] = (),
    filters: Sequence[tuple[str, object]] = (),
    partitions: Sequence[int] = (0,),
) -> Wanted:
    asked = parse_filters([{"field": field, "value": value} for field, value in filters])
    return Wanted(frozenset(partitions), asked, Projection(fields) if fields else None, fmt, encoding)


def test_a_projection_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For equal selections, in either format, packed or not; the id stays."""
    made: list[bytes] = []
    apply = Projection.apply

    def counted(self: Projection, value: bytes) -> bytes:
        made.append(value)
        return apply(self, value)

    monkeypatch.setattr(Projection, "apply", counted)
    batch = Rendering([frame(1), frame(2)])
    (part,) = batch.parts(wanted(fields=["url"]))
    assert part.data == (b'id: e7c14a09.0:2\ndata: {"name":"A"}\n\nid: e7c14a09.0:3\ndata: {"name":"A"}\n\n')
    (lines,) = batch.parts(wanted("ndjson", "gzip", fields=["url", "url"]))
    assert lines.data == b'{"name":"A"}\n' * 2
    assert lines.block is not None
    assert unpacked(lines.block.packed) == lines.data
    assert len(made) == 2
    (other,) = batch.parts(wanted(fields=["version.*"]))
    assert b"why" in other.data
    assert len(made) == 4
    assert part.frames == lines.frames == batch.frames


def test_equal_bytes_are_packed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for them, and by whatever filter."""
    packed: list[bytes] = []

    def counted(data: bytes) -> Block:
        packed.append(data)
        return block(data)

    monkeypatch.setattr(rendering, "block", counted)
    batch = Rendering([frame(1), frame(2)])
    (one,) = batch.parts(wanted(encoding="gzip"))
    (same,) = batch.parts(wanted(encoding="gzip", filters=[("name", "A")]))
    assert one.block is same.block
    batch.parts(wanted())
    assert packed == [one.data]
    batch.parts(wanted(encoding="gzip", filters=[("version.identifier", 2)]))
    assert packed == [one.data, batch.frames[1].sse]


@pytest.mark.parametrize("fmt", ["sse", "ndjson"])
def test_small_frames_are_joined(rng: random.Random, fmt: Format) -> None:
    """In order, none twice, none left out; a chunk ends with the frame that fills it."""
    frames = [frame(n, rng.choice([10, 700, 5_000, 20_000])) for n in range(100)]
    parts = Rendering(frames).parts(wanted(fmt))
    pieces = [one.sse if fmt == "sse" else one.ndjson() for one in frames]
    assert b"".join(part.data for part in parts) == b"".join(pieces)
    assert [one for part in parts for one in part.frames] == frames
    assert 1 < len(parts) < len(frames)
    sizes = {id(one): len(piece) for one, piece in zip(frames, pieces, strict=True)}
    for part in parts[:-1]:
        assert len(part.data) >= JOINED_BYTES
    for part in parts:
        assert len(part.data) - sizes[id(part.frames[-1])] < JOINED_BYTES


def test_nothing_that_is_wanted_is_nothing() -> None:
    """No empty chunk, which would be the end of a stream."""
    batch = Rendering([frame(1), frame(2, partition=1)])
    assert batch.parts(wanted(partitions=[2])) == []
    assert batch.parts(wanted(filters=[("name", "B")])) == []
    (part,) = batch.parts(wanted(partitions=[1, 2]))
    assert part.frames == batch.frames[1:]
    assert Rendering([]).parts(wanted()) == []


def test_what_can_not_be_taken_apart_is_left_out_and_counted() -> None:
    """Deeper than a frame's making looks: of those alone who ask for a part of it."""
    broken = frame(1)
    broken.sse = broken.sse.replace(b'{"identifier":1,', b'{"identifier" 1,')
    batch = Rendering([broken, frame(2)])
    counted = ERRORS.labels("deliver", "value_invalid")
    before = counted._value.get()
    (part,) = batch.parts(wanted(fields=["version.comment"]))
    assert part.frames == batch.frames[1:]
    batch.parts(wanted("ndjson", fields=["version.comment"]))
    assert counted._value.get() == before + 1
    assert [each.is_broken for each in batch.frames] == [True, False]
    (whole,) = batch.parts(wanted())
    assert whole.frames == batch.frames


def test_what_nobody_gets_since_it_is_broken_is_lost() -> None:
    """And what nobody wants is filtered by design."""
    fed = Fed()
    fed.channel(fields=["version.comment"], filters=[("name", "Page 1")])
    invalid, filtered = (
        DISCARDED.labels("deliver", *labels)._value for labels in (("invalid", "false"), ("filtered", "true"))
    )
    before = invalid.get(), filtered.get()
    broken = fed.record(1)
    assert broken.value
    value = broken.value.replace(b'"version":{"identifier":', b'"version":{"identifier" ')
    fed.publish(replace(broken, value=value), fed.record(2))
    assert (invalid.get(), filtered.get()) == (before[0] + 1, before[1] + 1)


def test_an_empty_projection_is_as_good_as_its_article() -> None:
    """Where nothing of what was asked for is there, the event comes with its id."""
    (part,) = Rendering([frame(1)]).parts(wanted(fields=["categories.*"]))
    assert part.data.startswith(b"id: e7c14a09.0:2\ndata: {")


NOW_MS = 1_790_000_000_000


def asked(fmt: Format = "sse", encoding: Encoding = "identity", **parameters: object) -> Wanted:
    """What is text is said in the query, everything else in the body."""
    query = [(name, value) for name, value in parameters.items() if isinstance(value, str)]
    body = {name: value for name, value in parameters.items() if not isinstance(value, str)}
    said = parameters_of(query, msgspec.json.encode(body))
    return wanted_of(
        parse(said, fmt=fmt, last_event_id="", partitions=10, now_ms=NOW_MS, encoding=encoding), 10
    )


EQUAL: tuple[tuple[Wanted, ...], ...] = (
    (asked(), asked(since="2020-01-01T00:00:00Z"), asked(parts=list(range(10))), asked(filters=[])),
    (
        asked(fields=["name", "version.comment"]),
        asked(fields=["version.comment", "name"]),
        asked(fields="name,version.comment"),
        asked(fields=["name", "version.comment", "name"]),
    ),
    (
        asked(filters=[{"field": "name", "value": ["A", "B"]}, {"field": "identifier", "value": 1}]),
        asked(filters=[{"field": "identifier", "value": 1.0}, {"field": "name", "value": ["B", "A", "A"]}]),
        asked(
            filters='[{"value":"B","field":"name"},{"field":"identifier","value":[1]},'
            '{"field":"name","value":"A"}]'
        ),
    ),
    (asked(parts=[1, 2]), asked(parts=[2, 1, 1]), asked(parts="2,1")),
    (asked(fields=["name"]),),
    (asked(fields=["name"], parts=[1, 2]),),
    (asked(filters=[{"field": "name", "value": "A"}]),),
    (asked(filters=[{"field": "name", "value": "A"}], fields=["name"]),),
    (asked(encoding="gzip"),),
    (asked("ndjson"),),
    (asked("ndjson", "gzip"),),
)


def test_equal_wishes_share_a_channel_however_they_are_spelt() -> None:
    """Order, doubles, 1.0 for 1, text or JSON, and where a client starts, make no other feed; nothing else is
    the same.
    """
    keys = [{wish.key for wish in wishes} for wishes in EQUAL]
    assert [len(found) for found in keys] == [1] * len(EQUAL)
    assert len(set().union(*keys)) == len(EQUAL)
    fed = Fed(partitions=10)
    for wishes in EQUAL:
        channel = fed.feed.channel(wishes[0])
        assert all(fed.feed.channel(wish) is channel for wish in wishes)
    assert len(fed.feed.channels) == len(EQUAL)
