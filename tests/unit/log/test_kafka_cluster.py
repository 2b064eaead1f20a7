"""What is known of a cluster's topics, and for how long it is believed."""

import asyncio

from streamer.log.base import TopicInfo
from streamer.log.kafka_client import Access
from streamer.log.kafka_cluster import Cluster, Topic, View

NAME = "t"
MADE = Topic(TopicInfo(NAME, 1, "00000000"), b"0" * 16, (1,), 0)


class Held(Cluster):
    """Its first answer is long on its way."""

    def __init__(self) -> None:
        super().__init__(Access(("127.0.0.1:1",)))
        self.there: dict[str, Topic] = {}
        self.asked = asyncio.Event()
        self.arrives = asyncio.Event()

    async def _seen(self, names: set[str]) -> View:
        view = View({name: self.there[name] for name in names & self.there.keys()}, frozenset())
        self.asked.set()
        await self.arrives.wait()
        return view


async def test_an_answer_from_before_is_not_believed_after() -> None:
    """A topic is made while a question is on its way, and its maker says so: that there was none is
    still the answer to that question, and not to the next.
    """
    cluster = Held()
    async with asyncio.TaskGroup() as group:
        early = group.create_task(cluster.topic(NAME))
        await cluster.asked.wait()
        cluster.there[NAME] = MADE
        cluster.changed()
        cluster.arrives.set()
    assert early.result() is None
    assert await cluster.existing(NAME) == MADE


async def test_what_is_known_is_not_asked_again() -> None:
    """Unless somebody had it forgotten."""
    cluster = Held()
    cluster.there[NAME] = MADE
    cluster.arrives.set()
    assert await cluster.topic(NAME) == MADE
    cluster.asked.clear()
    assert await cluster.topic(NAME) == MADE
    assert not cluster.asked.is_set()
    cluster.forget()
    assert await cluster.topic(NAME) == MADE
    assert cluster.asked.is_set()
