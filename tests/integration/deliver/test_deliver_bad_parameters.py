"""Thousands of requests with a good key and parameters that make no sense, or nearly do."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from harness.delivering import KEY, Delivering, delivering, problem
from harness.odd_parameters import PARAMETERS, Feed, odd_request, wire
from harness.onslaught import Footing, at_once, bystander, eavesdropping, judge, thrown

from streamer.config import DeliverSettings

LIMITS = "limits = { connections = 0, requests_per_minute = 0 }"
REQUESTS = 3_000
WORKERS = 64
LATE_S = 15.0
GROWN_BYTES = 30_000_000
TOO_LARGE = wire(KEY, "POST", "/v2/articles", {}, b" " * 2_000_000)


async def known(server: Delivering) -> Feed:
    """What a client may know or guess."""
    mine = await server.log.topic(server.topic)
    other = await server.log.topic(server.runtime.topics.of_partner("globex"))
    assert mine
    assert other
    return Feed(mine.epoch, mine.name, other.epoch, other.name)


async def onslaught(
    folder: Path, rng: random.Random, requests: int, names: Sequence[str] = PARAMETERS
) -> Counter[int]:
    """How often each status came."""
    statuses: Counter[int] = Counter()
    async with delivering(folder, limits=LIMITS, deliver=DeliverSettings(heartbeat_s=0.5)) as server:
        await server.write(range(1, 31))

        async def throw(request: bytes) -> None:
            (answer,) = await thrown(server.port, request, expected=1)
            judge(answer, request)
            statuses[answer.status] += 1

        async with asyncio.timeout(100), bystander(server, late_s=LATE_S):
            feed = await known(server)
            with eavesdropping():
                half = requests // 2
                await at_once(
                    throw, (wire(KEY, *odd_request(rng, feed, names)) for _ in range(half)), WORKERS
                )
                footing = Footing.now()
                await at_once(
                    throw, (wire(KEY, *odd_request(rng, feed, names)) for _ in range(half)), WORKERS
                )
                await throw(TOO_LARGE)  # which chance seldom makes
                await footing.regained(grown_bytes=GROWN_BYTES)
    assert statuses[503] <= requests / 50, "the log is slow on a busy machine, but now and then"
    return statuses


async def test_odd_parameters(tmp_path: Path, rng: random.Random) -> None:
    """Each is answered once, as the contract says, without a word of the values; a live stream of another
    partner loses nothing and is not seen, and the process holds no more than before.
    """
    statuses = await onslaught(tmp_path, rng, REQUESTS)
    assert {200, 400, 406, 413, 414, 422} <= statuses.keys(), "they no longer reach what they should"


async def test_odd_filters(tmp_path: Path, rng: random.Random) -> None:
    """Filters of every shape, good ones among them: a stream, or a refusal."""
    await onslaught(tmp_path, rng, REQUESTS // 5, ("filters",))


@pytest.mark.soak
async def test_many_more_odd_parameters(tmp_path: Path, rng: random.Random) -> None:
    """The same, longer than anybody would wait for."""
    await onslaught(tmp_path, rng, 12 * REQUESTS)
    await onslaught(tmp_path, rng, 2 * REQUESTS, ("filters",))


async def test_an_id_of_64_kb(tmp_path: Path) -> None:
    """In a header it is more than a header may be, in a body more than an id may be: a 400, in every form."""
    async with delivering(tmp_path, limits=LIMITS) as server:
        info = await server.log.topic(server.topic)
        assert info
        entry = msgspec.json.encode({"topic": info.name, "partition": 0, "offset": 0}).decode()
        for text in (
            f"{info.epoch}.0:0," * 6_000,
            f"{info.epoch}." + ",".join(f"{n}:0" for n in range(10_000)),
            f"{info.epoch}.0:" + "0" * 65_536,
            "[" + ",".join([entry] * 1_300) + "]",
            "[" * 65_536,
            " " * 65_536 + "[]",
            "x" * 65_536,
        ):
            assert len(text) >= 65_536
            told = await problem(
                server, 400, method="POST", data=msgspec.json.encode({"last_event_id": text})
            )
            assert told["parameter"] == "last_event_id"
            request = wire(KEY, "GET", "/v2/articles", {"Last-Event-ID": text}, b"")
            (answer,) = await thrown(server.port, request, expected=1)
            judge(answer, request)
            assert answer.status == 400
