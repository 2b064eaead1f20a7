"""How much of the budget is asked for after "too many requests": half, then more again with time.

Pure: the time is passed in. A refusal costs a request and brings nothing, so what a farm grants less than
the settings say is found by halves, and felt for again a little each minute. Never above the whole.
"""

from math import inf
from typing import Final

RECOVERS_IN_S: Final = 600.0
"""From nothing to the whole: half of the budget is back after five minutes without another refusal."""
ONCE_IN_S: Final = 10.0
"""What flew together is refused together: so much later is another refusal a word about the halved rate."""
LEAST: Final = 1 / 16


class Easing:
    def __init__(self) -> None:
        self._from_s = -inf
        self._part = 1.0

    def part(self, now_s: float) -> float:
        """Of the budget, in (0, 1]."""
        if self._part >= 1.0:
            return 1.0
        part = self._part + (now_s - self._from_s) / RECOVERS_IN_S
        if part >= 1.0:
            self._part = 1.0
            return 1.0
        return part

    def refused(self, now_s: float) -> bool:
        """Whether the rate was halved; not again within ONCE_IN_S."""
        if now_s - self._from_s < ONCE_IN_S:
            return False
        self._part = max(LEAST, self.part(now_s) / 2)
        self._from_s = now_s
        return True
