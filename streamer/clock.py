"""The time, passed in, so that a test can own it."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """`now_ms` may step back; `monotonic_s` never does."""

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    now_us: Callable[[], int] = lambda: time.time_ns() // 1_000
    monotonic_s: Callable[[], float] = time.monotonic
