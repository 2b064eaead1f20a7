"""`/v2/status`: what a partner learns of its own feed, and what it costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from harness.contract import schema
from harness.delivering import KEY, OTHER_KEY, Delivering, bearer, delivering, raw, streams_open
from harness.feed import Feed

from streamer.deliver import status, topic
from streamer.errors import LogUnavailable
from streamer.log.base import Bounds, Lane, TopicPartition
from streamer.log.position import Position
from streamer.runtime import article_spec


async def ask(server: Delivering, key: str = KEY, *, expect: int = 200, **more: Any) -> dict[str, Any]:
    """The answer's body; it is what the document says."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        session.get(server.url.replace("articles", "status"), headers=bearer(key), **more) as answer,
    ):
        body: dict[str, Any] = await answer.json(content_type=None)
        assert answer.status == expect, body
        assert answer.headers["Cache-Control"] == "no-store"
        schema("Status" if expect == 200 else "Problem", closed=True).validate(body)
        if expect == 503:
            assert int(answer.headers["Retry-After"]) > 0
        return body


@asynccontextmanager
async def connected(server: Delivering, encoding: str = "identity") -> AsyncIterator[None]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.url, headers=bearer(**{"Accept-Encoding": encoding})) as stream,
    ):
        assert await stream.content.readline()
        yield


async def test_positions_are_ids_and_freshness_is_the_feeds(tmp_path: Path) -> None:
    """From `earliest` everything comes, from `newest` what is written next. The harness's edits are of 2025,
    and so old is what was appended just now.
    """
    async with delivering(tmp_path) as server:
        sequences = await server.write(range(1, 31))
        found = await ask(server)
        assert found["partner"] == "acme"
        assert (found["partitions"], found["history_hours"]) == (10, 6.0)
        assert found["freshness"]["articles"] == 30
        assert found["freshness"]["p50_s"] > 1_000_000
        replay = Feed(server.url, KEY, last_id=found["positions"]["earliest"])
        async with asyncio.timeout(30):
            got = []
            async for event in replay.events():
                if event.name == "message":
                    got.append(event.article["event"]["sequence"])  # type: ignore[index] # an object
                if len(got) == len(sequences):
                    break
        assert sorted(got) == sequences
        assert replay.last_id == found["positions"]["newest"]


async def test_each_sees_its_own_streams_alone(tmp_path: Path) -> None:
    """Format, encoding and state of each that is open here; a poll is no stream, and takes no place."""
    async with delivering(tmp_path, limits="limits = { connections = 2 }") as server:
        settings, globex = server.runtime.settings, server.runtime.topics.of_partner("globex")
        await server.log.ensure_topics([article_spec(settings, globex)])
        async with connected(server), connected(server, "gzip"):
            await server.write(range(1, 4))
            async with asyncio.timeout(30):
                while sum(stream["lag_offsets"] for stream in (await ask(server))["connections"]):
                    await asyncio.sleep(0.05)
            streams = (await ask(server))["connections"]
            assert sorted((each["format"], each["encoding"]) for each in streams) == [
                ("sse", "gzip"),
                ("sse", "identity"),
            ]
            for each in streams:
                assert (each["state"], each["lag_s"]) == ("live", 0.0)
            assert (await ask(server, OTHER_KEY))["connections"] == []
        await streams_open(0)
        assert (await ask(server))["connections"] == []


async def test_a_client_that_does_not_read_is_seen_to_lag(tmp_path: Path) -> None:
    """In offsets and in seconds, from the position that it was told last."""
    async with delivering(tmp_path) as server:
        for _ in range(10):
            await server.write(range(1, 21), text="x" * 20_000)
        target = "/v2/articles?since=2020-01-01T00:00:00Z"
        async with asyncio.timeout(30), raw(server, target=target, receive_buffer=4096) as (reader, _):
            await reader.readuntil(b":ok\n")
            while True:
                (stream,) = (await ask(server))["connections"]
                if stream["lag_s"]:
                    break
                await asyncio.sleep(0.05)
            assert stream["state"] == "catching-up"
            assert 0 < stream["lag_offsets"] <= 200


async def test_completeness_is_what_route_has_committed(tmp_path: Path) -> None:
    """The counts of the positions at the partner's own topic, and of no other."""
    async with delivering(tmp_path) as server:
        topics = server.runtime.topics
        globex = topics.of_partner("globex")
        await server.log.ensure_topics([article_spec(server.runtime.settings, globex)])

        async def run(lane: Lane) -> None:
            theirs = Position(9, (), {"counts": {"published": 1_000}})
            mine = Position(7, (), {"counts": {"published": 5, "filtered": 2, "expired": 1}})
            at = {globex: theirs, server.topic: mine}
            await lane.commit([], {TopicPartition(name, lane.partition): at[name] for name in at})

        await server.log.run_lanes("route", topics.articles, run, partitions=[0, 1])
        found = (await ask(server))["completeness"]
        assert (found["published"], found["filtered"], found["missing"]) == (10, 4, 2)
        assert found["ratio"] == pytest.approx(1 - 2 / 16)


async def test_many_polls_cost_one_look_at_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For some seconds, whoever asks: by readers that are opened, what a poller could burden the log with."""
    async with delivering(tmp_path) as server:
        await server.write(range(1, 6))
        opened = 0
        reader, committed = server.log.reader, server.log.committed

        def counting(*arguments: Any) -> Any:
            nonlocal opened
            opened += 1
            return reader(*arguments)

        async def counting_committed(group: str) -> Any:
            nonlocal opened
            opened += 1
            return await committed(group)

        monkeypatch.setattr(server.log, "reader", counting)
        monkeypatch.setattr(server.log, "committed", counting_committed)
        await asyncio.gather(*(ask(server) for _ in range(20)))
        assert opened == 2, "one sample, and the accounts once"


async def test_a_log_that_hangs_or_fails_is_a_503_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Retry-After, within the deadline; and the next answer is whole once the log is back."""
    async with delivering(tmp_path) as server:
        monkeypatch.setattr(status, "DEADLINE_S", 0.2)
        for failing in (asyncio.Event().wait, _down):
            with monkeypatch.context() as patch:
                patch.setattr(server.log, "all_bounds", lambda _, fail=failing: fail())
                async with asyncio.timeout(30):
                    bodies = await asyncio.gather(*(ask(server, expect=503) for _ in range(5)))
                assert {body["type"] for body in bodies} == {"urn:streamer:problem:log_unavailable"}
        assert (await ask(server))["freshness"]["p50_s"] is None


async def _down() -> list[Bounds]:
    raise LogUnavailable("the disk is gone")


async def test_accounts_that_can_t_be_read_hide_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster that was not provisioned for it yet, or that takes long."""
    monkeypatch.setattr(status, "ACCOUNTS_S", 0.1)
    monkeypatch.setattr(status, "KNOWN_S", 0.0)
    async with delivering(tmp_path) as server:
        await server.write(range(1, 3))
        for failing in (_down, asyncio.Event().wait):
            monkeypatch.setattr(server.log, "committed", lambda _, fail=failing: fail())
            found = await ask(server)
            assert found["completeness"] is None
            assert found["freshness"]["articles"] == 2


async def test_a_key_is_needed_and_nothing_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401 without one, 422 for a parameter; HEAD has the same headers and no body. The partner whose topic is
    not there yet is told to come again.
    """
    monkeypatch.setattr(topic, "WAIT_S", 0.1)
    async with delivering(tmp_path) as server, aiohttp.ClientSession() as session:
        url = server.url.replace("articles", "status")
        async with session.get(url) as answer:
            assert answer.status == 401
        assert (await ask(server, "wrs_nobody", expect=401))["status"] == 401
        assert (await ask(server, expect=422, params={"since": "x"}))["parameter"] == "since"
        async with session.head(url, headers=bearer()) as answer:
            assert (answer.status, answer.content_type) == (200, "application/json")
            assert "RateLimit" in answer.headers
            assert await answer.read() == b""
        assert (await ask(server, OTHER_KEY, expect=503))["type"].endswith(":not_ready")
