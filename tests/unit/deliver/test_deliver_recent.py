"""One finds out for all."""

import asyncio

import pytest

from streamer.clock import Clock
from streamer.deliver.recent import Recent


async def test_many_who_ask_at_once_cost_one_question() -> None:
    """And those who ask within the time that the answer is good for cost none."""
    now_s = 0.0
    asked = 0

    async def find_out() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return asked

    recent: Recent[int] = Recent(5.0, Clock(monotonic_s=lambda: now_s))
    assert await asyncio.gather(*(recent.get("acme", find_out) for _ in range(50))) == [1] * 50
    now_s = 4.9
    assert await recent.get("acme", find_out) == 1
    now_s = 5.0
    assert await recent.get("acme", find_out) == 2
    assert await recent.get("globex", find_out) == 3, "one's answer is not another's"


async def test_who_gives_up_leaves_the_question_to_the_next() -> None:
    """A client that left, or an error, is not an answer for the others."""
    begun = asyncio.Event()

    async def hang() -> int:
        begun.set()
        return await asyncio.Event().wait()

    async def fail() -> int:
        raise OSError

    async def answer() -> int:
        return 7

    recent: Recent[int] = Recent(5.0, Clock())
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        first = group.create_task(recent.get("acme", hang))
        await begun.wait()
        second = group.create_task(recent.get("acme", answer))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 7
    with pytest.raises(OSError):
        await recent.get("globex", fail)
    assert await recent.get("globex", answer) == 7
