"""`Retry-After`, as servers send it (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(text: str | None, *, most_s: float, now: datetime | None = None) -> float | None:
    """Seconds or an HTTP date; None where there is none or it is nonsense. At most `most_s`: nobody sends
    us away for a day.
    """
    if not text:
        return None
    if text.strip().isdecimal():
        wait_s = float(text.strip()[:9])
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # a year or an offset of twenty digits
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        wait_s = (at - (now or datetime.now(UTC))).total_seconds()
    return min(max(wait_s, 0.0), most_s)
