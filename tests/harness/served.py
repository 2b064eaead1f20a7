"""What a partner is served of some words, whichever way it reads: each response is searched, byte by byte.

    await served(feed, words, borders)           way to read → names of the words that came
    async with Slow(feed) as slow:               a client that takes nothing until
        await slow.read(words, borders)          … what it was sent of them, however late

Each way is read until all `borders` have come: titles of articles that were published behind the rest, one at
least in each partition that counts.
"""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from harness.canaries import Words, found_in
from harness.patience import TIMES, again_s, answered
from harness.schema import checked

EVER: Final = "2020-01-01T00:00:00Z"
READ_S: Final = 60.0
SLOW_BYTES: Final = 4_096
"""Of a receive buffer: the rest waits at the service."""
SIP_BYTES: Final = 8_192
SIP_EVERY_S: Final = 5.0
"""A client that takes nothing for a minute is gone; a busy machine has not read all else by then."""
NAME: Final = re.compile(rb'"name":"([^"]*)"')
ARTICLE: Final = re.compile(rb'(?:data: | *)\{"name":')
QUIET: Final = frozenset({"status", "openapi", "page"})
"""Ways that hold nothing of articles."""
ALL_FIELDS: Final = "name,abstract,version.*,article_body.*,event.*"


@dataclass(frozen=True, slots=True)
class Way:
    """One request."""

    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    path: str = "/v2/articles"
    is_short: bool = False
    """The response ends by itself."""
    passed: frozenset[str] = frozenset()
    """Borders that lie before where it begins."""


NDJSON: Final = {"Accept": "application/x-ndjson"}
GZIP: Final = {"Accept-Encoding": "gzip"}


@dataclass(frozen=True, slots=True)
class Resume:
    """An id, and the borders that a client with it has had."""

    id: str
    passed: frozenset[str]


@dataclass(frozen=True, slots=True)
class PartnersFeed:
    port: int
    key: str
    topic: str


def ways(earliest: str, topic: str, ids: Mapping[str, Resume]) -> dict[str, Way]:
    """All there are; `earliest` is the id of the feed's beginning, `ids` are further ones to resume by."""
    offsets = {
        number: int(offset) for number, offset in re.findall(r"(\d+):(\d+)", earliest.partition(".")[2])
    }
    entries = [{"topic": topic, "partition": int(n), "offset": offset} for n, offset in offsets.items()]
    since = {"since": EVER}
    everybody = json.dumps([{"field": "is_part_of.identifier", "value": ["enproof"]}])
    found = {
        "since": Way(since),
        "since, gzip": Way(since, GZIP),
        "since, NDJSON": Way(since, NDJSON),
        "since, NDJSON, gzip": Way(since, NDJSON | GZIP),
        "since, fields": Way(since | {"fields": ALL_FIELDS}),
        "since, fields, NDJSON": Way(since | {"fields": ALL_FIELDS}, NDJSON),
        "since, filters": Way(since | {"filters": everybody}),
        "since, filters, fields, gzip": Way(since | {"filters": everybody, "fields": ALL_FIELDS}, GZIP),
        "since, parts": Way(since | {"parts": "0,1,2,3,4,5,6,7,8,9"}),
        "since, body": Way(body={"since": EVER}),
        "since_per_partition": Way({"since_per_partition": json.dumps(dict.fromkeys(offsets, EVER))}),
        "offsets": Way({"offsets": json.dumps(offsets)}),
        "offsets, NDJSON": Way({"offsets": json.dumps(offsets)}, NDJSON),
        "id": Way(headers={"Last-Event-ID": earliest}),
        "id, parameter": Way({"last_event_id": earliest}),
        "id, KafkaSSE's": Way(headers={"Last-Event-ID": json.dumps(entries)}),
        "status": Way(path="/v2/status", is_short=True),
        "openapi": Way(path="/openapi.json", is_short=True),
        "page": Way(path="/", is_short=True),
    }
    return found | {
        name: Way(headers={"Last-Event-ID": one.id}, passed=one.passed) for name, one in ids.items()
    }


async def served(
    feed: PartnersFeed,
    words: Words,
    borders: Collection[str],
    ids: Mapping[str, Resume] | None = None,
    only: Collection[str] = (),
) -> dict[str, set[str]]:
    """Every way at once, or only these. Raises AssertionError for one that does not come to its end."""
    timeout = aiohttp.ClientTimeout(total=READ_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{feed.port}",
        timeout=timeout,
        connector=connector,
        headers={"Authorization": f"Bearer {feed.key}", "Accept-Encoding": "identity"},
    ) as session:
        status = await _json(session, "/v2/status")
        asked = ways(status["positions"]["earliest"], feed.topic, ids or {})
        async with asyncio.TaskGroup() as tasks:
            readings = {
                name: tasks.create_task(_read(session, name, way, words, borders))
                for name, way in asked.items()
                if not only or name in only
            }
    return {name: reading.result() for name, reading in readings.items()}


async def _json(session: aiohttp.ClientSession, path: str) -> Any:
    async with answered(session, "GET", path) as response:
        assert response.status == 200, await response.text()
        return await response.json(content_type=None)


async def _read(
    session: aiohttp.ClientSession, name: str, way: Way, words: Words, borders: Collection[str]
) -> set[str]:
    method = "GET" if way.body is None else "POST"
    request = {"params": way.params, "headers": way.headers, "json": way.body}
    async with answered(session, method, way.path, **request) as response:
        assert response.status == 200, f"{name}: {response.status} {await response.text()}"
        wanted = way.headers.get("Accept-Encoding", "")
        assert response.headers.get("Content-Encoding", "") == wanted, name
        if way.is_short:
            return found_in(await response.read(), words)
        return await read_lines(name, response.content.iter_any(), words, set(borders) - way.passed)


@lru_cache(maxsize=4_096)
def _check(article: bytes) -> None:
    """Once, whichever ways it comes by."""
    checked(json.loads(article))


async def read_lines(
    name: str, chunks: AsyncIterator[bytes], words: Words, borders: Collection[str]
) -> set[str]:
    """Up to the line with the last border, what follows it in the same chunk included."""
    found: set[str] = set()
    missing = set(borders)
    rest = b""
    try:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                found |= found_in(line, words)
                if ARTICLE.match(line):
                    _check(line[line.index(b"{") :])
                match = NAME.search(line)
                if match:
                    missing.discard(match[1].decode())
            if not missing:
                return found | found_in(rest, words)
    except TimeoutError:
        pass
    raise AssertionError(f"{name}: ended, or nothing came any more, before {sorted(missing)}")


class Slow:
    """Of what it asked for, live, it takes a few kB now and then until it is told to read on: the rest lags
    behind.
    """

    def __init__(self, feed: PartnersFeed) -> None:
        self._feed = feed
        self._sipped = b""

    async def __aenter__(self) -> Self:
        """Once the stream has begun."""
        async with asyncio.timeout(READ_S):
            for _ in range(TIMES):
                headers = await self._connect()
                if headers is None:
                    self._sipping = asyncio.create_task(self._sip())
                    return self
                self._writer.transport.abort()
                await asyncio.sleep(again_s(headers))
        raise AssertionError(f"slow: refused {TIMES} times, {headers}")

    async def _connect(self) -> Mapping[str, str] | None:
        """None, or the headers of a 503."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BYTES)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._feed.port))
        self._reader, self._writer = await asyncio.open_connection(sock=sock, limit=SIP_BYTES)
        # 1.0 has no chunks, which would cut words in two
        head = f"GET /v2/articles HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {self._feed.key}\r\n\r\n"
        self._writer.write(head.encode())
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        if " 503 " in status:
            return dict(line.split(": ", 1) for line in lines if line)
        await self._reader.readuntil(b":ok\n")
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sipping.cancel()
        self._writer.transport.abort()

    async def _sip(self) -> None:
        while sip := await self._reader.read(2 * SIP_BYTES):
            self._sipped += sip
            await asyncio.sleep(SIP_EVERY_S)

    async def read(self, words: Words, borders: Collection[str]) -> set[str]:
        self._sipping.cancel()
        await asyncio.wait([self._sipping])
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        async with asyncio.timeout(READ_S):
            return await read_lines("slow", self._chunks(), words, borders)

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self._sipped
        while chunk := await self._reader.read(1 << 20):
            yield chunk
