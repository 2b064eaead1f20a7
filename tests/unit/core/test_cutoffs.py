"""Cut-offs: idempotent, in any order, never lifted, and only below their sequence."""

import random

from hypothesis import given
from hypothesis import strategies as st

from streamer.cutoffs import Cutoffs, cutoff_record
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
