"""Whole events of a stream, however it comes in pieces."""

import random

import pytest

from consumers.errors import BadEvent
from consumers.framing import BOM, Framing

STREAM = b"retry: 3\n:ok\nid: 1\ndata: a\n\n:hb\nid: 2\ndata: \xc3\xa4\n\nid: 3\ndata: c\n\n"


def pieces(rng: random.Random, stream: bytes) -> list[bytes]:
    cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(12)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@pytest.mark.parametrize("bom", [b"", BOM])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_however_it_is_cut_whole_events_come_out(rng: random.Random, bom: bytes, end: bytes) -> None:
    """Pieces of any size, either end of line, a BOM or none: the same events, each as soon as its blank line
    is there, and never a part of one.
    """
    stream = bom + STREAM.replace(b"\n", end)
    for _ in range(300):
        framing = Framing()
        outs = [framing.whole(piece) for piece in pieces(rng, stream)]
        assert b"".join(outs) == STREAM
        assert all(out.endswith(b"\n\n") for out in outs if out)
    framing = Framing()
    assert b"".join(framing.whole(bytes([byte])) for byte in stream) == STREAM


def test_mixed_ends_of_lines_end_an_event_too(rng: random.Random) -> None:
    """Any of LF, CR and CRLF after each line of one stream is what LF is."""
    lines = STREAM.split(b"\n")[:-1]
    for _ in range(300):
        stream = b""
        for line in lines:
            # a CR and then a blank line's LF would be one end of line
            is_ambiguous = stream.endswith(b"\r") and not line
            stream += line + rng.choice([b"\r", b"\r\n"] if is_ambiguous else [b"\n", b"\r", b"\r\n"])
        framing = Framing()
        assert b"".join(framing.whole(piece) for piece in pieces(rng, stream)) == STREAM


def test_what_has_no_blank_line_behind_it_never_comes_out() -> None:
    """A last event that broke off, even at the end of its data line, is no event."""
    framing = Framing()
    assert framing.whole(STREAM + b"id: 4\ndata: {}\n") == STREAM
    assert framing.whole(b"") == b""


def test_an_event_without_end_is_refused() -> None:
    """A server that never ends a line takes so much memory and no more."""
    framing = Framing(max_event_bytes=1_000)
    with pytest.raises(BadEvent, match="no end within 1000 bytes"):
        for _ in range(100):
            framing.whole(b"x" * 100)


def test_long_lines_are_looked_at_once() -> None:
    """An event of 16 MB in pieces of 1 kB is copied once: pieces are held, not joined again each time."""
    framing = Framing()
    for _ in range(16_384):
        assert not framing.whole(b"x" * 1_024)
    assert len(framing._held) == 16_384
    assert len(framing.whole(b"\n\n")) == 16_777_218
    assert not framing._held
