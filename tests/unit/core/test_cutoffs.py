"""Cut-offs: idempotent, in any order, never lifted, and only below their sequence."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.clock import Clock
from streamer.cutoffs import FORGET_LEAST, FORGET_US, Cutoffs, cutoff_record
from streamer.log.base import Stored
from streamer.model import Hideable

KEYS = ("w:1", "w:1/10", "w:1/11", "w:2")
HIDES: tuple[Hideable, ...] = ("text", "comment", "editor")
cutoffs = st.tuples(
    st.sampled_from(KEYS),
    st.integers(1, 20),
    st.lists(st.sampled_from(HIDES), min_size=1, unique=True).map(tuple),
)


@given(st.lists(cutoffs, max_size=12), st.integers(0, 1000))
def test_judgement_is_the_union_of_what_stands_above(
    given_cutoffs: list[tuple[str, int, tuple[Hideable, ...]]], seed: int
) -> None:
    """A record is hidden by every cut-off of its page or revision with a higher sequence; order and
    repeats of the cut-offs make no difference.
    """
    shuffled = given_cutoffs * 2
    random.Random(seed).shuffle(shuffled)
    held = Cutoffs()
    for key, sequence, hides in shuffled:
        held.add(key, sequence, hides)
    for key in ("w:1", "w:1/10", "w:2", "w:3"):
        for revision in (0, 10, 11):
            for sequence in range(22):
                page = key.partition("/")[0]
                concerned = {page, f"{page}/{revision}"} if revision else {page}
                wanted = {
                    hidden
                    for its_key, its_sequence, hides in given_cutoffs
                    if its_key in concerned and sequence < its_sequence
                    for hidden in hides
                }
                assert held.hidden(key, revision, sequence) == wanted


def test_a_restore_publishes_anew() -> None:
    """What has a higher sequence than the cut-off is shown again; what was below it stays hidden."""
    held = Cutoffs()
    held.add("w:1", 100, ("text",))
    assert "text" in held.hidden("w:1", 5, 99)
    assert not held.hidden("w:1", 5, 100)
    assert not held.hidden("w:1", 5, 101)


def test_records_of_the_topic_apply() -> None:
    """A record made by `cutoff_record` is read back; ticks and tombstones are none."""
    held = Cutoffs()
    record = cutoff_record("t", 10, wiki="w", page_id=1, revision=7, sequence=9, hides=("comment",))
    stored = Stored("t", record.partition, 0, 0, record.key, record.value)
    assert held.apply(stored)
    assert held.hidden("w:1", 7, 8) == {"comment"}
    assert held.hidden("w:1", 8, 8) == frozenset()
    assert not held.apply(Stored("t", 0, 1, 0, ".tick", b"{}"))
    assert not held.apply(Stored("t", 0, 2, 0, "w:1", None))


def test_each_part_is_hidden_below_its_own_sequence() -> None:
    """A record that knows of no others, as older versions wrote it, means its sequence for all."""
    held, old = Cutoffs(), Cutoffs()
    record = cutoff_record(
        "t", 10, wiki="w", page_id=1, revision=7, sequence=200, hides=("comment",), before={"text": 100}
    )
    held.apply(Stored("t", record.partition, 0, 0, record.key, record.value))
    assert [held.hidden("w:1", 7, at) for at in (99, 150, 200)] == [{"text", "comment"}, {"comment"}, set()]
    old.apply(Stored("t", 0, 0, 0, "w:1/7", b'{"sequence":200,"hides":["text","comment"]}'))
    assert old.hidden("w:1", 7, 199) == {"text", "comment"}


DAY_US = 24 * 3_600_000_000


def test_what_has_nothing_left_to_hide_is_forgotten() -> None:
    """A year of cut-offs: at most two months' are held, and all of the last month hide."""
    now_us = 0
    held = Cutoffs(Clock(now_us=lambda: now_us))
    daily = FORGET_LEAST // 10
    for day in range(1, 366):
        for number in range(daily):
            now_us = day * DAY_US + number
            held.add(f"w:{day}/{number}", now_us, ("text",))
        assert len(held) <= 2 * 33 * daily
    for day in range(365 - 30, 366):
        assert held.hidden(f"w:{day}", 1, day * DAY_US) == {"text"}


@pytest.mark.parametrize("ahead", ["clock", "sequence"])
def test_a_clock_that_runs_ahead_forgets_nothing(ahead: str) -> None:
    """Neither this process's nor that of the one that wrote a cut-off."""
    held = Cutoffs(Clock(now_us=lambda: DAY_US + (2 * FORGET_US if ahead == "clock" else 0)))
    for page in range(2 * FORGET_LEAST):
        held.add(f"w:{page}", DAY_US + page, ("text",))
    if ahead == "sequence":
        held.add("w:0", 3 * FORGET_US, ("comment",))
    for page in range(2 * FORGET_LEAST):
        held.add(f"v:{page}", DAY_US + page, ("text",))
    assert len(held) == 4 * FORGET_LEAST
    assert held.hidden("w:1", 0, DAY_US) == {"text"}
