"""Blocks that make one gzip stream, and who is sent one."""

import gzip
import random
import struct
import zlib

import pytest
from isal import isal_zlib

from streamer.deliver.gzipped import HEADER, Member, block, span_crc, unpacked
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


def test_spans_between_borders_are_what_their_bytes_are(rng: random.Random) -> None:
    """A member is told of all between two borders by the totals there: checksum and length are zlib's. It may
    skip what lies between spans, and add blocks of its own.
    """
    whole = [b"", b"", *(rng.randbytes(rng.choice([0, 1, 7, 300, 70_000])) for _ in range(40))]
    totals = [(0, 0)]
    for piece in whole:
        crc, length = totals[-1]
        totals.append((zlib.crc32(piece, crc), length + len(piece)))
    for _ in range(200):
        member, sent, at = Member(), b"", 0
        while at < len(whole):
            start = rng.randrange(at, len(whole) + 1)
            at = rng.randrange(start, len(whole) + 1)
            own = b"".join(whole[start:at])
            before, after = totals[start], totals[at]
            assert span_crc(before[0], after[0], after[1] - before[1]) == zlib.crc32(own)
            member.add_span(before, after)
            sent += own
            if rng.random() < 0.3:
                member.add(block(b"own"))
                sent += b"own"
        assert member.end() == b"\x03\x00" + struct.pack("<II", zlib.crc32(sent), len(sent))


def test_the_length_of_a_long_stream_starts_anew() -> None:
    """Gzip says it modulo 2^32, and so it must be where a client has had more; the checksum stays right."""
    half = 1 << 31
    zeros = 0
    for _ in range(5):
        zeros = isal_zlib.crc32_combine(zeros, _crc_of_zeros(half), half)
    member = Member()
    member.add_span((0, 0), (zeros, 5 * half))
    member.add(block(b"end"))
    crc = isal_zlib.crc32_combine(zeros, zlib.crc32(b"end"), 3)
    assert member.end() == b"\x03\x00" + struct.pack("<II", crc, half + 3)
    late = Member()
    late.add_span((zeros, 5 * half), (crc, 5 * half + 3))
    assert late.end() == b"\x03\x00" + struct.pack("<II", zlib.crc32(b"end"), 3)
    most = Member()
    most.add_span((zlib.crc32(b"x"), 1), (_crc_of_zeros(5 * half, zlib.crc32(b"x")), 5 * half + 1))
    assert most.end() == b"\x03\x00" + struct.pack("<II", zeros, half)


def _crc_of_zeros(length: int, crc: int = 0) -> int:
    """After so many more zeros, by squaring: a table of what 1, 2, 4, … zeros do to each bit."""
    state = crc ^ 0xFFFFFFFF
    step = [(1 << bit) >> 8 ^ _TABLE[(1 << bit) & 0xFF] for bit in range(32)]
    while length:
        if length & 1:
            state = _times(step, state)
        step = [_times(step, column) for column in step]
        length >>= 1
    return state ^ 0xFFFFFFFF


def _times(columns: list[int], bits: int) -> int:
    found = 0
    for bit in range(32):
        if bits >> bit & 1:
            found ^= columns[bit]
    return found


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value


_TABLE = [_entry(value) for value in range(256)]


def test_what_a_block_was_made_of(rng: random.Random) -> None:
    """A cut-off takes something out of it later."""
    for piece in pieces(rng):
        made = block(piece)
        assert unpacked(made.packed) == piece
        assert (made.crc, made.length) == (zlib.crc32(piece), len(piece))


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
