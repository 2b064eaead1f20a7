"""What a process of a fleet says when it goes, and when its topic does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from streamer.clock import Clock
from streamer.enrich.fleet import Fleet
from streamer.errors import OffsetOutOfRange
from streamer.log.base import Record, TopicPartition
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


class Anew(Written):
    """A topic that is deleted and made again while it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = [1_000, 3]
        self.begun: list[int] = []

    async def bounds(self, _: TopicPartition) -> SimpleNamespace:
        return SimpleNamespace(end=self.ends.pop(0))

    @asynccontextmanager
    async def reader(self, start: dict[TopicPartition, int]) -> AsyncIterator[Any]:
        self.begun += start.values()
        yield self

    async def read(self, *, wait_s: float) -> list[Any]:
        if len(self.begun) == 1:
            raise OffsetOutOfRange("b", 0, 1_000, 0, 3)
        await asyncio.sleep(wait_s)
        return []

    def position(self, _: TopicPartition) -> int:
        return self.begun[-1]


async def test_of_a_topic_that_was_made_anew_it_knows_no_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the keeper in this process had handed over is no more, and was not seen there."""
    monkeypatch.setattr("streamer.enrich.fleet.AGAIN_S", 0.0)
    log, purse = Anew(), Purse("me", 30.0)
    purse.deliver(Permit("me", 1), 1_000, Clock().monotonic_s())
    health = SimpleNamespace(forget=lambda _: None)
    runtime: Any = SimpleNamespace(topics=SimpleNamespace(budget="b"), log=log, clock=Clock(), health=health)
    following = asyncio.create_task(Fleet(runtime, purse)._follow())
    async with asyncio.timeout(30):
        while len(log.begun) < 2:
            await asyncio.sleep(0)
    following.cancel()
    assert log.begun == [1_000, 3]
    assert purse.leave() == [Leaves("me", 2)]
