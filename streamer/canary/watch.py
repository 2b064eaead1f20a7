"""One run after another: edit, wait for it in the feed, tell what came of it.

    stream open? ─► edit ─► arrives ─► judged      arrived | late | lost
         └─ no ───────┴─ refused ───────────────►  failed

A run begins only when the stream is open, so that an edit can't be missed by our own fault. Whatever fails is
an outcome: nothing but a signal ends the canary. Without the right to edit it waits for anybody's edit.
"""

import asyncio
import logging
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from streamer.canary.feed import Feed
from streamer.canary.metrics import LAST_ARRIVAL, RUNS, SECONDS
from streamer.canary.verdict import Arrival, Verdict, Written, judge_seen, judge_written
from streamer.canary.wiki import Wiki, WikiFailed
from streamer.clock import Clock

logger = logging.getLogger(__name__)

KEPT: Final = 1_000
"""Arrivals that nobody has looked at: of an edit that arrived before the wiki told its number."""
TEXT: Final = "This page is edited by a machine, to see how long an edit takes. Please leave it alone.\n\n"


class Arrivals:
    """What the feed has brought, newest last; bounded: the oldest go first."""

    def __init__(self) -> None:
        self._held: deque[Arrival] = deque(maxlen=KEPT)
        self._rung = asyncio.Event()

    def put(self, arrival: Arrival) -> None:
        self._held.append(arrival)
        self._rung.set()

    def clear(self) -> None:
        self._held.clear()

    async def take(self) -> Arrival:
        """The oldest that was not taken; waits for it."""
        while not self._held:
            self._rung.clear()
            await self._rung.wait()
        return self._held.popleft()


@dataclass(slots=True)
class Canary:
    """`wiki` None: it only watches. `feed.heard` is `arrivals.put`."""

    feed: Feed
    arrivals: Arrivals
    wiki: Wiki | None
    limit_s: float
    deadline_s: float
    clock: Clock = field(default_factory=Clock)
    _last_sequence: dict[int, int] = field(default_factory=dict)
    """Of the one page that is edited."""

    async def every(self, interval_s: float) -> None:
        """For ever. From beginning to beginning: what takes longer is followed by the next at once."""
        while True:
            began_s = self.clock.monotonic_s()
            await self.once()
            await asyncio.sleep(max(0.0, began_s + interval_s - self.clock.monotonic_s()))

    async def once(self) -> Verdict:
        """Within the deadline, and what the wiki takes to answer."""
        verdict = await self._verdict()
        RUNS.labels(verdict.outcome).inc()
        if verdict.outcome in ("arrived", "late"):
            assert verdict.seconds is not None
            SECONDS.observe(verdict.seconds)
            LAST_ARRIVAL.set(self.clock.now_ms() / 1000)
        seconds = None if verdict.seconds is None else round(verdict.seconds, 3)
        logger.log(
            logging.INFO if verdict.outcome == "arrived" else logging.WARNING,
            "a canary run is over",
            extra={"outcome": verdict.outcome, "reason": verdict.reason, "seconds": seconds},
        )
        return verdict

    async def _verdict(self) -> Verdict:
        try:
            async with asyncio.timeout(self.limit_s):
                await self.feed.opened.wait()
        except TimeoutError:
            return Verdict("failed", f"feed: {self.feed.problem}")
        self.arrivals.clear()
        try:
            return await (self._watched() if self.wiki is None else self._edited(self.wiki))
        except WikiFailed as error:
            return Verdict("failed", f"wiki: {error.reason}")
        except TimeoutError:
            if not self.feed.opened.is_set():
                return Verdict("failed", f"feed: {self.feed.problem}")
            return Verdict("lost", "deadline")

    async def _edited(self, wiki: Wiki) -> Verdict:
        text = TEXT + secrets.token_hex(16)
        await wiki.begin()
        sent_s = self.clock.monotonic_s()
        written = Written(await wiki.save(text), text, sent_s)
        async with asyncio.timeout(self.deadline_s):
            while True:
                arrival = await self.arrivals.take()
                before = self._last_sequence.get(arrival.page, 0)
                self._last_sequence = {arrival.page: max(before, arrival.sequence)}
                if arrival.revision == written.revision:
                    return judge_written(written, arrival, before, self.limit_s)

    async def _watched(self) -> Verdict:
        async with asyncio.timeout(self.deadline_s):
            while (arrival := await self.arrivals.take()).is_late:
                pass
            return judge_seen(arrival, self.limit_s)
