"""What a process of a fleet says when it goes."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from streamer.clock import Clock
from streamer.enrich.fleet import Fleet
from streamer.log.base import Record
from streamer.origin.permits import Done, Leaves, Permit, Purse, Want, decode


class Written:
    """A log that takes all."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def append(self, records: Sequence[Record]) -> None:
        self.records += records


async def test_its_last_word_is_that_it_leaves_whatever_still_waits() -> None:
    """In one piece with what it gives back, and after that word it asks for nothing."""
    log, purse = Written(), Purse("me", 30.0)
    purse.wants = lambda _: [Want(0, 1.0, 1, 1.0)]
    runtime: Any = SimpleNamespace(topics=SimpleNamespace(budget="b"), log=log, clock=Clock())
    now_s = Clock().monotonic_s()
    purse.say(now_s)
    purse.read(Permit("me", 1), 4, now_s)
    await Fleet(runtime, purse).last_word()
    assert [decode(record.value) for record in log.records] == [Leaves("me", 4), Done(4, used=False)]
