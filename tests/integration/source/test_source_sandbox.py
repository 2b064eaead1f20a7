"""The source reads the sandbox's five streams across cuts, switchovers and a restart: all of it, once."""

import asyncio
from collections import Counter
from pathlib import Path

from streamer.admission import Rules
from streamer.config import Settings, SourceSettings
from streamer.log.base import TopicPartition
from streamer.log.local import LocalLog
from streamer.metrics import REGISTRY
from streamer.model import Topics
from streamer.runtime import Runtime, topic_specs
from streamer.sandbox.server import Sandbox, SandboxOptions
from streamer.source.changes import interpret
from streamer.source.records import identity
from streamer.source.stage import run_source

CHANGES = Topics().changes
DEADLINE_S = 30.0
EVENTS = 60
"""Told anew in each run, at the least."""


async def appended(log: LocalLog) -> Counter[str]:
    tps = [TopicPartition(CHANGES, partition) for partition in range(10)]
    ends = {tp: (await log.bounds(tp)).end for tp in tps}
    found: Counter[str] = Counter()
    async with log.reader(dict.fromkeys(tps, 0)) as reader:
        while any(reader.position(tp) < end for tp, end in ends.items()):
            found.update(stored.header("ce_id") for stored in await reader.read())
    return found


def told_by(sandbox: Sandbox, start: int, end: int, rules: Rules) -> set[str]:
    identifiers: set[str] = set()
    for entry in sandbox.feed.read(start, end - start):
        told = interpret(entry.data, rules)
        identifiers.update(identity(record, told) for record in told.records)
    return identifiers


async def test_everything_once(tmp_path: Path) -> None:
    """What the sandbox told from the first connection on is in the log, each record once; no gap alarm."""
    options = SandboxOptions(
        seed=7, edits_per_s=60, cut_after_s=0.5, canary_every_s=0.5, switchover_every_s=1.0
    )
    gaps = REGISTRY.get_sample_value("streamer_source_gaps_total")
    async with asyncio.timeout(DEADLINE_S), Sandbox(options) as sandbox:
        settings = Settings(
            source=SourceSettings(url=sandbox.stream_url, contact="me@example.org", rewind_s=2.0)
        )
        first: int | None = None
        for run in (1, 2):
            async with LocalLog(tmp_path / "log.db") as log, asyncio.TaskGroup() as tasks:
                await log.ensure_topics(topic_specs(settings))
                runtime = Runtime(settings, log)
                tasks.create_task(run_source(runtime))
                while runtime.health.problems() or not runtime.health.components():
                    await asyncio.sleep(0.01)
                first = sandbox.feed.end if first is None else first
                enough = sandbox.feed.end + EVENTS
                while sandbox.feed.end < enough or sandbox.requests["stream_resumed"] < 2 * run:
                    await asyncio.sleep(0.01)
                last = sandbox.feed.end
                expected = told_by(sandbox, first, last, Rules.of(settings))
                while not expected <= set(await appended(log)):
                    await asyncio.sleep(0.1)
                found = await appended(log)
                assert max(found.values()) == 1
                runtime.draining.set()
        assert len(expected) > EVENTS
    assert REGISTRY.get_sample_value("streamer_source_gaps_total") == gaps
