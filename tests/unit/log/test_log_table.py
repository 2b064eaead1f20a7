"""A table follows its topic."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import LogUnavailable, TopicMissing
from streamer.log.base import Record, Stored, TopicPartition, TopicSpec
from streamer.log.local import LocalLog
from streamer.log.local_reader import LocalReader
from streamer.log.table import STALE_S, Table

SPEC = TopicSpec("t", 10, compact=True, retention_ms=10_000, compaction_lag_ms=1_000)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[LocalLog]:
    async with LocalLog(tmp_path / "log.db", clean_every_s=3600) as log:
        await log.ensure_topics([SPEC])
        yield log


@asynccontextmanager
async def running(table: Table) -> AsyncIterator[None]:
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(table.run())
        try:
            yield
        finally:
            task.cancel()


async def test_table_loads_all_that_is_there(log: LocalLog) -> None:
    """After `load` all partitions are applied, each in order, tombstones too."""
    records = [Record("t", n % 10, f"k{n % 20}", b"%d" % n if n % 3 else None) for n in range(1200)]
    await log.append(records)
    seen: list[Stored] = []
    table = Table(log, "t", seen.append)
    await table.load()
    for partition in range(10):
        wanted = [(r.key, r.value) for r in records if r.partition == partition]
        assert [(r.key, r.value) for r in seen if r.partition == partition] == wanted
    assert table.lag_s == 0.0


async def test_table_catches_up(log: LocalLog) -> None:
    """`catch_up` returns with all applied that was appended before, and nothing is applied twice."""
    seen: list[bytes | None] = []
    table = Table(log, "t", lambda record: seen.append(record.value))
    await table.load()
    async with running(table):
        await table.catch_up()
        for number in range(50):
            await log.append([Record("t", number % 10, "k", b"%d" % number)])
            await table.catch_up()
            assert seen == [b"%d" % n for n in range(number + 1)]


async def test_table_passes_compacted_ends(log: LocalLog) -> None:
    """`load` ends although the newest offsets were compacted away."""
    await log.append([Record("t", 0, "k", b"v"), Record("t", 0, "k", None)])
    await asyncio.sleep(1.1)
    await log.clean()
    table = Table(log, "t", lambda _: pytest.fail("all was compacted"))
    async with asyncio.timeout(30):
        await table.load()


async def test_table_that_stands_still_is_behind(log: LocalLog) -> None:
    """A table that nobody runs is behind for as long; one that runs is not."""
    table = Table(log, "t", lambda _: None)
    await table.load()
    await asyncio.sleep(STALE_S + 0.1)
    assert table.lag_s > STALE_S
    async with running(table):
        await log.append([Record("t", 0, "k", b"v")])
        await table.catch_up()
        async with asyncio.timeout(30):
            while table.lag_s:
                await asyncio.sleep(0.01)


class Stumbles(LocalLog):
    """Can't be read now and then, as a file that another process holds."""

    fails = 0

    @asynccontextmanager
    async def reader(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[LocalReader]:
        async with super().reader(starts) as reader:
            read = reader.read

            async def stumbling(**wanted: Any) -> list[Stored]:
                if self.fails:
                    self.fails -= 1
                    raise LogUnavailable("for a test")
                return await read(**wanted)

            reader.read = stumbling  # type: ignore[method-assign]
            yield reader


async def test_table_survives_a_log_that_stumbles(tmp_path: Path) -> None:
    """What can't be read for a moment is read a moment later, and nobody's role ends for it."""
    seen: list[bytes | None] = []
    async with Stumbles(tmp_path / "log.db", clean_every_s=3600) as log:
        await log.ensure_topics([SPEC])
        table = Table(log, "t", lambda record: seen.append(record.value))
        await table.load()
        log.fails = 2
        await log.append([Record("t", 0, "k", b"v")])
        async with running(table):
            await table.catch_up()
    assert seen == [b"v"]
    assert log.fails == 0


async def test_table_of_no_topic(log: LocalLog) -> None:
    """Loading a topic that isn't there says so."""
    with pytest.raises(TopicMissing, match="nowhere"):
        await Table(log, "nowhere", lambda _: None).load()


async def test_a_table_that_cannot_be_read_says_so_seldom(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails at each try is told once and counted, and told again a minute later."""
    monkeypatch.setattr("streamer.log.table.RETRY_S", 0.0)
    async with Stumbles(tmp_path / "log.db", clean_every_s=3600) as log:
        await log.ensure_topics([SPEC])
        log.fails = 20
        await log.append([Record("t", 0, "k", b"v")])
        await Table(log, "t", lambda _: None).load()
    assert log.fails == 0
    assert [record.message for record in caplog.records if record.name == "streamer.log.table"] == [
        "a table can't be read"
    ]
