"""A lane stops when its input is deleted, and goes on when it only seemed so."""

import asyncio
from pathlib import Path

import pytest

from streamer.config import Settings
from streamer.errors import TopicMissing
from streamer.log.base import Lane, TopicInfo
from streamer.log.local import LocalLog
from streamer.lost import Stops
from streamer.model import Topics
from streamer.runtime import Runtime, topic_specs

SETTINGS = Settings()
CHANGES = Topics(SETTINGS.log.prefix).changes


class Forgetful(LocalLog):
    """Says that it knows no topics while `knows_none`, as a broker does that has just begun."""

    knows_none = False

    async def topic(self, name: str) -> TopicInfo | None:
        return None if self.knows_none else await super().topic(name)


async def test_a_topic_that_is_back_is_worked_on_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deleted one never has its epoch again: so one that has was not deleted, and needs no restart."""
    monkeypatch.setattr("streamer.lost.GONE_S", 0.1)
    monkeypatch.setattr("streamer.lost.AGAIN_S", 0.05)
    async with Forgetful(tmp_path / "log.db") as log, asyncio.timeout(30):
        await log.ensure_topics(topic_specs(SETTINGS))
        runtime = Runtime(SETTINGS, log)
        begun = 0

        async def work(lane: Lane) -> None:
            nonlocal begun
            begun += 1
            while not runtime.draining.is_set():
                if log.knows_none:
                    raise TopicMissing("gone", lane.topic)
                await asyncio.sleep(0.01)

        async def until(*, stopped: bool) -> None:
            while ("test_input" in runtime.health.problems()) is not stopped:
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as tasks:
            lanes = Stops(runtime, "test").around(work)
            tasks.create_task(log.run_lanes("g", CHANGES, lanes, partitions=[0], draining=runtime.draining))
            while not begun:
                await asyncio.sleep(0.01)
            log.knows_none = True
            await until(stopped=True)
            log.knows_none = False
            await until(stopped=False)
            while begun < 2:
                await asyncio.sleep(0.01)
            runtime.draining.set()
