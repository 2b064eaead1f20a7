"""The log and the service on Kafka, beside the local log: `python -m tests.bench.bench_kafka [--json FILE]`.

One real broker on loopback, on the same cores, started and ended here; skipped with the reason where there is
no Java. Records are made of words of a Zipf distribution, which zstd takes to a half at 2 kB and to a third
at 20 kB (real articles of 17 kB: to a quarter). CPU is this process's, and the broker's apart; a broker on
machines of its own leaves the cores to the service, so the rates here are the least that one gets: where the
broker and two processes share two cores, what a second process brings is read from the CPU per change, which
should stay as it is.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import zstandard

from deploy.kafka import Brokers, Unavailable
from streamer import loop
from streamer.admission import Rules, owners_of
from streamer.config import LogSettings, Settings
from streamer.enrich.outbox import GROUP
from streamer.enrich.stage import run_enrich
from streamer.log.base import Lane, Log, Record, TopicPartition, TopicSpec
from streamer.log.kafka import KafkaLog
from streamer.log.local import LocalLog
from streamer.log.position import Position
from streamer.origin.answer import Answer
from streamer.plan import Plan
from streamer.runtime import Runtime, topic_specs
from streamer.source.changes import interpret
from streamer.source.records import record_of
from tests.bench.bench_pipeline import Stub, edit, latency, local, show, throughput

Results = dict[str, float]

WORDS = [
    "".join(random.Random(n).choices("etaoinshrdlucmfwypvbgk", weights=range(22, 0, -1), k=2 + n % 8))
    for n in range(1_000)
]
WEIGHTS = [1 / (rank + 2) for rank in range(len(WORDS))]
HEADERS = tuple(
    (name, b"0123456789abcdef01234567") for name in ("ce_id", "ce_type", "ce_time", "sha1", "rev")
)
PARTITIONS = 10
PRODUCE_S = 5.0
WORKER_CHANGES = 10_000
WIKIS = tuple(f"w{n}wiki" for n in range(40))
SETTLE_S = 5.0
"""Two processes that start together share the partitions after a rebalance or two."""
TICKS = os.sysconf("SC_CLK_TCK")


def value(size: int, seed: int) -> bytes:
    return " ".join(random.Random(seed).choices(WORDS, WEIGHTS, k=size // 2))[:size].encode()


def ratio(size: int) -> float:
    values = [value(size, seed) for seed in range(50)]
    return sum(map(len, values)) / sum(len(zstandard.compress(one)) for one in values)


# ── produce and consume through the log ────────────────────────────────────────────────────────


async def through(log: Log, *, size: int, per_commit: int, lanes: int) -> Results:
    """`lanes` commit records for all partitions of a topic with positions; then one reader takes all."""
    topic, ticks = f"bench.articles.{size}.{per_commit}.{lanes}", f"bench.changes.{lanes}"
    await log.ensure_topics(
        [
            TopicSpec(name, PARTITIONS, compact=False, retention_ms=None, compaction_lag_ms=0)
            for name in (topic, ticks)
        ]
    )
    values = [value(size, seed) for seed in range(64)]
    took: list[float] = []

    async def run(lane: Lane) -> None:
        tp = TopicPartition(lane.topic, lane.partition)
        until_s, done = time.monotonic() + PRODUCE_S, 0
        while time.monotonic() < until_s:
            records = [
                Record(topic, n % PARTITIONS, f"enwiki:{n}", values[n % 64], HEADERS)
                for n in range(done, done + per_commit)
            ]
            began_s = time.monotonic()
            await lane.commit(records, {tp: Position(done)})
            took.append(time.monotonic() - began_s)
            done += per_commit

    cpu_s = time.process_time()
    await log.run_lanes(f"bench-{size}-{per_commit}-{lanes}", ticks, run, partitions=range(lanes))
    cpu_s = time.process_time() - cpu_s
    count = len(took) * per_commit
    took.sort()
    results = {
        "produced_per_s": count / PRODUCE_S,
        "produce_cpu_us_each": cpu_s / count * 1e6,
        "commit_p50_ms": statistics.median(took) * 1e3,
        "commit_p99_ms": took[int(len(took) * 0.99)] * 1e3,
    }
    cpu_s, began_s, read = time.process_time(), time.monotonic(), 0
    async with log.reader({TopicPartition(topic, p): 0 for p in range(PARTITIONS)}) as reader:
        while read < count:
            read += len(await reader.read())
    results["consumed_per_s"] = read / (time.monotonic() - began_s)
    results["consume_cpu_us_each"] = (time.process_time() - cpu_s) / read * 1e6
    return results


# ── processes that share enrich ────────────────────────────────────────────────────────────────


def kafka_settings(bootstrap: str, prefix: str) -> LogSettings:
    return LogSettings(kind="kafka", bootstrap=(bootstrap,), prefix=prefix, replication=1)


async def work(bootstrap: str, prefix: str) -> None:
    """A process of its own: enrich until SIGTERM; prints its CPU seconds from the first change on."""
    settings = Settings(log=kafka_settings(bootstrap, prefix))
    stub = TimedStub(2_000, WIKIS)
    async with KafkaLog((bootstrap,), prefix=prefix, replication=1) as log:
        runtime = Runtime(settings, log)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runtime.draining.set)
        await run_enrich(runtime, stub, lambda: Plan(text=False))
    print(json.dumps({"cpu_s": time.process_time() - stub.first_cpu_s, "asked": stub.asked}))


class TimedStub(Stub):
    asked = 0
    first_cpu_s = 0.0

    async def revision(self, wiki: str, server: str, revision: int, /, **_: object) -> Answer:
        self.first_cpu_s = self.first_cpu_s or time.process_time()
        self.asked += 1
        return await super().revision(wiki, server, revision)


def changes(prefix: str, count: int) -> list[Record]:
    rules, records = Rules(owners_of(("recentchange",))), []
    for number in range(count):
        told = interpret(edit(number, WIKIS[number % len(WIKIS)]).encode(), rules)
        records += [record_of(one, told, 0, f"{prefix}.changes.v1", PARTITIONS) for one in told.records]
    return records


async def workers(brokers: Brokers, count: int) -> Results:
    """`count` processes of enrich take WORKER_CHANGES changes of 40 wikis that arrive at once."""
    prefix = f"b{secrets.token_hex(4)}"
    records = changes(prefix, WORKER_CHANGES)
    command = (sys.executable, "-m", "tests.bench.bench_kafka", "--work", brokers.bootstrap, prefix)
    async with KafkaLog((brokers.bootstrap,), prefix=prefix, replication=1) as log:
        await log.ensure_topics(topic_specs(Settings(log=kafka_settings(brokers.bootstrap, prefix))))
        async with contextlib.AsyncExitStack() as stack:
            processes = [await stack.enter_async_context(_process(*command)) for _ in range(count)]
            while len(await log.committed(GROUP)) < PARTITIONS:
                await asyncio.sleep(0.1)
            await asyncio.sleep(SETTLE_S)
            broker_s, began_s = broker_cpu_s(brokers), time.monotonic()
            for at in range(0, len(records), 1_000):
                await log.append(records[at : at + 1_000])
            while await _published(log) < len(records):
                await asyncio.sleep(0.05)
            took_s, broker_s = time.monotonic() - began_s, broker_cpu_s(brokers) - broker_s
            said = []
            for process in processes:
                process.terminate()
                out, _ = await process.communicate()
                said.append(json.loads(out))
    assert all(one["asked"] for one in said), "a worker had no partition"
    return {
        "changes_per_s": len(records) / took_s,
        "share_of_the_busiest": max(one["asked"] for one in said) / len(records),
        "workers_cpu_us_each": sum(one["cpu_s"] for one in said) / len(records) * 1e6,
        "broker_cpu_us_each": broker_s / len(records) * 1e6,
    }


@contextlib.asynccontextmanager
async def _process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _published(log: Log) -> int:
    positions = (await log.committed(GROUP)).values()
    return sum(position.state.get("counts", {}).get("published", 0) for position in positions)


def broker_cpu_s(brokers: Brokers) -> float:
    """User and system, from /proc."""
    pid = brokers._running(1).pid
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# ── all rows ───────────────────────────────────────────────────────────────────────────────────


async def rows(folder: Path, brokers: Brokers, only: str) -> dict[str, Results]:
    def on_kafka(_: Path) -> LogSettings:
        return kafka_settings(brokers.bootstrap, f"b{secrets.token_hex(4)}")

    results: dict[str, Results] = {}

    def take(title: str, figures: Results) -> None:
        results[title] = figures
        show(title, figures)

    async with (
        LocalLog(folder / "log.db") as embedded,
        KafkaLog((brokers.bootstrap,), replication=1) as kafka,
    ):
        logs: dict[str, Log] = {"local": embedded, "kafka": kafka}
        for size, per_commit, lanes in (
            (2_000, 100, 1),
            (2_000, 500, 1),
            (20_000, 100, 1),
            (20_000, 500, 1),
            (2_000, 100, 6),
        ):
            for name, log in logs.items():
                title = f"log, {name}: {size // 1_000} kB × {per_commit}, lanes: {lanes}"
                if only in title:
                    before_s = broker_cpu_s(brokers)
                    figures = await through(log, size=size, per_commit=per_commit, lanes=lanes)
                    if name == "kafka":
                        figures["broker_cpu_s"] = broker_cpu_s(brokers) - before_s
                    take(title, figures | {"compresses": ratio(size)})
    for name, log_of in (("local", local), ("kafka", on_kafka)):
        pipelines: dict[str, Callable[[Path], object]] = {
            "2 kB wikitext, no text": lambda at, log_of=log_of: throughput(
                at, size=2_000, count=10_000, with_text=False, log_of=log_of
            ),
            "17 kB pages, with text": lambda at, log_of=log_of: throughput(
                at, size=17_000, count=3_000, with_text=True, log_of=log_of
            ),
            "added latency": lambda at, log_of=log_of: latency(at, 100, log_of),
        }
        for what, run in pipelines.items():
            title = f"service, {name}: {what}"
            if only in title:
                before_s = broker_cpu_s(brokers)
                figures = await run(folder / f"{name} {what}")  # type: ignore[misc]
                if name == "kafka":
                    figures["broker_cpu_s"] = broker_cpu_s(brokers) - before_s
                take(title, figures)
    for count in (1, 2):
        title = f"enrich, kafka: {count} processes, 2 kB without text"
        if only in title:
            take(title, await workers(brokers, count))
    return results


async def run(only: str) -> dict[str, Results] | dict[str, str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            async with Brokers(folder / "brokers") as brokers:
                return await rows(folder, brokers, only)
        except Unavailable as error:
            print(f"skipped: {error}")
            return {"skipped": str(error)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="rows whose title holds this")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    # a broker on busy cores makes its clients try again, and they say so each time
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if options.work:
        loop.run(work(*options.work))
        return
    results = loop.run(run(options.only))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
