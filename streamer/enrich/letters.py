"""How many dead letters of a server wait, and about where: so that what retention takes is counted."""

from collections import deque
from typing import Final

STRETCH: Final = 256
"""Offsets that are counted together: what a month of a silent wiki takes is some thousands of numbers."""


class Letters:
    """Those that wait, in the order of their offsets."""

    def __init__(self) -> None:
        self._stretches: deque[tuple[int, int]] = deque()
        """Number of the stretch, and how many are in it."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, offset: int) -> None:
        """The next one."""
        stretch, count = offset // STRETCH, 1
        if self._stretches and self._stretches[-1][0] == stretch:
            count += self._stretches.pop()[1]
        self._stretches.append((stretch, count))
        self._count += 1

    def take(self, count: int) -> None:
        """The first so many wait no longer."""
        left = min(count, self._count)
        self._count -= left
        while left:
            stretch, there = self._stretches.popleft()
            if there > left:
                self._stretches.appendleft((stretch, there - left))
            left -= min(left, there)

    def expire(self, earliest: int) -> int:
        """How many were before `earliest` and are gone. A stretch that is partly there waits for its rest."""
        gone = 0
        while self._stretches and (self._stretches[0][0] + 1) * STRETCH <= earliest:
            gone += self._stretches.popleft()[1]
        self._count -= gone
        return gone
