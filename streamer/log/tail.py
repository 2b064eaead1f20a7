"""What this process knows of the log: its topics, and where each partition begins and ends.

One of these a process. Readers look here whether there is anything for them, so that a hundred idle
topics cost no query; whoever has looked at the file (the writer after its commit, the bell, a slow
poll) brings the news. It moves from one committed state to a later one, never to a mixture: a
reader that goes no further than these ends sees commits of all topics in their order.
"""

import asyncio
import sqlite3
from dataclasses import dataclass, field

from streamer.log.base import Bounds, TopicInfo
from streamer.log.waiting import Condition


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
        self.topics: dict[str, TopicRow] = {}
        self.bounds: dict[int, Bounds] = {}
        self._condition = Condition()

    def learn(self, news: News | None) -> None:
        """Older news than what is known is no news: it comes from several threads."""
        if news is None or news.change <= self.change:
            return
        self.change = news.change
        self.over_budget = news.over_budget
        if news.topics is not None:
            self.topics = news.topics
        self.bounds.update(news.bounds)
        self._condition.notify()

    async def moved(self, wait_s: float) -> None:
        """Returns at the next change that is learnt, or after `wait_s`."""
        try:
            async with asyncio.timeout(wait_s):
                await self._condition.wait()
        except TimeoutError:
            pass
