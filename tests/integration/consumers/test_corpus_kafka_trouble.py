"""A topic that is read through outages of its only broker."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.delivering import article_record
from harness.on_kafka import OnKafka

from consumers.backoff import Backoff
from consumers.kafka import Access, KafkaFeed
from deploy.kafka import Brokers, Unavailable
from streamer.log.base import TopicSpec

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

TOPIC = "articles"


async def test_a_broker_that_dies_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Down at the start, and by -9 under a reader, twice: it is waited for, and every record comes, once."""
    try:
        brokers = await Brokers(tmp_path / "broker").__aenter__()
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        async with asyncio.timeout(500):
            await through_outages(brokers)
    finally:
        await brokers.__aexit__(None, None, None)


async def through_outages(brokers: Brokers) -> None:
    place = OnKafka(brokers)
    async with place.open() as log:
        await log.ensure_topics([TopicSpec(TOPIC, 10, compact=False, retention_ms=None)])

    async def write(*sequences: int) -> None:
        async with place.open() as log:
            await log.append([article_record(TOPIC, number, number, number) for number in sequences])

    await write(1, 2, 3)
    await brokers.kill(1)
    since = datetime(2020, 1, 1, tzinfo=UTC)
    access = Access(place.bootstrap, is_encrypted=False)
    feed = KafkaFeed("kafka", access, TOPIC, since=since, backoff=Backoff(0.05, 0.5), check_s=0.5)
    found: list[int] = []

    async with aclosing(feed.batches(None)) as batches:

        async def until(count: int) -> None:
            while len(found) < count:
                batch = await anext(batches)
                found.extend(article.event.sequence for article in batch.events)

        reading = asyncio.ensure_future(until(3))
        while feed.connections < 3:
            await asyncio.sleep(0.05)
        await brokers.start(1)
        await reading
        for first in (4, 7):
            reading = asyncio.ensure_future(until(first + 2))
            tried = feed.connections
            await brokers.kill(1)
            while feed.connections == tried:
                await asyncio.sleep(0.05)
            await brokers.start(1)
            await write(first, first + 1, first + 2)
            await reading
    assert sorted(found) == list(range(1, 10))
