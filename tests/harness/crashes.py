"""A small recording, logs to begin a crash from, and the service on a copy of one of them."""

import asyncio
import random
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from recording_oracle import expected
from recording_setup import KEYS, config, until_routed_from_the_start, write_partners

from harness.faults import Faults
from harness.judge import Readers, Row, routed, settled
from harness.recording import write_recording
from harness.service import Service, free_port
from streamer.log.local import LocalLog
from streamer.runtime import DAY_MS
from streamer.sandbox.server import Sandbox, SandboxOptions

LOG = "streamer.db"
SEED = 11
"""One recording for all: the times at which a point is passed are chosen for it."""


@dataclass(frozen=True, slots=True)
class Material:
    """`fresh`: no change read yet, each partner's beginning committed. `half`: killed in the middle.
    `aged`: all is delivered, eight days ago, so that changes expire and articles are compacted.
    """

    recording: Path
    wanted: dict[str, list[Row]]
    fresh: Path
    half: Path
    aged: Path

    @property
    def total(self) -> int:
        return len(self.wanted["everything"])


def make_material(folder: Path) -> Material:
    recording = folder / "own.sse"
    write_recording(recording, random.Random(SEED), seconds=2, events=160)
    names = "fresh", "half", "aged"
    for name in names:
        (folder / name).mkdir()
    fresh, half, aged = (folder / name for name in names)
    made = Material(recording, expected(recording), fresh, half, aged)
    asyncio.run(_make_logs(made))
    return made


async def _make_logs(made: Material) -> None:
    async with Sandbox(SandboxOptions(recording=made.recording)) as sandbox:
        text = config(made.recording, sandbox.endpoint, speed="recorded")
        write_partners(made.fresh / "partners.toml")
        async with Service(made.fresh, text, "run", "--role", "route") as service:
            await until_routed_from_the_start(LocalLog(made.fresh / LOG, clean_every_s=3600))
            assert await service.terminate() == 0
        for folder in (made.half, made.aged):
            begin_from(made.fresh, folder)
        text = text.replace("recorded", "full")
        async with Service(made.half, text) as halved:
            await halved.until(lambda metrics: routed(metrics) >= made.total)
            await halved.kill()
        async with Service(made.aged, text) as whole:
            await whole.until(lambda metrics: routed(metrics) >= 3 * made.total)
            assert await whole.terminate() == 0
    with sqlite3.connect(made.aged / LOG) as connection:
        connection.execute("UPDATE records SET ms = ms - ?", (8 * DAY_MS,))
    connection.close()


def begin_from(log: Path, folder: Path) -> None:
    """Copies the log (and what a killed process left beside it) and the partners."""
    for file in log.iterdir():
        if file.name.startswith((LOG, "partners")):
            shutil.copy(file, folder / file.name)


def misplaced(log: Path) -> list[str]:
    """Lanes that contradict their records: some outside of the bounds, or holes where none is due."""
    with sqlite3.connect(log) as connection:
        rows = connection.execute(
            "SELECT name, partition, earliest, end, topics.compact, min(offset), max(offset), count(offset)"
            " FROM lanes JOIN topics ON topics.id = topic LEFT JOIN records ON lane = lanes.id"
            " GROUP BY lanes.id"
        ).fetchall()
    connection.close()
    found = []
    for name, partition, earliest, end, compact, low, high, count in rows:
        is_inside = not count or earliest <= low <= high < end
        if not is_inside or (not compact and count != end - earliest):
            found.append(f"{name}/{partition}: {count} records {low}..{high} in {earliest}..{end}")
    return found


@dataclass(slots=True)
class Crash:
    """One service on a copy of a log, its readers, and the faults in it."""

    material: Material
    service: Service
    readers: Readers
    faults: Faults
    text: str
    """The configuration."""

    def beside(self, role: str, name: str) -> Service:
        """Another process on the same log."""
        folder = self.service.folder / name
        folder.mkdir()
        text = re.sub(r"(?m)^port = \d+", "port = 0", self.text)
        return Service(folder, text, "run", "--role", role)

    async def judge(
        self,
        others: Mapping[str, Service] | None = None,
        *,
        thinned: bool = False,
        lacking: bool = False,
        timeout_s: float = 60.0,
    ) -> list[str]:
        """What is wrong, in words. `others` are the roles that run apart. `lacking`: records went for want
        of room, so none has to be there.
        """
        made, service = self.material, self.service
        services = dict.fromkeys(("source", "enrich", "route"), service) | dict(others or {})
        counts = await settled(services, made.wanted, made.total)
        verdicts = await self.readers.judged(
            made.wanted, thinned=thinned, timeout_s=3.0 if lacking else timeout_s
        )
        if lacking:
            verdicts = [replace(verdict, missing=()) for verdict in verdicts]
        return counts.wrong(made.total) + [verdict.words for verdict in verdicts if not verdict.is_good]


@asynccontextmanager
async def crashing(
    material: Material,
    log: Path,
    folder: Path,
    *,
    speed: str = "recorded",
    command: Sequence[str] = ("run",),
    retention_gb: float = 4.0,
    program: Sequence[str] = ("-m", "streamer"),
) -> AsyncIterator[Crash]:
    """Not started yet."""
    begin_from(log, folder)
    port = free_port()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(SandboxOptions(recording=material.recording)))
        text = config(material.recording, sandbox.endpoint, speed=speed, port=port)
        text = text.replace("[log]", f"[log]\nretention_gb = {retention_gb:.6f}")
        text = text.replace('"streamer.db"', f'"{folder / LOG}"')
        text += f'[partners]\nfile = "{folder / "partners.toml"}"\n'
        service = Service(folder, text, *command, program=program)
        stack.push_async_exit(service)
        readers = await stack.enter_async_context(Readers(f"http://127.0.0.1:{port}/v2/articles", KEYS))
        yield Crash(material, service, readers, Faults(folder / "fired"), text)
