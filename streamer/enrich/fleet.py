"""Whether more processes run enrich than `mediawiki.workers` says, and what one of them may ask then.

Lanes are dealt out evenly, so one that has fewer than its part of them knows. Whatever the settings say, a
process asks for no larger part of the budget than it has of the lanes (Settings.share_of).
"""

import asyncio
import logging
from typing import Final, NoReturn

from streamer.enrich.outcome import Wikis
from streamer.metrics import ORIGIN_OVERCOMMITTED
from streamer.origin.budget import WINDOW_S
from streamer.runtime import Runtime

STANDS_S: Final = 15.0
"""While lanes are dealt out anew a process may have few of them: that is no alarm."""
LOOK_S: Final = 1.0

logger = logging.getLogger(__name__)


class Fleet:
    """`held` whenever the lanes of this process change, `watch` beside them."""

    def __init__(self, runtime: Runtime, origin: Wikis) -> None:
        self._runtime = runtime
        self._origin = origin
        self._lanes: int | None = None
        self._since_s = 0.0
        self._share_lanes: int | None = None
        """What the share is of."""
        self._is_overcommitted = False

    def held(self, lanes: int) -> None:
        if lanes == self._lanes:
            return
        self._lanes = lanes
        self._since_s = self._runtime.clock.monotonic_s()
        if self._share_lanes is None or lanes < self._share_lanes:
            self._take_share(lanes)

    async def watch(self) -> NoReturn:
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        if self._lanes is None:
            return
        stood_s = self._runtime.clock.monotonic_s() - self._since_s
        if self._lanes != self._share_lanes and stood_s >= WINDOW_S:
            self._take_share(self._lanes)  # what those asked who had the lanes before counts no more
        settings = self._runtime.settings
        has_few = self._lanes < settings.log.partitions // settings.workers
        if has_few == self._is_overcommitted or (has_few and stood_s < STANDS_S):
            return
        self._is_overcommitted = has_few
        ORIGIN_OVERCOMMITTED.set(has_few)
        if has_few:
            logger.error(
                "more processes run enrich than mediawiki.workers says: set it to their number",
                extra={
                    "workers": settings.workers,
                    "lanes": self._lanes,
                    "lanes_of_all": settings.log.partitions,
                },
            )
        else:
            logger.info("no more processes run enrich than mediawiki.workers says")

    def _take_share(self, lanes: int) -> None:
        self._share_lanes = lanes
        self._origin.holds(lanes)
