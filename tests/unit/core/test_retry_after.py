"""`Retry-After` comes from outside: seconds, a date, or nonsense."""

from datetime import UTC, datetime

import pytest

from streamer.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        (None, None),
        ("", None),
        ("18", 18.0),
        ("999999999999", 300.0),
        ("soon", None),
        ("-5", None),
        ("Sat, 21 Nov 2026 12:00:39 GMT", 39.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Sat, 21 Nov 99999999999999999999 11:00:00 GMT", None),
        ("Sat, 21 Nov 2026 11:00:00 +99999999999999999999", None),
    ],
)
def test_retry_after(text: str | None, wait_s: float | None) -> None:
    """Seconds or a date, bounded by what the caller bears; nonsense is none."""
    now = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
    assert retry_after_s(text, most_s=300.0, now=now) == wait_s
