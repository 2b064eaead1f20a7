"""Blocks that make one gzip stream, and who is sent one."""

import gzip
import random
import zlib

import pytest

from streamer.deliver.blocks import Blocks
from streamer.deliver.encode import Frame, strip
from streamer.deliver.gzipped import HEADER, Member, block
from streamer.deliver.negotiate import encoding_of
from streamer.deliver.problems import Problem


def pieces(rng: random.Random) -> list[bytes]:
    """Events of all sizes, much alike: what a compressor would like to refer back to."""
    text = rng.randbytes(3_000).hex().encode()
    return [b":hb\n", b"", text, text, *(text[: rng.randrange(6_000)] for _ in range(60)), text * 200]


def test_blocks_of_different_makers_are_one_member(rng: random.Random) -> None:
    """Read as one by zlib, which sees each piece as soon as it has its block, and by gzip, which looks at the
    checksum and the length at the end.
    """
    member, decoder = Member(), zlib.decompressobj(wbits=31)
    sent, plain = HEADER, pieces(rng)
    assert decoder.decompress(HEADER) == b""
    for piece in plain:
        packed = member.add(block(piece))
        assert decoder.decompress(packed) == piece
        sent += packed
    assert not decoder.eof
    end = member.end()
    decoder.decompress(end)
    assert decoder.eof
    assert decoder.unused_data == b""
    assert gzip.decompress(sent + end) == b"".join(plain)


def test_a_block_refers_to_nothing_before_it(rng: random.Random) -> None:
    """Whoever joins late reads it: any blocks in any order are a stream."""
    made = [(piece, block(piece)) for piece in pieces(rng)]
    for _ in range(10):
        chosen = rng.sample(made, 20)
        member = Member()
        sent = HEADER + b"".join(member.add(one) for _, one in chosen) + member.end()
        assert gzip.decompress(sent) == b"".join(piece for piece, _ in chosen)


def test_a_stream_that_is_cut_is_no_whole_file() -> None:
    """Without its end it is an error to whoever reads to the end."""
    member = Member()
    sent = HEADER + member.add(block(b"data: 1\n\n"))
    with pytest.raises(EOFError):
        gzip.decompress(sent)


def frame() -> Frame:
    head = b"id: e7c14a09.0:1\ndata: "
    return Frame("k", 1, 1, 0, 0, head + b'{"version":{"comment":"why"}}\n\n', len(head), frozenset())


def test_a_frames_block_is_made_once() -> None:
    """One per format, shared by all who come for it; anew once something was taken out of the frame."""
    blocks, one = Blocks(), frame()
    made = blocks.of(one, sse=True)
    assert blocks.of(one, sse=True) is made
    line = blocks.of(one, sse=False)
    assert zlib.decompressobj(-15).decompress(line.packed) == one.ndjson()
    strip(one, frozenset({"comment"}))
    again = blocks.of(one, sse=True)
    assert zlib.decompressobj(-15).decompress(again.packed) == one.sse
    assert b"why" not in one.sse


def test_what_is_kept_of_blocks_is_bounded() -> None:
    """The oldest go first."""
    blocks = Blocks(kept_bytes=1_000)
    frames = [frame() for _ in range(100)]
    made = [blocks.of(one, sse=True) for one in frames]
    assert blocks.kept.size <= 1_000
    assert blocks.of(frames[-1], sse=True) is made[-1]
    assert blocks.of(frames[0], sse=True) is not made[0]


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        (None, "identity"),
        ("", "identity"),
        (" , ", "identity"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate, br", "identity"),
        ("identity", "identity"),
        ("*", "gzip"),
        ("*;q=0", None),
        ("*;q=0, identity", "identity"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0.0, *", "identity"),
        ("gzip;q=0, identity;q=0", None),
        ("br, identity;q=0", None),
        ("identity;q=0", None),
        ("identity;q=0, *;q=0.1", "gzip"),
        ("gzip;q=0, *;q=0", None),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=0.5, identity", "identity"),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=0.5, *;q=0.8", "identity"),
        ("gzip ; q=0.5 , identity ; q=0.4", "gzip"),
        ("gzip;q=x", "identity"),
        ("gzip;q=nan", "identity"),
        ("gzip;q=7", "gzip"),
        ("gzip;q=-1", "identity"),
        ("gzip;level=9", "gzip"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"),
    ],
)
def test_who_is_sent_gzip(accept: str | None, encoding: str | None) -> None:
    """Who names it, or takes anything, and does not like identity better. Who rules out both is refused."""
    if encoding is None:
        with pytest.raises(Problem) as caught:
            encoding_of(accept)
        assert caught.value.status == 406
    else:
        assert encoding_of(accept) == encoding
