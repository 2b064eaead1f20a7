"""One thing that is asked for, and who waits for it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from streamer.errors import OriginError
from streamer.origin.answer import Answer
from streamer.origin.listing import Listing
from streamer.origin.scheduler import Item
from streamer.tracing import Journey

Outcome: TypeAlias = Answer | tuple[int, ...] | Listing
"""Of a page or a revision, or the page ids of a log entry, or of two lists."""


@dataclass(slots=True, eq=False)
class Waiting(Item):
    """Its waiters may leave at any time (a cancelled future is done): nobody else notices."""

    waiters: list[asyncio.Future[Outcome]] = field(default_factory=list)
    has_failed: bool = False
    """A request with it did, beyond being put off by the wiki's word."""
    journeys: tuple[Journey, ...] = ()
    """Of those of its waiters that are traced."""

    def join(self, other: Item) -> None:
        Item.join(self, other)
        if isinstance(other, Waiting):
            self.waiters += other.waiters
            self.journeys += other.journeys

    @property
    def is_abandoned(self) -> bool:
        return all(waiter.done() for waiter in self.waiters)

    def answer(self, outcome: Outcome) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(outcome)

    def refuse(self, error: OriginError) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(error)


def refuse_all(items: Iterable[Waiting], error: OriginError) -> None:
    for item in items:
        item.refuse(error)
