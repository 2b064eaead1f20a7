"""A partner's requests per minute, and how an answer tells them (draft-ietf-httpapi-ratelimit-headers).

RateLimit-Policy: "requests";q=600;w=60     600 in 60 seconds
RateLimit: "requests";r=599;t=1             599 left; full again in a second

`t` counts to the full bucket, since any other moment would depend on who else asks.
"""

import math
from dataclasses import dataclass
from typing import Final

from streamer.deliver.bucket import Bucket
from streamer.deliver.problems import Problem, busy

WINDOW_S: Final = 60


@dataclass(frozen=True, slots=True)
class RateLimit:
    """After a request was counted, or refused."""

    quota: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Policy": f'"requests";q={self.quota};w={WINDOW_S}',
            "RateLimit": f'"requests";r={self.remaining};t={self.reset_s}',
        }


class Requests:
    """A bucket for each partner: all its keys, tickets and routes share it."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def count(self, partner: str, per_minute: int, now_s: float) -> tuple[RateLimit | None, Problem | None]:
        """One request. Where `per_minute` is limited, what its answer says of that; and the 429 if it is over
        the limit: then it is not counted.
        """
        if not per_minute:
            self._buckets.pop(partner, None)
            return None, None
        rate = per_minute / WINDOW_S
        bucket = self._buckets.setdefault(partner, Bucket(per_minute, rate, now_s))
        if bucket.capacity != per_minute:
            bucket.resize(per_minute, rate, now_s)
        too_many = None
        if bucket.refill(now_s) >= 1:
            bucket.tokens -= 1
        else:
            wait_s = math.ceil(bucket.wait_s(1))
            too_many = busy(429, "too_many_requests", f"more than {per_minute} requests a minute", wait_s)
        limit = RateLimit(per_minute, math.floor(bucket.tokens), math.ceil(bucket.wait_s(per_minute)))
        return limit, too_many
