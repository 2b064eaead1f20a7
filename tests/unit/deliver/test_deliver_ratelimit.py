"""Requests per minute: never more than were granted, whatever the pattern, and told as they are."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.deliver.problems import Problem
from streamer.deliver.ratelimit import RateLimit, Requests


def limit_and_refusal(requests: Requests, per_minute: int, now_s: float) -> tuple[RateLimit, Problem | None]:
    limit, refusal = requests.count("acme", per_minute, now_s)
    assert limit is not None
    return limit, refusal


@given(
    per_minute=st.integers(1, 1_000),
    pauses=st.lists(st.floats(0, 30), min_size=1, max_size=200),
)
def test_never_more_than_granted(per_minute: int, pauses: list[float]) -> None:
    """In any stretch of time: what fits into a full bucket, and what has flown in since."""
    requests, now_s, granted = Requests(), 100.0, []
    for pause_s in pauses:
        now_s += pause_s
        limit, refusal = limit_and_refusal(requests, per_minute, now_s)
        assert 0 <= limit.remaining <= per_minute
        assert 0 <= limit.reset_s <= 60
        if refusal is None:
            granted.append(now_s)
    for at, since_s in enumerate(granted):
        for upto, until_s in enumerate(granted[at:], at):
            assert upto - at + 1 <= per_minute + (until_s - since_s) * per_minute / 60 + 1e-6


def test_what_is_told_is_what_is_left(rng: random.Random) -> None:
    """`r` more requests at once are granted, and one more is not; after Retry-After one is, after `t` all."""
    for _ in range(20):
        requests, per_minute, now_s = Requests(), rng.randrange(1, 100), 5.0
        for _ in range(rng.randrange(per_minute)):
            requests.count("acme", per_minute, now_s)
        limit, _ = limit_and_refusal(requests, per_minute, now_s)
        for left in reversed(range(limit.remaining)):
            limit, refusal = limit_and_refusal(requests, per_minute, now_s)
            assert (limit.remaining, refusal) == (left, None)
        limit, refusal = limit_and_refusal(requests, per_minute, now_s)
        assert refusal is not None
        assert refusal.status == 429
        assert limit.remaining == 0
        now_s += int(refusal.headers["Retry-After"])
        limit, refusal = limit_and_refusal(requests, per_minute, now_s)
        assert refusal is None
        now_s += limit.reset_s
        limit, _ = limit_and_refusal(requests, per_minute, now_s)
        assert limit.remaining == per_minute - 1


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [(10, 600, 596), (600, 10, 6), (600, 4, 0), (600, 3, None)],
)
def test_another_limit_is_in_force_at_once(before: int, after: int, left: int | None) -> None:
    """With the three that were asked before it counted; None: it is refused."""
    requests = Requests()
    for _ in range(3):
        requests.count("acme", before, 1.0)
    limit, refusal = limit_and_refusal(requests, after, 1.0)
    assert limit.quota == after
    assert (None if refusal else limit.remaining) == left


def test_without_a_limit_nothing_is_told_or_kept() -> None:
    """0 is unlimited; a limit that comes later begins with a full bucket."""
    requests = Requests()
    requests.count("acme", 1, 1.0)
    for _ in range(1_000):
        assert requests.count("acme", 0, 1.0) == (None, None)
    limit, refusal = limit_and_refusal(requests, 1, 1.0)
    assert (limit.remaining, refusal) == (0, None)


def test_the_headers_are_structured_fields() -> None:
    """As the draft has them: a name, then integers."""
    assert RateLimit(600, 599, 1).headers() == {
        "RateLimit-Policy": '"requests";q=600;w=60',
        "RateLimit": '"requests";r=599;t=1',
    }
