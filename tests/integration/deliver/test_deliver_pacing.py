"""A partner with bytes per second: slower, never torn, never silent; over at once when it has to be."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path

from harness.delivering import Delivering, delivering, metric, partners_toml, raw, streams_open

from streamer.config import DeliverSettings
from streamer.deliver.pace import TURN_BYTES

KB = 1_000
TEXT = "x" * 5_000
EVENT = 5_500
"""Bytes of an article with that text, about."""
SINCE = "/v2/articles?since=2020-01-01T00:00:00Z"
"""An hour and more for what is written in most of these tests."""


def limits(bytes_per_second: int) -> str:
    return f"limits = {{ bytes_per_second = {bytes_per_second} }}"


def loop_s() -> float:
    return asyncio.get_running_loop().time()


async def articles(reader: asyncio.StreamReader, count: int) -> int:
    """Reads so many; how many bytes that was."""
    size = 0
    for _ in range(count):
        size += len(await reader.readuntil(b"\ndata: "))
        size += len(await reader.readuntil(b"\n\n"))
    return size


async def test_the_rate_is_kept_by_all_connections_together(tmp_path: Path) -> None:
    """Two that catch up get half each, and a live one beside them gets its articles all the same."""
    rate = 300 * KB
    async with delivering(tmp_path, limits=limits(rate)) as server, asyncio.timeout(20):
        before = metric("streamer_deliver_bytes_total", partner="acme")
        began_s = loop_s()
        async with raw(server) as (live, _), asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            await live.readuntil(b":ok\n\r\n")
            await server.write(range(1, 56), text=TEXT)
            await articles(live, 55)  # the bucket is empty
            behind = []
            for _ in range(2):
                reader, _ = await stack.enter_async_context(raw(server, target=SINCE))
                behind.append(group.create_task(timed(articles(reader, 30))))
            latencies = []
            while not all(task.done() for task in behind):
                asked_s = loop_s()
                await server.write([1], text="live")
                await articles(live, 1)
                latencies.append(loop_s() - asked_s)
            took_s = loop_s() - began_s
            written = metric("streamer_deliver_bytes_total", partner="acme") - before
            assert written <= rate * (took_s + 1) + 3 * TURN_BYTES
            assert took_s > 2 * 30 * EVENT / rate - 0.2
            assert abs(behind[0].result() - behind[1].result()) < 0.5
            assert max(latencies) < 1


async def timed(reading: Awaitable[int]) -> float:
    """When it was done."""
    await reading
    return loop_s()


async def test_a_paced_stream_beats_and_ends_at_once(tmp_path: Path) -> None:
    """While its turn is a minute away it sends heartbeats; a revoked key ends it on an event border, with
    `bye`, in catch-up and live; another connection finds the same debt.
    """
    deliver = DeliverSettings(heartbeat_s=0.1)
    async with delivering(tmp_path, limits=limits(100), deliver=deliver) as server, asyncio.timeout(20):
        await server.write(range(1, 4), text=TEXT)
        async with raw(server, target=SINCE) as (behind, _), raw(server) as (live, _):
            await articles(behind, 1)
            await live.readuntil(b":ok\n\r\n")
            await server.write([9], text=TEXT)
            for reader in (behind, live):
                await reader.readuntil(b":hb\n\r\n")
                for _ in range(3):
                    assert await reader.readexactly(9) == b"4\r\n:hb\n\r\n"
            async with raw(server, target=SINCE) as (again, _):
                await again.readuntil(b":ok\n\r\n")
                assert await again.readuntil(b":hb\n\r\n") == b"4\r\n:hb\n\r\n"
            server.file.write_text(partners_toml(acme="wrs_the-next-key", limits=limits(100)))
            began_s = loop_s()
            for reader in (behind, live):
                rest = await reader.read()
                assert rest.endswith(b'event: bye\ndata: {"reason":"expired"}\n\n\r\n0\r\n\r\n')
                assert b"\ndata: " not in rest.partition(b"event: bye")[0]
            assert loop_s() - began_s < EVENT / 100, "before the next turn"


async def test_a_drain_does_not_wait_for_turns(tmp_path: Path) -> None:
    """`bye`, and the role returns, though there is an hour's worth to be written."""
    async with delivering(tmp_path, limits=limits(100)) as server, asyncio.timeout(5):
        await server.write(range(1, 51), text=TEXT)
        async with raw(server, target=SINCE) as (reader, _):
            await articles(reader, 1)
            server.runtime.draining.set()
            assert (await reader.read()).endswith(b'event: bye\ndata: {"reason":"drain"}\n\n\r\n0\r\n\r\n')


async def test_what_is_withdrawn_while_it_waits_is_not_written(tmp_path: Path) -> None:
    """In catch-up and live: an article's turn comes long after the cut-off that hides it."""
    deliver = DeliverSettings(heartbeat_s=0.05)
    async with delivering(tmp_path, limits=limits(100), deliver=deliver) as server, asyncio.timeout(20):
        await server.write([1, 2, 3], text=TEXT)
        async with raw(server, target=SINCE) as (behind, _), raw(server) as (live, _):
            await articles(behind, 1)
            await live.readuntil(b":ok\n\r\n")
            await server.write([4], text=TEXT)
            for reader in (behind, live, live, live):
                assert b"data: {" not in await reader.readuntil(b":hb\n")
            for page in (1, 2, 3, 4):
                await server.withdraw(page)
            (last,) = await server.write([5])
            await unlimited(server)
            for reader in (behind, live):
                rest = await reader.readuntil(b'"sequence":%d' % last)
                assert rest.count(b"\ndata: {") == 1
                assert b"xxx" not in rest


async def unlimited(server: Delivering) -> None:
    generation = server.partners.generation
    server.file.write_text(partners_toml(limits=limits(0)))
    await server.partners.changed(generation)


async def test_who_is_paced_behind_the_window_ends_as_slow(tmp_path: Path) -> None:
    """With `bye`, since the client takes bytes: it resumes by its id, from the log. A limit that is taken
    away lets go at once whoever waits.
    """
    deliver = DeliverSettings(retained_mb=0.1)
    async with delivering(tmp_path, limits=limits(KB), deliver=deliver) as server, asyncio.timeout(20):
        async with raw(server) as (live, _):
            await live.readuntil(b":ok\n\r\n")
            await server.write(range(1, 6), text=TEXT)
            await articles(live, 1)
            for _ in range(6):
                await server.write(range(1, 6), text=TEXT)
            rest = await live.read()
            assert rest.endswith(b'event: bye\ndata: {"reason":"slow"}\n\n\r\n0\r\n\r\n')
        async with raw(server, target=SINCE) as (behind, _):
            await behind.readuntil(b":ok\n\r\n")
            await streams_open(1)
            await unlimited(server)
            await articles(behind, 35)


async def test_quiet_filters_keep_nobody_waiting(tmp_path: Path) -> None:
    """Of a partner whose bytes are used up: streams to which nothing passes take no turns, and their
    positions move on.
    """
    quiet = '/v2/articles?filters=[{"field":"name","value":"None"}]'
    deliver = DeliverSettings(heartbeat_s=0.05)
    async with (
        delivering(tmp_path, limits=limits(500), deliver=deliver) as server,
        asyncio.timeout(20),
        raw(server) as (live, _),
        raw(server, target=quiet) as (filtered, _),
    ):
        await filtered.readuntil(b":ok\n\r\n")
        await live.readuntil(b":ok\n\r\n")
        began_s = loop_s()
        await server.write([1], text=TEXT)
        await articles(live, 1)  # which uses up the bytes of 11 s
        await server.write(range(1, 11), text=TEXT)
        cursor = await filtered.readuntil(b"event: cursor\n")
        assert loop_s() - began_s < EVENT / 500, "before the next turn"
        assert b"data: {" not in cursor
