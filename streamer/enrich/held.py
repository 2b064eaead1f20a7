"""How much fetched content this process holds until it is committed."""

import asyncio
from collections.abc import Callable
from typing import Final

from streamer.metrics import ENRICH_HELD_BYTES

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
RECHECK_S: Final = 0.25


class Held:
    """Full means: nothing more is asked for.

    A change that its title waits for may be asked as long as what is on its way to a commit (all that is
    held but for what is stuck behind others) has room; else the stuck ones would wait for it and it for
    them. What was asked before comes in any case: the origin's answers are bounded each.
    """

    def __init__(self, limit_bytes: int = MAX_HELD_BYTES) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._stuck = 0
        self._freed = asyncio.Event()

    async def room(self, is_waited_for: Callable[[], bool]) -> None:
        while self._held >= self._limit:
            if self._held - self._stuck < self._limit and is_waited_for():
                return
            self._freed.clear()
            try:
                async with asyncio.timeout(RECHECK_S):
                    await self._freed.wait()
            except TimeoutError:
                continue

    def add(self, size: int) -> None:
        self._held += size
        ENRICH_HELD_BYTES.set(self._held)

    def release(self, size: int) -> None:
        self._held -= size
        ENRICH_HELD_BYTES.set(self._held)
        self._freed.set()

    def stick(self, size: int) -> None:
        self._stuck += size
        self._freed.set()

    def unstick(self, size: int) -> None:
        self._stuck -= size
