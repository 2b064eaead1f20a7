"""Catch-up, live and every break in between: one sequence without hole or double."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Never

import aiohttp
import pytest
from harness.delivering import KEY, PARTITIONS, Delivering, delivering, raw, serving
from harness.feed import Feed

from streamer.config import DeliverSettings
from streamer.errors import LogUnavailable
from streamer.log.base import TopicPartition
from streamer.log.local import LocalLog
from streamer.log.local_reader import LocalReader

CLIENTS = 20
BATCHES = 60


def sequences_by_partition(rows: list[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for partition, sequence in rows:
        found.setdefault(partition, []).append(sequence)
    return found


async def write_all(server: Delivering, rng: random.Random, done: asyncio.Event) -> None:
    for batch in range(BATCHES):
        await server.write([rng.randrange(1, 200) for _ in range(rng.randrange(1, 12))])
        if batch % 7 == 0:
            await server.write_silent([rng.randrange(1, 200)])
        await asyncio.sleep(0)
    done.set()


async def follow(server: Delivering, rng: random.Random, done: asyncio.Event) -> list[tuple[int, int]]:
    """Reads until it has as much as was written, breaking off at random event borders."""
    feed = Feed(server.url, KEY, since="2020-01-01T00:00:00Z")
    rows: list[tuple[int, int]] = []
    await asyncio.sleep(rng.random() * 0.3)
    while not (done.is_set() and len(rows) >= len(server.written)):
        left = rng.choice([1, 1, 2, 5, 40, 10_000])
        try:
            async for event in feed.events():
                if event.name == "message":
                    about = event.article["event"]
                    assert isinstance(about, dict)
                    rows.append((about["partition"], about["sequence"]))
                    left -= 1
                if left <= 0 or (done.is_set() and len(rows) >= len(server.written)):
                    feed.last_id = event.id
                    break
        except (aiohttp.ClientError, ConnectionError):
            await asyncio.sleep(0.02)
    return rows


@pytest.mark.usefixtures("costly_way")
async def test_clients_that_break_at_every_border_see_one_sequence(
    tmp_path: Path, rng: random.Random
) -> None:
    """Twenty clients connect and resume while a writer appends: each has every record once, in order."""
    async with delivering(tmp_path, limits="limits = { requests_per_minute = 0 }") as server:
        await server.write(range(1, 51))
        done = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(write_all(server, rng, done))
            tasks = [group.create_task(follow(server, rng, done)) for _ in range(CLIENTS)]
        wanted = sequences_by_partition(server.written)
        for task in tasks:
            assert sequences_by_partition(task.result()) == wanted


@pytest.mark.usefixtures("way")
async def test_a_window_of_one_frame_makes_no_hole(tmp_path: Path, rng: random.Random) -> None:
    """With next to nothing retained a join is tried again from the log until it holds."""
    settings = DeliverSettings(retained_mb=0.000001)
    async with delivering(
        tmp_path, limits="limits = { requests_per_minute = 0 }", deliver=settings
    ) as server:
        await server.write(range(1, 51))
        done = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(write_all(server, rng, done))
            tasks = [group.create_task(follow(server, rng, done)) for _ in range(5)]
        wanted = sequences_by_partition(server.written)
        for task in tasks:
            assert sequences_by_partition(task.result()) == wanted


async def test_a_resume_holds_across_a_restart_of_the_server(tmp_path: Path) -> None:
    """An id is good in every process: the first half by one, the rest by the next."""
    async with delivering(tmp_path) as server:
        feed = Feed(server.url, KEY, since="2020-01-01T00:00:00Z")
        first = await server.write(range(1, 11))
        got: list[object] = []
        async with asyncio.timeout(30):
            async for event in feed.events():
                got.append(event.article["event"]["sequence"])  # type: ignore[index] # an object
                if len(got) == 4:
                    feed.last_id = event.id
                    break
        async with serving(server):  # a second process on the same log
            feed.url = server.url
            second = await server.write(range(1, 6))
            async with asyncio.timeout(30):
                async for event in feed.events():
                    got.append(event.article["event"]["sequence"])  # type: ignore[index] # an object
                    if len(got) == 15:
                        break
        assert sorted(got) == first + second  # type: ignore[type-var] # numbers


@pytest.mark.usefixtures("way")
async def test_an_id_from_a_faster_process_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that knows more than this process's feed has read joins when the feed is there: no double."""
    gate = asyncio.Event()
    reader_of = LocalLog.reader

    @asynccontextmanager
    async def gated(self: LocalLog, starts: Mapping[TopicPartition, int]) -> AsyncIterator[LocalReader]:
        if len(starts) == PARTITIONS and next(iter(starts)).topic.endswith(".acme"):
            await gate.wait()
        async with reader_of(self, starts) as reader:
            yield reader

    monkeypatch.setattr(LocalLog, "reader", gated)
    async with delivering(tmp_path) as server, asyncio.timeout(30), raw(server) as (other, _):
        await other.readuntil(b":ok\n")  # the feed stands where the log ended
        await server.write([1, 1])
        info = await server.log.topic(server.topic)
        assert info is not None
        partition = server.written[0][0]
        position = ",".join(f"{p}:{2 if p == partition else 0}" for p in range(PARTITIONS))
        async with raw(server, f"Last-Event-ID: {info.epoch}.{position}\r\n") as (reader, _):
            await reader.readuntil(b":ok\n\r\n")
            await asyncio.sleep(0.1)
            gate.set()
            await server.write([1])
            event = await reader.readuntil(b"\n\n")
    assert b'"sequence":3' in event


async def test_catch_up_beats_and_ends_while_the_log_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as it takes: a client must not take it for dead, nor a drain wait for it."""
    async with delivering(tmp_path, deliver=DeliverSettings(heartbeat_s=0.1)) as server, asyncio.timeout(60):
        await server.write([1])
        async with raw(server) as (live, _):  # the feed is read before the log fails
            await live.readuntil(b":ok\n\r\n")

            def fails(_: object) -> Never:
                raise LogUnavailable("the test's")

            monkeypatch.setattr(server.log, "reader", fails)
            async with raw(server, target="/v2/articles?since=2020-01-01T00:00:00Z") as (reader, _):
                for _ in range(3):
                    assert b"data: {" not in await reader.readuntil(b":hb\n")
                server.runtime.draining.set()
                rest = await reader.read()
                assert rest.endswith(b'event: bye\ndata: {"reason":"drain"}\n\n\r\n0\r\n\r\n')
