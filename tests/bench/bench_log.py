"""What the local log does on this machine: `python -m tests.bench.bench_log [--json FILE]`.

Prints a table and writes it as JSON. Values are random words, which compress to a good half.
Nothing is asserted: machines are shared, compare ratios within one run.

Measured on two shared cores, with `synchronous=FULL`, `secure_delete` and zstd-1:

- 37,000 records of 2 kB a second in batches of 500 (27 µs of CPU each), 6,700 of 20 kB (130 MB/s);
  one record at a time, each flushed: 1,500 a second, p50 0.6 ms.
- **What the schema costs**: a bare table of the same compressed values takes 61,000 a second (15 µs).
  The difference, 12 µs a record, is the index of offsets, its headers and key, the thread that
  writes, and for topics that compact the index of keys, up to 4 µs of it. In the file a record takes
  2.1 kB where the bare value takes 1.4: headers, key and indexes some 0.3 kB, the rest since only
  two such records fit a page. Pages of 8 and 16 kB pack these better (1.7, 1.5 kB) and those of 9 and
  20 kB worse (5.2 → 8.3 and 5.5; 10.3 → 9.9 and 16.5 kB): they stay at 4.
- Commit by another process to a reader, 100 topics of 10 partitions followed: p50 5.5 ms, p99 8.3 ms,
  the commit itself included. Idle, all of them followed: 0.45 % of a core.
- While the cleaner deletes 10,000 records of 5 kB in a second, commits beside it take 2.9 ms at the
  median and 28 ms at p99 (alone 3.2 and 9.2); the WAL stays at 10 MB.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

import zstandard

from streamer import loop
from streamer.log.base import Lane, Record, TopicPartition, TopicSpec
from streamer.log.local import LocalLog
from streamer.log.position import Position

ROOT = Path(__file__).resolve().parents[2]
WORDS = [bytes(random.Random(n).choices(b"abcdefghijklmnopqrstuvwxyz", k=3 + n % 8)) for n in range(2_000)]
HEADERS = tuple(
    (name, b"0123456789abcdef01234567") for name in ("ce_id", "ce_type", "ce_time", "sha1", "rev")
)

Results = dict[str, float]


def text(size: int, seed: int) -> bytes:
    return b" ".join(random.Random(seed).choices(WORDS, k=size // 5))[:size]


def batch(count: int, size: int, seed: int) -> list[Record]:
    values = [text(size, seed * 64 + n) for n in range(min(count, 64))]
    return [
        Record("articles", (seed + n) % 10, f"enwiki:{seed * count + n}", values[n % len(values)], HEADERS)
        for n in range(count)
    ]


def spec(name: str, *, compact: bool = True) -> TopicSpec:
    return TopicSpec(name, 10, compact=compact, retention_ms=None, compaction_lag_ms=3_600_000)


async def append_rate(folder: Path, *, size: int, per_batch: int, seconds: float, compact: bool) -> Results:
    async with LocalLog(folder / f"append-{size}-{per_batch}-{compact}.db") as log:
        await log.ensure_topics([spec("articles", compact=compact)])
        batches = [batch(per_batch, size, seed) for seed in range(20)]
        took: list[float] = []
        began_s, cpu_s = time.monotonic(), time.process_time()
        while time.monotonic() < began_s + seconds:
            at_s = time.monotonic()
            await log.append(batches[len(took) % 20])
            took.append(time.monotonic() - at_s)
        elapsed_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
        count = len(took) * per_batch
    path = log.path  # closing brings all of it to the file
    return {
        "records_per_s": count / elapsed_s,
        "mb_per_s": count * size / elapsed_s / 1e6,
        "cpu_us_per_record": cpu_s / count * 1e6,
        "commit_p50_ms": statistics.median(took) * 1e3,
        "commit_p99_ms": sorted(took)[int(len(took) * 0.99)] * 1e3,
        "file_bytes_per_record": file_bytes(path) / count,
    }


def file_bytes(path: Path) -> int:
    return path.stat().st_size


def bare_rate(folder: Path, *, size: int, per_batch: int, seconds: float) -> Results:
    """The same values into a table without index, offset or position: what the schema is compared to."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE records (number INTEGER PRIMARY KEY, value BLOB)")
    batches = [[(r.value,) for r in batch(per_batch, size, seed)] for seed in range(20)]
    compress = zstandard.ZstdCompressor(level=1).compress
    done = 0
    began_s, cpu_s = time.monotonic(), time.process_time()
    while time.monotonic() < began_s + seconds:
        connection.execute("BEGIN IMMEDIATE")
        rows = [(compress(row[0]),) for row in batches[done % 20]]
        connection.executemany("INSERT INTO records (value) VALUES (?)", rows)
        connection.execute("COMMIT")
        done += 1
    elapsed_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
    connection.close()
    return {
        "records_per_s": done * per_batch / elapsed_s,
        "cpu_us_per_record": cpu_s / done / per_batch * 1e6,
        "file_bytes_per_record": (folder / "bare.db").stat().st_size / done / per_batch,
    }


async def read_rate(folder: Path) -> Results:
    async with LocalLog(folder / "read.db") as log:
        await log.ensure_topics([spec("articles")])
        for seed in range(40):
            await log.append(batch(500, 2_000, seed))
        began_s, cpu_s, count = time.monotonic(), time.process_time(), 0
        async with log.reader({TopicPartition("articles", p): 0 for p in range(10)}) as reader:
            while records := await reader.read(wait_s=0.0):
                count += len(records)
        return {
            "records_per_s": count / (time.monotonic() - began_s),
            "cpu_us_per_record": (time.process_time() - cpu_s) / count * 1e6,
        }


async def lanes_rate(folder: Path) -> Results:
    """Ten lanes of one role at once, ten records and a position a commit: what group commit is for."""
    commits = 0
    async with LocalLog(folder / "lanes.db") as log:
        await log.ensure_topics([spec("articles")])
        until_s = time.monotonic() + 2
        took: list[float] = []

        async def work(lane: Lane) -> None:
            nonlocal commits
            records = batch(10, 2_000, lane.partition)
            while time.monotonic() < until_s:
                at_s = time.monotonic()
                await lane.commit(records, {TopicPartition("articles", lane.partition): Position(commits)})
                took.append(time.monotonic() - at_s)
                commits += 1

        await log.run_lanes("bench", "articles", work)
        return {
            "commits_per_s": commits / 2,
            "commit_p50_ms": statistics.median(took) * 1e3,
            "commit_p99_ms": sorted(took)[int(len(took) * 0.99)] * 1e3,
        }


async def tailing(folder: Path) -> Results:
    """Another process commits to one of 100 topics every 10 ms; readers of all of them wait here."""
    path = folder / "tail.db"
    async with LocalLog(path) as log:
        names = [f"articles.{n}" for n in range(100)]
        await log.ensure_topics([spec(name) for name in names])
        idle_began_s, cpu_s = time.monotonic(), time.process_time()
        delays: list[float] = []
        ready = asyncio.Event()

        async def follow(name: str) -> None:
            async with log.reader({TopicPartition(name, p): 0 for p in range(10)}) as reader:
                while True:
                    for record in await reader.read(wait_s=60):
                        delays.append((time.time_ns() - int(record.value or b"0")) / 1e6)
                        if len(delays) == 300:
                            ready.set()

        async with asyncio.TaskGroup() as tasks:
            followers = [tasks.create_task(follow(name)) for name in names]
            await asyncio.sleep(1)  # all follow
            idle_began_s, cpu_s = time.monotonic(), time.process_time()
            await asyncio.sleep(4)
            idle = (time.process_time() - cpu_s) / (time.monotonic() - idle_began_s)
            writer = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.bench.bench_log", "--write", str(path), cwd=ROOT
            )
            try:
                async with asyncio.timeout(30):
                    await ready.wait()
            finally:
                await writer.wait()
                for follower in followers:
                    follower.cancel()
        delays.sort()
        return {
            "commit_to_reader_p50_ms": statistics.median(delays),
            "commit_to_reader_p99_ms": delays[int(len(delays) * 0.99)],
            "idle_cpu_percent": idle * 100,
        }


async def write_for_tailing(path: str) -> None:
    """The value is the time just before the commit was asked for, so its own duration counts too."""
    async with LocalLog(path) as log:
        for number in range(300):
            value = b"%d" % time.time_ns()
            await log.append([Record(f"articles.{number % 100}", number % 10, "k", value)])
            await asyncio.sleep(0.01)


async def cleaning(folder: Path) -> Results:
    """Commits of ten records every 5 ms, alone and while half of 200 MB are deleted."""
    results: Results = {}
    path = folder / "clean.db"
    now_ms = 1_000_000
    kept = TopicSpec("articles", 10, compact=False, retention_ms=60_000)
    async with LocalLog(path, clock=lambda: now_ms, clean_every_s=3600) as log:
        await log.ensure_topics([kept])
        for _ in range(20):
            await log.append([Record("articles", n % 10, "k", os.urandom(5_000)) for n in range(1_000)])
            now_ms += 1_000
        now_ms += 51_000  # ten of the twenty are due

        async def commits(count: int) -> list[float]:
            took = []
            for seed in range(count):
                at_s = time.monotonic()
                await log.append(batch(10, 2_000, seed))
                took.append(time.monotonic() - at_s)
                await asyncio.sleep(0.005)
            return sorted(took)

        for name, clean in (("alone", False), ("cleaning", True)):
            async with asyncio.TaskGroup() as tasks:
                began_s = time.monotonic()
                took = tasks.create_task(commits(200))
                if clean:
                    await asyncio.sleep(0.02)
                    await log.clean()
                    results["clean_s"] = time.monotonic() - began_s
            results[f"commit_p50_ms_{name}"] = statistics.median(took.result()) * 1e3
            results[f"commit_p99_ms_{name}"] = took.result()[197] * 1e3
            results[f"commit_max_ms_{name}"] = took.result()[-1] * 1e3
        results["wal_mb"] = Path(f"{path}-wal").stat().st_size / 1e6
    return results


async def main(out: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        folder = Path(name)
        runs = {
            "append 2 kB × 500": lambda: append_rate(
                folder, size=2_000, per_batch=500, seconds=3, compact=True
            ),
            "append 2 kB × 500, no index of keys": lambda: append_rate(
                folder, size=2_000, per_batch=500, seconds=3, compact=False
            ),
            "append 2 kB × 1": lambda: append_rate(folder, size=2_000, per_batch=1, seconds=2, compact=True),
            "append 20 kB × 100": lambda: append_rate(
                folder, size=20_000, per_batch=100, seconds=3, compact=True
            ),
            "bare table 2 kB × 500": lambda: asyncio.to_thread(
                bare_rate, folder, size=2_000, per_batch=500, seconds=3
            ),
            "ten lanes × 10 records": lambda: lanes_rate(folder),
            "read 2 kB": lambda: read_rate(folder),
            "tail 100 topics": lambda: tailing(folder),
            "clean": lambda: cleaning(folder),
        }
        results: dict[str, Results] = {}
        for title, run in runs.items():
            results[title] = await run()
            print(title)
            for measure, value in results[title].items():
                print(f"    {measure:<28} {value:>12,.2f}", flush=True)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory {peak_mb:,.0f} MB")
        if out:
            Path(out).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        loop.run(write_for_tailing(sys.argv[2]))
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--json")
        loop.run(main(parser.parse_args().json))
