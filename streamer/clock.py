"""The time, passed in, so that a test can own it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CATCH_UP: Final = 2
"""So many times as fast as time a steady clock goes while it is behind the wall's."""


@dataclass(frozen=True, slots=True)
class Clock:
    """`now_ms` may step back; `monotonic_s` never does."""

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    now_us: Callable[[], int] = lambda: time.time_ns() // 1_000
    monotonic_s: Callable[[], float] = time.monotonic


class Steady:
    """The wall clock, but that a step forward does not carry it along: what ages by it is not old at once
    because somebody set the clock. It goes back with the wall clock at once, and is never before it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ms: float = clock.now_ms()
        self._s = clock.monotonic_s()

    def now_ms(self) -> int:
        now_s = self._clock.monotonic_s()
        self._ms = min(self._clock.now_ms(), self._ms + (now_s - self._s) * 1000 * CATCH_UP)
        self._s = now_s
        return int(self._ms)
