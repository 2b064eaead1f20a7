"""Whom the news of a commit wake: the readers of its topics, and nobody else."""

import asyncio

import pytest

from streamer.log.base import Bounds
from streamer.log.tail import News, Tail, TopicRow

NEVER_S = 3600.0


def row(number: int, name: str) -> TopicRow:
    return TopicRow(number, name, "0" * 8, compact=False, lanes=(number * 10, number * 10 + 1))


TOPICS = {name: row(number, name) for number, name in enumerate(("a", "b", "c"))}


@pytest.fixture
def tail() -> Tail:
    tail = Tail()
    bounds = {lane: Bounds(0, 0) for topic in TOPICS.values() for lane in topic.lanes}
    tail.learn(News(1, over_budget=False, topics=TOPICS, bounds=bounds))
    return tail


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def woken_by(tail: Tail, news: News) -> set[str]:
    """Of readers of a, of b, of both, and of a topic that is not there yet."""
    wanted = {"a": ["a"], "b": ["b"], "both": ["a", "b"], "later": ["d"]}
    waiting = {name: asyncio.ensure_future(tail.moved(topics, NEVER_S)) for name, topics in wanted.items()}
    await turn()
    tail.learn(news)
    await turn()
    woken = {name for name, task in waiting.items() if task.done()}
    for task in waiting.values():
        task.cancel()
    await asyncio.gather(*waiting.values(), return_exceptions=True)
    return woken


async def test_a_commit_wakes_the_readers_of_its_topics(tail: Tail) -> None:
    assert await woken_by(tail, News(2, over_budget=False, topics=None, bounds={1: Bounds(0, 5)})) == {
        "a",
        "both",
    }
    assert await woken_by(tail, News(3, over_budget=False, topics=None, bounds={11: Bounds(0, 1)})) == {
        "b",
        "both",
    }
    assert await woken_by(tail, News(4, over_budget=False, topics=None, bounds={20: Bounds(0, 1)})) == set()
    assert tail.bounds[1] == Bounds(0, 5)


async def test_another_set_of_topics_wakes_all(tail: Tail) -> None:
    """Whose topic is gone has to say so, and who waits for one may have it now."""
    topics = {**TOPICS, "d": row(3, "d")}
    assert await woken_by(tail, News(2, over_budget=False, topics=topics)) == {"a", "b", "both", "later"}
    news = News(3, over_budget=False, topics=None, bounds={30: Bounds(0, 1)})
    assert await woken_by(tail, news) == {"later"}


async def test_old_news_wake_nobody(tail: Tail) -> None:
    assert await woken_by(tail, News(1, over_budget=False, topics=None, bounds={1: Bounds(0, 5)})) == set()
    assert tail.bounds[1] == Bounds(0, 0)


async def test_the_news_of_a_lane_that_no_topic_has_are_heeded(tail: Tail) -> None:
    """Those of a topic that was deleted a moment ago."""
    assert await woken_by(tail, News(2, over_budget=False, topics=None, bounds={99: Bounds(0, 5)})) == set()


async def test_a_wait_ends_by_itself(tail: Tail) -> None:
    async with asyncio.timeout(60):
        await tail.moved(["a"], 0.001)
        await tail.moved([], 0.001)
