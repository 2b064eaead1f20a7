"""Requests for a stream, told apart by whose fault it was that there is none."""

from pathlib import Path

import aiohttp
import pytest
from harness.delivering import bearer, delivering, metric, problem, raw

from streamer.errors import LogUnavailable

OUTCOMES = ("accepted", "refused", "failed")


def counts() -> list[float]:
    return [metric("streamer_deliver_connects_total", outcome=outcome) for outcome in OUTCOMES]


async def test_connects_are_told_by_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that began is accepted, however it ends; 4xx are the client's or its limits'; 5xx are ours.
    HEAD asks for no stream, and other routes are no connects.
    """
    async with delivering(tmp_path, limits="limits.connections = 1\n") as server:
        before = counts()

        def new() -> list[float]:
            return [now - then for now, then in zip(counts(), before, strict=True)]

        await problem(server, 401, headers={})
        await problem(server, 422, params={"nonsense": "1"})
        assert new() == [0, 2, 0]
        async with raw(server) as (stream, _):
            await stream.readuntil(b":ok\n")
            assert new() == [1, 2, 0]
            await problem(server, 429)
        assert new() == [1, 3, 0]
        with monkeypatch.context() as patch:

            async def unavailable(_: str) -> None:
                raise LogUnavailable("it does not answer")

            patch.setattr(server.log, "topic", unavailable)
            await problem(server, 503, headers=bearer())
        assert new() == [1, 3, 1]
        async with aiohttp.ClientSession(headers=bearer()) as session:
            async with session.head(server.url, params={"nonsense": "1"}) as answer:
                assert answer.status == 422
            async with session.get(server.url.replace("articles", "nothing")) as answer:
                assert answer.status == 404
        assert new() == [1, 3, 1]
