"""The progress line of a replay."""

from streamer.progress import line


def test_the_line_tells_counts_rate_and_what_waits() -> None:
    """Outcomes that didn't occur are left out; the rate is of what was published."""
    enrich = {"admitted": 1_294, "published": 1_290, "gone": 4, "deadletter": 0}
    text = line(10.0, {"admitted": 1_302}, enrich)
    assert text == "10 s  admitted 1,302  published 1,290 (129/s)  gone 4  waiting 8"


def test_the_line_begins_at_nothing() -> None:
    """Before the first commit there are no counts, and no time to divide by."""
    assert line(0.0, {}, {}) == "0 s  admitted 0  published 0 (0/s)  waiting 0"
