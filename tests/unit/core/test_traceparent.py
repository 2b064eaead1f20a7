"""What a change's trace is called, and which are recorded."""

import random
import re

import pytest

from streamer.model import identifier_of_revision
from streamer.traceparent import NEVER_SAMPLED, RANDOM_PART, TRACE_PART, sampled_from, traceparent_of

PARTS = (0.0, 0.001, 0.01, 0.25, 0.5, 1.0)


def identifiers(rng: random.Random, count: int = 4_000) -> list[str]:
    return [identifier_of_revision("enwiki", rng.getrandbits(31)) for _ in range(count)]


def test_the_trace_is_the_identifier(rng: random.Random) -> None:
    """So that whoever has an article knows its trace; the shape is W3C's, and no id in it is zero."""
    for identifier in identifiers(rng, 50):
        made = traceparent_of(identifier)
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", made)
        trace = identifier.replace("-", "")
        assert (made[TRACE_PART], made[RANDOM_PART], made[36:52]) == (trace, trace[18:], trace[16:])
        assert int(made[36:52], 16)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_all_changes_is_recorded(rng: random.Random, part: float) -> None:
    """As many as asked for, though identifiers are UUIDs: by 64 bits, as samplers choose whom nobody told of
    that, it were none or all. The flag says which.
    """
    chosen = [traceparent_of(each, sampled_from(part)).endswith("-01") for each in identifiers(rng)]
    spread = 5 * (part * (1 - part) * len(chosen)) ** 0.5
    assert abs(sum(chosen) - part * len(chosen)) <= spread
    traces = [int(each.replace("-", ""), 16) & (2**64 - 1) for each in identifiers(rng, 100)]
    assert all(2**63 <= trace < 3 * 2**62 for trace in traces)


def test_who_records_less_records_some_of_the_same(rng: random.Random) -> None:
    """Processes with different parts still have whole traces in common: those of the smallest."""
    all_ = identifiers(rng, 1_000)
    before: set[str] = set()
    for part in PARTS:
        chosen = {each for each in all_ if traceparent_of(each, sampled_from(part)).endswith("-01")}
        assert before <= chosen
        before = chosen
    assert before == set(all_)


def test_a_tiny_part_is_no_more_than_that() -> None:
    """Of 2^56 traces one at least; none is what has a word of its own."""
    assert sampled_from(1e-30) == "f" * 14
    assert sampled_from(0.0) == NEVER_SAMPLED > "f" * 14
    assert sampled_from(1.0) == "0" * 14
