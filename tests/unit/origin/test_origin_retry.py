"""What becomes of things whose request brought no answer."""

import asyncio
import random

import pytest

from streamer.errors import AnswerInvalid, OriginUnavailable
from streamer.origin.breaker import Breakers, Reach
from streamer.origin.budget import Budget
from streamer.origin.parse import ApiError
from streamer.origin.retry import TRIES, Retries
from streamer.origin.scheduler import Lane, Scheduler
from streamer.origin.waiting import Outcome, Waiting

LANE = Lane("enwiki", "en.wikipedia.org", "revision")


@pytest.fixture
def retries() -> Retries:
    breakers = Breakers(50, random.Random(0))

    def refused(server_name: str, wait_s: float, now_s: float) -> None:
        breakers.limited(server_name, now_s, now_s + wait_s)

    return Retries(Scheduler(Budget(200, 3), breakers), breakers, Reach(), refused)


def waiting(key: int, since_s: float = 0.0) -> tuple[Waiting, asyncio.Future[Outcome]]:
    waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    return Waiting(key, since_s, waiters=[waiter]), waiter


async def test_after_some_tries_the_asker_hears_of_it(retries: Retries) -> None:
    """With the reason of the last try, and when it may ask again."""
    item, waiter = waiting(1)
    for attempt in range(TRIES):
        assert not waiter.done()
        for taken in retries.scheduler.items(LANE):
            retries.scheduler.drop(LANE, taken)
        retries.failed(LANE, [item], OriginUnavailable("status_503", retry_after_s=7.0), float(attempt))
    error = waiter.exception()
    assert isinstance(error, OriginUnavailable)
    assert (error.reason, error.retry_after_s) == ("status_503", 7.0)
    assert not len(retries.scheduler)


async def test_a_short_budget_alone_refuses_nobody(retries: Retries) -> None:
    """Things that waited long for a token stay when their wiki fails once, and go when it has failed for
    as long as they may wait.
    """
    old, waiter = waiting(1, since_s=0.0)
    asked, _ = waiting(2, since_s=0.0)
    retries.scheduler.add(LANE, old)
    retries.failed(LANE, [asked], OriginUnavailable("timeout"), 1_000.0)
    assert not waiter.done()
    retries.scheduler.drop(LANE, asked)
    retries.failed(LANE, [asked], OriginUnavailable("timeout"), 1_060.0)
    assert isinstance(waiter.exception(), OriginUnavailable)


async def test_from_the_second_failure_on_in_smaller_company(retries: Retries) -> None:
    """One of them may be what fails; where the wiki says "later" it isn't."""
    items = [waiting(key)[0] for key in range(8)]
    retries.again(LANE, items, OriginUnavailable("status_500"))
    assert items[0].most > 8
    retries.again(LANE, items, OriginUnavailable("maxlag"))
    assert items[0].most > 8
    retries.again(LANE, items, OriginUnavailable("status_500"))
    assert {item.most for item in items} == {4}


async def test_whoever_is_left_alone_is_told(retries: Retries) -> None:
    """Halves of one thing are its end."""
    item, waiter = waiting(1)
    retries.untaken(LANE, [item], AnswerInvalid("unparsable"))
    assert isinstance(waiter.exception(), AnswerInvalid)


async def test_what_nobody_waits_for_is_not_asked_again(retries: Retries) -> None:
    """Its asker was cancelled while it was under way."""
    item, waiter = waiting(1)
    waiter.cancel()
    retries.again(LANE, [item], OriginUnavailable("timeout"))
    assert not len(retries.scheduler)


async def test_a_wiki_that_takes_not_even_one(retries: Retries) -> None:
    """`toomanyvalues` for a single value ends, it doesn't go round."""
    item, waiter = waiting(1)
    assert retries.api_error(LANE, [item], ApiError("toomanyvalues", 0, "", None), 0.0) == "toomanyvalues"
    error = waiter.exception()
    assert isinstance(error, AnswerInvalid)
    assert error.reason == "refused"
