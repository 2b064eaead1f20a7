"""How old events are when they are applied: counted by minute and by age, in steps of a logarithm, so that a
week of any feed is a small table.
"""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

KEPT_S: Final = 7 * 86_400
PER_DECADE: Final = 20
"""Steps: each age is known to 12 %."""
LEAST_S: Final = 0.001
MOST_STEP: Final = 12 * PER_DECADE
"""Thirty years: of a clock that is wrong, or of none."""


class Fresh(NamedTuple):
    minute: int
    """When it began: seconds since 1970."""
    age_s: float
    """From the edit until it was applied: at most so long."""
    events: int


def step_of(age_s: float) -> int:
    """From 0. Below LEAST_S, also of clocks that differ, all is one."""
    if age_s <= LEAST_S:
        return 0
    return min(MOST_STEP, math.ceil(math.log10(age_s / LEAST_S) * PER_DECADE))


def age_of(step: int) -> float:
    """The most that is counted there, in seconds."""
    return float(LEAST_S * 10 ** (step / PER_DECADE))


def percentile(counts: Iterable[Fresh], share: float) -> float | None:
    """The age that so many (0 to 1) of these events did not exceed; None of no events."""
    by_age: dict[float, int] = {}
    for count in counts:
        by_age[count.age_s] = by_age.get(count.age_s, 0) + count.events
    left = sum(by_age.values()) * share
    for age_s, events in sorted(by_age.items()):
        left -= events
        if left <= 0:
            return age_s
    return None
