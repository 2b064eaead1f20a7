"""The role `deliver` as a process of its own, over a log that the test writes: what it holds can be read."""

import asyncio
import resource
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.delivering import KEY, OTHER_KEY, Delivering
from harness.footprint import Footprint, footprint
from harness.service import Service
from streamer.config import LogSettings, Settings
from streamer.log.local import LocalLog
from streamer.partners import PartnersWatch, hash_key
from streamer.runtime import Runtime, article_spec, topic_specs

PATIENCE_S: Final = 60.0
NO_LIMITS: Final = "limits = { connections = 0, requests_per_minute = 0 }"
POOL_THREADS: Final = 4
"""Of readers of the log, which start when they are first needed."""
POOL_DESCRIPTORS: Final = 3 * POOL_THREADS
"""A database, its log and its index each."""
PROGRAM: Final = ("-m", "tests.harness.told_tasks")


def many_descriptors(count: int) -> None:
    """This process, and what it starts, may open so many. Raises ValueError where the system allows fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


@dataclass(frozen=True, slots=True)
class Held:
    """A footprint, the streams that are counted as open, and the tasks."""

    process: Footprint
    streams: int
    tasks: int

    def __str__(self) -> str:
        held = self.process
        counts = f"{held.descriptors} descriptors, {held.threads} threads, {self.streams} streams"
        memory = f"{held.private_bytes / 1e6:.1f} MB, {held.memfd_bytes / 1e6:.1f} MB in memory files"
        return f"{counts}, {self.tasks} tasks, {memory}"


@dataclass
class Apart:
    """`run --role deliver`, and the port that it serves."""

    service: Service
    port: int
    _asked: int = field(default=0)

    async def held(self) -> Held:
        """What is there once all that can be given back was."""
        self._asked += 1
        self.service.signal(signal.SIGUSR2)
        async with asyncio.timeout(PATIENCE_S):
            while (told := self.service.told.get("tasks", {})).get("number", 0) != self._asked:
                await asyncio.sleep(0.01)
        return Held(footprint(self.service.pid), await self.streams(), int(str(told["count"])))

    async def streams(self) -> int:
        """That are open, by the service's own count."""
        found = await self.service.metrics()
        return int(sum(v for k, v in found.items() if k.startswith("streamer_deliver_connections{")))

    async def until_streams(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.streams() != count:
                await asyncio.sleep(0.05)

    async def regained(self, before: Held, *, grown_bytes: int) -> Held:
        """Waits until no more is held than before, but for so many bytes. Raises AssertionError where that
        does not come about.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            now = await self.held()
            if (
                now.process.descriptors <= before.process.descriptors + POOL_DESCRIPTORS
                and now.process.threads <= before.process.threads + POOL_THREADS
                and now.streams <= before.streams
                and now.tasks <= before.tasks
                and now.process.bytes <= before.process.bytes + grown_bytes
            ):
                return now
            assert time.monotonic() < deadline_s, f"before: {before}; now: {now}"
            await asyncio.sleep(0.2)


@asynccontextmanager
async def written(folder: Path, *, of_globex: str = NO_LIMITS) -> AsyncIterator[Delivering]:
    """The log's other side: the topics of acme, who has no limits, and of globex, both empty."""
    file = folder / "partners.toml"
    file.write_text(
        f'[acme]\nkeys = ["{hash_key(KEY)}"]\n{NO_LIMITS}\n'
        f'[globex]\nkeys = ["{hash_key(OTHER_KEY)}"]\n{of_globex}\n'
    )
    settings = Settings(log=LogSettings(path=str(folder / "log.db")))
    async with LocalLog(folder / "log.db") as log:
        await log.ensure_topics(topic_specs(settings))
        runtime = Runtime(settings, log)
        for partner in ("acme", "globex"):
            await log.ensure_topics([article_spec(settings, runtime.topics.of_partner(partner))])
        yield Delivering(runtime, log, PartnersWatch(file), file)


@asynccontextmanager
async def apart(writes: Delivering, name: str = "deliver", *, deliver: str = "") -> AsyncIterator[Apart]:
    """A process over that log, ready. `deliver`: further lines of that section."""
    folder = writes.file.parent / name
    folder.mkdir()
    config = f"""
[log]
path = "{writes.file.parent / "log.db"}"
[partners]
file = "{writes.file}"
[deliver]
port = 0
admin_port = 0
{deliver}
"""
    async with Service(folder, config, "run", "--role", "deliver", program=PROGRAM) as service:
        await service.until_ready()
        yield Apart(service, await service.port())
        if service.running:
            assert await service.terminate() == 0
