"""A partner's bytes per second, in this process: its connections take turns at one token bucket.

    connection ─┐                     ┌─ tokens for a turn? ─► the first writes, and goes to the end
    connection ─┼─► queue, in order ──┤
    connection ─┘                     └─ else a timer, for the moment when there are

A turn is an advance on the bucket, settled with what was written: an event is never split, so one that is
larger than the advance leaves a debt, which the next turn waits for. In the long run exactly the rate goes
out. One connection that catches up can't starve the others: after each turn they come first.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from streamer.clock import Clock
from streamer.deliver.bucket import Bucket
from streamer.metrics import QUEUE_DEPTH

TURN_BYTES: Final = 65_536
"""The most that a turn is for, and what it is for where nothing is limited."""
TURNS_PER_S: Final = 8
"""At a low rate turns are shorter, so that nobody waits long for one."""
LEAST_WAIT_S: Final = 0.001
_waiting: Final = QUEUE_DEPTH.labels("deliver_turns")


@dataclass(slots=True, eq=False)
class Place:
    """In the queue; `granted` once its turn has come. Set `woken` to be looked at for another reason."""

    granted: bool = False
    advance: int = 0
    """What may be written, or one event, and is not yet settled."""
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, for_s: float) -> None:
        """Until something may have changed."""
        try:
            async with asyncio.timeout(max(0.0, for_s)):
                await self.woken.wait()
        except TimeoutError:
            pass
        self.woken.clear()


class Pace:
    """Of one partner; 0 bytes per second are unlimited."""

    def __init__(self, bytes_per_second: int, clock: Clock) -> None:
        self._clock = clock
        self._bucket: Bucket | None = None
        self._queue: deque[Place] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.change(bytes_per_second)

    @property
    def is_limited(self) -> bool:
        return self._bucket is not None

    def change(self, bytes_per_second: int) -> None:
        """In force at once, for those who wait too."""
        now_s = self._clock.monotonic_s()
        if not bytes_per_second:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = Bucket(bytes_per_second, bytes_per_second, now_s)
        elif self._bucket.rate != bytes_per_second:
            self._bucket.resize(bytes_per_second, bytes_per_second, now_s)
        self._serve()

    @contextmanager
    def queued(self) -> Iterator[Place]:
        """A place, to be waited at until it is granted. What is left of its advance goes back at the end."""
        place = Place()
        self._queue.append(place)
        _waiting.inc()
        self._serve()
        try:
            yield place
        finally:
            if place.granted:
                self._take(-place.advance)
            else:
                self._queue.remove(place)
                _waiting.dec()
            self._serve()

    def spend(self, size: int, place: Place | None = None) -> None:
        """So many bytes go out: of a turn, or between turns, as heartbeats do."""
        self._take(size)
        if place is not None:
            self._take(-place.advance)
            place.advance = 0

    def _take(self, size: int) -> None:
        if self._bucket is not None:
            self._bucket.refill(self._clock.monotonic_s())
            self._bucket.tokens -= size

    def _serve(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue:
            advance = TURN_BYTES
            if self._bucket is not None:
                advance = max(1, min(advance, int(self._bucket.rate) // TURNS_PER_S))
                self._bucket.refill(self._clock.monotonic_s())
                if wait_s := self._bucket.wait_s(advance):
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(max(wait_s, LEAST_WAIT_S), self._serve)
                    return
            self._take(advance)
            place = self._queue.popleft()
            _waiting.dec()
            place.granted, place.advance = True, advance
            place.woken.set()


class Paces:
    """One for each partner, kept while it is one: who comes back must not find a full bucket again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paces: dict[str, Pace] = {}

    def of(self, partner: str, bytes_per_second: int) -> Pace:
        pace = self._paces.get(partner)
        if pace is None:
            pace = self._paces[partner] = Pace(bytes_per_second, self._clock)
        return pace

    def change(self, bytes_per_second: Mapping[str, int]) -> None:
        """The limits of all partners, by name."""
        for partner in self._paces.keys() - bytes_per_second.keys():
            del self._paces[partner]
        for partner, pace in self._paces.items():
            pace.change(bytes_per_second[partner])
