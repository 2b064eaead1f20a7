"""Requests for a stream, told apart by whose fault it was that there is none."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from harness.delivering import bearer, delivering, metric, problem, raw

from streamer.errors import LogUnavailable
from streamer.metrics import PARTNER_BEHIND, PARTNER_RETAINED, REGISTRY

OUTCOMES = ("accepted", "refused", "failed", "later")


def series(partner: str) -> list[str]:
    """Of deliver, and of nobody else."""
    return [
        sample.name
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.labels.get("partner") == partner and "route" not in sample.name
    ]


def counts() -> list[float]:
    return [metric("streamer_deliver_connects_total", outcome=outcome) for outcome in OUTCOMES]


async def test_connects_are_told_by_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that began is accepted, however it ends; 4xx are the client's or its limits'; 5xx are ours,
    but for a feed that is still being made. HEAD asks for no stream, and other routes are no connects.
    """
    async with delivering(tmp_path, limits="limits.connections = 1\n") as server:
        before = counts()

        def new() -> list[float]:
            return [now - then for now, then in zip(counts(), before, strict=True)]

        await problem(server, 401, headers={})
        await problem(server, 422, params={"nonsense": "1"})
        assert new() == [0, 2, 0, 0]
        async with raw(server) as (stream, _):
            await stream.readuntil(b":ok\n")
            assert new() == [1, 2, 0, 0]
            await problem(server, 429)
        assert new() == [1, 3, 0, 0]
        with monkeypatch.context() as patch:

            async def unavailable(_: str) -> None:
                raise LogUnavailable("it does not answer")

            patch.setattr(server.log, "topic", unavailable)
            await problem(server, 503, headers=bearer())

            async def missing(_: str) -> None:
                return None

            patch.setattr("streamer.deliver.topic.WAIT_S", 0.0)
            patch.setattr(server.log, "topic", missing)
            assert str((await problem(server, 503, headers=bearer()))["type"]).endswith("not_ready")
        assert new() == [1, 3, 1, 1]
        async with aiohttp.ClientSession(headers=bearer()) as session:
            async with session.head(server.url, params={"nonsense": "1"}) as answer:
                assert answer.status == 422
            async with session.get(server.url.replace("articles", "nothing")) as answer:
                assert answer.status == 404
        assert new() == [1, 3, 1, 1]


async def test_who_comes_amid_a_drain_is_to_come_later(tmp_path: Path) -> None:
    """By a connection that was kept open: it is as meant, and burns no budget."""
    async with delivering(tmp_path) as server, raw(server) as (stream, _):
        await stream.readuntil(b":ok\n")
        async with aiohttp.ClientSession(headers=bearer()) as session:
            async with session.get(server.url, params={"nonsense": "1"}) as answer:
                assert answer.status == 422
                await answer.read()
            before = counts()
            server.runtime.draining.set()
            async with session.get(server.url) as answer:
                assert answer.status == 503
                assert (await answer.json(content_type=None))["type"].endswith("draining")
        assert [now - then for now, then in zip(counts(), before, strict=True)] == [0, 0, 0, 1]


@pytest.mark.usefixtures("way")
async def test_a_partner_that_is_removed_has_no_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its last stream is over, and its topic was looked at again; others keep theirs."""
    monkeypatch.setattr("streamer.deliver.behind.LOOK_S", 0.1)
    monkeypatch.setattr("streamer.deliver.behind.TOPICS_S", 0.1)
    for gauge in (PARTNER_BEHIND, PARTNER_RETAINED):
        gauge.clear()  # of tests that looked by themselves
    async with delivering(tmp_path) as server:
        async with raw(server) as (stream, _):
            await stream.readuntil(b":ok\n")
            await server.write([1])
            await stream.readuntil(b"\n\n")
            assert series("acme")
            text = server.file.read_text()
            server.file.write_text(text[text.index("[globex]") :])
            await stream.read()
        async with asyncio.timeout(60):
            while series("acme"):
                await asyncio.sleep(0.02)
