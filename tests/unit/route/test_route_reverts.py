"""How a lane learns of reverts, on the real embedded log."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import streamer.route.reverts
from streamer.accounts import GROUP
from streamer.log.base import Record, TopicPartition
from streamer.log.local import LocalLog
from streamer.metrics import ERRORS
from streamer.model import Signal, Topics, encode_value
from streamer.route.reverts import STEP_READS, Reverts
from streamer.runtime import topic_specs
from tests.unit.route.test_route_stage import SETTINGS

SIGNALS = TopicPartition(Topics().signals, 0)
COUNT = 500 * STEP_READS * 2 + 100
"""More than two steps read."""


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[LocalLog]:
    """With signals of that many pages."""
    async with LocalLog(tmp_path / "log.db", clean_every_s=3600) as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        for first in range(1, COUNT + 1, 500):
            await log.append([signal(page) for page in range(first, min(first + 500, COUNT + 1))])
        yield log


def signal(page: int) -> Record:
    return Record(SIGNALS.topic, 0, f"enwiki:{page}", encode_value(Signal(page, 9, (5,), 0)))


async def test_who_begins_in_the_past_reads_a_little_at_a_time(log: LocalLog) -> None:
    """A call reads no more than its share and says that not all is known; together they read all."""
    reverts = Reverts(log, SIGNALS)
    known = []
    while not known or not known[-1]:
        before = len(reverts.told)
        known.append(await reverts.catch_up(0))
        assert len(reverts.told) - before <= 500 * STEP_READS
    assert known == [False, False, True]
    assert len(reverts.told) == COUNT
    await log.append([signal(COUNT + 1)])
    assert await reverts.catch_up(0)
    assert reverts.told.is_reverted(f"enwiki:{COUNT + 1}", 5)
    await reverts.aclose()


async def test_no_more_is_remembered_than_fits(log: LocalLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, and are counted."""
    monkeypatch.setattr(streamer.route.reverts, "MOST_TOLD", 1_000)
    forgotten = ERRORS.labels(GROUP, "reverts_forgotten")
    before = forgotten._value.get()
    reverts = Reverts(log, SIGNALS)
    while not await reverts.catch_up(0):
        pass
    assert len(reverts.told) == 1_000
    assert forgotten._value.get() - before == COUNT - 1_000
    assert not reverts.told.is_reverted("enwiki:1", 5)
    assert reverts.told.is_reverted(f"enwiki:{COUNT}", 5)
    await reverts.aclose()
