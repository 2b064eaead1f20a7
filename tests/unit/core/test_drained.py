"""A drain ends what can't succeed: a table that can't be read, a lane that fails again and again."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from streamer.config import LogSettings, PartnersSettings, Settings
from streamer.errors import TopicRefused
from streamer.log.base import Lane, TopicPartition, TopicSpec
from streamer.log.local import LocalLog
from streamer.log.local_reader import LocalReader
from streamer.partners import PartnersWatch
from streamer.route.stage import run_route
from streamer.runtime import Runtime, topic_specs


class Refuses(LocalLog):
    """Lets nobody read, as a cluster whose rights were taken away."""

    refused = 0

    @asynccontextmanager
    async def reader(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[LocalReader]:
        self.refused += 1
        async with super().reader(starts) as reader:
            yield reader
            raise TopicRefused("for a test", "meta")


async def test_route_that_waits_for_a_refused_table_drains(tmp_path: Path) -> None:
    """It returns at once, though its tables were never loaded."""
    settings = Settings(
        log=LogSettings(path=str(tmp_path / "log.db")),
        partners=PartnersSettings(file=str(tmp_path / "partners.toml")),
    )
    async with Refuses(tmp_path / "log.db", clean_every_s=3600) as log, asyncio.timeout(30):
        await log.ensure_topics(topic_specs(settings))
        runtime = Runtime(settings, log)
        async with asyncio.TaskGroup() as tasks:
            routing = tasks.create_task(run_route(runtime, PartnersWatch(Path(settings.partners.file))))
            while log.refused < 2:
                await asyncio.sleep(0.01)
            assert not routing.done()
            runtime.draining.set()


async def test_a_lane_that_fails_again_and_again_drains(tmp_path: Path) -> None:
    """Before, it is started anew each time; once draining, no more."""
    draining, starts = asyncio.Event(), 0

    async def fails(_: Lane) -> None:
        nonlocal starts
        starts += 1
        if starts == 2:
            draining.set()
        raise TopicRefused("for a test", "t")

    async with LocalLog(tmp_path / "log.db", clean_every_s=3600) as log, asyncio.timeout(30):
        await log.ensure_topics([TopicSpec("t", 1, compact=False, retention_ms=None)])
        await log.run_lanes("g", "t", fails, draining=draining)
    assert starts == 2
