"""`filters` on the wire: live, caught up, resumed; what they never hide and never tell."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp
import pytest
from harness.articles import Page
from harness.delivering import KEY, Delivering, bearer, delivering, metric, problem, raw, streams_open
from harness.detaching import Adopted
from harness.feed import Feed
from harness.schema import checked

from streamer.config import DeliverSettings
from streamer.model import Kind

EVER: Final = "2020-01-01T00:00:00Z"
MILLION: Final = 1_000_001
KINDS: Final[tuple[Kind, ...]] = ("edit", "edit", "edit", "move", "delete", "visibility")
Lines = AsyncIterator[dict[str, Any]]


def gone(page: Page) -> bool:
    """A removal, or hidden: it says nothing of the version that anybody could ask for."""
    return page.kind == "delete" or page.text is None


CASES: Final[list[tuple[list[dict[str, object]], Callable[[Page], bool]]]] = [
    ([{"field": "identifier", "value": [1, MILLION]}], lambda p: p.page_id in (1, MILLION)),
    ([{"field": "version.tags", "value": "x"}], lambda p: gone(p) or "x" in p.tags),
    (
        [{"field": "version.tags", "value": ["x", "y"]}, {"field": "version.editor.is_bot", "value": False}],
        lambda p: gone(p) or (not {"x", "y"}.isdisjoint(p.tags) and not p.bot),
    ),
    (
        [{"field": "article_body.text", "value": "short"}, {"field": "name", "value": "Page 1"}],
        lambda p: p.page_id == 1 and (gone(p) or p.text == "short"),
    ),
    ([{"field": "version.size.value", "value": MILLION}], lambda p: gone(p) or p.size == MILLION),
    ([{"field": "event.kind", "value": "edit"}], lambda p: p.kind == "edit"),
]


def pages(rng: Random, first: int, count: int) -> list[Page]:
    found = []
    for sequence in range(first, first + count):
        kind = rng.choice(KINDS)
        found.append(
            Page(
                sequence,
                rng.choice([1, 2, 3, MILLION]),
                kind=kind,
                bot=rng.choice([True, False]),
                size=rng.choice([100, MILLION]),
                tags=tuple(rng.sample(["x", "y", "z"], rng.randrange(3))),
                text=None if kind == "visibility" else rng.choice(["short", "another text"]),
            )
        )
    return found


async def publish(server: Delivering, written: Sequence[Page]) -> None:
    topics = server.runtime.topics
    await server.log.append([replace(page.record(topics), topic=server.topic) for page in written])


@asynccontextmanager
async def articles(server: Delivering, filters: object, **more: object) -> AsyncIterator[Lines]:
    """A connection, answered; what it gets."""
    timeout = aiohttp.ClientTimeout(total=60)
    body = {"filters": filters, **more}
    headers = bearer(Accept="application/x-ndjson")
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(server.url, json=body, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()

        async def lines() -> Lines:
            while line := await answer.content.readline():
                yield checked(json.loads(line))

        yield lines()


async def sequences(lines: Lines, count: int) -> list[int]:
    return [(await anext(lines))["event"]["sequence"] for _ in range(count)]


def delivered() -> float:
    return metric("streamer_deliver_events_total", partner="acme", format="ndjson")


async def test_live_and_catch_up_get_the_same(tmp_path: Path, rng: Random) -> None:
    """What was missed and what comes live passes by the same rules, removals too; nothing else is counted as
    delivered.
    """
    async with delivering(tmp_path) as server, asyncio.TaskGroup() as group:
        before, after = pages(rng, 1, 60), pages(rng, 61, 60)
        await publish(server, before)
        counted = delivered()
        done: list[asyncio.Task[None]] = []
        wanted_in_all = 0
        for filters, wants in CASES:
            early = [page.sequence for page in before if wants(page)]
            late = [page.sequence for page in after if wants(page)]
            wanted_in_all += 2 * len(late) + len(early)

            async def follow(filters: object, expected: list[int], **start: object) -> None:
                async with articles(server, filters, **start) as lines:
                    assert sorted(await sequences(lines, len(expected))) == sorted(expected)

            done.append(group.create_task(follow(filters, early + late, since=EVER)))
            done.append(group.create_task(follow(filters, late)))
        async with asyncio.timeout(30):
            while metric("streamer_deliver_connections", partner="acme", format="ndjson") != len(done):
                await asyncio.sleep(0.01)
            await publish(server, after)
            await asyncio.wait(done)
            while delivered() < counted + wanted_in_all:
                await asyncio.sleep(0.01)
        assert delivered() == counted + wanted_in_all


async def test_equal_filters_by_any_way(tmp_path: Path) -> None:
    """In the query as JSON text, in a body, `[]` for none; with `fields` without what is filtered by."""
    filters = [{"field": "version.comment", "value": "why"}, {"field": "identifier", "value": 3}]
    async with delivering(tmp_path) as server, asyncio.timeout(30):
        await server.write([1, 2, 3])
        async with articles(server, filters, since=EVER, fields=["url"]) as lines:
            article = await anext(lines)
            assert article["identifier"] == 3
            assert "version" not in article
        async with articles(server, [], since=EVER) as lines:
            assert sorted(await sequences(lines, 3)) == [1, 2, 3]
        target = f"{server.url}?since={EVER}&filters=" + json.dumps(filters).replace(" ", "%20")
        async for event in Feed(target, KEY).events():
            assert event.article["identifier"] == 3
            break


async def test_what_can_never_be_given_is_403(tmp_path: Path) -> None:
    """By name, in fields and in filters; a wildcard gives what there is."""
    async with delivering(tmp_path, limits='fields = ["version.*"]\neditor = "none"') as server:
        for parameter, value in [
            ("fields", "abstract"),
            ("fields", "version.editor.name"),
            ("filters", '[{"field":"version.editor.name","value":"A"}]'),
        ]:
            body = await problem(server, 403, params={parameter: value})
            assert body["type"] == "urn:streamer:problem:not_granted"
            assert body["parameter"] == parameter
        await server.write([1])
        async with articles(server, [], fields=["version.editor.*", "name"], since=EVER) as lines:
            assert (await anext(lines))["name"] == "Page 1"


async def test_a_hidden_comment_is_not_matched(tmp_path: Path) -> None:
    """Caught up or live, once it is hidden: that it was there once is nobody's to find out."""
    filters = [{"field": "version.comment", "value": "why"}]
    async with delivering(tmp_path) as server, asyncio.timeout(30):
        await server.write([1, 2])
        await server.withdraw(1, ("comment",))
        async with articles(server, filters, since=EVER) as lines:
            assert (await anext(lines))["identifier"] == 2
            server.sequence = 100
            await server.withdraw(5, ("comment", "editor"))
            server.sequence = 50
            await server.write([5, 6])
            assert (await anext(lines))["identifier"] == 6


async def test_what_is_retained_is_judged_by_what_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow reader does not get by its filter what lost its comment meanwhile, though a fast one did."""
    adopted = Adopted(monkeypatch)
    asked = json.dumps([{"field": "version.comment", "value": "why"}]).replace(" ", "%20")
    filters = json.loads(asked.replace("%20", " "))
    head = "Accept: application/x-ndjson\r\n"
    async with (
        delivering(tmp_path) as server,
        asyncio.timeout(30),
        raw(server, head, target=f"/v2/articles?filters={asked}", receive_buffer=4_096) as (waiting, _),
        articles(server, filters) as fast,
    ):
        await adopted.reach(2)
        for _ in range(20):
            await server.write([9, 9], text="x" * 100_000)  # 4 MB, more than all buffers on the way
        await server.write([1, 2])
        assert sorted(await sequences(fast, 42)) == list(range(1, 43))
        await server.withdraw(1, ("comment",))
        async with articles(server, filters, since=EVER) as after:
            assert 41 not in await sequences(after, 41)  # the cut-off is in force
        (last,) = await server.write([9])
        text = b""
        while b'"sequence":%d,' % last not in text:
            text += await waiting.read(1 << 20)
    got = [int(number) for number in re.findall(rb'"sequence":(\d+),', text)]
    assert sorted(got) == [*range(1, 41), 42, last]


async def test_a_quiet_filter_is_told_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a history of what it does not want, and live: cursors, by which it resumes without a hole."""
    monkeypatch.setattr("streamer.deliver.outlet.CURSOR_S", 0.0)
    monkeypatch.setattr("streamer.deliver.hub.CURSOR_S", 0.0)
    monkeypatch.setattr("streamer.deliver.connection.REPLAY_RECORDS", 20)
    adopted = Adopted(monkeypatch)
    quiet = "filters=" + json.dumps([{"field": "identifier", "value": 7}]).replace(" ", "%20")
    settings = DeliverSettings(heartbeat_s=0.1)
    async with delivering(tmp_path, deliver=settings) as server, asyncio.timeout(60):
        await server.write([1] * 200)
        ids: list[str] = []
        async for event in Feed(f"{server.url}?{quiet}", KEY, since=EVER).events():
            if event.name == "heartbeat":
                continue
            ids.append(event.id)
            if event.name == "message":
                break
            assert event.name == "cursor"
            if len(ids) == 5:  # it has half of the history behind it
                await server.write([1] * 60)
            if adopted.streams:  # and these are live
                await server.write([1, 7] if len(ids) == 20 else [1])
        assert len(set(ids)) == len(ids) > 20
        for position in ids[:-1:4]:
            async for event in Feed(f"{server.url}?{quiet}", KEY, last_id=position).events():
                if event.name == "message":
                    assert event.article["identifier"] == 7
                    break


async def test_a_quiet_filter_hears_heartbeats(tmp_path: Path) -> None:
    """NDJSON gets space bytes and nothing else, caught up and live, whatever goes by."""
    quiet = "filters=" + json.dumps([{"field": "identifier", "value": 7}]).replace(" ", "%20")
    target = f"/v2/articles?since={EVER}&{quiet}"
    async with delivering(tmp_path, deliver=DeliverSettings(heartbeat_s=0.03)) as server:
        await server.write([1] * 50)
        head = "Accept: application/x-ndjson\r\n"
        async with asyncio.timeout(30), raw(server, head, target=target) as (reader, _):
            await reader.readuntil(b"\r\n\r\n")
            for beat in range(10):
                assert await reader.readexactly(6) == b"1\r\n \r\n"
                if beat % 3 == 0:
                    await server.write([1] * 3)
            await server.write([7])
            while await reader.readexactly(1) != b"{":
                pass


async def test_freshness_is_of_what_is_delivered(tmp_path: Path) -> None:
    """An article that nobody's filter lets pass was delivered to nobody."""
    name = "streamer_edit_to_delivery_seconds_count"
    async with delivering(tmp_path) as server, asyncio.timeout(30):
        before = metric(name, partner="acme")
        async with articles(server, [{"field": "identifier", "value": 7}]) as lines:
            while metric("streamer_deliver_connections", partner="acme", format="ndjson") != 1:
                await asyncio.sleep(0.01)
            await server.write([1, 2, 3, 7])
            assert await sequences(lines, 1) == [4]
        assert metric(name, partner="acme") == before + 1
        await streams_open(0)
