"""Thousands of requests that are no HTTP, or hardly: each a refusal or a close, and nobody else notices."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from harness.delivering import KEY, OTHER_KEY, delivering
from harness.malformed import SMUGGLED, spoilt_request
from harness.onslaught import Footing, at_once, bystander, eavesdropping, judge, thrown

from streamer.config import DeliverSettings

LIMITS = "limits = { connections = 0, requests_per_minute = 0 }"
REQUESTS = 1_500
WORKERS = 64
LATE_S = 15.0
GROWN_BYTES = 30_000_000
HEAD = b"GET /v2/articles HTTP/1.1\r\nHost: x\r\n"
POST = HEAD.replace(b"GET", b"POST")
AUTH = b"Authorization: Bearer " + KEY.encode() + b"\r\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who stalls is waited for, but not long."""
    monkeypatch.setattr("streamer.deliver.protocol.HEAD_DEADLINE_S", 0.3)
    monkeypatch.setattr("streamer.deliver.protocol.KEEPALIVE_S", 0.3)
    monkeypatch.setattr("streamer.deliver.body.BODY_DEADLINE_S", 0.3)


async def onslaught(folder: Path, rng: random.Random, requests: int) -> Counter[int]:
    """How often each status came; 0: closed without one."""
    statuses: Counter[int] = Counter()
    async with delivering(folder, limits=LIMITS, deliver=DeliverSettings(heartbeat_s=0.5)) as server:
        await server.write(range(1, 4))

        async def throw(request: bytes) -> None:
            answers = await thrown(server.port, request, is_head=b"HEAD " in request)
            for answer in answers:
                judge(answer, request)
                statuses[answer.status] += 1
            statuses[0] += not answers

        async with asyncio.timeout(100), bystander(server, late_s=LATE_S):
            with eavesdropping():
                await at_once(throw, (spoilt_request(rng, KEY) for _ in range(requests // 2)), WORKERS)
                footing = Footing.now()
                await at_once(throw, (spoilt_request(rng, KEY) for _ in range(requests // 2)), WORKERS)
                await footing.regained(grown_bytes=GROWN_BYTES)
    return statuses


@pytest.mark.usefixtures("impatient")
async def test_malformed_requests(tmp_path: Path, rng: random.Random) -> None:
    """Each is answered as the contract says or its connection is closed, in time, and without a word of what
    was sent; a live stream of another partner loses nothing, and the process holds no more than before.
    """
    statuses = await onslaught(tmp_path, rng, REQUESTS)
    assert {200, 400, 401, 404, 405, 417, 422} <= statuses.keys(), "they no longer reach what they should"
    assert statuses[0] < REQUESTS / 5
    assert statuses[503] <= REQUESTS / 50, "the log is slow on a busy machine, but now and then"


@pytest.mark.soak
@pytest.mark.usefixtures("impatient")
async def test_many_more_malformed_requests(tmp_path: Path, rng: random.Random) -> None:
    """The same, longer than anybody would wait for."""
    await onslaught(tmp_path, rng, 24 * REQUESTS)


TWO_READINGS = (
    POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: identity\r\n\r\n",
    POST.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Host: y\r\n" + AUTH + b"\r\n",
    HEAD + AUTH + AUTH.replace(KEY.encode(), OTHER_KEY.encode()) + b"\r\n",
    HEAD + AUTH + b"Last-Event-ID: a\r\nLast-Event-ID: b\r\n\r\n",
    HEAD.replace(b"1.1", b"2.0") + AUTH + b"\r\n",
    HEAD.replace(b"1.1", b"0.9") + AUTH + b"\r\n",
    b"GET /v2/articles\r\n\r\n",
)


async def test_what_two_readers_would_read_differently(tmp_path: Path) -> None:
    """A proxy may see the end of such a request elsewhere, or another key in it: it is refused, in HTTP/1,
    and what follows on its connection is not read.
    """
    async with delivering(tmp_path) as server:
        for request in TWO_READINGS:
            answers = await thrown(server.port, request + SMUGGLED)
            assert [answer.status for answer in answers] == [400], request
            judge(answers[0], request)


async def test_an_expectation_that_is_no_text(tmp_path: Path) -> None:
    """417, as for any other that can't be met, and the connection serves on."""
    async with delivering(tmp_path) as server:
        with eavesdropping():
            answers = await thrown(server.port, HEAD + AUTH + b"Expect: \xff\r\n\r\n" + SMUGGLED)
        assert [answer.status for answer in answers] == [417, 404]
