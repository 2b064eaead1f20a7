"""Questions of one turn share a thread's time, and each gets its own answer."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from streamer.errors import LogUnavailable, OffsetOutOfRange, StreamerError
from streamer.log.gathered import Gathered
from streamer.log.local_file import open_file
from streamer.log.pool import ReadPool


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[ReadPool]:
    open_file(tmp_path / "log.db")
    pool = ReadPool(tmp_path / "log.db")
    yield pool
    await pool.close()


class Answers:
    """Doubles numbers, at most so many at once; OffsetOutOfRange for what is negative."""

    def __init__(self, most: int = 100) -> None:
        self.asked: list[list[int]] = []
        self._most = most

    def __call__(self, _: sqlite3.Connection, questions: Sequence[int]) -> list[int | Exception]:
        self.asked.append(list(questions))
        return [2 * q if q >= 0 else OffsetOutOfRange("t", 0, q, 0, 9) for q in questions[: self._most]]


async def test_questions_of_one_turn_are_asked_at_once(pool: ReadPool) -> None:
    answers = Answers()
    gathered = Gathered(pool, answers)
    assert await asyncio.gather(*(gathered.ask(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert await gathered.ask(7) == 14
    assert answers.asked == [[0, 1, 2, 3, 4], [7]]


async def test_what_was_not_answered_is_asked_again(pool: ReadPool) -> None:
    answers = Answers(most=2)
    gathered = Gathered(pool, answers)
    assert await asyncio.gather(*(gathered.ask(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert answers.asked == [[0, 1, 2, 3, 4], [2, 3, 4], [4]]


async def test_an_error_of_one_is_its_own(pool: ReadPool) -> None:
    gathered = Gathered(pool, Answers())
    good, bad, other = await asyncio.gather(*(gathered.ask(n) for n in (1, -1, 2)), return_exceptions=True)
    assert (good, other) == (2, 4)
    assert isinstance(bad, OffsetOutOfRange)


async def test_an_error_of_the_file_is_everybodys(pool: ReadPool) -> None:
    """Each has an exception of its own, for each adds its own traceback."""

    def fails(connection: sqlite3.Connection, _: Sequence[int]) -> list[int | Exception]:
        connection.execute("SELECT nothing FROM nowhere")
        return []

    gathered = Gathered(pool, fails)
    errors = await asyncio.gather(*(gathered.ask(n) for n in range(3)), return_exceptions=True)
    assert [type(error) for error in errors] == [LogUnavailable] * 3
    assert len({id(error) for error in errors}) == 3


async def test_who_was_cancelled_is_not_answered_and_keeps_nobody_waiting(pool: ReadPool) -> None:
    answers = Answers()
    gathered = Gathered(pool, answers)
    asking = [asyncio.ensure_future(gathered.ask(n)) for n in range(3)]
    asyncio.get_running_loop().call_soon(asking[1].cancel)  # once all have asked, before a thread is
    first, second, third = await asyncio.gather(*asking, return_exceptions=True)
    assert (first, third) == (0, 4)
    assert isinstance(second, asyncio.CancelledError)
    assert answers.asked == [[0, 2]]


async def test_a_closed_log_says_so(pool: ReadPool) -> None:
    """Also where it closes in the turn in which it is asked."""
    gathered = Gathered(pool, Answers())
    asking = asyncio.ensure_future(gathered.ask(1))
    await pool.close()
    late = asyncio.ensure_future(gathered.ask(2))
    for asked in (asking, late):
        with pytest.raises(StreamerError, match="the log is closed"):
            await asked


async def test_who_asks_while_a_thread_is_at_it_shares_the_next_way(pool: ReadPool) -> None:
    """Not that one: what was committed in between would not be in its answer."""
    answers, goes_on = Answers(), threading.Event()

    def slowly(connection: sqlite3.Connection, questions: Sequence[int]) -> list[int | Exception]:
        found = answers(connection, questions)
        assert goes_on.wait(60)
        return found

    gathered = Gathered(pool, slowly)
    first = asyncio.ensure_future(gathered.ask(1))
    while not answers.asked:
        await asyncio.sleep(0.001)
    later = []
    for n in (2, 3):
        later.append(asyncio.ensure_future(gathered.ask(n)))
        await asyncio.sleep(0)
    goes_on.set()
    assert await asyncio.gather(first, *later) == [2, 4, 6]
    assert answers.asked == [[1], [2, 3]]
