"""The cut-offs that every read path of this role judges by, and how far they may lag: one second."""

from collections.abc import Callable
from typing import Final

from streamer.cutoffs import Cutoffs
from streamer.log.base import Log, Stored
from streamer.log.table import Table

MAX_LAG_S: Final = 1.0
"""Streams pause while the cut-offs are further behind: better late than a withdrawn text."""


class Withdrawals:
    """`load`, then `run` beside everything that reads. `on_cutoff` is called with each key at once."""

    def __init__(self, log: Log, topic: str) -> None:
        self.cutoffs = Cutoffs()
        self._table = Table(log, topic, self._apply)
        self._listeners: set[Callable[[str], None]] = set()

    async def load(self) -> None:
        await self._table.load()

    async def run(self) -> None:
        """For ever. While the log can't be read, `behind` grows and streams pause."""
        await self._table.run()

    async def current(self) -> None:
        """Returns once all cut-offs that were committed before this call apply."""
        await self._table.catch_up()

    @property
    def behind(self) -> bool:
        return self._table.lag_s > MAX_LAG_S

    def subscribe(self, on_cutoff: Callable[[str], None]) -> None:
        self._listeners.add(on_cutoff)

    def unsubscribe(self, on_cutoff: Callable[[str], None]) -> None:
        self._listeners.discard(on_cutoff)

    def _apply(self, record: Stored) -> None:
        if self.cutoffs.apply(record):
            for listener in tuple(self._listeners):
                listener(record.key)
