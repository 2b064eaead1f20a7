"""The feed from a partner's topic on a real broker, and the same feed by SSE."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from harness.cutting import Hop
from harness.delivering import KEY, Delivering, article_record
from harness.delivering_on_kafka import delivering_on_kafka
from harness.on_kafka import OnKafka
from harness.scripted import article
from harness.service import free_port

from consumers.backoff import Backoff
from consumers.corpus.beginning import begun
from consumers.corpus.earliest import LONG_AGO, earliest
from consumers.corpus.state import State
from consumers.errors import PositionLost
from consumers.event import Article, Batch, Feed
from consumers.kafka import Access, KafkaFeed
from consumers.kafka_reader import TopicReader
from consumers.parts import Parts
from consumers.sse import SseFeed
from deploy.kafka import Brokers
from streamer.log.base import Record, TopicSpec
from streamer.log.kafka import KafkaLog

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(240)]

DEADLINE_S = 120
EVER = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Written:
    """A partner's topic, and nothing around it."""

    place: OnKafka
    log: KafkaLog
    written: list[tuple[int, int]] = field(default_factory=list)
    """(partition, sequence) of every article."""
    topic: str = ""

    def __post_init__(self) -> None:
        self.topic = f"{self.place.prefix}.articles.v1.acme"

    async def make(self) -> None:
        await self.log.ensure_topics([TopicSpec(self.topic, 10, compact=False, retention_ms=None)])

    async def write(self, pages: Iterable[int]) -> list[int]:
        """One article each; their sequences."""
        first = len(self.written) + 1
        records = [article_record(self.topic, page, n, n) for n, page in enumerate(pages, first)]
        await self.log.append(records)
        self.written += [(record.partition, first + n) for n, record in enumerate(records)]
        return list(range(first, first + len(records)))

    async def write_silent(self, partitions: Iterable[int]) -> None:
        """Tombstones and ticks."""
        tick = (("ce_type", b"wiki.tick"),)
        for number in partitions:
            tombstone = Record(self.topic, number, "enwiki:1/9", None)
            await self.log.append([tombstone, Record(self.topic, number, ".tick", b"{}", tick)])


@asynccontextmanager
async def written_on(brokers: Brokers) -> AsyncIterator[Written]:
    place = OnKafka(brokers)
    async with place.open() as log:
        server = Written(place, log)
        await server.make()
        yield server
        await log.delete_topic(server.topic)


def feed_of(server: Written | Delivering, **more: Any) -> KafkaFeed:
    place = server.place if isinstance(server, Written) else server.runtime.settings.log
    access = Access(place.bootstrap, is_encrypted=False)
    options = {"since": EVER, "backoff": Backoff(0.05, 0.5), "check_s": 0.5, **more}
    return KafkaFeed("kafka", access, server.topic, **options)


async def events(batches: AsyncGenerator[Batch, None], count: int) -> tuple[list[Article], str]:
    """So many, and the position behind them."""
    found: list[Article] = []
    position = ""
    while len(found) < count:
        batch = await anext(batches)
        found += batch.events
        position = batch.position
    return found, position


def sequences(articles: Iterable[Article]) -> list[int]:
    return sorted(article.event.sequence for article in articles)


async def read(
    feed: KafkaFeed | SseFeed, count: int, position: str | None = None
) -> tuple[list[Article], str]:
    async with asyncio.timeout(DEADLINE_S), aclosing(feed.batches(position)) as batches:
        return await events(batches, count)


async def test_both_ways_yield_the_same_events(brokers: Brokers, tmp_path: Path) -> None:
    """One partner's topic, by SSE and from Kafka: the same typed events in the same order of each page, with
    their places in the topic. Tombstones and ticks are no events of either.
    """
    async with delivering_on_kafka(brokers, tmp_path) as server:
        written = await server.write(range(1, 31), text="ünï")
        await server.write_silent(range(1, 6))
        written += await server.write(range(1, 31))
        by_kafka, _ = await read(feed_of(server), 60)
        sse = SseFeed("sse", server.url, lambda: KEY, since=EVER)
        by_sse, _ = await read(sse, 60)
        assert sequences(by_kafka) == sorted(written)
        assert None not in {one.event.offset for one in by_sse}

        def by_page(found: list[Article]) -> dict[int, list[Article]]:
            pages: dict[int, list[Article]] = {}
            for one in found:
                pages.setdefault(one.identifier, []).append(one)
            return pages

        assert by_page(by_kafka) == by_page(by_sse)


async def test_it_goes_on_exactly_where_a_position_says(brokers: Brokers) -> None:
    """From each batch's position: what followed it, once; also over tombstones, ticks and holes."""
    async with written_on(brokers) as server:
        await server.write(range(1, 21))
        found, position = await read(feed_of(server), 20)
        await server.write_silent(range(10))
        later = await server.write(range(1, 11))
        again, second = await read(feed_of(server), 10, position)
        assert sequences(found + again) == sorted(server_sequences(server))
        assert sequences(again) == sorted(later)
        assert msgspec.json.decode(second)["offsets"].keys() == {str(number) for number in range(10)}


def server_sequences(server: Written) -> list[int]:
    return [sequence for _, sequence in server.written]


async def test_it_begins_now_or_at_a_time(brokers: Brokers) -> None:
    """Without a position: with what comes after its first batch, or with what was appended since a time, to
    the millisecond; the time itself is the position until the cluster has said which offsets that is.
    """
    async with written_on(brokers) as server:
        await server.write(range(1, 11))
        await asyncio.sleep(0.05)
        between = datetime.now(UTC)
        second = await server.write(range(1, 6))
        async with (
            asyncio.timeout(DEADLINE_S),
            aclosing(feed_of(server, since=None).batches(None)) as batches,
        ):
            assert not (await anext(batches)).events
            third = await server.write(range(1, 4))
            live, _ = await events(batches, 3)
        assert sequences(live) == sorted(third)
        since = feed_of(server, since=between)
        async with asyncio.timeout(DEADLINE_S), aclosing(since.batches(None)) as batches:
            first = await anext(batches)
            assert first.position == f"since:{between.isoformat()}"
            found, _ = await events(batches, 8)
        assert sequences(found) == sorted(second + third)
        found, _ = await read(feed_of(server), 8, first.position)
        assert sequences(found) == sorted(second + third)
        # of the future: what comes then
        future = feed_of(server, since=datetime.now(UTC) + timedelta(hours=1))
        async with asyncio.timeout(DEADLINE_S), aclosing(future.batches(None)) as batches:
            await anext(batches)
            await anext(batches)
            fourth = await server.write([9])
            assert sequences((await events(batches, 1))[0]) == fourth


async def test_parts_and_wikis_are_kept_to(brokers: Brokers) -> None:
    """Parts share the partitions, each in one of them; other wikis move the position alone."""
    async with written_on(brokers) as server:
        await server.write(range(1, 41))
        found: list[Article] = []
        for parts in Parts(0, 9).split(3):
            count = sum(partition in parts.of(10) for partition, _ in server.written)
            some, position = await read(feed_of(server, parts=parts), count)
            offsets = msgspec.json.decode(position)["offsets"]
            assert {int(number) for number in offsets} == set(parts.of(10))
            found += some
        assert sequences(found) == sorted(server_sequences(server))
        other = feed_of(server, wikis=frozenset({"dewiki"}))
        async with asyncio.timeout(DEADLINE_S), aclosing(other.batches(None)) as batches:
            while (
                "offsets" not in (batch := await anext(batches)).position
                or sum(msgspec.json.decode(batch.position)["offsets"].values()) < 40
            ):
                assert not batch.events


async def test_a_topic_made_anew_is_noticed(brokers: Brokers) -> None:
    """Though its offsets are in range, the position of the topic before it is lost: at a start, and under a
    reader. Told to go on, it begins at the new one's earliest.
    """
    async with written_on(brokers) as server:
        await server.write(range(1, 11))
        _, position = await read(feed_of(server), 10)
        reading = feed_of(server)
        async with asyncio.timeout(DEADLINE_S), aclosing(reading.batches(position)) as batches:
            waiting = asyncio.ensure_future(anext(batches))
            while not reading.connections:
                await asyncio.sleep(0.01)
            await made_anew(server)
            again = await server.write(range(1, 31))
            with pytest.raises(PositionLost, match="made anew"):
                await waiting
                while True:
                    await anext(batches)
        with pytest.raises(PositionLost, match="made anew since this position"):
            await read(feed_of(server), 1, position)
        found, _ = await read(feed_of(server, goes_on=True), 30, position)
        assert sequences(found) == sorted(again)


async def made_anew(server: Written) -> None:
    await server.log.delete_topic(server.topic)
    async with asyncio.timeout(60):
        while await server.log.topic(server.topic) is not None:
            await asyncio.sleep(0.05)
        await server.make()


async def test_a_cluster_that_can_not_be_reached_is_waited_for(brokers: Brokers) -> None:
    """At the start, and under a reader, which begins anew where it was: every record comes, once."""
    real = int(brokers.bootstrap.rpartition(":")[2])
    async with written_on(brokers) as server, Hop(free_port()) as hop:
        nowhere = hop.target
        await server.write(range(1, 6))
        feed = feed_of(server)
        feed.access = Access((f"127.0.0.1:{hop.port}",), is_encrypted=False)
        found: list[Article] = []
        async with asyncio.timeout(DEADLINE_S), aclosing(feed.batches(None)) as batches:

            async def until(count: int) -> None:
                while len(found) < count:
                    found.extend((await anext(batches)).events)

            reading = asyncio.ensure_future(until(5))
            while feed.connections < 3:
                await asyncio.sleep(0.01)
            hop.target = real
            await reading
            reading = asyncio.ensure_future(until(8))
            tried = feed.connections
            hop.target = nowhere
            hop.close()
            while feed.connections < tried + 2:
                await asyncio.sleep(0.01)
            await server.write(range(1, 4))
            hop.target = real
            await reading
        assert sequences(found) == sorted(server_sequences(server))


async def test_a_position_is_behind_the_marks_of_transactions(brokers: Brokers) -> None:
    """It reaches the end of each partition, where they stand: else retention, which takes them too, would
    seem to have taken what was not read.
    """
    async with asyncio.timeout(DEADLINE_S), written_on(brokers) as server:
        bootstrap = list(server.place.bootstrap)
        async with TopicReader(Access(server.place.bootstrap, is_encrypted=False), server.topic) as reader:
            await reader.begin_since(range(10), None)
            producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=server.topic)
            async with producer, producer.transaction():
                for number in range(10):
                    await producer.send(server.topic, b"{}", partition=number)
            ends = await reader._consumer.end_offsets(list(reader.offsets))
            assert set(ends.values()) == {2}
            while reader.offsets != ends:
                await reader.read()


async def test_what_retention_took_is_lost_by_name(brokers: Brokers, tmp_path: Path) -> None:
    """Offsets before the earliest; a position beyond the end is lost too, once the cluster has had its time
    to catch up with it; what is none of Kafka at all is refused at once.
    """
    async with written_on(brokers) as server:
        await server.write(range(1, 21))
        found, position = await read(feed_of(server), 20)
        topic_id = msgspec.json.decode(position)["topic_id"]

        def at(offset: int) -> str:
            offsets = {str(number): offset for number in range(10)}
            return msgspec.json.encode({"topic_id": topic_id, "offsets": offsets}).decode()

        everything, _ = await read(feed_of(server), 20, at(0))
        assert sequences(everything) == sequences(found)
        beyond = feed_of(server, beyond_s=5.0)
        with pytest.raises(PositionLost, match="end before the position"):
            await read(beyond, 1, at(1_000))
        assert beyond.connections > 1
        for foreign in ("since", "e7c14a09.0:1043,1:999", "{}"):
            with pytest.raises(PositionLost, match="not one of a topic on Kafka"):
                await read(feed_of(server), 1, foreign)
        await brokers.tool(
            "org.apache.kafka.tools.DeleteRecordsCommand",
            "--bootstrap-server", brokers.bootstrap, "--offset-json-file", str(deletion(server, tmp_path)),
        )  # fmt: skip
        with pytest.raises(PositionLost, match="no longer holds"):
            await read(feed_of(server), 1, at(0))
        last = await server.write([1])
        rest, _ = await read(feed_of(server, goes_on=True), 1, at(0))
        assert sequences(rest) == last


def deletion(server: Written, folder: Path) -> Path:
    """Of everything."""
    partitions = [{"topic": server.topic, "partition": number, "offset": -1} for number in range(10)]
    file = folder / "deletion.json"
    file.write_bytes(msgspec.json.encode({"partitions": partitions, "version": 1}))
    return file


async def test_what_is_no_article_is_said(brokers: Brokers) -> None:
    """Beside the events: where it stands, and nothing of the value."""
    async with written_on(brokers) as server:
        await server.log.append([Record(server.topic, 3, "x", b'{"secret": 1}')])
        await server.write(range(1, 4))
        found = 0
        bad: list[str] = []
        async with asyncio.timeout(DEADLINE_S), aclosing(feed_of(server).batches(None)) as batches:
            while found < 3 or not bad:
                batch = await anext(batches)
                found += len(batch.events)
                bad += batch.bad
        [reason] = bad
        assert reason.endswith("(3:0)")
        assert "secret" not in reason


async def test_events_of_sixteen_megabytes_come(brokers: Brokers) -> None:
    """The largest that the service writes, between small ones."""
    async with written_on(brokers) as server:
        value = msgspec.json.encode(article(7, "x" * 15_900_000))
        await server.log.append([Record(server.topic, 0, "7", value)])
        await server.write(range(1, 4))
        found, _ = await read(feed_of(server), 4)
        assert len(found) == 4


async def test_a_bootstrap_begins_on_a_topic(brokers: Brokers, tmp_path: Path) -> None:
    """Its earliest is the latest of the partitions' first events. The position is of all partitions, also of
    those without a record; where retention takes what follows it, it is replaced by the topic's earliest.
    """
    async with written_on(brokers) as server, asyncio.timeout(DEADLINE_S):
        await server.write([1, 2])
        with State(tmp_path / "corpus.db", create=True) as state:

            def opened(since: datetime) -> list[Feed]:
                return [feed_of(server, since=since)]

            first = await earliest(opened(LONG_AGO), sample_s=10, quiet_s=0.5)
            articles, _ = await read(feed_of(server), 2)
            assert first == max(datetime.fromisoformat(each.event.date_published) for each in articles)
            assert await begun(state, opened, EVER, now=first, quiet_s=0.5) == first
            offsets = msgspec.json.decode(state.position("kafka") or "")["offsets"]
            assert offsets == {str(number): 0 for number in range(10)}
            file = str(deletion(server, tmp_path))
            await brokers.tool(
                "org.apache.kafka.tools.DeleteRecordsCommand",
                "--bootstrap-server", brokers.bootstrap, "--offset-json-file", file,
            )  # fmt: skip
            await server.write([1])
            await begun(state, opened, EVER, now=first, quiet_s=0.5)
            taken = msgspec.json.decode(state.position("kafka") or "")["offsets"]
            assert taken != offsets
