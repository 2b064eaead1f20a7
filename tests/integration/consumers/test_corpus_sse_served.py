"""The feed by SSE from our own server: what the service does, the reader takes."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from harness.delivering import KEY, OTHER_KEY, Delivering, delivering, metric, partners_toml

from consumers.backoff import Backoff
from consumers.errors import FeedRefused, PositionLost
from consumers.parts import Parts
from consumers.sse import SseFeed
from streamer.config import DeliverSettings
from streamer.partners import hash_key
from streamer.partners_edit import rotate_partner
from streamer.runtime import article_spec

DEADLINE_S = 60
EVER = datetime(2020, 1, 1, tzinfo=UTC)


def feed_of(server: Delivering, **more: Any) -> SseFeed:
    return SseFeed("sse", server.url, lambda: KEY, **{"since": EVER, "backoff": Backoff(0.01, 0.05), **more})


async def read(feed: SseFeed, count: int, position: str | None = None) -> tuple[list[int], str]:
    """Sequences, in their order, and the position behind them."""
    found: list[int] = []
    async with asyncio.timeout(DEADLINE_S), aclosing(feed.batches(position)) as batches:
        while len(found) < count:
            batch = await anext(batches)
            found += [one.event.sequence for one in batch.events]
    return sorted(found), batch.position


async def test_it_goes_on_exactly_where_a_position_says(tmp_path: Path) -> None:
    """Over parts, wikis that are not asked for, tombstones, and positions without articles."""
    async with delivering(tmp_path) as server:
        first = await server.write(range(1, 21))
        found, position = await read(feed_of(server), 20)
        assert found == sorted(first)
        await server.write_silent(range(1, 9))
        second = await server.write(range(1, 11))
        assert (await read(feed_of(server), 10, position))[0] == sorted(second)
        some: list[int] = []
        for parts in Parts(0, 9).split(3):
            count = sum(partition in parts.of(10) for partition, _ in server.written)
            some += (await read(feed_of(server, parts=parts), count))[0]
        assert sorted(some) == sorted(sequence for _, sequence in server.written)
        none = feed_of(server, wikis=("dewiki",))
        async with asyncio.timeout(DEADLINE_S), aclosing(none.batches(None)) as batches:
            while (batch := await anext(batches)).position.startswith("since:"):
                assert not batch.events
        assert not batch.events
        third = await server.write([5])
        assert (await read(feed_of(server), 1, batch.position))[0] == third


async def test_a_key_that_is_revoked_ends_it(tmp_path: Path) -> None:
    """The open stream within seconds, and the next one at once, both by name; and so does no key at all."""
    async with delivering(tmp_path) as server, asyncio.timeout(DEADLINE_S):
        await server.write([1])
        async with aclosing(feed_of(server).batches(None)) as batches:
            while not (await anext(batches)).events:
                pass
            server.file.write_text(partners_toml(acme="wrs_another"))
            with pytest.raises(FeedRefused):
                while True:
                    await anext(batches)
        with pytest.raises(FeedRefused, match=r"answers 401 .*look at the key"):
            await read(feed_of(server), 1)


async def test_a_key_is_rotated_without_a_break(tmp_path: Path) -> None:
    """As `streamer partner rotate` does it: both keys are good; who has the new one goes on when the old one
    is taken out, by itself and where it was.
    """
    keys = [KEY]
    expired = metric("streamer_deliver_ended_streams_total", partner="acme", reason="expired")
    async with delivering(tmp_path) as server, asyncio.timeout(DEADLINE_S):
        first = await server.write(range(1, 11))
        feed = feed_of(server)
        feed.key = lambda: keys[-1]
        found: list[int] = []
        async with aclosing(feed.batches(None)) as batches:

            async def until(count: int) -> None:
                while len(found) < count:
                    found.extend(one.event.sequence for one in (await anext(batches)).events)

            await until(10)
            keys.append(rotate_partner(server.file, "acme"))
            second = await server.write(range(11, 21))
            await until(20)
            assert feed.connections == 1
            newest = hash_key(keys[-1])
            server.file.write_text(f'[acme]\nkeys = ["{newest}"]\n')
            third = await server.write(range(21, 31))
            while metric("streamer_deliver_ended_streams_total", partner="acme", reason="expired") == expired:
                await asyncio.sleep(0.01)
            fourth = await server.write(range(31, 41))
            await until(40)
        assert feed.connections == 2
        assert sorted(found) == sorted([*first, *second, *third, *fourth])


async def test_what_the_service_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    """A time in the future, and another partner's position."""
    async with delivering(tmp_path) as server:
        with pytest.raises(FeedRefused, match=r"422 .*since: lies in the future"):
            await read(feed_of(server, since=datetime(2100, 1, 1, tzinfo=UTC)), 1)
        await server.write([1])
        _, position = await read(feed_of(server), 1)
        await server.log.ensure_topics([article_spec(server.runtime.settings, server.topic[:-4] + "globex")])
        other = feed_of(server)
        other.key = lambda: OTHER_KEY
        with pytest.raises(FeedRefused, match=r"400 .*is a position of another feed"):
            await read(other, 1, position)


async def test_a_feed_made_anew_is_lost_by_name(tmp_path: Path) -> None:
    """410; told to go on, it begins where the new one does."""
    async with delivering(tmp_path) as server:
        await server.write(range(1, 4))
        _, position = await read(feed_of(server), 3)
        await server.log.delete_topic(server.topic)
        await server.log.ensure_topics([article_spec(server.runtime.settings, server.topic)])
        again = await server.write(range(1, 4))
        with pytest.raises(PositionLost, match="made anew"):
            await read(feed_of(server), 1, position)
        assert (await read(feed_of(server, goes_on=True), 3, position))[0] == sorted(again)


async def test_heartbeats_of_the_service_keep_a_quiet_stream(tmp_path: Path) -> None:
    """In the gzip stream too: silent for longer than the reader waits, and still the same connection."""
    async with delivering(tmp_path, deliver=DeliverSettings(heartbeat_s=0.1)) as server:
        await server.write([1])
        feed = feed_of(server, silence_s=2.0)
        async with asyncio.timeout(DEADLINE_S), aclosing(feed.batches(None)) as batches:
            while not (await anext(batches)).events:
                pass
            written = metric("streamer_deliver_connections", partner="acme", format="sse")
            later = asyncio.ensure_future(anext(batches))
            await asyncio.wait({later}, timeout=3.0)
            assert written == 1
            [sequence] = await server.write([2])
            batch = await later
            while not batch.events:
                batch = await anext(batches)
            assert [one.event.sequence for one in batch.events] == [sequence]
        assert feed.connections == 1
