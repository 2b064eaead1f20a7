"""How records lie in the file (streamer.log.packing)."""

import random

from streamer.log.base import Record
from streamer.log.packing import MIN_BYTES, pack, unpack_headers, unpack_value

TEXT = b"All that is said here is said again. " * 50


def record(value: bytes | None, partner: str = "acme") -> Record:
    return Record(f"articles.{partner}", 0, "enwiki:1", value, (("ce_id", b"1"),))


def test_what_is_packed_comes_back(rng: random.Random) -> None:
    """Small ones, what does not get smaller, tombstones and empty values too."""
    values = [TEXT, rng.randbytes(5_000), b"x" * (MIN_BYTES - 1), b"", None]
    packed = pack([record(value) for value in values])
    assert [unpack_value(one.packed, one.value) for one in packed] == values
    assert [one.packed for one in packed] == [1, 0, 0, 0, 0]
    assert {unpack_headers(one.headers) for one in packed} == {(("ce_id", b"1"),)}


def test_a_value_that_goes_to_many_partners_is_compressed_once() -> None:
    """Each of their records holds the same bytes; another value of the same size holds its own."""
    other = TEXT.replace(b"here", b"there")[: len(TEXT)]
    packed = pack([record(TEXT, "a"), record(other, "b"), record(TEXT, "c")])
    assert packed[0].value is packed[2].value
    assert [unpack_value(one.packed, one.value) for one in packed] == [TEXT, other, TEXT]
