"""What is published: its size, its number, its partition; and how it comes in."""

import random

import pytest

from streamer.log.base import partition_of
from tests.bench.fanout.articles import PARTITIONS, Shelf, number_of, numbered, values
from tests.bench.fanout.ingest import split


@pytest.mark.parametrize("size", [1_024, 1_800, 20_000])
def test_articles_have_the_size_that_was_asked_for(size: int) -> None:
    made = values(size, variants=3)
    assert {len(value) for value in made} == {size}
    assert len(set(made)) == 3


def test_an_article_smaller_than_one_without_text_is_refused() -> None:
    with pytest.raises(ValueError, match="ask for more"):
        values(100)


def test_the_number_is_read_as_it_was_written() -> None:
    (value,) = values(1_024, variants=1)
    assert number_of(value) == 0
    assert number_of(numbered(value, 4_711)) == 4_711
    assert len(numbered(value, 4_711)) == 1_024


def test_each_partition_gets_every_tenth_event_under_keys_that_are_its_own() -> None:
    shelf = Shelf.of("topic")
    records = [shelf.record(b"{}", number) for number in range(50)]
    assert [record.partition for record in records] == [number % PARTITIONS for number in range(50)]
    assert all(partition_of(record.key, PARTITIONS) == record.partition for record in records)
    assert len({dict(record.headers)["ce_sequence"] for record in records}) == 50


def test_records_come_out_whole_wherever_their_bytes_are_cut(rng: random.Random) -> None:
    records = [rng.randbytes(rng.choice((0, 1, 3, 700))) for _ in range(40)]
    sent = b"".join(len(record).to_bytes(4, "big") + record for record in records)
    buffer = bytearray()
    found: list[bytes] = []
    while sent:
        size = rng.randint(1, 900)
        buffer += sent[:size]
        sent = sent[size:]
        found += split(buffer)
    assert found == records
    assert not buffer
