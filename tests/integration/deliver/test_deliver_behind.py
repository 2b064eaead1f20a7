"""How far partners are behind, and how far back their topics reach, as the operator is told it."""

import asyncio
import time
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

import pytest
from harness.delivering import delivering, metric, raw, streams_open

from streamer.config import DeliverSettings
from streamer.deliver import behind, feed
from streamer.deliver.behind import Behind
from streamer.deliver.withdrawals import Withdrawals
from streamer.errors import LogUnavailable
from streamer.log.base import TopicPartition
from streamer.log.local_reader import LocalReader
from streamer.metrics import PARTNER_BEHIND, PARTNER_RETAINED, REGISTRY

AGE_S = 7_200


@pytest.fixture(autouse=True)
def _nothing_is_told_yet() -> None:
    """By other tests of this process, whose looks nobody took back."""
    for gauge in (PARTNER_BEHIND, PARTNER_RETAINED):
        gauge.clear()


TEXT = "x" * 20_000


def told(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def retained() -> float | None:
    return told("streamer_partner_retained_seconds", partner="acme")


async def until_retained(*, is_told: bool) -> None:
    async with asyncio.timeout(60):
        while (retained() is not None) is not is_told:
            await asyncio.sleep(0.02)


def of_streams() -> float | None:
    return told("streamer_partner_behind_seconds", partner="acme", reader="stream")


async def until_behind(least: float | None, most: float | None) -> None:
    """Between the two; None: there is no sample."""
    async with asyncio.timeout(60):
        while True:
            seen = of_streams()
            if seen is None or least is None or most is None:
                if seen is least:
                    return
            elif least <= seen <= most:
                return
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("way")
async def test_a_slow_stream_is_as_far_behind_as_what_it_is_sent_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the age of the record; 0 where all of the partner's streams have all; no sample once none is open.
    The articles here were appended two hours ago.
    """
    monkeypatch.setattr(behind, "LOOK_S", 0.02)
    settings = DeliverSettings(retained_mb=64, heartbeat_s=60)
    clock = lambda: int((time.time() - AGE_S) * 1000)  # noqa: E731
    async with delivering(tmp_path, deliver=settings, log_clock=clock) as server:
        await until_behind(None, None)
        async with raw(server) as (quick, _):
            await quick.readuntil(b":ok\n")
            await server.write([1])
            await quick.readuntil(b"\n\n")
            await until_behind(0, 0)
            async with raw(server, receive_buffer=4096) as (slow, _):
                await slow.readuntil(b":ok\n")
                await streams_open(2)
                for _ in range(20):
                    await server.write(range(1, 21), text=TEXT)  # 8 MB
                    got = b""
                    while got.count(b"\nid: ") < 20:
                        got += await quick.read(1 << 20)
                await until_behind(AGE_S, AGE_S + 3600)
            await streams_open(1)
            await until_behind(0, 0)
        await until_behind(None, None)


async def test_a_stream_that_pauses_falls_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While cut-offs are not known what was appended waits, also what no channel has yet; a log that does not
    answer leaves as far behind as it is silent.
    """
    monkeypatch.setattr(behind, "LOOK_S", 0.02)
    monkeypatch.setattr(feed, "SILENT_S", 1e9)
    clock = lambda: int((time.time() - AGE_S) * 1000)  # noqa: E731
    async with delivering(tmp_path, log_clock=clock) as server, raw(server) as (stream, _):
        await stream.readuntil(b":ok\n")
        await server.write([1])
        await stream.readuntil(b"\n\n")
        await until_behind(0, 0)
        with monkeypatch.context() as paused:
            goes_on = asyncio.Event()

            async def waits(_: Withdrawals) -> None:
                await goes_on.wait()

            paused.setattr(Withdrawals, "current", waits)
            await server.write([2])
            await until_behind(AGE_S, AGE_S + 3600)
            goes_on.set()
            await stream.readuntil(b"\n\n")
            await until_behind(0, 0)

        async def refuses(*_: object, **__: object) -> NoReturn:
            raise LogUnavailable("away")

        monkeypatch.setattr(feed, "SILENT_S", 0.1)
        monkeypatch.setattr(LocalReader, "read", refuses)
        await until_behind(0.1, 3600)


async def test_who_observes_ends_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it can't tell has no sample, and counts as a mistake of ours; streams go on, and are told of, even
    while the log does not answer about topics.
    """
    monkeypatch.setattr(behind, "LOOK_S", 0.02)
    monkeypatch.setattr(behind, "TOPICS_S", 0.02)
    async with delivering(tmp_path) as server:
        await server.write([1])
        async with raw(server) as (stream, _):
            await stream.readuntil(b":ok\n")
            await until_retained(is_told=True)
            asked = asyncio.Event()

            async def hangs(_: object) -> NoReturn:
                asked.set()
                await asyncio.Event().wait()
                raise AssertionError

            async def breaks(_: object) -> NoReturn:
                raise RuntimeError("a mistake")

            mistakes = metric("streamer_errors_total", stage="deliver", code="observer")
            monkeypatch.setattr(server.log, "readers", breaks)
            await until_retained(is_told=False)
            assert metric("streamer_errors_total", stage="deliver", code="observer") > mistakes
            await server.write([1])
            await stream.readuntil(b"\n\n")
            monkeypatch.setattr(server.log, "extents", hangs)
            await asked.wait()
            await until_behind(0, 0)
        await until_behind(None, None)


async def test_who_reads_may_be_behind_by_the_history(tmp_path: Path) -> None:
    """Beyond that compaction takes older versions, however old the oldest record is, and within it nothing,
    however young the topic is. No sample for a topic that holds nothing.
    """
    async with delivering(tmp_path) as server:
        looking = Behind(server.runtime, server.partners, dict)
        await looking.look()
        assert retained() is None
        await server.write([1])
        await looking.look()
        assert retained() == server.runtime.settings.log.history_hours * 3600
        assert told("streamer_partner_retained_seconds", partner="globex") is None


@pytest.mark.parametrize("age_h", [2, 200])
async def test_retention_may_take_it_before_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_h: int
) -> None:
    """Of a topic that it has taken something from it is the age of the oldest record, if that is less; asked
    once for as long as the topic begins there.
    """
    ages_h = [age_h + 1000]
    clock = lambda: int((time.time() - ages_h[0] * 3600) * 1000)  # noqa: E731
    async with delivering(tmp_path, log_clock=clock) as server:
        await server.write([1])
        ages_h[0] = age_h
        await server.write([1])
        ages_h[0] = 0
        await server.log.clean()
        looking = Behind(server.runtime, server.partners, dict)
        await looking.look()
        oldest_s = retained()
        assert oldest_s is not None
        most_s = server.runtime.settings.log.history_hours * 3600
        assert min(age_h * 3600, most_s) <= oldest_s <= min(age_h * 3600 + 3600, most_s)
        asked: list[object] = []
        told_of = server.log.oldest_ms

        async def counted(tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
            asked.extend(tps)
            return await told_of(tps)

        monkeypatch.setattr(server.log, "oldest_ms", counted)
        await looking.look()
        assert retained() is not None
        assert not asked
