"""What every role is handed: settings, the log, its health, a clock, the wish to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from streamer.clock import Clock
from streamer.config import Settings
from streamer.groups import alone_by_name
from streamer.health import Health
from streamer.log.base import Log, TopicSpec
from streamer.model import Topics
from streamer.tracing import Tracing

T = TypeVar("T")


@dataclass(slots=True)
class Runtime:
    """`draining` set: take no new input, finish what is in flight, commit, return."""

    settings: Settings
    """Those in force. A reload replaces them (streamer.reload): ask at use, keep none of what may change."""
    log: Log
    health: Health = field(default_factory=Health)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    clock: Clock = field(default_factory=Clock)
    tracing: Tracing | None = None
    """None: off, as it is by default."""

    _followers: list[Callable[[Settings], None]] = field(default_factory=list)
    _rereaders: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def before_drain(self, work: Coroutine[Any, Any, object]) -> bool:
        """`work` to its end. False: it was cancelled, for draining began before."""
        with alone_by_name():
            async with asyncio.TaskGroup() as group:
                working = group.create_task(work)
                draining = group.create_task(self.draining.wait())
                await asyncio.wait({working, draining}, return_when=asyncio.FIRST_COMPLETED)
                working.cancel()
                draining.cancel()
        return not working.cancelled()

    @property
    def topics(self) -> Topics:
        return Topics(self.settings.log.prefix)

    def follow(self, take: Callable[[Settings], None]) -> None:
        """`take` gets the settings whenever they change: for parts that must do something about it. It lasts
        as long as this, so it is for what is made once a process.
        """
        self._followers.append(take)

    def at_reload(self, read: Callable[[], Awaitable[None]]) -> None:
        """`read` is awaited at each reload, whether or not settings have changed: for files that they only
        name. Where one is wrong it raises ConfigError, and keeps what it had.
        """
        self._rereaders.append(read)

    async def reread(self) -> None:
        for read in self._rereaders:
            await read()

    def put_in_force(self, settings: Settings) -> None:
        self.settings = settings
        for take in self._followers:
            take(settings)

    def derived(self, make: Callable[[Settings], T]) -> Callable[[], T]:
        """What is made of the settings in force, made anew only when they have changed."""
        of, made = self.settings, make(self.settings)

        def current() -> T:
            nonlocal of, made
            if of is not self.settings:
                of, made = self.settings, make(self.settings)
            return made

        return current


HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BUDGET_MS = HOUR_MS // 2
"""A permit is of use for seconds, and counts for some minutes at the longest time limit of a request."""


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """The shared topics with their policies."""
    topics = Topics(settings.log.prefix)
    partitions = settings.log.partitions
    lag = int(settings.log.history_hours * HOUR_MS)
    return [
        TopicSpec(topics.changes, partitions, compact=False, retention_ms=7 * DAY_MS),
        article_spec(settings, topics.articles),
        TopicSpec(
            topics.withdrawals,
            partitions,
            compact=True,
            retention_ms=31 * DAY_MS,
            compaction_lag_ms=lag,
            protected=True,
        ),
        TopicSpec(topics.signals, partitions, compact=False, retention_ms=7 * DAY_MS),
        TopicSpec(topics.deadletter, partitions, compact=False, retention_ms=30 * DAY_MS),
        TopicSpec(topics.meta, partitions, compact=True, retention_ms=None, protected=True),
        TopicSpec(topics.budget, 1, compact=False, retention_ms=BUDGET_MS),
    ]


def article_spec(settings: Settings, name: str) -> TopicSpec:
    """Of `wiki.articles.v1` and of each partner's topic."""
    return TopicSpec(
        name,
        settings.log.partitions,
        compact=True,
        retention_ms=30 * DAY_MS,
        compaction_lag_ms=int(settings.log.history_hours * HOUR_MS),
    )
