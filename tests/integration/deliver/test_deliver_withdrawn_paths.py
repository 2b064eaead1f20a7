"""Words that stand nowhere else, in text, comment and editor: once hidden, no way of reading gives them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import aiohttp
import pytest
from harness.delivering import PARTITIONS, Delivering, article_record, bearer, delivering
from harness.delivering_on_kafka import delivering_on_kafka

from deploy.kafka import Brokers
from streamer.log.base import partition_of
from streamer.model import Hideable
from tests.integration.deliver.test_deliver_withdrawn import gate_of_cut_offs

EVER: Final = "2020-01-01T00:00:00Z"
EACH: Final = range(PARTITIONS)
ACCEPT: Final = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}
PARTS: Final[tuple[Hideable, ...]] = get_args(Hideable)
ALL_PARTS: Final = frozenset(PARTS)
HIDDEN: Final[tuple[tuple[Hideable, ...], ...]] = (
    ("text",),
    ("comment",),
    ("editor",),
    ("comment", "editor"),
    PARTS,
)
WITHDRAWN, OTHER, LAST = [
    page for page in range(1, 1_000) if partition_of(f"enwiki:{page}", PARTITIONS) == 3
][:3]
"""In one partition, so that what was read up to the last of them was all."""


@dataclass(frozen=True, slots=True)
class Way:
    """To ask for what was there before."""

    params: Mapping[str, str]
    from_id: bool = False


WAYS: Final = {
    "since": Way({"since": EVER}),
    "header": Way({}, from_id=True),
    "offsets": Way({"offsets": json.dumps(dict.fromkeys(map(str, EACH), 0))}),
    "per partition": Way({"since_per_partition": json.dumps(dict.fromkeys(map(str, EACH), EVER))}),
    "parts": Way({"since": EVER, "parts": ",".join(map(str, EACH))}),
    "fields": Way({"since": EVER, "fields": "version.*,article_body.*,visibility.*"}),
    "filters": Way({"since": EVER, "filters": '[{"field": "namespace.identifier", "value": 0}]'}),
    "filters of it": Way(
        {"since": EVER, "filters": '[{"field": "visibility.text", "value": [true, false]}]'}
    ),
}


def canary(page: int, part: Hideable) -> str:
    return f"canary-{part}-of-{page}"


def found_in(body: bytes, page: int) -> frozenset[Hideable]:
    return frozenset(part for part in PARTS if canary(page, part).encode() in body)


async def write(server: Delivering, *pages: int) -> None:
    """In commits of their own."""
    for page in pages:
        server.sequence += 1
        words = {part: canary(page, part) for part in PARTS}
        record = article_record(server.topic, page, 1_000 + server.sequence, server.sequence, **words)
        await server.log.append([record])


@asynccontextmanager
async def reading(
    server: Delivering, fmt: str, encoding: str, params: Mapping[str, str], last_id: str = ""
) -> AsyncIterator[aiohttp.StreamReader]:
    """An open stream, unpacked."""
    headers = bearer(Accept=ACCEPT[fmt], **{"Accept-Encoding": encoding})
    if last_id:
        headers["Last-Event-ID"] = last_id
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession() as session,
        session.get(server.url, headers=headers, params=params) as response,
    ):
        assert response.status == 200, await response.text()
        assert response.headers.get("Content-Encoding", "identity") == encoding
        yield response.content


async def until_last(content: aiohttp.StreamReader) -> bytes:
    body = b""
    while not found_in(body, LAST) >= {"text"}:
        data = await content.readany()
        assert data, "the stream ended"
        body += data
    return body


async def first_id(server: Delivering) -> str:
    info = await server.log.topic(server.topic)
    assert info is not None
    return f"{info.epoch}.0:0"


def check(body: bytes, hides: Sequence[Hideable]) -> None:
    shown = frozenset() if "text" in hides else ALL_PARTS - set(hides)
    assert found_in(body, WITHDRAWN) == shown
    assert found_in(body, OTHER) == ALL_PARTS


@pytest.mark.parametrize("hides", HIDDEN, ids=" ".join)
@pytest.mark.parametrize("fmt", ACCEPT)
async def test_caught_up(tmp_path: Path, fmt: str, hides: tuple[Hideable, ...]) -> None:
    """From a time, an id, offsets, of some parts, fields or filters, packed or not."""
    async with delivering(tmp_path) as server:
        await check_all_ways(server, fmt, hides)


@pytest.mark.xdist_group("kafka")
@pytest.mark.parametrize("fmt", ACCEPT)
async def test_caught_up_on_kafka(tmp_path: Path, brokers: Brokers, fmt: str) -> None:
    """The same from a cluster's log."""
    async with delivering_on_kafka(brokers, tmp_path) as server:
        await check_all_ways(server, fmt, ("comment", "editor"))
        await server.withdraw(WITHDRAWN, PARTS)
        await check_ways(server, fmt, PARTS)


async def check_all_ways(server: Delivering, fmt: str, hides: tuple[Hideable, ...]) -> None:
    await write(server, WITHDRAWN, OTHER, LAST)
    await check_ways(server, fmt, ())  # they would be found
    await server.withdraw(WITHDRAWN, hides, revision=1_001)
    await check_ways(server, fmt, hides)


async def check_ways(server: Delivering, fmt: str, hides: tuple[Hideable, ...]) -> None:
    for encoding in ("identity", "gzip"):
        for way in WAYS.values():
            last_id = await first_id(server) if way.from_id else ""
            async with reading(server, fmt, encoding, way.params, last_id) as content:
                check(await until_last(content), hides)


@pytest.mark.parametrize("hides", HIDDEN, ids=" ".join)
@pytest.mark.parametrize("fmt", ACCEPT)
async def test_live(tmp_path: Path, fmt: str, hides: tuple[Hideable, ...]) -> None:
    """A record that comes after its cut-off, though it is below it."""
    async with (
        delivering(tmp_path) as server,
        reading(server, fmt, "identity", {}) as plain,
        reading(server, fmt, "gzip", {}) as packed,
    ):
        for content in (plain, packed):
            await content.readany()
        server.sequence = 100
        await server.withdraw(WITHDRAWN, hides)
        server.sequence = 50
        await write(server, WITHDRAWN)
        await write(server, OTHER)
        await write(server, LAST)
        for content in (plain, packed):
            check(await until_last(content), hides)


@pytest.mark.parametrize("hides", HIDDEN, ids=" ".join)
@pytest.mark.parametrize("fmt", ACCEPT)
async def test_retained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: str, hides: tuple[Hideable, ...]
) -> None:
    """Frames that were made before their cut-off came, and are written after it: the stream was paused."""
    gate = gate_of_cut_offs(monkeypatch)
    monkeypatch.setattr("streamer.deliver.withdrawals.MAX_LAG_S", 0.1)
    async with delivering(tmp_path) as server, reading(server, fmt, "identity", {}) as content:
        await content.readany()
        gate.clear()
        await paused(server)
        held = asyncio.create_task(until_last(content))
        await write(server, WITHDRAWN)
        await write(server, OTHER)
        await server.withdraw(WITHDRAWN, hides)
        await write(server, LAST)
        gate.set()
        check(await held, hides)


async def paused(server: Delivering) -> None:
    """Streams are, since cut-offs are behind."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        status = server.url.replace("/articles", "/status")
        while True:
            async with session.get(status, headers=bearer()) as answer:
                told = await answer.json()
            if [one["state"] for one in told["connections"]] == ["paused"]:
                return
            await asyncio.sleep(0.02)
