"""What was found out a moment ago: asked once for all who ask within a few seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from streamer.clock import Clock

T = TypeVar("T")
KEPT: Final = 1_000
"""Older answers than this many go first; each is a few hundred bytes."""


@dataclass(slots=True)
class _Answer(Generic[T]):
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    found: list[T] = field(default_factory=list)
    """One, or none yet."""
    until_s: float = 0.0


class Recent(Generic[T]):
    """An answer is good for `for_s`. Of several who ask for what is not known one finds out, and the others
    wait for it; where that one gives up (an error, a client that left), the next one tries.
    """

    def __init__(self, for_s: float, clock: Clock) -> None:
        self._for_s = for_s
        self._clock = clock
        self._answers: dict[Hashable, _Answer[T]] = {}

    async def get(self, key: Hashable, find_out: Callable[[], Awaitable[T]]) -> T:
        answer = self._answers.setdefault(key, _Answer())
        async with answer.lock:
            if not answer.found or self._clock.monotonic_s() >= answer.until_s:
                answer.found = [await find_out()]
                answer.until_s = self._clock.monotonic_s() + self._for_s
                self._forget()
            return answer.found[0]

    def _forget(self) -> None:
        for key in list(self._answers)[: max(0, len(self._answers) - KEPT)]:
            if not self._answers[key].lock.locked():
                del self._answers[key]
