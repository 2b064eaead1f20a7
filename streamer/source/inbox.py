"""Between the task that reads upstream and the one that commits: bounded, so that a slow log stops the
reading of the socket, and upstream's own buffers hold what we can't take.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from streamer.metrics import QUEUE_DEPTH
from streamer.source.told import Told

if TYPE_CHECKING:
    from streamer.errors import SourceError

BATCH_EVENTS: Final = 500
"""What one commit takes, and what may wait meanwhile for the next."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one read of the socket or file brought. `marks` and `idle` are those after it (`Marks`)."""

    told: list[Told]
    marks: dict[str, int]
    idle: frozenset[str] = frozenset()
    read_ns: int = 0
    """Unix time; only while there is tracing."""


class Inbox:
    """One writer, one reader. `put` waits while a full batch is waiting; nothing is ever dropped."""

    def __init__(self, *, linger_s: float, stamp: Callable[[], int] | None = None) -> None:
        """`stamp` tells `read_ns`."""
        self._stamp = stamp
        self._linger_s = linger_s
        self._arrivals: deque[Arrival] = deque()
        self._events = 0
        self._closed = False
        self.failure: SourceError | None = None
        """Why nothing more will be put."""
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._full = asyncio.Event()

    async def put(self, arrival: Arrival) -> None:
        if self._stamp is not None:
            arrival = replace(arrival, read_ns=self._stamp())
        self._arrivals.append(arrival)
        self._count(len(arrival.told))
        self._filled.set()
        if self._events >= BATCH_EVENTS:
            self._full.set()
        while self._events >= BATCH_EVENTS:
            self._emptied.clear()
            await self._emptied.wait()

    def close(self) -> None:
        """Nothing more will be put; `take` still gives what is there."""
        self._closed = True
        self._filled.set()
        self._full.set()

    @property
    def is_finished(self) -> bool:
        return self._closed and not self._arrivals

    async def take(self, *, wait_s: float) -> list[Arrival]:
        """All that waits, some milliseconds after the first came or as soon as it is a full batch;
        empty when nothing came within `wait_s`, or it is closed and empty.
        """
        try:
            async with asyncio.timeout(wait_s):
                await self._filled.wait()
        except TimeoutError:
            return []
        if not self._closed and self._events < BATCH_EVENTS:
            try:
                async with asyncio.timeout(self._linger_s):
                    await self._full.wait()
            except TimeoutError:
                pass
        taken: list[Arrival] = []
        events = 0
        while self._arrivals and events < BATCH_EVENTS:
            taken.append(self._arrivals.popleft())
            events += len(taken[-1].told)
        self._count(-events)
        if not self._arrivals and not self._closed:
            self._filled.clear()
        if self._events < BATCH_EVENTS and not self._closed:
            self._full.clear()
        self._emptied.set()
        return taken

    def _count(self, events: int) -> None:
        self._events += events
        QUEUE_DEPTH.labels("source_inbox").set(self._events)
