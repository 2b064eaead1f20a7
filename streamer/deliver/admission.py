"""How much a partner, and all of them, may ask of this process."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from streamer.clock import Clock
from streamer.deliver.problems import busy
from streamer.partners import Partner

MINUTE_S: Final = 60.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Admission:
    """Streams now, and requests per minute (a token bucket that starts full)."""

    def __init__(self, max_connections: Callable[[], int], clock: Clock) -> None:
        self._max_connections = max_connections
        self._clock = clock
        self._streams: dict[str, int] = {}
        self._buckets: dict[str, _Bucket] = {}

    def request(self, partner: Partner) -> None:
        """Counts one request. Raises 429."""
        per_minute = partner.limits.requests_per_minute
        if not per_minute:
            return
        now_s = self._clock.monotonic_s()
        bucket = self._buckets.setdefault(partner.name, _Bucket(per_minute, now_s))
        rate = per_minute / MINUTE_S
        bucket.tokens = min(per_minute, bucket.tokens + (now_s - bucket.at_s) * rate)
        bucket.at_s = now_s
        if bucket.tokens < 1:
            wait_s = math.ceil((1 - bucket.tokens) / rate)
            raise busy(429, "too_many_requests", f"more than {per_minute} requests a minute", wait_s)
        bucket.tokens -= 1

    @contextmanager
    def stream(self, partner: Partner) -> Iterator[None]:
        """Holds one place among the streams. Raises 429 or 503."""
        allowed = partner.limits.connections
        if allowed and self._streams.get(partner.name, 0) >= allowed:
            raise busy(429, "too_many_connections", f"{allowed} connections at a time are allowed")
        if sum(self._streams.values()) >= self._max_connections():
            raise busy(503, "full", "this server has all the connections it takes")
        self._streams[partner.name] = self._streams.get(partner.name, 0) + 1
        try:
            yield
        finally:
            self._streams[partner.name] -= 1
            if not self._streams[partner.name]:
                del self._streams[partner.name]
