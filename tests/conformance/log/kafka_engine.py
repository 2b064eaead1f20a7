"""The engine on a broker of its own, whose time is the wall's.

The suite's time is invented, and a broker measures ages by the wall. So the topics' policies are made
older by the distance between the two, each time they are set; and what is due by then is waited for,
by looking at the segments on the broker's disk.
"""

import asyncio
import secrets
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from deploy.kafka import Brokers
from streamer.log.base import Log, TopicSpec
from streamer.log.kafka import KafkaLog
from streamer.log.kafka_topics import MAX_BATCH_BYTES
from tests.conformance.log.engine import SPECS, START_MS

CLEAN_DEADLINE_S = 60.0
HEADER = struct.Struct(">qiibIhiqq")
"""Of a batch: base offset, length, leader epoch, magic, checksum, attributes, last delta, two times."""
SPAN_MS = 5_000
"""A segment's, in the suite's time: less than any step between two ages that a check tells apart."""


class DatedLog(KafkaLog):
    """Whose topics are kept by the engine's time."""

    def __init__(self, engine: "KafkaEngine") -> None:
        super().__init__(
            (engine.brokers.bootstrap,),
            prefix=engine.prefix,
            replication=1,
            clock=lambda: engine.now_ms,
        )
        self._engine = engine

    def policy(self, spec: TopicSpec) -> dict[str, str]:
        return super().policy(spec) | self._engine.dated(spec, spec.compaction_lag_ms)


class Segment(NamedTuple):
    base: int
    newest_ms: int
    """-1 where it is empty."""


@dataclass
class KafkaEngine:
    brokers: Brokers
    now_ms: int = field(default=START_MS)
    prefix: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[KafkaLog]:
        async with DatedLog(self) as log:
            yield log

    def advance(self, ms: int) -> None:
        self.now_ms += ms

    async def take_over(self, log: Log, group: str) -> None:
        assert isinstance(log, KafkaLog)
        await log.fence(group, "a", 0)

    async def clear(self) -> None:
        """The topics have the same names in each check; those with a prefix are others' on that broker."""
        async with self.open() as log:
            for topic in await log.topics():
                if "." not in topic.name:
                    await log.delete_topic(topic.name)

    # ── the passing of time ────────────────────────────────────────────────────────────────────

    @property
    def _shift_ms(self) -> int:
        return time.time_ns() // 1_000_000 - self.now_ms

    def dated(self, spec: TopicSpec, lag_ms: int) -> dict[str, str]:
        settings = {"segment.ms": str(SPAN_MS)}
        if spec.retention_ms is not None:
            settings["retention.ms"] = str(self._shift_ms + spec.retention_ms)
        if spec.compact:
            lag = str(self._shift_ms + lag_ms)
            settings |= {"min.compaction.lag.ms": lag, "max.compaction.lag.ms": lag}
            settings["delete.retention.ms"] = "0"
        return settings

    async def cleaned(self, log: Log) -> None:
        assert isinstance(log, DatedLog)
        async with asyncio.timeout(CLEAN_DEADLINE_S):
            for spec in SPECS:
                if spec.compact:
                    await self._compacted(log, spec)
                elif spec.retention_ms is not None:
                    await log.ensure_topics([spec])
                    limit_ms = self.now_ms - spec.retention_ms
                    for folder in self._folders(spec):
                        await _until(lambda folder=folder, limit_ms=limit_ms: _all_young(folder, limit_ms))

    async def _compacted(self, log: DatedLog, spec: TopicSpec) -> None:
        """Two passes, since a tombstone goes with the second that finds something to do: the first over
        what is nearly as old as the log, the second over all that is older than the lag.
        """
        await self._roll(log, spec)
        oldest_ms = self.now_ms - START_MS
        for lag_ms in sorted({spec.compaction_lag_ms, max(spec.compaction_lag_ms, oldest_ms - SPAN_MS)})[
            ::-1
        ]:
            await log.ensure_topics([replace(spec, compaction_lag_ms=lag_ms)])
            for folder in self._folders(spec):
                limit_ms = self.now_ms - lag_ms
                await _until(lambda folder=folder, limit_ms=limit_ms: _compacted_to(folder, limit_ms))

    async def _roll(self, log: DatedLog, spec: TopicSpec) -> None:
        """What a live topic has by itself: segments that end, and something in each of them. Nobody sees it:
        the transaction is aborted.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=self.brokers.bootstrap,
            transactional_id=f"{self.prefix}-roll",
            max_request_size=MAX_BATCH_BYTES,
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            for partition, bounds in enumerate(await log.all_bounds(spec.name)):
                if bounds.end == 0:
                    continue
                for ago_ms in (spec.compaction_lag_ms * 5 // 4, 0):
                    await producer.send_and_wait(
                        spec.name, b"", b"roll", partition=partition, timestamp_ms=self.now_ms - ago_ms
                    )
            await producer.abort_transaction()
        finally:
            await producer.stop()

    def _folders(self, spec: TopicSpec) -> list[Path]:
        return [self.brokers.data(1) / f"{spec.name}-{partition}" for partition in range(spec.partitions)]


def _segments(folder: Path) -> list[Segment]:
    """By the headers of their batches."""
    found = []
    for path in sorted(folder.glob("*.log")):
        data = path.read_bytes()
        at, newest_ms = 0, -1
        while at + HEADER.size <= len(data):
            _, length, *_, ms = HEADER.unpack_from(data, at)
            if length <= 0:
                break  # the file is longer than what was written
            newest_ms = max(newest_ms, ms)
            at += 12 + length
        found.append(Segment(int(path.stem), newest_ms))
    return found


def _all_young(folder: Path, limit_ms: int) -> bool:
    return all(segment.newest_ms == -1 or segment.newest_ms >= limit_ms for segment in _segments(folder))


def _compacted_to(folder: Path, limit_ms: int) -> bool:
    """The cleaner has been at all that is old enough: its checkpoint says how far it came."""
    segments = _segments(folder)
    due = segments[0].base
    for segment, following in pairwise(segments):
        if segment.newest_ms >= limit_ms:
            break
        due = following.base
    topic, _, partition = folder.name.rpartition("-")
    checkpoint = folder.parent / "cleaner-offset-checkpoint"
    reached = 0
    for line in checkpoint.read_text().splitlines() if checkpoint.exists() else []:
        if line.split()[:2] == [topic, partition]:
            reached = int(line.split()[2])
    return reached >= due


async def _until(condition: Callable[[], bool]) -> None:
    while True:
        with suppress(FileNotFoundError):  # the cleaner has just replaced a segment
            if condition():
                return
        await asyncio.sleep(0.05)
