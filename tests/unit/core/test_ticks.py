"""When a partition needs a tick: once after its last append, late enough to end that one's segment."""

import random

from streamer.log.base import Record, TopicPartition, TopicSpec
from streamer.model import TICK_KEY, is_tick
from streamer.ticks import QUIET_SEGMENTS, TICKS_AT_ONCE, Ticks

SPEC = TopicSpec("t", 10, compact=True, retention_ms=None, compaction_lag_ms=12_000)
SEGMENT_S = SPEC.segment_ms / 1000
QUIET_S = QUIET_SEGMENTS * SEGMENT_S


def record(partition: int = 0, topic: str = "t") -> Record:
    return Record(topic, partition, "enwiki:1", b"text")


def test_one_tick_after_a_quiet_time() -> None:
    """Not before the time has passed since the last append; then until it is committed; then never again."""
    ticks = Ticks(SPEC)
    assert ticks.due(1_000.0) == []
    ticks.committed([record()], 0.0)
    ticks.committed([record()], 0.5)
    assert ticks.due(0.5 + QUIET_S - 0.01) == []
    (tick,) = ticks.due(0.5 + QUIET_S)
    assert (tick.topic, tick.partition, tick.key, tick.value) == ("t", 0, TICK_KEY, b"{}")
    assert ticks.due(9.0) == [tick]
    ticks.committed([tick], 9.0)
    assert ticks.due(1_000.0) == []


def test_what_goes_with_a_tick_waits_for_the_next() -> None:
    """A record in the tick's own commit begins a segment with it: it needs a later append."""
    ticks = Ticks(SPEC)
    ticks.committed([record()], 0.0)
    ticks.committed([record(), *ticks.due(5.0)], 5.0)
    assert ticks.due(5.0 + QUIET_S)


def test_a_start_assumes_one_and_many_take_turns() -> None:
    """What was appended before a start is unknown: one tick each, a bounded number in a commit."""
    ticks = Ticks(SPEC)
    places = [TopicPartition(f"t{number}", 3) for number in range(TICKS_AT_ONCE + 1)]
    ticks.assume(places, 0.0)
    first = ticks.due(QUIET_S)
    assert len(first) == TICKS_AT_ONCE
    ticks.committed(first, QUIET_S)
    (last,) = ticks.due(QUIET_S)
    assert {(r.topic, r.partition) for r in (*first, last)} == set(places)
    ticks.forget(places[-1])
    assert ticks.due(1_000.0) == []


def test_every_segment_ends_and_quiet_ones_stay_quiet(rng: random.Random) -> None:
    """Whatever is appended when: a segment, which ends with the first append later than its span after its
    first record, has ended within three spans of each append; and ticks are no more than appends.
    """
    for _ in range(200):
        ticks = Ticks(SPEC)
        began_s: float | None = None
        open_s: list[float] = []
        appends = ticked = 0
        times = sorted(rng.uniform(0, 40 * SEGMENT_S) for _ in range(rng.randrange(1, 60)))
        for now_s in sorted([*times, *(number / 20 for number in range(1_000))]):
            records = [*([record()] if now_s in times else []), *ticks.due(now_s)]
            if not records:
                assert not open_s or now_s - open_s[0] < 3 * SEGMENT_S
                continue
            if began_s is None or now_s - began_s > SEGMENT_S:
                began_s, open_s = now_s, []
            for each in records:
                appends += not is_tick(each)
                ticked += is_tick(each)
            if not all(is_tick(each) for each in records):
                open_s.append(now_s)
            ticks.committed(records, now_s)
        assert not open_s
        assert ticked <= appends
