"""What this process knows of the log: its topics, and where each partition begins and ends.

One of these a process. Readers look here whether there is anything for them, so that a hundred idle
topics cost no query; whoever has looked at the file (the writer after its commit, the bell, a slow
poll) brings the news. It moves from one committed state to a later one, never to a mixture: a
reader that goes no further than these ends sees commits of all topics in their order.
"""

import asyncio
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from streamer.log.base import Bounds, TopicInfo


@dataclass(frozen=True, slots=True)
class TopicRow:
    id: int
    name: str
    epoch: str
    compact: bool
    lanes: tuple[int, ...]
    """Row ids of the partitions, in their order."""

    def info(self) -> TopicInfo:
        return TopicInfo(self.name, len(self.lanes), self.epoch)


@dataclass(frozen=True, slots=True)
class News:
    change: int
    over_budget: bool
    topics: dict[str, TopicRow] | None
    """None: as before."""
    bounds: dict[int, Bounds] = field(default_factory=dict)
    """Of the lanes that moved."""


def look(connection: sqlite3.Connection, known: int) -> News | None:
    """What changed after the change `known`; None if nothing did. One short read transaction."""
    (change,) = connection.execute("SELECT change FROM log").fetchone()
    if change == known:
        return None
    connection.execute("BEGIN")
    try:
        change, topics_changed, over_budget = connection.execute(
            "SELECT change, topics_changed, over_budget FROM log"
        ).fetchone()
        topics = read_topics(connection) if topics_changed > known else None
        rows = connection.execute("SELECT id, earliest, end FROM lanes WHERE changed > ?", (known,))
        return News(
            change, bool(over_budget), topics, {lane: Bounds(earliest, end) for lane, earliest, end in rows}
        )
    finally:
        connection.execute("COMMIT")


def read_topics(connection: sqlite3.Connection) -> dict[str, TopicRow]:
    lanes: dict[int, list[int]] = {}
    for topic, lane in connection.execute(
        "SELECT topic, lanes.id FROM lanes JOIN topics ON topics.id = topic WHERE alive"
        " ORDER BY topic, partition"
    ):
        lanes.setdefault(topic, []).append(lane)
    return {
        name: TopicRow(topic, name, epoch, bool(compact), tuple(lanes[topic]))
        for topic, name, epoch, compact in connection.execute(
            "SELECT id, name, epoch, compact FROM topics WHERE alive ORDER BY name"
        )
    }


class Tail:
    def __init__(self) -> None:
        self.change = -1
        self.over_budget = False
        self.topics: Mapping[str, TopicRow] = {}
        """Another object whenever they have changed."""
        self.bounds: dict[int, Bounds] = {}
        self._topic_of: dict[int, str] = {}
        """By lane."""
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        """By topic."""

    def learn(self, news: News | None) -> None:
        """Older news than what is known is no news: it comes from several threads."""
        if news is None or news.change <= self.change:
            return
        self.change = news.change
        self.over_budget = news.over_budget
        self.bounds.update(news.bounds)
        if news.topics is None:
            names = {self._topic_of[lane] for lane in news.bounds if lane in self._topic_of}
        else:
            self.topics = news.topics
            self._topic_of = {lane: name for name, topic in news.topics.items() for lane in topic.lanes}
            names = set(self._waiting)
        for name in names:
            for future in self._waiting.get(name, ()):
                _wake(future)

    async def moved(self, topics: Collection[str], wait_s: float) -> None:
        """Returns at the next change that is learnt of one of these topics, or of which topics there are; or
        after `wait_s`. A commit to one topic must not wake the readers of all others.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        for name in topics:
            self._waiting.setdefault(name, set()).add(future)
        timer = loop.call_later(wait_s, _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            for name in topics:
                self._waiting[name].discard(future)
                if not self._waiting[name]:
                    del self._waiting[name]


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
