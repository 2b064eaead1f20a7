"""Changes that are gone before their lane has read them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from streamer.enrich.stage import run_enrich
from streamer.errors import TopicMissing
from streamer.log.base import Lane, TopicPartition, partition_of
from streamer.lost import Stops
from streamer.metrics import LAG, REGISTRY
from streamer.plan import Plan
from streamer.runtime import topic_specs

Make = Callable[..., Any]

PARTITION = partition_of("testwiki", 10)
LABELS = {"role": "enrich", "partition": str(PARTITION)}


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name, LABELS) or 0.0


def lag(partition: int) -> float | None:
    return REGISTRY.get_sample_value(
        "streamer_log_lag_offsets", {"group": "enrich", "partition": str(partition)}
    )


def reason(bench: Any) -> str:
    return str(bench.runtime.health.problems().get("enrich_input", ""))


@asynccontextmanager
async def running(bench: Any, wikis: Any, lost: str = "stop") -> AsyncIterator[None]:
    """enrich, drained at the end."""
    settings = bench.runtime.settings
    bench.runtime.settings = structs.replace(settings, log=structs.replace(settings.log, lost=lost))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))
        yield
        bench.runtime.draining.set()
    bench.restarted()


async def delete_changes(bench: Any) -> None:
    """As retention does, of all partitions."""
    specs = topic_specs(bench.runtime.settings)
    short = [replace(spec, retention_ms=1) for spec in specs if spec.name == bench.topics.changes]
    await bench.runtime.log.ensure_topics(short)
    await asyncio.sleep(0.01)
    await bench.runtime.log.clean()
    await bench.runtime.log.ensure_topics(specs)


async def test_a_lane_that_retention_overtakes_stops_alone(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it runs: it commits what it has, stops, and says where; another wiki's lane goes on."""
    monkeypatch.setattr("streamer.enrich.lane.MAX_OPEN", 1)
    wikis.script(("revision", 1), found(1, 1))
    wikis.hold(("revision", 1))
    async with running(bench, wikis):
        await bench.admit(change("edit", 1))
        await bench.until(lambda: wikis.asked)
        await bench.admit(change("edit", 2, "B"), change("edit", 3, "C"))
        await delete_changes(bench)
        wikis.go(("revision", 1))
        await bench.until(lambda: reason(bench))
        assert f"{bench.topics.changes}/{PARTITION}: committed offset 1, earliest 3:" in reason(bench)
        assert metric("streamer_lane_stopped") == 1
        LAG.reach(bench.topics.changes, [9] * 10)
        assert lag(PARTITION) is None
        assert lag((PARTITION + 1) % 10) is not None
        await bench.admit(change("edit", 9, wiki="otherwiki"))
        assert (await bench.until_admitted(2))["admitted"] == 2
    assert metric("streamer_lane_stopped") == 0


async def test_only_what_was_not_done_is_counted_as_lost(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Of what is gone some was finished out of order, and has its outcome.
    The lane goes on where it is told to skip, counts once, and needs the word no more.
    """
    for revision in (1, 2, 3, 4, 5):
        wikis.script(("revision", revision), found(revision, revision))
    wikis.hold(("revision", 1))
    wikis.hold(("revision", 3))
    async with running(bench, wikis):
        await bench.admit(change("edit", 1, "A"), change("edit", 2, "B"), change("edit", 3, "C"))
        await bench.until_admitted(1)
        bench.runtime.settings = structs.replace(
            bench.runtime.settings, deliver=structs.replace(bench.runtime.settings.deliver, drain_s=0.0)
        )
    await delete_changes(bench)
    before = metric("streamer_lane_lost_offsets_total")
    async with running(bench, wikis):
        await bench.until(lambda: reason(bench))
        assert "committed offset 0, earliest 3:" in reason(bench)
    assert metric("streamer_lane_lost_offsets_total") == before
    async with running(bench, wikis, "skip"):
        await bench.admit(change("edit", 4, "D"))
        await bench.until_admitted(2)
        assert not reason(bench)
    assert metric("streamer_lane_lost_offsets_total") == before + 2
    async with running(bench, wikis):
        await bench.admit(change("edit", 5, "E"))
        assert (await bench.until_admitted(3))["published"] == 3
    assert metric("streamer_lane_lost_offsets_total") == before + 2


async def test_changes_made_anew(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """A lane whose topic is deleted while it reads stops, though the one of that name would take it up; the
    next start begins at the beginning of that one.
    """
    wikis.script(("revision", 1), found(1, 1))
    wikis.script(("revision", 2), found(2, 2))
    log = bench.runtime.log
    async with running(bench, wikis):
        await bench.admit(change("edit", 1))
        await bench.until_admitted(1)
        await log.delete_topic(bench.topics.changes)
        await log.ensure_topics(topic_specs(bench.runtime.settings))
        await bench.admit(change("edit", 2))
        await bench.until(lambda: reason(bench).count("while it was read") == 10)
        assert TopicPartition(bench.topics.changes, PARTITION) not in await log.committed("enrich")
    async with running(bench, wikis):
        assert (await bench.until_admitted(1))["published"] == 1
        assert not reason(bench)


async def test_a_topic_that_was_missing_for_a_moment_ends_nobody(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that met a broker which did not know its input begins again; another topic is no such moment."""
    monkeypatch.setattr("streamer.lost.AGAIN_S", 0.01)
    log, topic = bench.runtime.log, bench.topics.changes
    starts = 0

    async def run(lane: Lane) -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise TopicMissing("for a test", lane.topic)

    await log.run_lanes("g", topic, Stops(bench.runtime, "g").around(run), partitions=[0])
    assert starts == 2

    async def misses(_: Lane) -> None:
        raise TopicMissing("for a test", "another")

    with pytest.raises(TopicMissing):
        await log.run_lanes("g", topic, Stops(bench.runtime, "g").around(misses), partitions=[0])
