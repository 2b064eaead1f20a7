"""Topics that somebody changes by hand under live streams, on a real broker."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions
from harness.delivering import KEY, OTHER_KEY, Delivering, article_record, bearer, metric, problem
from harness.delivering_on_kafka import delivering_on_kafka
from harness.feed import Feed, Received
from harness.schema import checked

from deploy.kafka import Brokers
from streamer.config import DeliverSettings
from streamer.deliver.outlet import Outlet
from streamer.deliver.rendering import Part
from streamer.log.base import Record
from streamer.runtime import article_spec

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]

EVER = "2020-01-01T00:00:00Z"
DEADLINE_S = 30.0


@pytest.fixture
async def server(brokers: Brokers, tmp_path: Path) -> AsyncIterator[Delivering]:
    settings = DeliverSettings(port=0, heartbeat_s=0.3)
    async with delivering_on_kafka(brokers, tmp_path, deliver=settings) as server:
        yield server


class Client:
    """Reads one connection after the other, beside the test."""

    def __init__(self, server: Delivering, key: str, query: str = "", last_id: str = "") -> None:
        self.feed = Feed(server.url + query, key, last_id=last_id)
        self.sequences: list[int] = []
        self.events: list[Received] = []
        self.alive = asyncio.Event()

    async def read(self) -> None:
        """Until the connection ends."""
        async with aclosing(self.feed.events()) as events:
            async for event in events:
                self.alive.set()
                if event.name != "heartbeat":
                    self.events.append(event)
                if event.name == "message":
                    about = event.article["event"]
                    assert isinstance(about, dict)
                    self.sequences.append(about["sequence"])

    @property
    def last(self) -> dict[str, object]:
        loaded: dict[str, object] = json.loads(self.events[-1].data)
        return loaded


@asynccontextmanager
async def reading(client: Client) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.timeout(2 * DEADLINE_S), asyncio.TaskGroup() as group:
        task = group.create_task(client.read())
        async with asyncio.timeout(DEADLINE_S):
            await client.alive.wait()
        yield task
        task.cancel()


async def holds(client: Client, sequences: list[int]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(client.sequences) < len(sequences):
            await asyncio.sleep(0.02)
    assert sorted(client.sequences) == sequences


async def raise_partitions(brokers: Brokers, topic: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": brokers.bootstrap})
    for future in admin.create_partitions([NewPartitions(topic, partitions)]).values():
        await asyncio.wrap_future(future)


async def test_partitions_raised_under_live_ids(brokers: Brokers, server: Delivering) -> None:
    """From 10 to 20 by hand: a live stream goes on, its ids and older ones resume without a hole, and ids,
    parts and offsets mean what they meant. The operator is told.
    """
    first = await server.write(range(1, 31))
    client = Client(server, KEY, f"?since={EVER}")
    async with reading(client):
        await holds(client, first)
        early = client.events[9].id
        told = metric("streamer_errors_total", stage="deliver", code="partitions_raised")
        await raise_partitions(brokers, server.topic, 20)
        async with asyncio.timeout(DEADLINE_S):
            while (await server.log.topic(server.topic)).partitions != 20:  # type: ignore[union-attr] # it is there
                await asyncio.sleep(0.1)
        second = await server.write(range(1, 31))
        await holds(client, first + second)
    for position, seen in ((client.feed.last_id, client.sequences), (early, client.sequences[:10])):
        resumed = Client(server, KEY, last_id=position)
        async with reading(resumed):
            await server.write(range(1, 6))
            await holds(resumed, sorted({sequence for _, sequence in server.written} - {*seen}))
        assert {len(event.id.split(",")) for event in resumed.events} == {10}
    assert metric("streamer_errors_total", stage="deliver", code="partitions_raised") > told
    got = 0
    for part in range(10):
        wanted = sorted(s for p, s in server.written if p == part)
        if wanted:
            tenth = Client(server, KEY, f"?since={EVER}&parts={part}")
            async with reading(tenth):
                await holds(tenth, wanted)
            got += len(wanted)
    assert got == len(server.written)
    await problem(server, 422, params={"offsets": '{"10": 0}'})
    lines = Client(server, KEY)
    async with aiohttp.ClientSession() as session:
        answer = await session.get(
            server.url, headers=bearer(Accept="application/x-ndjson"), params={"since": EVER}
        )
        async with asyncio.timeout(DEADLINE_S):
            while len(lines.sequences) < len(server.written):
                line = (await answer.content.readline()).strip()
                lines.sequences.append(checked(json.loads(line))["event"]["sequence"])
        answer.close()
    assert sorted(lines.sequences) == sorted(s for _, s in server.written)
    await ids_are_of_ten(server)


async def ids_are_of_ten(server: Delivering) -> None:
    """Those that the service gives out resume: of /v2/status, of a 410, of a gap."""
    url = server.url.replace("/v2/articles", "/v2/status")
    async with aiohttp.ClientSession() as session, session.get(url, headers=bearer()) as answer:
        assert answer.status == 200
        status = await answer.json()
    assert status["partitions"] == 10
    earliest = status["positions"]["earliest"]
    old = earliest.replace(earliest.partition(".")[0], "e0000000")  # of a topic that is no more
    body = await problem(server, 410, headers=bearer(**{"Last-Event-ID": old}))
    assert body["type"] == "urn:streamer:problem:recreated"
    wanted = sorted(s for _, s in server.written)
    for position in (earliest, str(body["earliest"])):
        client = Client(server, KEY, last_id=position)
        async with reading(client):
            await holds(client, wanted)
    client = Client(server, KEY, "?on_gap=continue", last_id=old)
    async with reading(client):
        await holds(client, wanted)
    assert client.events[0].name == "gap"
    assert {len(event.id.split(",")) for event in client.events} == {10}


async def test_a_position_that_moves_over_markers_is_told(brokers: Brokers, tmp_path: Path) -> None:
    """A commit's marker takes an offset after its articles: a quiet stream's `cursor` comes all the same,
    before a heartbeat.
    """
    settings = DeliverSettings(port=0, heartbeat_s=2 * DEADLINE_S)
    async with delivering_on_kafka(brokers, tmp_path, deliver=settings) as server:
        client = Client(server, KEY, f"?since={EVER}")
        await server.write([1])
        async with reading(client):
            await holds(client, [1])
            record = article_record(server.topic, 1, 1002, 2)
            await asyncio.to_thread(committed, brokers, record)
            await holds(client, [1, 2])
            article = client.events[-1].id
            async with asyncio.timeout(DEADLINE_S):
                while client.events[-1].name != "cursor":
                    await asyncio.sleep(0.02)
            assert client.events[-1].id != article


def committed(brokers: Brokers, record: Record) -> None:
    """In a transaction, as routing does."""
    producer = Producer({"bootstrap.servers": brokers.bootstrap, "transactional.id": record.topic})
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    headers = list(record.headers)
    producer.produce(record.topic, record.value, record.key, record.partition, headers=headers)  # type: ignore[arg-type] # bytes
    producer.commit_transaction(DEADLINE_S)


async def test_a_topic_deleted_by_hand(server: Delivering) -> None:
    """Its live stream says `bye` and `expired`; the next asks in vain, with Retry-After, until the topic is
    there again; old ids are then a 410 that names the earliest, or a gap. Others don't notice.
    """
    other_topic = server.runtime.topics.of_partner("globex")
    old = await server.write(range(1, 31))
    client, other = Client(server, KEY, f"?since={EVER}"), Client(server, OTHER_KEY)
    async with reading(other) as others, reading(client) as mine:
        await holds(client, old)
        await server.log.delete_topic(server.topic)
        async with asyncio.timeout(DEADLINE_S):
            await mine
        assert client.events[-1].name == "bye"
        assert client.last["reason"] == "expired"
        refused = await problem(server, 503)
        assert refused["type"] == "urn:streamer:problem:not_ready"
        await server.log.ensure_topics([article_spec(server.runtime.settings, server.topic)])
        gone = bearer(**{"Last-Event-ID": client.feed.last_id})
        expired = await problem(server, 410, headers=gone)
        assert expired["type"] == "urn:streamer:problem:recreated"
        new = await server.write(range(1, 21))
        again = Client(server, KEY, last_id=str(expired["earliest"]))
        async with reading(again):
            await holds(again, new)
        going_on = Client(server, KEY, "?on_gap=continue", last_id=client.feed.last_id)
        async with reading(going_on):
            await holds(going_on, new)
        assert going_on.events[0].name == "gap"
        assert not others.done()
        await server.log.append([article_record(other_topic, 1, 1, 1_000)])
        await holds(other, [1_000])


async def test_a_topic_deleted_and_made_at_once(server: Delivering, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a catch-up, and live: neither takes the new topic's records for the old one's, both say
    `bye` and `expired`; a status that is asked meanwhile is an answer, and the process lives on.
    """
    old = await server.write(range(1, 301))
    write, held, go_on = Outlet.write, asyncio.Event(), asyncio.Event()

    async def write_once_told(self: Outlet, parts: Sequence[Part], position: str) -> None:
        await write(self, parts, position)
        held.set()
        await go_on.wait()

    live, late = Client(server, KEY), Client(server, KEY, f"?since={EVER}")
    async with reading(live) as living:
        monkeypatch.setattr(Outlet, "write", write_once_told)
        async with reading(late) as catching_up:
            await held.wait()
            await server.log.delete_topic(server.topic)
            async with aiohttp.ClientSession() as session:
                status = await session.get(server.url.replace("articles", "status"), headers=bearer())
                assert status.status in {200, 503}
            await server.log.ensure_topics([article_spec(server.runtime.settings, server.topic)])
            new = await server.write(range(1, 301))
            go_on.set()
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.gather(living, catching_up)
    for client in (live, late):
        assert client.events[-1].name == "bye"
        assert client.last["reason"] == "expired"
        assert not {*client.sequences} & {*new}
    assert late.sequences
    assert {*late.sequences} < {*old}, "it had all before the topic went, so that nothing was tried"
    again = Client(server, KEY, f"?since={EVER}")
    async with reading(again):
        await holds(again, new)
