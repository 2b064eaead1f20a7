"""A lane whose commits the log refuses, beside others that it takes: what the operator is told of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from streamer.enrich.outbox import LOG_COMPONENT
from streamer.enrich.stage import run_enrich
from streamer.errors import LogTimeout
from streamer.log import lanes
from streamer.log.base import partition_of
from streamer.log.local_lanes import LocalLane
from streamer.metrics import REGISTRY
from streamer.plan import Plan

Make = Callable[..., Any]
OTHER = "otherwiki"


async def test_a_lane_that_fails_is_not_hidden_by_the_others(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through its restarts its oldest change stays open, and the log stays not ready, until it commits; a
    drain leaves nothing open.
    """
    monkeypatch.setattr(lanes, "BACKOFF_S", (0.02, 0.02))
    failing, other = partition_of("testwiki", 10), partition_of(OTHER, 10)
    assert failing != other
    for revision in range(1, 9):
        wikis.script(
            ("revision", revision), found(revision, revision, wiki=OTHER if revision > 1 else "testwiki")
        )
    commit, refused = LocalLane.commit, 0
    takes = asyncio.Event()

    async def refusing(self: LocalLane, records: Any, positions: Any) -> list[int]:
        nonlocal refused
        if self.group == "enrich" and self.partition == failing and records and not takes.is_set():
            refused += 1
            raise LogTimeout("it does not answer")
        return await commit(self, records, positions)

    def oldest() -> float:
        name = "streamer_enrich_oldest_open_timestamp_seconds"
        return REGISTRY.get_sample_value(name, {"partition": str(failing)}) or 0.0

    monkeypatch.setattr(LocalLane, "commit", refusing)
    health = bench.runtime.health
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))
        await bench.admit(change("edit", 1))
        await bench.until(lambda: refused)
        seen = {oldest()}
        for revision in range(2, 9):
            before = refused
            await bench.admit(change("edit", revision, f"T{revision}", wiki=OTHER))
            await bench.until_admitted(revision - 1)

            def has_failed_again(before: int = before) -> bool:
                seen.add(oldest())
                return refused > before

            assert LOG_COMPONENT in health.problems()
            await bench.until(has_failed_again)
        assert len(seen) == 1
        assert 0.0 not in seen
        takes.set()
        await bench.until_admitted(8)
        await bench.until(lambda: not oldest() and LOG_COMPONENT not in health.problems())
        bench.runtime.draining.set()
    assert oldest() == 0.0


async def test_only_live_edits_are_timed(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """A replay or a repair is of an edit that may be days ago: it says nothing of how fresh edits are now."""
    for revision in (5, 6):
        wikis.script(("revision", revision), found(revision, revision))
        wikis.script(("page", revision), found(revision, revision))
    count = "streamer_edit_to_publish_seconds_count"
    before = REGISTRY.get_sample_value(count) or 0.0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))
        await bench.admit(change("refresh", 5, "T5", page_id=5, replays="edit", cause="replay"))
        await bench.admit(change("edit", 6, "T6"))
        counts = await bench.until_admitted(2)
        bench.runtime.draining.set()
    assert counts["published"] == 2
    assert REGISTRY.get_sample_value(count) == before + 1
