"""Who shares an answer, and that none is older than its question."""

import asyncio
import random

import pytest

from streamer.errors import LogUnavailable
from streamer.log.rounds import Rounds


class Asked:
    """Answers with its number, once `go` says so."""

    def __init__(self) -> None:
        self.count = 0
        self.go = asyncio.Semaphore(0)
        self.fails = False

    async def __call__(self) -> int:
        self.count += 1
        mine = self.count
        await self.go.acquire()
        if self.fails:
            raise LogUnavailable("not now")
        return mine

    async def begun(self, count: int) -> None:
        while self.count < count:
            await asyncio.sleep(0)


def asking(rounds: Rounds[int], count: int) -> list[asyncio.Future[int]]:
    return [asyncio.ensure_future(rounds.answer()) for _ in range(count)]


async def test_one_turn_is_one_question() -> None:
    asked = Asked()
    asked.go.release()
    assert await asyncio.gather(*asking(Rounds(asked), 5)) == [1] * 5


async def test_who_comes_while_it_is_under_way_shares_the_next() -> None:
    asked = Asked()
    rounds = Rounds(asked)
    first = asking(rounds, 2)
    await asked.begun(1)
    later = asking(rounds, 3)
    for _ in range(5):
        await asyncio.sleep(0)
    assert asked.count == 1
    asked.go.release()
    assert await asyncio.gather(*first) == [1, 1]
    asked.go.release()
    assert await asyncio.gather(*later) == [2, 2, 2]


async def test_a_failure_is_that_of_all_who_shared_it() -> None:
    asked = Asked()
    asked.fails = True
    rounds = Rounds(asked)
    asked.go.release()
    found = await asyncio.gather(*asking(rounds, 3), return_exceptions=True)
    assert [type(one) for one in found] == [LogUnavailable] * 3
    assert len({id(one) for one in found}) == 3
    asked.fails = False
    asked.go.release()
    assert await rounds.answer() == 2


@pytest.mark.parametrize("is_under_way", [False, True])
async def test_others_ask_again_where_the_one_who_asked_was_cancelled(*, is_under_way: bool) -> None:
    asked = Asked()
    rounds = Rounds(asked)
    first, *others = asking(rounds, 3)
    if is_under_way:
        await asked.begun(1)
    else:
        await asyncio.sleep(0)
    first.cancel()
    asked.go.release()
    asked.go.release()
    assert set(await asyncio.gather(*others)) == {asked.count}
    assert first.cancelled()


async def test_no_answer_is_older_than_its_question(rng: random.Random) -> None:
    """Whoever is cancelled on the way, and however long a question takes."""
    now = asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        seen = now
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        return seen

    rounds = Rounds(ask)

    async def check() -> None:
        since = now
        assert await rounds.answer() >= since

    tasks: list[asyncio.Task[None]] = []
    for _ in range(3_000):
        now += 1
        if rng.random() < 0.5:
            tasks.append(asyncio.ensure_future(check()))  # type: ignore[arg-type]
        if tasks and rng.random() < 0.1:
            rng.choice(tasks).cancel()
        if rng.random() < 0.6:
            await asyncio.sleep(0)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [one for one in found if isinstance(one, AssertionError)]
    assert asked < len(tasks)
