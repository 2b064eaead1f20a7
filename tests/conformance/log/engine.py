"""What the suite needs of an engine under test, and the local one."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from streamer.log.base import Log, TopicPartition, TopicSpec
from streamer.log.local import LocalLog

START_MS = 1_700_000_000_000


class Engine(Protocol):
    """One log, which may be opened several times at once, as by several processes."""

    def open(self) -> AbstractAsyncContextManager[Log]: ...
    def advance(self, ms: int) -> None:
        """Time passes."""

    async def cleaned(self, log: Log) -> None:
        """Returns once retention and compaction have done what is due."""

    async def take_over(self, log: Log, group: str) -> None:
        """Another worker gets all lanes of the group, although the first one still runs."""


@dataclass
class LocalEngine:
    path: Path
    kind: type[LocalLog] = LocalLog
    retention_bytes: int = 2**40
    now_ms: int = field(default=START_MS)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LocalLog]:
        log = self.kind(
            self.path,
            retention_bytes=self.retention_bytes,
            clock=lambda: self.now_ms,
            clean_every_s=3600,  # when a test says so
        )
        async with log:
            yield log

    def advance(self, ms: int) -> None:
        self.now_ms += ms

    async def cleaned(self, log: Log) -> None:
        assert isinstance(log, LocalLog)
        await log.clean()

    async def take_over(self, log: Log, group: str) -> None:
        assert isinstance(log, LocalLog)
        await log.fence(group)


A = TopicSpec("a", 10, compact=False, retention_ms=None)
B = TopicSpec("b", 10, compact=False, retention_ms=None)
C = TopicSpec("c", 10, compact=True, retention_ms=None, compaction_lag_ms=60_000)
SHORT = TopicSpec("short", 10, compact=False, retention_ms=60_000)
SPECS = (A, B, C, SHORT)


def at(topic: str, partition: int = 0) -> TopicPartition:
    return TopicPartition(topic, partition)
