"""A partner's figures, from records and positions written by hand."""

import random

from harness.articles import Page
from harness.delivering import article_record

from streamer.deliver.figures import completeness, freshness, lag_offsets, newest, quantile
from streamer.log.base import Bounds, Record, Stored
from streamer.log.position import Position
from streamer.model import Topics, rfc3339_ms

NOW_MS = 1_795_262_400_000
TOPICS = Topics("wiki")


def stored(record: Record, *, age_s: float, ago_s: float = 1.0) -> Stored:
    """Appended `ago_s` ago, of an edit that was `age_s` old then."""
    appended_ms = int(NOW_MS - ago_s * 1000)
    time = rfc3339_ms(int(appended_ms - age_s * 1000)).encode()
    headers = tuple((name, time if name == "ce_time" else value) for name, value in record.headers)
    return Stored(record.topic, record.partition, 0, appended_ms, record.key, record.value, headers)


def test_freshness_is_the_age_of_edits_at_the_append_by_nearest_rank() -> None:
    """Of 1 to 100 seconds the median is 50 and the 99th percentile 99."""
    edit = article_record("t", 1, 1, 1)
    found = freshness([stored(edit, age_s=n) for n in range(1, 101)], since_ms=NOW_MS - 600_000)
    assert (found.window_s, found.articles, found.p50_s, found.p99_s) == (600, 100, 50.0, 99.0)


def test_repairs_late_edits_tombstones_and_what_is_older_do_not_spoil_it() -> None:
    """They are old by their nature, or are no articles; a clock that runs ahead makes no negative ages."""
    edit = article_record("t", 1, 1, 1)
    others = [
        stored(Page(5, kind="refresh").record(TOPICS), age_s=10_000),
        stored(Page(6, late=True).record(TOPICS), age_s=10_000),
        stored(Page(7).tombstone(TOPICS), age_s=10_000),
        stored(edit, age_s=10_000, ago_s=601),
    ]
    found = freshness([*others, stored(edit, age_s=2), stored(edit, age_s=-3)], since_ms=NOW_MS - 600_000)
    assert (found.articles, found.p50_s, found.p99_s) == (2, 0.0, 2.0)
    assert freshness(others, since_ms=NOW_MS - 600_000).p50_s is None


def test_quantiles_are_members(rng: random.Random) -> None:
    """So many of all are not above it, and it is the smallest of which that is true."""
    for _ in range(200):
        ages = sorted(rng.random() for _ in range(rng.randrange(1, 300)))
        share = rng.random()
        found = quantile(ages, share)
        assert found is not None
        assert sum(age <= found for age in ages) >= share * len(ages)
        assert sum(age < found for age in ages) < share * len(ages) or found == ages[0]
    assert quantile([], 0.5) is None


def test_a_sample_is_the_newest_of_each_partition_in_its_share(rng: random.Random) -> None:
    """Never more than asked for but for rounding, never before the window, all where they are few."""
    for _ in range(200):
        first = [rng.randrange(1000) for _ in range(10)]
        ends = [start + rng.randrange(500) for start in first]
        starts = newest(first, ends, 500)
        assert all(begin <= start <= end for begin, start, end in zip(first, starts, ends, strict=True))
        read = sum(end - start for start, end in zip(starts, ends, strict=True))
        total = sum(ends) - sum(first)
        assert read == total if total <= 500 else 500 <= read < 510


def position(following: int, rebuild: str = "", **counts: int) -> Position:
    state: dict[str, object] = {"counts": counts}
    if rebuild:
        state["rebuild"] = {"rebuild": "1a2b", "phase": rebuild}
    return Position(following, (), state)


def test_completeness_is_the_sum_of_the_committed_counts() -> None:
    """Missing is what expired or could not be read; what waits is the distance to the end of the articles."""
    bounds = [Bounds(0, 100), Bounds(50, 200), Bounds(0, 7)]
    found = completeness(
        {
            0: position(90, published=80, filtered=9, withdrawn=1),
            1: position(10, published=7, expired=2, invalid=1),
            2: position(9),
        },
        bounds,
    )
    assert (found.published, found.filtered, found.withdrawn, found.reverted) == (87, 9, 1, 0)
    assert (found.missing, found.ratio) == (3, 0.97)
    assert found.settling_offsets == 0
    assert found.waiting_offsets == 10 + 150  # from the earliest that is kept; never below 0
    assert not found.rebuilding


def test_what_settles_waits_for_its_time_and_not_to_be_looked_at() -> None:
    """Of a partner that settles the position has two offsets: what lies between them is held."""
    settling = Position(40, ((45, 46),), {"counts": {"published": 41}, "seen": 90})
    found = completeness({0: settling}, [Bounds(0, 100)])
    assert (found.waiting_offsets, found.settling_offsets) == (10, 50)


def test_completeness_of_a_new_feed_is_whole() -> None:
    """Nothing was counted, so nothing is missing."""
    assert completeness({}, [Bounds(0, 5)]).ratio == 1.0


def test_a_feed_that_is_made_anew_says_so() -> None:
    """Until all its partitions have met the present."""
    bounds = [Bounds(0, 5)] * 2
    assert completeness({0: position(5, "met"), 1: position(3, "behind")}, bounds).rebuilding
    assert not completeness({0: position(5, "met"), 1: position(5)}, bounds).rebuilding


def test_lag_is_of_what_was_asked_for() -> None:
    """A partition that the client did not want, and one that it has passed, add nothing."""
    assert lag_offsets("e7c14a09.0:5,1:9,2:0", [10, 8, 100], {0, 1}) == 5
