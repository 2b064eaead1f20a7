"""The pace at which streams are told to come back."""

import random
from bisect import bisect_left

import pytest

from streamer.deliver.farewell import EASY_PER_S, PATIENCE, SPREAD, moments
from streamer.pipeline import DRAIN_SHARE


@pytest.mark.parametrize("count", [1, 7, 1_000, 20_000])
@pytest.mark.parametrize("spread_s", [0.6, 6.0, 360.0])
def test_no_second_has_more_than_its_share(count: int, spread_s: float, rng: random.Random) -> None:
    """Within any span as many are told as the even pace allows, and two at most: the last and the first
    moments of the slots that it cuts. The pace is what the spread asks for, or one that is no load.
    """
    times_s = list(moments(count, spread_s, rng))
    pace_per_s = max(EASY_PER_S, count / spread_s)
    assert len(times_s) == count
    assert times_s == sorted(times_s)
    assert times_s[0] >= 0
    assert times_s[-1] <= spread_s
    for span_s in (0.1, 1.0, 10.0):
        most = max(bisect_left(times_s, at_s + span_s) - i for i, at_s in enumerate(times_s))
        assert most <= pace_per_s * span_s + 2, (span_s, most)


def test_they_come_at_no_beat(rng: random.Random) -> None:
    """Two processes that are stopped together do not say their `bye` together."""
    one, other = (list(moments(1_000, 360.0, rng)) for _ in range(2))
    apart_s = sorted(abs(a - b) for a, b in zip(one, other, strict=True))
    assert apart_s[500] > 0.1 / EASY_PER_S, "half of them are told at the same moments"


def test_few_are_not_kept_waiting(rng: random.Random) -> None:
    """A process with one stream is gone at once, whatever `drain_s`; with none there is nothing to say."""
    assert max(moments(1, 360.0, rng)) <= 1 / EASY_PER_S
    assert list(moments(0, 360.0, rng)) == []


def test_all_is_done_before_the_role_is_cut_off() -> None:
    """The last who are told have time to take what is under way to them; the reset comes before the end."""
    assert 0 < SPREAD < PATIENCE < DRAIN_SHARE
