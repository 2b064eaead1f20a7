"""Frames: what stands on the wire for one record."""

import json

import msgspec
import pytest

from streamer.deliver.encode import Frame, control, frame_of, is_article, withdrawn_from
from streamer.log.base import Stored

NOTHING: frozenset[object] = frozenset()


def stored(value: bytes | None, key: str = "enwiki:1") -> Stored:
    headers = (("rev", b"7"), ("ce_sequence", b"9"), ("ce_time", b"2020-01-01T00:00:00.250Z"))
    return Stored("t", 3, 41, 0, key, value, headers)


def framed(value: bytes, hidden: frozenset[object] = NOTHING) -> Frame:
    return frame_of(stored(value), "e7c14a09.3:42", hidden)  # type: ignore[arg-type] # words as they come


def test_partition_and_offset_are_spliced_into_the_event_only() -> None:
    """Whatever order the value has, and whatever else in it looks like an event."""
    value = b'{"abstract":"\\"event\\":{}","event":{"identifier":"x","deep":{"event":{}}},"name":"n"}'
    article = json.loads(framed(value).data())
    assert article["event"] == {"identifier": "x", "deep": {"event": {}}, "partition": 3, "offset": 41}
    assert article["abstract"] == '"event":{}'
    assert list(article) == ["abstract", "event", "name"]


def test_a_projection_without_event_still_gets_its_place() -> None:
    """NDJSON resumes by it."""
    assert json.loads(framed(b'{"name":"n"}').data())["event"] == {"partition": 3, "offset": 41}


def test_one_buffer_serves_both_formats() -> None:
    """The NDJSON line is the SSE event's data."""
    frame = framed(b'{"name":"n","event":{}}')
    line = b'{"name":"n","event":{"partition":3,"offset":41}}\n'
    assert frame.sse == b"id: e7c14a09.3:42\ndata: " + line + b"\n"
    assert frame.ndjson() == line
    assert frame.position() == "e7c14a09.3:42"
    assert (frame.revision, frame.sequence, frame.edited_ms) == (7, 9, 1_577_836_800_250)


@pytest.mark.parametrize("text", ["\u0085", "\u2028", "\u2029", "\n", "\r", "\r\n", "\ufeff", "😀"])
def test_nothing_in_a_text_splits_the_line(text: str) -> None:
    """The line splitters of all clients see one line, and the text survives."""
    value = json.dumps({"name": text, "event": {}}, ensure_ascii=False, indent=2).encode()
    data = framed(value).data()
    assert len(data.decode().splitlines()) == 1
    assert json.loads(data)["name"] == text


def test_hidden_parts_are_left_out() -> None:
    """Comment and editor go, visibility says so, the rest stays as it is."""
    value = (
        b'{"version":{"identifier":7,"comment":"c","editor":{"name":"n"}},'
        b'"visibility":{"text":true,"editor":true,"comment":true},"event":{}}'
    )
    article = json.loads(framed(value, frozenset({"comment"})).data())
    assert article["version"] == {"identifier": 7, "editor": {"name": "n"}}
    assert article["visibility"] == {"text": True, "editor": True, "comment": False}


def test_what_was_withdrawn_later_is_left_out_as_if_it_had_been_before() -> None:
    """Of an event and of a line, each as it lies there: the same bytes as if the frame were made now."""
    value = (
        b'{"version":{"identifier":7,"comment":"c","editor":{"name":"n"}},'
        b'"visibility":{"text":true,"editor":true,"comment":true},"event":{}}'
    )
    frame, both = framed(value), frozenset({"editor", "comment"})
    again = framed(value, both)
    assert withdrawn_from(frame.sse, both) == again.sse  # type: ignore[arg-type] # words as they come
    assert withdrawn_from(frame.ndjson(), both) == again.ndjson()  # type: ignore[arg-type] # 〃
    for events in (frame.sse, frame.ndjson()):
        one_by_one = events
        for part in ("editor", "comment"):
            one_by_one = withdrawn_from(one_by_one, frozenset({part}))
        assert one_by_one == withdrawn_from(events, both)  # type: ignore[arg-type] # 〃
    assert withdrawn_from(b"id: e7c14a09.3:42\ndata: {broken\n\n", frozenset({"comment"})) == b""


def test_a_comment_that_stands_alone_is_left_out() -> None:
    """A partner's projection may leave nothing but it of the version."""
    value = b'{"version":{"comment":"c"},"event":{}}'
    assert json.loads(framed(value, frozenset({"comment"})).data())["version"] == {}
    later = withdrawn_from(framed(value).ndjson(), frozenset({"comment"}))
    assert json.loads(later)["version"] == {}


def test_tombstones_and_ticks_are_no_events() -> None:
    """They only move the position."""
    assert not is_article(stored(None))
    assert not is_article(stored(b"{}", ".tick"))
    assert is_article(stored(b"{}"))


@pytest.mark.parametrize("value", [b"", b"[]", b"{", b'{"event":3}', b"\xff"])
def test_a_broken_value_is_an_error_with_a_name(value: bytes) -> None:
    """The feed counts it and goes on."""
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        framed(value)


def test_control_events_have_data() -> None:
    """An event without data is dropped by clients, with its id."""
    assert control("cursor", {"a": 1}, "x.0:1") == b'event: cursor\nid: x.0:1\ndata: {"a":1}\n\n'
