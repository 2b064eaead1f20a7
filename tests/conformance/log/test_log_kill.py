"""Kill -9 at any instant: a commit is there whole or not at all, and what was acknowledged is there."""

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from deploy.kafka import Brokers
from streamer.log.base import Log
from streamer.log.kafka import KafkaLog
from streamer.log.local import LocalLog
from tests.conformance.log.checks import read_all
from tests.conformance.log.committer import records_of
from tests.conformance.log.engine import SPECS, at
from tests.conformance.log.kafka_engine import KafkaEngine

ROOT = Path(__file__).resolve().parents[3]
KILLS = 20


async def test_kill_leaves_whole_commits(tmp_path: Path, rng: Random) -> None:
    """After each of 20 kills records and position agree in all topics; the next process goes on."""
    path = tmp_path / "log.db"
    total = 0
    for _ in range(KILLS):
        acknowledged = await _commit_until_killed(rng.uniform(0.0, 0.15), str(path))
        async with LocalLog(path, clean_every_s=3600) as log:
            total = await _whole(log, acknowledged, total)


@pytest.mark.xdist_group("kafka")
@pytest.mark.timeout(600)
async def test_kill_leaves_whole_commits_on_kafka(brokers: Brokers, rng: Random) -> None:
    """The same, once the next worker has taken over: what hung in the air is decided by then."""
    engine = KafkaEngine(brokers)
    total = 0
    for _ in range(KILLS):
        acknowledged = await _commit_until_killed(
            rng.uniform(0.0, 0.3), "kafka", brokers.bootstrap, engine.prefix
        )
        async with KafkaLog((brokers.bootstrap,), prefix=engine.prefix) as log:
            await log.fence("g", "a", 0)
            total = await _whole(log, acknowledged, total)
    await engine.clear()


async def _whole(log: Log, acknowledged: int, before: int) -> int:
    """How many commits there are; all of each."""
    found = (await log.committed("g"))[at("a")]
    assert found.next >= acknowledged, "an acknowledged commit is gone"
    assert found.next > before
    wanted = Counter(
        (r.topic, r.partition, r.key, r.value) for n in range(1, found.next + 1) for r in records_of(n)
    )
    assert found.state["records"] == wanted.total()
    tps = [at(spec.name, partition) for spec in SPECS for partition in range(3)]
    stored = [r for records in (await read_all(log, tps)).values() for r in records]
    assert Counter((r.topic, r.partition, r.key, r.value) for r in stored) == wanted
    return found.next


async def _commit_until_killed(after_s: float, *arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.conformance.log.committer", *arguments, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            first = await process.stdout.readline()
        assert first, "the committer ended by itself"
        await asyncio.sleep(after_s)
    finally:
        process.send_signal(signal.SIGKILL)
        rest = await process.stdout.read()
        await process.wait()
    lines = (first + rest).split(b"\n")[:-1]  # what was cut in the middle of a number doesn't count
    return int(lines[-1])
