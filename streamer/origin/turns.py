"""Whose turn it is, of those that wait for a request: the rule of the scheduler, and of the fleet's keeper.

    LIVE      edits as they come, and whatever withdraws
    REPLAY    dead letters that are tried again
    BEHIND    what reconcile lists and restates: only with what the others leave over

The lowest class goes first; within it whoever has the most waiting time, and every TURN_EVERY-th time whoever
was served longest ago of those that are late. A class that has waited for BEHIND_S gets one grant in
BEHIND_EVERY all the same.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

LIVE: Final = 0
REPLAY: Final = 1
BEHIND: Final = 2
PRIORITIES: Final = (LIVE, REPLAY, BEHIND)

TURN_EVERY: Final = 2
"""Of so many grants one goes to the lane served longest ago of those that have waited LATE_S: then an edit of
a small wiki waits for at most so many grants per lane beyond that, however much a large one has waiting.
Where the budget suffices hardly any gets so late, and no grant is taken from where most wait."""
LATE_S: Final = 18.0
COUNTED: Final = 0.85
"""The power by which waiting counts: below 1, many that have waited a little go before one that has for long.
At 1 the mean is the least there is; this costs it nothing that shows, and is better for the median. (All
three were chosen by `make bench-origin`.)"""
BEHIND_EVERY: Final = 32
"""Of so many grants one goes to them all the same, if they have waited for BEHIND_S: a budget that live work
always uses up must not keep them for ever, and a thirtieth of it is what an edit's wait hardly shows."""
BEHIND_S: Final = 60.0


class Wish(NamedTuple):
    priority: int
    waited_s: float
    """In sum, of those that one request would take."""
    age_s: float
    """Of the oldest of them."""
    items: int
    """How many they are."""

    @property
    def counted(self) -> float:
        return self.items * math.pow(max(0.0, self.waited_s / self.items), COUNTED)


class Turns:
    def __init__(self) -> None:
        self._grants = 0

    def choose(self, wishes: Sequence[Wish], *, has_spare: bool) -> int | None:
        """The index of the one that goes next, which counts as a grant. `wishes`: in the order in which they
        were served, longest ago first. `has_spare`: a request that nobody waits for may start.
        """
        if not wishes:
            return None
        first = min(wish.priority for wish in wishes)
        chosen = self._starved(wishes, first)
        if chosen == BEHIND == first and not has_spare:
            return None
        those = [index for index, wish in enumerate(wishes) if wish.priority == chosen]
        self._grants += 1
        if self._grants % TURN_EVERY == 0:
            for index in those:
                if wishes[index].age_s >= LATE_S:
                    return index
        return max(those, key=lambda index: wishes[index].counted)

    def _starved(self, wishes: Sequence[Wish], first: int) -> int:
        """The class whose turn it is by having waited, or the first. Each has its own place in the round."""
        for priority in PRIORITIES[first + 1 :]:
            place = BEHIND_EVERY * priority // BEHIND - 1
            if self._grants % BEHIND_EVERY == place and any(
                wish.priority == priority and wish.age_s >= BEHIND_S for wish in wishes
            ):
                return priority
        return first
