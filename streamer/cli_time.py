"""Times as they are written on a command line."""

from datetime import datetime

from streamer.clock import Clock
from streamer.errors import ConfigError


def time_ms(flag: str, text: str) -> int:
    """Unix ms; ConfigError names the flag."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(flag, f"{text!r} is no RFC 3339 time such as 2026-11-21T12:00:00Z") from None
    if time.tzinfo is None:
        raise ConfigError(flag, f"{text!r} has no time zone: end it in Z, or in an offset such as +02:00")
    return int(time.timestamp() * 1000)


def past_ms(flag: str, text: str) -> int:
    """The same of a time that has been."""
    found_ms = time_ms(flag, text)
    if found_ms > Clock().now_ms():
        raise ConfigError(flag, f"{text} lies in the future")
    return found_ms
