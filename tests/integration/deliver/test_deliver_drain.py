"""A drain beside a process that stays: clients move over one by one, and miss nothing."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from harness.delivering import (
    KEY,
    Delivering,
    bearer,
    delivering,
    metric,
    raw,
    serving,
    streams_open,
)
from harness.feed import Feed

from streamer.config import DeliverSettings
from streamer.deliver.farewell import EASY_PER_S
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

CLIENTS = 50
PATIENT = DeliverSettings(heartbeat_s=120.0, drain_s=600.0)
LONG = "long " * 400_000
"""In no buffer: who does not read it is still catching up."""
FROM_THE_START = "/v2/articles?since=2020-01-01T00:00:00Z"


@dataclass
class Moving:
    """A client that goes where its stream ended by `bye` for another."""

    feed: Feed
    before: list[int] = field(default_factory=list)
    """What it got before it was told."""
    after: list[int] = field(default_factory=list)
    told_s: float = 0.0

    async def run(self, to: str, last: asyncio.Future[int]) -> None:
        name = ""
        async for event in self.feed.events():
            name = event.name
            if name == "message":
                self.before.append(sequence(event.article))
        assert name == "bye"
        self.told_s = asyncio.get_running_loop().time()
        self.feed.url = to
        async for event in self.feed.events():
            if event.name == "message":
                self.after.append(sequence(event.article))
            if last.done() and last.result() in self.before + self.after:
                return


def sequence(article: dict[str, object]) -> int:
    number: int = article["event"]["sequence"]  # type: ignore[index] # an object
    return number


async def test_clients_move_over_one_by_one(tmp_path: Path) -> None:
    """Each gets every article once, of the one process or of the other; the k-th is told no sooner than the
    pace allows; who is not told yet gets what is written meanwhile. The process that drains is not ready and
    listens no more; who asks for a stream by a connection that it has already gets 503 and when to come
    again, which counts as no failure.
    """
    async with (
        delivering(tmp_path, deliver=PATIENT) as old,
        aiohttp.ClientSession() as session,
        asyncio.timeout(120),
    ):
        new = Delivering(
            Runtime(old.runtime.settings, old.log), old.log, PartnersWatch(old.file, poll_s=0.05), old.file
        )
        await old.write([9], text=LONG)
        async with serving(new), asyncio.TaskGroup() as group:
            clients = [Moving(Feed(old.url, KEY)) for _ in range(CLIENTS)]
            last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            for client in clients:
                group.create_task(client.run(new.url, last))
            async with raw(old, target=FROM_THE_START, receive_buffer=4_096) as (stuck, _):
                await stuck.readuntil(b"long ")  # amid an article: as long as it is there the drain goes on
                await streams_open(CLIENTS + 1)
                (first,) = await old.write([1])
                began_s = asyncio.get_running_loop().time()
                await refused_to_come_again(old, session)
                await nobody_listens(old)
                while not all(client.told_s for client in clients):
                    await old.write([1])
                    await asyncio.sleep(0.05)
                last.set_result(old.sequence + 1)  # before a client can have it
                (end,) = await old.write([2])
                while old.runtime.health.problems().get("deliver") != "draining":
                    await asyncio.sleep(0.02)
    told_s = sorted(client.told_s for client in clients)
    assert all(at_s - began_s >= (k - 1) / EASY_PER_S for k, at_s in enumerate(told_s))
    for client in clients:
        assert sorted(client.before + client.after) == list(range(first, end + 1))
    newest = [max(client.before, default=0) for client in clients]
    assert max(newest) > first, "nobody got anything during the drain"


async def refused_to_come_again(server: Delivering, session: aiohttp.ClientSession) -> None:
    """By a connection from before the drain, which begins here."""
    before = metric("streamer_deliver_connects_total", outcome="failed")
    async with session.get(f"http://127.0.0.1:{server.port}/openapi.json") as answer:
        await answer.read()
    server.runtime.draining.set()
    async with session.get(server.url, headers=bearer()) as answer:
        assert answer.status == 503, await answer.text()
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Connection"] == "close"
        assert (await answer.json(content_type=None))["type"].endswith("draining")
    assert metric("streamer_deliver_connects_total", outcome="failed") == before


async def nobody_listens(server: Delivering) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            return
        writer.transport.abort()
        await asyncio.sleep(0.02)


async def test_who_catches_up_when_the_drain_begins_is_told_too(tmp_path: Path) -> None:
    """Live by the time that its moment comes, or not yet: it gets its `bye`, after a whole article."""
    async with delivering(tmp_path, deliver=PATIENT) as server, asyncio.timeout(60):
        await server.write([1], text=LONG)
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(reads_late(server))


async def reads_late(server: Delivering) -> None:
    async with raw(server, target=FROM_THE_START, receive_buffer=4_096) as (reader, _):
        await reader.readuntil(b":ok\n")
        server.runtime.draining.set()
        body = b""
        while chunk := await reader.read(1 << 20):
            body += chunk
        assert body.endswith(b'event: bye\ndata: {"reason":"drain"}\n\n\r\n0\r\n\r\n')


async def test_a_drain_that_is_given_up_ends_at_once(tmp_path: Path) -> None:
    """At a second signal the role is cancelled: nobody waits for a client that takes nothing, which sees an
    error and not a clean end. Nothing listened since the drain began: who comes again sees a
    network's error, which EventSource tries again, and no answer that it would take for the last.
    """
    async with asyncio.timeout(60), AsyncExitStack() as clients:
        async with delivering(tmp_path, deliver=PATIENT) as server:
            await server.write([1], text=LONG)
            stuck, _ = await clients.enter_async_context(
                raw(server, target=FROM_THE_START, receive_buffer=4_096)
            )
            await stuck.readuntil(b"long ")
            live, _ = await clients.enter_async_context(raw(server))
            await live.readuntil(b":ok\n")
            server.runtime.draining.set()
            await live.readuntil(b"event: bye\n")
            await nobody_listens(server)
        with pytest.raises(ConnectionError):
            while await stuck.read(1 << 20):
                pass
