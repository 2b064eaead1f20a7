"""HTML has its part of the budget; "too many requests" halves it, and time brings it back."""

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.origin.budget import WINDOW_S, Budget
from streamer.origin.easing import LEAST, RECOVERS_IN_S


@given(
    st.integers(1, 240), st.integers(1, 6), st.floats(0.05, 1), st.floats(0.01, 20), st.lists(st.booleans())
)
@settings(max_examples=80, deadline=None)
def test_html_never_takes_more_than_its_part(
    per_minute: int, concurrency: int, part: float, latency_s: float, edits: list[bool]
) -> None:
    """With HTML always wanted, beside edits that are wanted now and then: no 60 s hold more of it than its
    part, or more of both than the budget; and it is never told to start where the budget would not let it.
    """
    budget, now_s = Budget(per_minute, concurrency, part), 0.0
    flights: list[tuple[float, bool]] = []
    started: list[tuple[float, bool]] = []
    wanted = [True, *edits]
    while now_s < 200:
        for flight in [flight for flight in flights if flight[0] <= now_s]:
            flights.remove(flight)
            budget.end(now_s, html=flight[1])
        is_html = not wanted[len(started) % len(wanted)] or budget.free_at_s(now_s) > now_s
        at_s = budget.html_at_s(now_s) if is_html else budget.free_at_s(now_s)
        assert at_s >= budget.free_at_s(now_s)
        if at_s <= now_s:
            budget.start(now_s, html=is_html)
            started.append((now_s, is_html))
            flights.append((now_s + latency_s, is_html))
            assert sum(html for _, html in flights) <= max(1, int(concurrency * part))
            continue
        now_s = min([at_s, now_s + 1.0, *(end_s for end_s, _ in flights)])
    for kind, most in ((False, per_minute), (True, max(1, int(per_minute * part)))):
        at = [at_s for at_s, html in started if html or not kind]
        for index in range(len(at) - most):
            assert at[index + most] - at[index] >= WINDOW_S - 1e-6
    assert all(wanted) or any(html for _, html in started) or len(started) < len(wanted)


def test_without_a_part_there_is_no_html() -> None:
    """Never, however much of the budget is free."""
    assert Budget(200, 3, 0.0).html_at_s(0.0) == inf


def test_html_is_spread_over_the_minute() -> None:
    """It takes no burst away from the edits that come next: one, and the next at a quarter of the pace."""
    budget = Budget(200, 8)
    budget.start(0.0, html=True)
    assert budget.html_at_s(0.0) == pytest.approx(4 * 60 / 200)
    assert budget.free_at_s(0.0) == 0.0


def test_what_is_given_back_counts_no_more() -> None:
    """Neither in flight nor in the minute."""
    budget = Budget(60, 1)
    budget.start(0.0, html=True)
    assert budget.free_at_s(0.0) == inf
    budget.give_back(html=True)
    assert budget.in_use(0.0) == 0
    assert budget.free_at_s(0.0) <= 1.0


def starts_s(budget: Budget, from_s: float, span_s: float) -> list[float]:
    """Of a budget that is always used, with answers that come at once."""
    now_s, started = from_s, list[float]()
    while (now_s := max(now_s, budget.free_at_s(now_s))) < from_s + span_s:
        budget.start(now_s)
        budget.end(now_s)
        started.append(now_s)
    return started


def test_a_refusal_halves_the_rate_and_time_brings_it_back() -> None:
    """No burst follows it; in the next minute it is half and a little, after five the whole, never more."""
    budget = Budget(120, 3)
    assert budget.refused(0.0)
    after = starts_s(budget, 0.0, 60.0)
    assert 57 <= len(after) <= 68
    assert min(later_s - at_s for at_s, later_s in pairwise(after)) > 0.8
    assert budget.eased(RECOVERS_IN_S / 2) == 120
    assert len(starts_s(budget, 400.0, 60.0)) <= 120 + 6
    assert len(starts_s(budget, 460.0, 60.0)) <= 120


def test_a_refusal_in_a_full_minute_waits_until_half_of_it_is_over() -> None:
    """What was spent counts under the halved budget too."""
    budget = Budget(120, 3)
    starts_s(budget, 0.0, 120.0)
    budget.refused(120.0)
    assert 145 < budget.free_at_s(120.0) < 155


def test_refusals_that_come_together_halve_once_and_never_to_nothing() -> None:
    """Three that flew together are one word; an endless row of them leaves a sixteenth."""
    budget = Budget(160, 3)
    assert [budget.refused(at_s) for at_s in (10.0, 10.1, 15.0)] == [True, False, False]
    assert budget.eased(10.0) == 80
    for minute in range(1, 50):
        budget.refused(10.0 + 15 * minute)
    assert budget.eased(10.0 + 15 * 49) >= 160 * LEAST
    assert budget.eased(10.0 + 15 * 49) < 20
