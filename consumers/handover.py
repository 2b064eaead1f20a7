"""From the thread that reads a connection to the loop that applies what it read."""

import asyncio
import threading
from contextlib import suppress
from typing import Final

from consumers.event import Article, Batch

MOST_BYTES: Final = 8_388_608
MOST_EVENTS: Final = 1_000
"""Of what waits before another read's worth is let in, and so about of a batch: more in one commit gains
nothing.
"""


class Closed(Exception):
    """Nobody takes any more."""


class Handover:
    """What waits is bounded; where it is full the thread waits, and with it the server.

    The loop takes all that waits at once: one event where it is faster than the feed, many where it is not.
    """

    def __init__(self, position: str) -> None:
        """In the loop that takes. `position` is that of a batch whose events have no ids."""
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._ready = asyncio.Event()
        self._events: list[Article] = []
        self._bad: list[str] = []
        self._position = position
        self._is_moved = False
        self._bytes = 0
        self._is_closed = False
        self._ended = asyncio.Event()
        self._is_ended = False
        self._error: BaseException | None = None

    # ── the thread ─────────────────────────────────────────────────────────────────────────────

    def put(self, came: Batch) -> None:
        """Behind what waits. With a position of "" that stays what it was. Raises Closed."""
        with self._changed:
            self._changed.wait_for(self._has_room)
            if self._is_closed:
                raise Closed
            self._events += came.events
            self._bad += came.bad
            self._bytes += came.received_bytes
            if came.position:
                self._position, self._is_moved = came.position, True
            self._tell(self._ready)

    def end(self, error: BaseException | None) -> None:
        """The last thing that is said: with it the loop's next `take` ends, once all is taken."""
        with self._changed:
            self._is_ended, self._error = True, error
            self._tell(self._ready)
            self._tell(self._ended)

    def _has_room(self) -> bool:
        return self._is_closed or (
            len(self._events) + len(self._bad) < MOST_EVENTS and self._bytes < MOST_BYTES
        )

    def _tell(self, what: asyncio.Event) -> None:
        if not what.is_set():
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(what.set)

    # ── the loop ───────────────────────────────────────────────────────────────────────────────

    async def take(self) -> Batch | None:
        """All that waits, as soon as there is something. At the end None, or the thread's error, raised."""
        while True:
            await self._ready.wait()
            with self._changed:
                if self._events or self._bad or self._is_moved:
                    batch = Batch(self._events, self._position, self._bytes, self._bad)
                    self._events, self._bad, self._is_moved, self._bytes = [], [], False, 0
                    self._changed.notify()
                    return batch
                if self._is_ended:
                    if self._error is not None:
                        raise self._error
                    return None
                self._ready.clear()

    def close(self) -> None:
        """The thread's next `put` is its last."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    async def ended(self) -> None:
        """Waits for the thread's last word."""
        await self._ended.wait()
