"""What is the local log's own: its file, its locks, its bound, what is left of a deleted record."""

import asyncio
import errno
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamer.config import LogSettings, Settings
from streamer.errors import (
    LogBusy,
    LogError,
    LogFull,
    LogTooNew,
    LogUnavailable,
    OffsetOutOfRange,
)
from streamer.log.base import Bounds, Lane, Record, TopicPartition, TopicSpec
from streamer.log.claims import locked
from streamer.log.kafka import KafkaLog
from streamer.log.local import LocalLog
from streamer.log.local_cleaner import truncate_wal
from streamer.log.local_file import SCHEMA_VERSION
from streamer.log.local_writer import MAX_WAITING, Transaction
from streamer.log.open import open_log
from streamer.log.position import Position

ROOT = Path(__file__).resolve().parents[3]
NEVER_S = 3600.0
T = TopicSpec("t", 10, compact=False, retention_ms=None)
COMPACT = TopicSpec("compact", 10, compact=True, retention_ms=None, compaction_lag_ms=0)
KEPT = TopicSpec("kept", 10, compact=False, retention_ms=None, protected=True)
TP = TopicPartition("t", 0)
MARK = b"this text was withdrawn "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[LocalLog]:
    async with LocalLog(path, clean_every_s=NEVER_S) as log:
        await log.ensure_topics([T, COMPACT, KEPT])
        yield log


async def limit_pages(log: LocalLog, *, more: int) -> None:
    """The disk has room for so many pages more."""

    def limit(transaction: Transaction) -> None:
        (pages,) = transaction.connection.execute("PRAGMA page_count").fetchone()
        transaction.connection.execute(f"PRAGMA max_page_count = {pages + more}").fetchone()

    await log._writer.do(limit)


# ── the file ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("log")
async def test_newer_file_is_refused(path: Path) -> None:
    """A file of a newer version is not touched; the message names the file and both versions."""
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(LogTooNew, match=rf"log\.db.*{SCHEMA_VERSION + 1}.*ours is {SCHEMA_VERSION}"):
        async with LocalLog(path):
            pass


async def test_other_files_are_refused(tmp_path: Path) -> None:
    """Text, another program's database, a directory: a LogError that says what it is; all stays as it was."""
    text = tmp_path / "notes.txt"
    text.write_bytes(b"not a database, but someone's notes. " * 100)
    before = text.read_bytes()
    with pytest.raises(LogError, match=r"notes\.txt: is not a log"):
        async with LocalLog(text):
            pass
    assert text.read_bytes() == before
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()
    with pytest.raises(LogError, match=r"other\.db: is an SQLite file of another program"):
        async with LocalLog(other):
            pass
    with pytest.raises(LogError):
        async with LocalLog(tmp_path):
            pass
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="can't be opened"):
        async with LocalLog(tmp_path / "file" / "log.db"):
            pass


async def test_damaged_file_is_named(path: Path) -> None:
    """Pages overwritten with noise: a LogError with the file's name, not a wrong answer."""
    async with LocalLog(path, clean_every_s=NEVER_S) as log:
        await log.ensure_topics([T])
        await log.append([Record("t", 0, "k", os.urandom(2000)) for _ in range(500)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(LogError, match=r"log\.db"):
        async with LocalLog(path, clean_every_s=NEVER_S) as log, log.reader({TP: 0}) as reader:
            await reader.read()


async def test_emptied_file_is_a_new_log(path: Path) -> None:
    """A file of 0 bytes is what a first start leaves that was killed at once: it is made into a log."""
    path.parent.mkdir()
    path.touch()
    async with LocalLog(path, clean_every_s=NEVER_S) as log:
        await log.ensure_topics([T])
        assert await log.append([Record("t", 0, "k", b"v")]) == [0]


async def test_settings_choose_the_log(tmp_path: Path) -> None:
    """`log.kind` local opens the file of `log.path` with its bound; kafka needs nothing until it is asked."""
    settings = Settings(log=LogSettings(path=str(tmp_path / "x.db"), retention_gb=2.0))
    async with open_log(settings) as log:
        assert isinstance(log, LocalLog)
        assert (log.path, log.retention_bytes) == (tmp_path / "x.db", 2 * 1024**3)
    async with open_log(Settings(log=LogSettings(kind="kafka", bootstrap=("127.0.0.1:1",)))) as log:
        assert isinstance(log, KafkaLog)


# ── a full disk ────────────────────────────────────────────────────────────────────────────────


async def test_full_disk_loses_nothing(log: LocalLog) -> None:
    """On a full disk commits are refused whole with LogFull, and with room the lane goes on by itself."""
    await log.append([Record("t", 0, "k", b"before")])
    await limit_pages(log, more=4)
    lanes: list[Lane] = []
    tries = 0

    async def work(lane: Lane) -> None:
        nonlocal tries
        tries += 1
        if tries > 1:  # started anew by itself, since the error is retriable
            await limit_pages(log, more=1_000_000)
            assert await lane.positions([TP]) == {}
        lanes.append(lane)
        records = [Record("t", 0, "k", os.urandom(10_000)) for _ in range(10)]
        assert await lane.commit(records, {TP: Position(1)}) == list(range(1, 11))

    async with asyncio.timeout(60):
        await log.run_lanes("g", "t", work, partitions=[0])
    assert tries == 2
    assert await log.committed("g") == {TP: Position(1)}
    async with log.reader({TP: 0}) as reader:
        assert [r.offset for r in await reader.read()] == list(range(11))


async def test_a_disk_that_ails_at_the_start_ends_nothing(
    log: LocalLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that failed with somebody else's write is made again."""
    real, failed = log._writer.do, False

    async def ailing(work: Any, **how: Any) -> Any:
        nonlocal failed
        if how.get("aside") and not failed:
            failed = True
            raise LogUnavailable("log.db: disk I/O error")
        return await real(work, **how)

    monkeypatch.setattr(log._writer, "do", ailing)

    async def work(lane: Lane) -> None:
        assert await lane.commit([Record("t", 0, "k", b"v")], {TP: Position(1)}) == [0]

    async with asyncio.timeout(60):
        await log.run_lanes("g", "t", work, partitions=[0])
    assert failed


async def test_full_disk_is_named(log: LocalLog) -> None:
    """LogFull is retriable and names the file."""
    await limit_pages(log, more=1)
    with pytest.raises(LogFull, match=r"log\.db: the disk is full") as raised:
        await log.append([Record("t", 0, "k", os.urandom(100_000))])
    assert raised.value.retriable
    assert (await log.bounds(TP)).end == 0


# ── two processes ──────────────────────────────────────────────────────────────────────────────

HOLDER = """
import asyncio, sys
from streamer.log.local import LocalLog
from streamer.log.base import Record

async def hold(lane):
    print("held", flush=True)
    for line in iter(sys.stdin.readline, ""):
        await log.append([Record("t", 0, "k", line.strip().encode())])

async def main():
    global log
    async with LocalLog(sys.argv[1]) as log:
        await log.run_lanes("g", "t", hold, partitions=[0])

asyncio.run(main())
"""


async def test_second_process_of_a_role_is_refused(path: Path, log: LocalLog) -> None:
    """While another process runs the group: LogBusy at once, with its id; what it appends is read here;
    once it is killed, the group is free without a wait.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout

    async def nothing(_: Lane) -> None: ...

    try:
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"held\n"
            with pytest.raises(LogBusy, match=rf"log\.db\.g\.lock: held by the process {process.pid}"):
                await log.run_lanes("g", "t", nothing)
            await log.run_lanes("other", "t", nothing)
            async with log.reader({TP: 0}) as reader:
                process.stdin.write(b"hello\n")
                assert [r.value for r in await reader.read(wait_s=20)] == [b"hello"]
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await log.run_lanes("g", "t", nothing)


def test_lock_is_taken_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for its holder's number a lock holds all the same."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with locked(tmp_path / "lock"), pytest.raises(LogBusy, match="unknown"), locked(tmp_path / "lock"):
        pass


async def test_two_runs_in_one_process_are_refused_too(log: LocalLog) -> None:
    """The lock is of the log, not of the process."""

    async def again(_: Lane) -> None:
        with pytest.raises(LogBusy):
            await log.run_lanes("g", "t", lane_that_returns)

    async def lane_that_returns(_: Lane) -> None: ...

    await log.run_lanes("g", "t", again, partitions=[0])


async def test_deaf_tailing(path: Path, log: LocalLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no inotify, the poll finds what others commit."""
    monkeypatch.setattr("sys.platform", "other")
    async with LocalLog(path, clean_every_s=NEVER_S) as deaf, deaf.reader({TP: 0}) as reader:
        assert await reader.read(wait_s=0.0) == []
        await log.append([Record("t", 0, "k", b"v")])
        assert len(await reader.read(wait_s=10)) == 1


# ── the writer ─────────────────────────────────────────────────────────────────────────────────


async def test_only_the_wrong_one_fails(log: LocalLog) -> None:
    """Of commits that share a transaction a refused one fails alone; a bug is told to its caller too."""
    results = await asyncio.gather(
        *[log.append([Record("t" if n % 5 else "nowhere", 0, "k", b"%d" % n)]) for n in range(50)],
        log.append([Record("t", 0, "\ud800", b"not text")]),
        return_exceptions=True,
    )
    failed = [type(r).__name__ for r in results if isinstance(r, BaseException)]
    assert failed == ["TopicMissing"] * 10 + ["UnicodeEncodeError"]
    assert (await log.bounds(TP)).end == 40
    with pytest.raises(ZeroDivisionError):
        await log._writer.do(lambda _: 1 // 0)
    assert await log.append([Record("t", 0, "k", b"still works")]) == [40]


async def test_commits_share_transactions(log: LocalLog) -> None:
    """An idle commit is a transaction of its own; those that come while one is written share the next."""
    before = log._tail.change
    for _ in range(5):
        await log.append([Record("t", 0, "k", b"v")])
    assert log._tail.change == before + 5
    async with asyncio.TaskGroup() as tasks:
        for _ in range(300):
            tasks.create_task(log.append([Record("t", 0, "k", b"v")]))
    assert (await log.bounds(TP)).end == 305
    assert log._tail.change < before + 5 + 150


async def test_cancelled_commit_is_whole(log: LocalLog) -> None:
    """A commit that is cancelled has happened or not, and the next one is not disturbed."""
    for pause in range(20):
        task = asyncio.ensure_future(log.append([Record("t", 0, "k", b"v")] * 7))
        for _ in range(pause):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await log.append([Record("t", 0, "k", b"v")])
    assert (await log.bounds(TP)).end % 7 == 1


async def test_lane_restarts_behind_the_commit_it_gave_up(path: Path, log: LocalLog) -> None:
    """A lane that fails with a commit on its way starts anew from what that commit left, however long
    another process holds the file: from the position before it, its records would be done twice.
    """
    found: list[Position | None] = []
    holder = sqlite3.connect(path, isolation_level=None)

    async def work(lane: Lane) -> None:
        found.append((await lane.positions([TP])).get(TP))
        if len(found) > 1:
            return
        holder.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.5, holder.execute, "COMMIT")
        commit = asyncio.ensure_future(lane.commit([Record("t", 0, "k", b"once")], {TP: Position(5)}))
        while log._writer._room._value == MAX_WAITING:  # until it queues
            await asyncio.sleep(0)
        commit.cancel()
        raise LogUnavailable("for a test")

    try:
        async with asyncio.timeout(30):
            await log.run_lanes("g", "t", work, partitions=[0])
    finally:
        holder.close()
    assert found == [None, Position(5)]


async def test_closed_log_says_so(path: Path) -> None:
    """Appending to a log that was closed raises; what was queued before is written."""
    async with LocalLog(path, clean_every_s=NEVER_S) as log:
        await log.ensure_topics([T])
        waiting = [asyncio.ensure_future(log.append([Record("t", 0, "k", b"v")])) for _ in range(10)]
        await waiting[0]  # the others are queued, or have yet to be packed
    found = await asyncio.gather(*waiting, return_exceptions=True)
    written = sorted(one[0] for one in found if isinstance(one, list))
    assert written == list(range(len(written)))
    assert all(isinstance(one, list | LogUnavailable) for one in found)
    async with LocalLog(path, clean_every_s=NEVER_S) as again:
        assert (await again.bounds(TP)).end == len(written)
    for late in (log.append([]), log.bounds(TP), log._writer.do(lambda _: None)):
        with pytest.raises(LogUnavailable, match="closed"):
            await late


async def test_clock_that_steps_back(path: Path) -> None:
    """Timestamps never fall, so that a look-up by time finds what was appended since."""
    now_ms = 2_000_000
    async with LocalLog(path, clock=lambda: now_ms, clean_every_s=NEVER_S) as log:
        await log.ensure_topics([T])
        await log.append([Record("t", 0, "k", b"1")])
        now_ms = 1_000_000
        await log.append([Record("t", 0, "k", b"2")])
        async with log.reader({TP: 0}) as reader:
            assert [r.timestamp_ms for r in await reader.read()] == [2_000_000, 2_000_000]
        assert await log.offset_at(TP, 1_000_000) == 0


# ── what is gone ───────────────────────────────────────────────────────────────────────────────


def on_disk(path: Path) -> bytes:
    return b"".join(
        Path(f"{path}{tail}").read_bytes() for tail in ("", "-wal") if Path(f"{path}{tail}").exists()
    )


async def test_the_wal_is_emptied_beside_another_checkpoint(path: Path, log: LocalLog) -> None:
    """Another checkpoint under way makes SQLite refuse at once, in the answer only: it is tried again."""
    await log.append([Record("t", 0, "k", MARK)])
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    mine = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2)
    try:
        writer.execute("BEGIN IMMEDIATE")
        # it waits for the writer, and holds the lock of checkpoints meanwhile
        waiting = asyncio.create_task(
            asyncio.to_thread(lambda: other.execute("PRAGMA wal_checkpoint(FULL)").fetchone())
        )
        async with asyncio.timeout(30):
            while not mine.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0]:
                await asyncio.sleep(0.001)
        emptied = asyncio.create_task(asyncio.to_thread(truncate_wal, mine))
        await asyncio.sleep(0.05)
        writer.execute("ROLLBACK")
        await waiting
        assert await emptied
    finally:
        for connection in (writer, other, mine):
            connection.close()
    assert MARK not in Path(f"{path}-wal").read_bytes()


async def test_deleted_topic_is_gone_from_the_disk(path: Path, log: LocalLog) -> None:
    """After deletion neither file nor WAL hold a record's text; made anew, the topic goes on behind the
    old offsets, without the old positions.
    """

    async def work(lane: Lane) -> None:
        await lane.commit([Record("t", 0, "k", MARK) for _ in range(2000)], {TP: Position(5)})

    await log.run_lanes("g", "t", work, partitions=[0])
    assert MARK in on_disk(path)
    await log.delete_topic("t")
    assert MARK not in on_disk(path)
    await log.ensure_topics([T])
    assert await log.bounds(TP) == Bounds(2000, 2000)
    assert await log.committed("g") == {}
    async with log.reader({TP: 0}) as reader:
        with pytest.raises(OffsetOutOfRange):
            await reader.read()


async def test_compacted_text_is_gone_from_the_disk(path: Path, log: LocalLog) -> None:
    """A text is overwritten once it has a newer record of its key and the lag is over."""
    await log.append([Record("compact", 0, f"k{n % 7}", MARK) for n in range(100)])
    await log.append([Record("compact", 0, f"k{n}", b"withdrawn") for n in range(7)])
    await asyncio.sleep(0.01)
    await log.clean()
    assert MARK not in on_disk(path)
    async with log.reader({TopicPartition("compact", 0): 0}) as reader:
        assert [r.value for r in await reader.read()] == [b"withdrawn"] * 7


async def test_free_pages_are_given_back(path: Path, log: LocalLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where most of the file is free pages it is shortened."""
    monkeypatch.setattr("streamer.log.local_cleaner.SPARE_BYTES", 100_000)
    await log.append(noise("t", 500))
    await log.delete_topic("t")
    assert len(on_disk(path)) < 500_000


# ── the bound ──────────────────────────────────────────────────────────────────────────────────


def noise(topic: str, count: int) -> list[Record]:
    return [Record(topic, n % 2, "k", os.urandom(10_000)) for n in range(count)]


async def test_oldest_goes_when_room_is_short(path: Path) -> None:
    """Over the bound the oldest records go, of unprotected topics, and of those only what was read."""
    async with LocalLog(path, retention_bytes=3_000_000, clean_every_s=NEVER_S) as log:
        await log.ensure_topics([T, KEPT, TopicSpec("u", 10, compact=False, retention_ms=None)])
        await log.append(noise("kept", 20))
        await log.append(noise("t", 200))
        await log.append(noise("u", 200))

        async def work(lane: Lane) -> None:
            await lane.commit(
                [],
                {
                    TP: Position(60),
                    TopicPartition("t", 1): Position(0, (), {"input": None}),
                    TopicPartition("kept", 0): Position(0, (), {"input": {"topic": "u", "next": 90}}),
                },
            )

        await log.run_lanes("g", "t", work, partitions=[0])
        await log.clean()
        assert (await log.bounds(TopicPartition("kept", 0))).earliest == 0
        assert 0 < (await log.bounds(TP)).earliest <= 60
        assert (await log.bounds(TopicPartition("t", 1))).earliest > 60
        assert (await log.bounds(TopicPartition("u", 0))).earliest <= 90
        assert not log.is_over_budget


async def test_a_lane_that_has_not_committed_yet_is_waited_for(path: Path) -> None:
    """A group that read one partition has yet to read the others, from their beginning."""
    async with LocalLog(path, retention_bytes=1_000_000, clean_every_s=NEVER_S) as log:
        await log.ensure_topics([T])
        await log.append(noise("t", 200))

        async def work(lane: Lane) -> None:
            if lane.partition == 0:
                await lane.commit([], {TP: Position(100)})

        await log.run_lanes("g", "t", work)
        await log.clean()
        assert (await log.bounds(TP)).earliest == 100
        assert (await log.bounds(TopicPartition("t", 1))).earliest == 0
        assert log.is_over_budget


async def test_abandoned_position_protects_nothing(path: Path) -> None:
    """A position that its lane left behind for an hour holds nothing up; one of a role that is down does."""
    now_ms = 1_000_000
    removed, quiet = TopicPartition("kept", 0), TopicPartition("kept", 1)

    async def work(lane: Lane) -> None:
        nonlocal now_ms
        waits: dict[str, object] = {"input": {"topic": "t", "next": 0}}
        await lane.commit([], {removed: Position(0, (), waits), quiet: Position(0, (), waits)})
        now_ms += 4_000_000
        await lane.commit([], {TP: Position(100)})

    async with LocalLog(path, retention_bytes=1_000_000, clock=lambda: now_ms, clean_every_s=NEVER_S) as log:
        await log.ensure_topics([T, KEPT])
        await log.append(noise("t", 200))
        await log.run_lanes("g", "t", work, partitions=[0])
        await log.clean()
        assert (await log.bounds(TP)).earliest > 90
        assert (await log.bounds(TopicPartition("t", 1))).earliest == 0
        assert log.is_over_budget


async def test_over_budget_is_said(path: Path) -> None:
    """Where all is still to be read nothing goes, and the log says so everywhere, until it was read."""

    async def positions(log: LocalLog, following: int) -> None:
        async def work(lane: Lane) -> None:
            tps = [TopicPartition("t", partition) for partition in range(10)]
            await lane.commit([], {tp: Position(following) for tp in tps})

        await log.run_lanes("g", "t", work, partitions=[0])

    async with (
        LocalLog(path, retention_bytes=1_000_000, clean_every_s=NEVER_S) as log,
        LocalLog(path, retention_bytes=1_000_000, clean_every_s=NEVER_S) as other,
    ):
        await log.ensure_topics([T])
        await positions(log, 0)
        await log.append(noise("t", 200))
        await log.clean()
        assert await log.bounds(TP) == Bounds(0, 100)
        await other.bounds(TP)
        assert log.is_over_budget
        assert other.is_over_budget
        await positions(log, 100)
        await log.clean()
        assert not log.is_over_budget
        assert (await log.bounds(TP)).earliest > 0


async def test_cleaning_goes_by_itself_and_once(path: Path) -> None:
    """Of the processes that have the log open one cleans, every few seconds, while others write."""
    spec = TopicSpec("t", 10, compact=False, retention_ms=1)
    async with LocalLog(path, clean_every_s=0.01) as log, LocalLog(path, clean_every_s=0.01) as other:
        await log.ensure_topics([spec])
        async with asyncio.timeout(30):
            for _ in range(20):
                await other.append([Record("t", 0, "k", b"v")] * 10)
            while (await log.bounds(TP)).earliest < 200:
                await asyncio.sleep(0.01)


async def test_closing_ends_though_the_last_transaction_is_refused(log: LocalLog) -> None:
    """The wish to stop that joined it is not lost with it: the thread ended never, and closing waited."""

    def refused(transaction: Transaction) -> None:
        time.sleep(0.005)  # meanwhile the log is closed
        transaction.connection.execute("ROLLBACK")

    writing = asyncio.create_task(log._writer.do(refused))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await log._writer.close()
    with pytest.raises(LogUnavailable):
        await writing
