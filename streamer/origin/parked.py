"""Answers that wait for the rest of their lists, in the queue or with a request under way; how long, and how
much of them.
"""

from collections import Counter
from collections.abc import Hashable
from math import inf
from typing import Final, TypeAlias

from streamer.origin.continuing import Continuing
from streamer.origin.scheduler import By

PARKED_BYTES: Final = 64 * 1024 * 1024
"""What comes beyond it goes without the rest of its lists."""
Place: TypeAlias = tuple[str, By, Hashable]
"""The wiki, how was asked, and for what."""


class Parked:
    def __init__(self, most_bytes: int = PARKED_BYTES) -> None:
        self.held_bytes = 0
        self._most_bytes: Final = most_bytes
        self._all: Final[dict[Continuing, tuple[int, list[Place]]]] = {}
        """What each was counted."""
        self._places: Final[Counter[Place]] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def holds(self, wiki: str, by: By, key: Hashable) -> bool:
        """Whether the answer to it is among them."""
        return (wiki, by, key) in self._places

    def goes_on(self, rest: Continuing, now_s: float) -> bool:
        """Tells what is whole. Returns whether it is to wait for another request: else it has told all."""
        self._forget(rest)
        rest.tell_whole()
        if rest.is_over(now_s) or self.held_bytes + rest.held_bytes > self._most_bytes:
            rest.tell()
            return False
        places = [(rest.lane.wiki, rest.by, item.key) for item, _ in rest.answered]
        self._all[rest] = rest.held_bytes, places
        self.held_bytes += rest.held_bytes
        self._places.update(places)
        return True

    def over(self, now_s: float) -> list[Continuing]:
        """Forgets, and returns, those that have told, or have waited long enough."""
        found = [rest for rest in self._all if rest.is_over(now_s)]
        for rest in found:
            self._forget(rest)
        return found

    def next_s(self) -> float:
        """When the next of them will have."""
        return min((rest.late_at_s for rest in self._all), default=inf)

    def _forget(self, rest: Continuing) -> None:
        counted = self._all.pop(rest, None)
        if counted is None:
            return
        held_bytes, places = counted
        self.held_bytes -= held_bytes
        for place in places:
            self._places[place] -= 1
            if not self._places[place]:
                del self._places[place]
