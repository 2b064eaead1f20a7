"""What holding costs: `python -m tests.bench.bench_settle [--json FILE] [--records N]`.

An hour at 100 edits a second is 360,000 records held by a partner with `settle = "1h"`. Bytes for each of
them in memory, and how long a start takes to have them again by reading their articles (2 kB each, invented
words) from the local log. Nothing is asserted: machines are shared, compare ratios within one run.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Final

from streamer.accounts import GROUP
from streamer.config import LogSettings, Settings
from streamer.log.base import Lane, Record, Stored, TopicPartition
from streamer.log.local import LocalLog
from streamer.log.position import Position
from streamer.metrics import REGISTRY
from streamer.partners import PartnersWatch
from streamer.route.rules import view
from streamer.route.settle import Ahead
from streamer.route.stage import run_route
from streamer.runtime import Runtime, article_spec, topic_specs
from tests.bench.bench_log import Results, text
from tests.harness.articles import PARTITIONS, Page

RECORDS: Final = 360_000
SIZE: Final = 2_000
HOT_PAGES: Final = 2_000
HOT_SHARE: Final = 0.3
ALL_PAGES: Final = 2_000_000
BATCH: Final = 1_000


def pages(count: int, rng: random.Random) -> list[int]:
    """Three in ten edits are of a few pages."""
    return [
        rng.randrange(1, HOT_PAGES) if rng.random() < HOT_SHARE else rng.randrange(HOT_PAGES, ALL_PAGES)
        for _ in range(count)
    ]


def edit(sequence: int, page_id: int, body: str) -> Page:
    sha1 = f"{sequence * 0x9E3779B97F4A7C15 % (1 << 160):040x}"[::-1]
    before = f"{sequence * 0xC2B2AE3D27D4EB4F % (1 << 160):040x}"[::-1]
    return Page(sequence, page_id=page_id, text=body, sha1=sha1, parent=sequence - 1, parent_sha1=before)


def memory(count: int) -> Results:
    """Of one lane's, all records in it."""
    topics = Runtime(Settings(), LocalLog(Path())).topics
    its_pages = pages(count, random.Random(1))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    ahead = Ahead(0)
    for offset, page_id in enumerate(its_pages):
        record = edit(offset + 1, page_id, "x").record(topics)
        assert record.value is not None
        stored = Stored(record.topic, 0, offset, offset, record.key, record.value, record.headers)
        ahead.take(stored, view(record.value))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ahead) == count
    return {"bytes_per_reference": (after - before) / count, "megabytes": (after - before) / 1e6}


async def start(folder: Path, count: int) -> Results:
    """From the start of the role to the last reference."""
    settings = Settings(log=LogSettings(kind="local", partitions=PARTITIONS))
    file = folder / "partners.toml"
    file.write_text('[acme]\nsettle = "1h"\n')
    async with LocalLog(folder / "log.db", clean_every_s=3600) as log:
        runtime = Runtime(settings, log)
        topics = runtime.topics
        await log.ensure_topics([*topic_specs(settings), article_spec(settings, topics.of_partner("acme"))])
        bodies = [text(SIZE // 2, seed).decode() for seed in range(64)]  # it stands there twice
        its_pages = pages(count, random.Random(2))
        batch: list[Record] = []
        for sequence, page_id in enumerate(its_pages, 1):
            batch.append(edit(sequence, page_id, bodies[sequence % 64]).record(topics))
            if len(batch) == BATCH:
                await log.append(batch)
                batch = []
        await log.append(batch)
        ends = [bounds.end for bounds in await log.all_bounds(topics.articles)]

        async def saw_all(lane: Lane) -> None:
            tp = TopicPartition(topics.of_partner("acme"), lane.partition)
            state: dict[str, object] = {
                "counts": {},
                "input": {"topic": topics.articles, "next": 0},
                "seen": ends[lane.partition],
            }
            await lane.commit([], {tp: Position(0, (), state)})

        await log.run_lanes(GROUP, topics.articles, saw_all)
        began_s, cpu_s = time.monotonic(), time.process_time()
        running = asyncio.ensure_future(run_route(runtime, PartnersWatch(file)))
        while held() < count:
            await asyncio.sleep(0.05)
        took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
        runtime.draining.set()
        await running
    return {"records": count, "start_s": took_s, "start_cpu_s": cpu_s, "records_per_s": count / took_s}


def held() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "streamer_route_settling_records"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--records", type=int, default=RECORDS)
    arguments = parser.parse_args()
    results = {"memory": memory(arguments.records)}
    with tempfile.TemporaryDirectory() as folder:
        results["start"] = asyncio.run(start(Path(folder), arguments.records))
    for name, figures in results.items():
        for figure, value in figures.items():
            print(f"{name:8} {figure:22} {value:12,.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
