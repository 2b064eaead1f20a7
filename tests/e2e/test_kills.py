"""kill -9 at random instants while a recording runs: nothing is lost, nothing comes twice."""

import asyncio
import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness.faults import Faults
from harness.judge import Readers, routed
from harness.on_kafka import OnKafka
from harness.recording import portions, write_recording
from harness.service import Service, free_port
from recording_oracle import expected
from recording_setup import KEYS, LOCAL, config, until_routed_from_the_start, write_partners

from streamer.faultpoints import Point
from streamer.log.local import LocalLog
from streamer.sandbox.server import Sandbox, SandboxOptions

KILLS = [5, pytest.param(30, marks=pytest.mark.soak)]
"""Of the whole service, while the recording runs."""


async def run_under_kills(
    recording: Path,
    folder: Path,
    rng: random.Random,
    kafka: OnKafka | None = None,
    points: Sequence[Point] = (),
    *,
    kills: int,
) -> None:
    """`kills` in all: one at each of `points`, the rest at random.

    Nothing passes a point once the recording is at its end, and on a slow machine it is before the last of
    them is armed. So a part of it is held back for each: a process that is to die has something to do.
    """
    faults = Faults(folder / "fired")
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(folder / "partners.toml")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/articles"
    told, *held_back = portions(recording, len(points) + 1)
    armed = dict(enumerate(zip(points, held_back, strict=True)))
    growing = folder / "growing.sse"
    growing.write_text(told, encoding="utf-8")
    async with Sandbox(SandboxOptions(recording=recording)) as sandbox:
        text = config(
            growing, sandbox.endpoint, speed="recorded", port=port, log=kafka.settings if kafka else LOCAL
        )
        async with Service(folder, text) as service, Readers(url, KEYS) as readers:
            log = kafka.open() if kafka else LocalLog(folder / "streamer.db", clean_every_s=3600)
            await until_routed_from_the_start(log)
            for number in range(kills - len(points)):
                # sometimes while it starts, sometimes in the middle of its work
                await asyncio.sleep(rng.uniform(0.3, 3.0))
                await service.kill()
                if number in armed:
                    point, part = armed[number]
                    with growing.open("a", encoding="utf-8") as file:
                        file.write(part)
                    # a source that is late commits all that there is at once
                    time = 1 if point.role == "source" else rng.randint(1, 3)
                    service.environ = faults.arm("kill", {point: str(time)})
                    await service.start()
                    assert await service.wait() == -signal.SIGKILL, service.lines[-10:]
                service.environ = {}
                await service.start()
            assert [one.point for one in faults.fired()] == [point.label for point in points]
            await service.until(lambda metrics: routed(metrics) >= 3 * total, timeout_s=240)
            outcomes: dict[str, int] = {}
            async with asyncio.timeout(90):  # after a restart each lane tells its counts once it has begun
                while outcomes.get("admitted", 0) < total:
                    await asyncio.sleep(0.1)
                    outcomes = await service.committed("enrich")
            assert outcomes.pop("admitted") == total
            assert sum(outcomes.values()) == total
            for verdict in await readers.judged(wanted):
                verdict.check()
            assert all(feed.breaks >= 1 for feed in readers.feeds.values())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", KILLS)
async def test_real_recording_survives_kills(
    shared_data: Path, tmp_path: Path, rng: random.Random, kills: int
) -> None:
    """Kill -9 of the whole service; readers that resume by id see one sequence without hole or double. For a
    few kills the first third of the recording will do, 22 s.
    """
    recording = tmp_path / "real.sse"
    whole = portions(shared_data / "recentchange-2021.sse", 3)
    recording.write_text("".join(whole if kills > 5 else whole[:1]), encoding="utf-8")
    await run_under_kills(recording, tmp_path, rng, kills=kills)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", KILLS)
async def test_own_recording_survives_kills(tmp_path: Path, rng: random.Random, kills: int) -> None:
    """The same on a recording of our own, of two seconds a kill."""
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, seconds=2 * kills, events=30 * kills)
    await run_under_kills(recording, tmp_path, rng, kills=kills)
