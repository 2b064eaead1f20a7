"""Positions: their metadata come back, and their running form never forgets or repeats an offset."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.log.base import murmur2, murmur2_partition, partition_of
from streamer.log.position import (
    DONE_CHARS,
    METADATA_CHARS,
    Position,
    Progress,
    Ranges,
    decode_done,
    encode_done,
)

states = st.dictionaries(
    st.text(max_size=10), st.integers(-(2**53), 2**53) | st.text(max_size=20) | st.lists(st.integers(0, 9))
)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, Ranges]:
    base = at = draw(st.integers(0, 2**40))
    done = []
    for gap, length in draw(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), max_size=60)):
        done.append((at + gap, at + gap + length))
        at += gap + length
    return base, tuple(done)


@given(ranges(), states)
def test_metadata_come_back(position: tuple[int, Ranges], state: dict[str, object]) -> None:
    """`restore` is the inverse of `metadata`; a position that doesn't fit is refused, not cut."""
    before = Position(position[0], position[1], state)
    try:
        text = before.metadata()
    except ValueError:
        return
    assert len(text) <= METADATA_CHARS
    assert Position.restore(before.next, text) == before


@given(ranges())
def test_done_sets_come_back(position: tuple[int, Ranges]) -> None:
    """Whatever form packs smaller, the ranges are the same."""
    assert decode_done(position[0], encode_done(*position)) == position[1]


@given(st.sets(st.integers(1, 2000), max_size=300))
def test_is_done_agrees_with_the_set(offsets: set[int]) -> None:
    """`is_done` is true below `next` and for exactly the offsets that are done."""
    done: list[tuple[int, int]] = []
    for offset in sorted(offsets):
        if done and done[-1][1] == offset:
            done[-1] = (done[-1][0], offset + 1)
        else:
            done.append((offset, offset + 1))
    position = Position(0, tuple(done))
    assert {o for o in range(2002) if position.is_done(o)} == offsets


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_progress_agrees_with_a_naive_model(data: st.DataObject) -> None:
    """Through any takes, finishes, holes, commits and restarts, an offset is worked on until it is
    finished, and not once more: after a restart the position is done for exactly what was finished,
    or is a hole.
    """
    existing = sorted(data.draw(st.sets(st.integers(0, 60), max_size=40), label="offsets in the log"))
    finished: set[int] = set()
    committed = Position(0)
    for _ in range(data.draw(st.integers(1, 4), label="lives")):
        progress = Progress(committed)
        assert progress.open_count == 0
        durable = set(finished)
        open_now: list[int] = []
        queue = [o for o in existing if o >= committed.next]
        for _ in range(data.draw(st.integers(0, 60), label="steps")):
            if queue and data.draw(st.booleans(), label="take, else finish"):
                offset = queue.pop(0)
                assert progress.take(offset) is (offset not in finished), "worked on twice, or never"
                if offset not in finished:
                    open_now.append(offset)
            elif open_now:
                offset = open_now.pop(data.draw(st.integers(0, len(open_now) - 1), label="which"))
                progress.finish(offset)
                finished.add(offset)
            elif not queue:
                progress.skip_to(100)
            assert progress.open_count == len(open_now)
            if data.draw(st.booleans(), label="commit"):
                committed = Position.restore(progress.position({}).next, progress.position({}).metadata())
                durable = set(finished)
                for offset in existing:
                    assert committed.is_done(offset) is (offset in durable)
        finished = durable  # a kill: what was not committed is done again


@given(st.sets(st.integers(0, 100), min_size=1), st.data())
def test_position_without_is_the_position_after(offsets: set[int], data: st.DataObject) -> None:
    """`position(without=X)` is what `position()` gives once X is finished."""
    ahead, then = Progress(Position(0)), Progress(Position(0))
    for offset in sorted(offsets):
        ahead.take(offset)
        then.take(offset)
    some = data.draw(st.sets(st.sampled_from(sorted(offsets))))
    for offset in some:
        then.finish(offset)
    assert ahead.position({}, without=some) == then.position({})


def test_finishing_twice_is_an_error() -> None:
    """It would be counting twice."""
    progress = Progress(Position(0))
    progress.take(3)
    progress.finish(3)
    with pytest.raises(ValueError, match="not in list"):
        progress.finish(3)


@pytest.mark.parametrize("open_share", [0.01, 0.2, 0.5, 0.9])
def test_a_full_progress_still_fits(rng: Random, open_share: float) -> None:
    """Until `is_full` the position fits its metadata, however wild the pattern."""
    progress = Progress(Position(0))
    offset = 0
    while not progress.is_full():
        progress.take(offset)
        if offset and rng.random() > open_share:
            progress.finish(offset)
        offset += 1 + (rng.random() < 0.1)
    position = progress.position({"counts": {"admitted": 2**53}})
    assert len(encode_done(position.next, position.done)) <= DONE_CHARS + 50
    assert len(position.metadata()) <= METADATA_CHARS


# what org.apache.kafka.common.utils.UtilsTest.testMurmur2 expects of Java's implementation
KAFKA_VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), KAFKA_VECTORS.items())
def test_murmur2_is_kafkas(key: bytes, hashed: int) -> None:
    """The vectors of Kafka's own test-suite."""
    assert murmur2(key) == hashed & 0xFFFFFFFF
    assert murmur2_partition(key, 10) == (hashed & 0x7FFFFFFF) % 10


@given(st.from_regex(r"[a-z]{2,12}:[0-9]{1,9}", fullmatch=True), st.integers(0, 10**9))
def test_a_revisions_record_goes_with_its_page(page: str, revision: int) -> None:
    """What stands behind a slash does not decide the partition."""
    assert partition_of(f"{page}/{revision}", 10) == partition_of(page, 10)


def test_two_large_wikis_share_a_partition() -> None:
    """Namely enwiki and wikidatawiki are on one of ten partitions, as measured on a broker."""
    assert partition_of("enwiki", 10) == partition_of("wikidatawiki", 10)
