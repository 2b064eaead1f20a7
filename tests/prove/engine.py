"""What a run stands on: a log, the processes on it, and what else may befall them.

One of two:

Local     one file; all roles in one process, or each in its own
Cluster   brokers of its own, one or three; each role in its own processes, two of enrich and of route
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Protocol, Self

from confluent_kafka.admin import AdminClient
from harness.kafka_readers import by_console, by_librdkafka
from harness.on_kafka import OnKafka

from deploy.kafka import Brokers
from prove.fleet import APART, SHARED, TOGETHER, Fleet, Layout
from prove.harm import Harm
from prove.wiki import Json
from streamer.faultpoints import Engine as Points
from streamer.log.base import Log
from streamer.log.local import LocalLog
from streamer.model import Topics

ASK_S: Final = 20.0
AWAY_S: Final = (0.5, 4.0)
"""For so long a broker is gone before it is started again."""


class Engine(Protocol):
    """Already open."""

    name: str
    """Of the layout, for people."""
    topics: Topics
    points: Points
    layout: Layout

    @property
    def settings(self) -> str:
        """What stands under `[log]`."""
        ...

    def open(self) -> AbstractAsyncContextManager[Log]: ...

    def harm(self, fleet: Fleet) -> Harm | None:
        """What there is to suffer beside kills of processes."""
        ...

    async def read(self, partners: Sequence[str]) -> Mapping[str, Mapping[str, Sequence[Json]]]:
        """What each partner's topic holds, by the partner's own clients of it: client, partner, articles."""
        ...


class Local:
    topics = Topics()
    points: Points = "log"

    def __init__(self, path: Path, *, apart: bool) -> None:
        self.name = "one process a role" if apart else "all roles in one process"
        self.layout = APART if apart else TOGETHER
        self._path = path

    @property
    def settings(self) -> str:
        return f'path = "{self._path}"'

    def open(self) -> LocalLog:
        return LocalLog(self._path, clean_every_s=3600)

    def harm(self, _: Fleet) -> None:
        return None

    async def read(self, _: Sequence[str]) -> Mapping[str, Mapping[str, Sequence[Json]]]:
        """It has no clients but the service's own."""
        return {}


class Cluster:
    """Raises deploy.kafka.Unavailable where there is no Java or no broker to be had."""

    points: Points = "kafka"
    layout = SHARED

    def __init__(self, folder: Path, *, brokers: int) -> None:
        self.name = f"roles apart on Kafka, brokers: {brokers}"
        self._count = brokers
        self._brokers = Brokers(folder, count=brokers)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._brokers)
            self._log = OnKafka(self._brokers)
            self.topics = Topics(self._log.prefix)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def settings(self) -> str:
        return self._log.settings

    def open(self) -> Log:
        return self._log.open()

    def harm(self, fleet: Fleet) -> Harm:
        return Harm(fleet, self._strike)

    async def _strike(self, rng: Random) -> None:
        """One is down for a while, and comes back with its data."""
        node = await self._leader(rng)
        await self._brokers.kill(node)
        await asyncio.sleep(rng.uniform(*AWAY_S))
        await self._brokers.start(node)

    async def _leader(self, rng: Random) -> int:
        """Of a partition in use."""
        if self._count == 1:
            return 1
        async with self._log.open() as log:
            topic = rng.choice((self.topics.changes, self.topics.articles))
            bounds = await log.all_bounds(topic)
        used = [number for number, bound in enumerate(bounds) if bound.end]
        admin = AdminClient({"bootstrap.servers": self._brokers.bootstrap})
        told = await asyncio.to_thread(admin.list_topics, topic, ASK_S)
        return int(told.topics[topic].partitions[rng.choice(used)].leader)

    async def read(self, partners: Sequence[str]) -> Mapping[str, Mapping[str, Sequence[Json]]]:
        found: dict[str, dict[str, Sequence[Json]]] = {"librdkafka": {}, "console": {}}

        async def read(client: str, partner: str) -> None:
            by = by_librdkafka if client == "librdkafka" else by_console
            found[client][partner] = await by(self._brokers, self.topics.of_partner(partner))

        async with asyncio.TaskGroup() as group:
            for client in found:
                for partner in partners:
                    group.create_task(read(client, partner))
        return found
