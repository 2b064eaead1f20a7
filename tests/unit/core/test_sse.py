"""The SSE decoder against the letter of the WHATWG rules."""

import pytest

from streamer.errors import FrameTooLarge
from streamer.sse import Decoder, Frame

LIMIT = 1_000


def decode(*chunks: bytes, limit: int = LIMIT) -> list[Frame | FrameTooLarge]:
    decoder = Decoder(max_event_bytes=limit)
    return [frame for chunk in chunks for frame in decoder.feed(chunk)]


def test_upstreams_usual_frame() -> None:
    """What EventStreams sends: `:ok`, then event, id and data lines with LF."""
    frames = decode(b':ok\n\nevent: message\nid: [{"t":1}]\ndata: {"a":1}\n\n')
    assert frames == [Frame(b'{"a":1}', b'[{"t":1}]', b"message")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end(end: bytes) -> None:
    """LF, CR and CRLF all end lines."""
    raw = b"event: x\nid: 7\ndata: a\ndata: b\n\n".replace(b"\n", end)
    assert decode(raw) == [Frame(b"a\nb", b"7", b"x")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_cut_into_single_bytes(end: bytes) -> None:
    """Where chunks are cut changes nothing, not even within CRLF, a BOM or a character."""
    raw = "\ufeffdata: ä\n\nid: 2\ndata:b\n\n".replace("\n", end.decode()).encode()
    assert decode(*[raw[i : i + 1] for i in range(len(raw))]) == [
        Frame("ä".encode(), b"", b"message"),
        Frame(b"b", b"2", b"message"),
    ]


def test_cr_dispatches_at_once() -> None:
    """A CR ends the line without waiting to see whether an LF follows."""
    decoder = Decoder(max_event_bytes=LIMIT)
    assert decoder.feed(b"data: a\r\r") == [Frame(b"a", b"", b"message")]
    assert decoder.feed(b"\ndata: b\n\n") == [Frame(b"b", b"", b"message")]


def test_only_the_first_bom_is_dropped() -> None:
    """A BOM stands at the very start; a second one is content (here: of an unknown field)."""
    assert decode(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [Frame(b"a", b"", b"message")]


def test_empty_data_is_not_dispatched() -> None:
    """An event without data, or with empty data, is none; its id still counts."""
    assert decode(b"id: 1\n\ndata:\n\ndata: x\n\n") == [Frame(b"x", b"1", b"message")]


def test_id_with_nul_is_ignored() -> None:
    """An id that holds U+0000 leaves the last one in force; on the usual shape too."""
    frames = decode(b"id: 1\ndata: a\n\nevent: message\nid: 2\x003\ndata: b\n\n")
    assert [frame.last_id for frame in frames if isinstance(frame, Frame)] == [b"1", b"1"]


def test_id_lasts_and_is_reset_by_an_empty_one() -> None:
    """The last id stays in force for events without one; `id` without value empties it."""
    frames = decode(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")
    assert [frame.last_id for frame in frames if isinstance(frame, Frame)] == [b"1", b"1", b""]


def test_retry_takes_digits_only() -> None:
    """`retry` with anything but ASCII digits is ignored."""
    decoder = Decoder(max_event_bytes=LIMIT)
    decoder.feed(b"retry: 1500\n\nretry: 2s\n\nretry: -1\n\nretry:\n\n")
    assert decoder.retry_ms == 1500


def test_comments_and_unknown_fields_are_skipped() -> None:
    """A line that begins with a colon is a comment; unknown names are ignored; only one space goes."""
    assert decode(b": hi\nfoo: bar\nDATA: no\ndata:  two\n:\n\n") == [Frame(b" two", b"", b"message")]


def test_incomplete_last_event_is_discarded() -> None:
    """Without its empty line an event was not sent."""
    assert decode(b"data: a\n\ndata: b\n") == [Frame(b"a", b"", b"message")]


@pytest.mark.parametrize("step", [1, 7, 64, 100_000])
def test_too_large_is_told_once_and_the_stream_goes_on(step: int) -> None:
    """An event above the limit is one FrameTooLarge, however it arrives; its neighbours are whole."""
    raw = b"data: a\n\ndata: " + b"x" * 5_000 + b"\ndata: y\n\ndata: b\n\n"
    frames = decode(*[raw[i : i + step] for i in range(0, len(raw), step)])
    assert [type(frame) for frame in frames] == [Frame, FrameTooLarge, Frame]
    assert frames[2] == Frame(b"b", b"", b"message")


def test_memory_is_bounded_while_skipping() -> None:
    """Nothing of an oversized event is kept."""
    decoder = Decoder(max_event_bytes=LIMIT)
    for _ in range(100):
        decoder.feed(b"x" * 1_000)
    assert sum(map(len, decoder._pieces)) <= 1
