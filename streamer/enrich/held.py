"""How much fetched content this process holds until it is committed."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from streamer.metrics import ENRICH_HELD_BYTES

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
RECHECK_S: Final = 0.25
"""Whether a title waits for a change may change without a word."""

IsWaitedFor = Callable[[], bool]


class Held:
    """Full means: nothing more is asked for.

    A change that its title waits for may be asked as long as what is on its way to a commit (all that is
    held but for what is stuck behind others) has room; else the stuck ones would wait for it and it for
    them. What was asked before comes in any case: the origin's answers are bounded each.

    Thousands may wait, and mostly there is room for a few: so one is woken, who wakes the next as it goes in.
    """

    def __init__(self, limit_bytes: int = MAX_HELD_BYTES) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._stuck = 0
        self._waiting: OrderedDict[asyncio.Future[None], IsWaitedFor] = OrderedDict()
        """In the order in which they came; who was woken in vain is the first again."""
        self._soon: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None

    async def room(self, is_waited_for: IsWaitedFor) -> None:
        loop = asyncio.get_running_loop()
        is_first = False
        try:
            while not self._lets_in(is_waited_for):
                waiter: asyncio.Future[None] = loop.create_future()
                self._waiting[waiter] = is_waited_for
                if is_first:
                    self._waiting.move_to_end(waiter, last=False)
                is_first = True
                self._later = self._later or loop.call_later(RECHECK_S, self._look)
                try:
                    await waiter
                finally:
                    self._waiting.pop(waiter, None)
        finally:
            self._wake_soon()  # also where this one was woken and cancelled at once

    def add(self, size: int) -> None:
        self._held += size
        ENRICH_HELD_BYTES.set(self._held)

    def release(self, size: int) -> None:
        self._held -= size
        ENRICH_HELD_BYTES.set(self._held)
        self._wake_soon()

    def stick(self, size: int) -> None:
        self._stuck += size
        self._wake_soon()

    def unstick(self, size: int) -> None:
        self._stuck -= size

    def _lets_in(self, is_waited_for: IsWaitedFor) -> bool:
        if self._held < self._limit:
            return True
        return self._held - self._stuck < self._limit and is_waited_for()

    def _wake_soon(self) -> None:
        """Once for all that a commit releases."""
        if self._waiting and self._soon is None and self._held - self._stuck < self._limit:
            self._soon = asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        self._soon = None
        for waiter, is_waited_for in self._waiting.items():
            if not waiter.done() and self._lets_in(is_waited_for):
                waiter.set_result(None)
                return

    def _look(self) -> None:
        self._later = asyncio.get_running_loop().call_later(RECHECK_S, self._look) if self._waiting else None
        self._wake_soon()
