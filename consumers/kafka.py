"""The feed as the partner's own topic on Kafka.

Offsets are kept with the data, not in a group: a position is the topic's id and the next offset of each
partition, as JSON. Nothing is reset in silence: offsets that are no longer there, or of a topic that was made
anew, are PositionLost. Only committed records are read. Tombstones and ticks (which make the cluster forget
what was overwritten) are no events.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
from aiokafka import errors as kafka
from msgspec.structs import replace

from consumers.backoff import Backoff
from consumers.errors import BadEvent, FeedRefused, PositionLost
from consumers.event import TIME, Article, Batch, decoded
from consumers.kafka_reader import CHECK_S, Beyond, Position, Stuck, TopicReader
from consumers.kafka_topic import BROKEN, Access
from consumers.parts import ALL, Parts

__all__ = ["Access", "KafkaFeed"]

logger = logging.getLogger(__name__)

BEYOND_S: Final = 60.0
"""So long a cluster has to catch up with the position; after that it has lost records."""
TICK: Final = ("ce_type", b"wiki.tick")


@dataclass(slots=True)
class KafkaFeed:
    """`wikis`: these only, where there are any."""

    name: str
    access: Access
    topic: str
    parts: Parts = ALL
    wikis: frozenset[str] = frozenset()
    since: datetime | None = None
    """Where it begins without a position; None: with what comes now."""
    goes_on: bool = False
    """With what the topic still holds, where that does not follow the position: else that is PositionLost."""
    backoff: Backoff = field(default_factory=Backoff)
    check_s: float = CHECK_S
    beyond_s: float = BEYOND_S
    connections: int = 0
    """That were tried so far."""

    async def batches(self, position: str | None) -> AsyncGenerator[Batch, None]:
        """See Feed. The first batch may be empty: its position says where a feed began that had none."""
        if position is None and self.since is not None:
            position = TIME + self.since.isoformat()
            yield Batch((), position)
        whole_s = time.monotonic()
        while True:
            try:
                async with aclosing(self._connected(position)) as batches:
                    async for batch in batches:
                        position = batch.position
                        whole_s = time.monotonic()
                        self.backoff.reset()
                        yield batch
            except kafka.TopicAuthorizationFailedError:
                raise FeedRefused(f"the user may no longer read the topic {self.topic}") from None
            except Beyond as error:
                if time.monotonic() - whole_s > self.beyond_s:
                    raise PositionLost(
                        f"the topic {self.topic}: {error}; the cluster has lost records"
                    ) from None
                why = str(error)
            except (Stuck, *BROKEN) as error:  # offsets that are out of range are judged at the next start
                why = type(error).__name__
            wait_s = self.backoff.next_s()
            told = {"feed": self.name, "reason": why, "wait_s": round(wait_s, 3)}
            logger.info("the topic is read again soon", extra=told)
            await asyncio.sleep(wait_s)

    async def _connected(self, position: str | None) -> AsyncGenerator[Batch, None]:
        """Until something breaks."""
        self.connections += 1
        async with TopicReader(self.access, self.topic, self.check_s) as reader:
            await self._begin(reader, position)
            if position is None or position.startswith(TIME):
                yield Batch((), _text(reader.position))
            while True:
                records = await reader.read()
                if records:
                    yield self._batch(records, _text(reader.position))

    async def _begin(self, reader: TopicReader, position: str | None) -> None:
        numbers = self.parts.of(reader.partitions)
        if position is None:
            await reader.begin_since(numbers, None)
        elif position.startswith(TIME):
            since = datetime.fromisoformat(position.removeprefix(TIME))
            await reader.begin_since(numbers, int(since.timestamp() * 1_000))
        elif not await reader.begin_at(numbers, _position(position), goes_on=self.goes_on):
            logger.warning("the topic no longer holds what followed the position", extra={"feed": self.name})

    def _batch(self, records: Iterable[Any], position: str) -> Batch:
        events: list[Article] = []
        bad: list[str] = []
        size = 0
        for record in records:
            if record.value is None or TICK in record.headers:
                continue
            try:
                article = _placed(decoded(record.value), record.partition, record.offset)
            except BadEvent as error:
                bad.append(f"{error} ({record.partition}:{record.offset})")
                continue
            if not self.wikis or article.is_part_of.identifier in self.wikis:
                events.append(article)
                size += len(record.value)
        return Batch(events, position, size, bad)


def _placed(article: Article, partition: int, offset: int) -> Article:
    """As SSE tells it: a record does not hold its own place."""
    return replace(article, event=replace(article.event, partition=partition, offset=offset))


def _text(position: Position) -> str:
    return msgspec.json.encode(position).decode()


def _position(text: str) -> Position:
    try:
        return msgspec.json.decode(text, type=Position)
    except msgspec.DecodeError:
        raise PositionLost("the position is not one of a topic on Kafka") from None
