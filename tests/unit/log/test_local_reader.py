"""What a reader of the file gets alone, it gets beside others too."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.errors import OffsetOutOfRange
from streamer.log.base import Record, TopicPartition, TopicSpec
from streamer.log.local import LocalLog
from streamer.log.local_file import connect
from streamer.log.local_reader import SHARED_BYTES, Ask, Found, Span, read_alone, read_together

TOPICS = [f"t{n}" for n in range(5)]
PARTITIONS = 3
NEVER_S = 3600.0


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[LocalLog]:
    async with LocalLog(tmp_path / "log.db", clean_every_s=NEVER_S) as log:
        await log.ensure_topics(
            [TopicSpec(name, PARTITIONS, compact=False, retention_ms=None) for name in TOPICS]
        )
        yield log


def writes(path: Path) -> sqlite3.Connection:
    """Past the log, which may be writing itself."""
    return sqlite3.connect(path, isolation_level=None, timeout=60)


def lanes(connection: sqlite3.Connection) -> dict[TopicPartition, int]:
    return {
        TopicPartition(name, partition): lane
        for name, partition, lane in connection.execute(
            "SELECT name, partition, lanes.id FROM lanes JOIN topics ON topics.id = topic"
        )
    }


async def test_together_all_get_what_each_gets_alone(log: LocalLog, rng: random.Random) -> None:
    """With holes, with limits, and where retention has been faster."""
    records = [
        Record(
            rng.choice(TOPICS), rng.randrange(PARTITIONS), f"k{n}", rng.randbytes(rng.choice((0, 10, 900)))
        )
        for n in range(600)
    ]
    await log.append(records)
    connection, writing = connect(log.path, writing=False), writes(log.path)
    places = lanes(connection)
    ends = dict(connection.execute("SELECT id, end FROM lanes"))
    for lane, end in ends.items():
        for offset in rng.sample(range(end), end // 4):
            writing.execute("DELETE FROM records WHERE lane = ? AND offset = ?", (lane, offset))
        if rng.random() < 0.3:
            earliest = rng.randrange(end)
            writing.execute("DELETE FROM records WHERE lane = ? AND offset < ?", (lane, earliest))
            writing.execute("UPDATE lanes SET earliest = ? WHERE id = ?", (earliest, lane))

    def ask() -> Ask:
        spans = []
        for tp in rng.sample(sorted(places), rng.randrange(1, 4)):
            start, end = sorted((rng.randrange(ends[places[tp]]), ends[places[tp]]))
            spans.append(Span(tp, places[tp], start, end))
        return Ask(spans, rng.choice((1, 3, 500)), rng.choice((1, 2_000, 1_000_000)))

    def alone(ask: Ask) -> Found | tuple[object, ...]:
        try:
            return read_alone(connection, ask)
        except OffsetOutOfRange as error:
            return error.args

    asked = [ask() for _ in range(200)]
    found = read_together(connection, asked)
    assert [one.args if isinstance(one, Exception) else one for one in found] == [alone(one) for one in asked]
    assert any(isinstance(one, OffsetOutOfRange) for one in found), "none was overtaken: a poor test"
    connection.close()
    writing.close()


async def test_large_records_are_not_all_read_in_one_go(log: LocalLog) -> None:
    big = random.Random(1).randbytes(SHARED_BYTES // 2)
    await log.append([Record(name, 0, "k", big) for name in TOPICS])
    connection = connect(log.path, writing=False)
    places = lanes(connection)
    asked = [Ask([Span(TopicPartition(name, 0), places[name, 0], 0, 1)], 500, 10) for name in TOPICS]
    assert len(read_together(connection, asked)) == 2
    connection.close()

    async def follow(name: str) -> int:
        async with log.reader({TopicPartition(name, 0): 0}) as reader:
            return len(await reader.read(wait_s=60))

    assert await asyncio.gather(*map(follow, TOPICS)) == [1] * len(TOPICS)


async def test_a_damaged_record_is_the_trouble_of_its_reader(log: LocalLog) -> None:
    await log.append([Record(name, 0, "k", b"a value that is packed " * 20) for name in TOPICS])
    writing = writes(log.path)
    writing.execute(
        "UPDATE records SET value = x'00' WHERE lane = ?", (lanes(writing)[TopicPartition(TOPICS[1], 0)],)
    )
    writing.close()

    async def follow(name: str) -> int:
        async with log.reader({TopicPartition(name, 0): 0}) as reader:
            return len(await reader.read(wait_s=60))

    found = await asyncio.gather(*map(follow, TOPICS), return_exceptions=True)
    assert isinstance(found.pop(1), Exception)
    assert found == [1] * (len(TOPICS) - 1)
