"""How far partners are behind, and how far back their topics reach, as the operator is told it."""

import asyncio
import time
from pathlib import Path

import pytest
from harness.delivering import delivering, metric, raw, streams_open

from streamer.config import DeliverSettings
from streamer.deliver import behind
from streamer.deliver.behind import Behind
from streamer.metrics import REGISTRY

AGE_S = 7_200
TEXT = "x" * 20_000


def told(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


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


async def test_a_topic_reaches_back_to_its_oldest_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read once for as long as the topic begins there; no sample for a topic that holds nothing."""
    clock = lambda: int((time.time() - AGE_S) * 1000)  # noqa: E731
    async with delivering(tmp_path, log_clock=clock) as server:
        looking = Behind(server.runtime, server.partners, dict)
        await looking.look()
        assert told("streamer_partner_retained_seconds", partner="acme") is None
        await server.write(range(1, 30))
        await looking.look()
        oldest_s = metric("streamer_partner_retained_seconds", partner="acme")
        assert AGE_S <= oldest_s < AGE_S + 3600
        assert told("streamer_partner_retained_seconds", partner="globex") is None
        reads = 0

        def counted(*_: object) -> object:
            nonlocal reads
            reads += 1
            raise AssertionError

        monkeypatch.setattr(server.log, "reader", counted)
        await looking.look()
        assert metric("streamer_partner_retained_seconds", partner="acme") >= oldest_s
        assert not reads
