"""A partner on a secure cluster: what it is refused, by name, and a broker that goes away and comes back."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from harness.delivering import article_record

from consumers.backoff import Backoff
from consumers.errors import FeedRefused
from consumers.event import Article, Batch
from consumers.kafka import Access, KafkaFeed
from deploy.kafka import Brokers, Unavailable
from tests.integration.test_provision import Operator

pytestmark = [pytest.mark.xdist_group("kafka-secure"), pytest.mark.timeout(300)]

DEADLINE_S = 200
EVER = datetime(2020, 1, 1, tzinfo=UTC)


class Partner:
    """Reads its topic as `corpus follow` does."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def feed(self, topic: str = "acme", **access: Any) -> KafkaFeed:
        options = {
            "bootstrap": (self.operator.brokers.bootstrap,),
            "user": "acme",
            "password": self.operator.user("acme").password,
            "ca_file": Path(self.operator.brokers.ca_file),
            **access,
        }
        name = self.operator.topics.of_partner(topic)
        return KafkaFeed(
            "kafka", Access(**options), name, since=EVER, backoff=Backoff(0.05, 0.5), check_s=0.5
        )

    async def refusal(self, *feed: Any, **access: Any) -> str:
        with pytest.raises(FeedRefused) as raised:
            async with aclosing(self.feed(*feed, **access).batches(None)) as batches:
                while True:
                    await anext(batches)
        said = str(raised.value)
        assert self.operator.user("acme").password not in said
        return said

    async def write(self, *sequences: int) -> None:
        async with self.operator.log() as log:
            topic = self.operator.topics.of_partner("acme")
            await log.append([article_record(topic, number, number, number) for number in sequences])


async def test_refusals_have_names_and_outages_pass(tmp_path: Path) -> None:
    """Over SASL and TLS with the partner's own rights: another partner's topic, one that does not exist, a
    wrong password and an unknown authority are each refused by name. A broker that is down at the start, or
    goes away under a reader by -9, is waited for: every record comes, once.
    """
    try:
        brokers = await Brokers(tmp_path / "broker", secure=True).__aenter__()
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        async with asyncio.timeout(DEADLINE_S):
            operator = Operator(brokers, tmp_path, "wiki")
            operator.add("acme", "beta")
            await asyncio.to_thread(operator.run, "provision")
            partner = Partner(operator)
            await partner.write(1, 2, 3)
            async with asyncio.TaskGroup() as tasks:
                refusals = {
                    "may not read the topic wiki.articles.v1.beta": partner.refusal("beta"),
                    "look at --user and --password-file": partner.refusal(password="wrong"),
                    "--ca-file names who signs it": partner.refusal(ca_file=None),
                }
                told = {said: tasks.create_task(refusal) for said, refusal in refusals.items()}
            for said, task in told.items():
                assert said in task.result()
            await through_an_outage(partner, brokers)
    finally:
        await brokers.__aexit__(None, None, None)


async def through_an_outage(partner: Partner, brokers: Brokers) -> None:
    await brokers.kill(1)
    feed = partner.feed()
    found: list[Article] = []

    async with aclosing(feed.batches(None)) as batches:

        async def until(count: int) -> None:
            while len(found) < count:
                batch: Batch = await anext(batches)
                found.extend(batch.events)

        reading = asyncio.ensure_future(until(3))
        while feed.connections < 3:
            await asyncio.sleep(0.05)
        await brokers.start(1)
        await reading
        reading = asyncio.ensure_future(until(6))
        tried = feed.connections
        await brokers.kill(1)
        while feed.connections == tried:
            await asyncio.sleep(0.05)
        await brokers.start(1)
        await partner.write(4, 5, 6)
        await reading
    assert sorted(article.event.sequence for article in found) == [1, 2, 3, 4, 5, 6]
