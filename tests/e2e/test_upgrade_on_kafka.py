"""A fleet is replaced process by process, while it works: the walk of deploy/UPGRADES.md, "A new version"."""

import asyncio
import io
import os
import random
import subprocess
import tarfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from harness.judge import Readers, judge, routed, row_of_article
from harness.kafka_readers import by_librdkafka
from harness.on_kafka import OnKafka
from harness.recording import write_recording
from harness.service import Service, free_port
from recording_oracle import expected
from recording_setup import KEYS, config, until_routed_from_the_start, write_partners
from test_roles_apart import committed, enriched

from deploy.kafka import Brokers
from streamer.model import Topics
from streamer.sandbox.server import Sandbox, SandboxOptions

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]

ROOT: Final = Path(__file__).resolve().parents[2]
ROLES: Final = ("deliver", "route", "enrich", "source")
"""Who reads is replaced before who writes: what a newer version writes is read by the newer one."""
FLEET: Final = ("deliver", "route", "route-2", "enrich", "enrich-2", "source")
OLDER: Final = "STREAMER_UPGRADE_FROM"


def checked_out(revision: str, folder: Path) -> dict[str, str]:
    """The environment in which the program is that of a commit or tag of this repository."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision, "streamer"], check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return {"PYTHONPATH": str(folder)}


async def replace(services: dict[str, Service], environ: dict[str, str]) -> None:
    """One by one; the next once this one is ready. Those without a lane are, too."""
    for name, service in services.items():
        assert await service.terminate() == 0, (name, service.lines[-5:])
        service.environ = environ
        await service.start()
        await service.until_ready()


async def all_routed(services: dict[str, Service]) -> float:
    mine = [service for name, service in services.items() if name.startswith("route")]
    return sum([routed(await service.metrics()) for service in mine])


async def walk(
    folder: Path, rng: random.Random, brokers: Brokers, *, older: dict[str, str], back: bool = False
) -> None:
    recording = folder / "own.sse"
    write_recording(recording, rng, seconds=30 if back else 15, events=500 if back else 150)
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(folder / "partners.toml")
    kafka, port = OnKafka(brokers), free_port()
    async with (
        Sandbox(SandboxOptions(recording=recording)) as sandbox,
        AsyncExitStack() as stack,
        Readers(f"http://127.0.0.1:{port}/v2/articles", KEYS) as readers,
    ):
        text = config(recording, sandbox.endpoint, speed="recorded", port=port, log=kafka.settings)
        text += f'[partners]\nfile = "{folder / "partners.toml"}"\n'
        services: dict[str, Service] = {}
        for name in FLEET if back else ROLES:
            (folder / name).mkdir()
            role = name.partition("-")[0]
            service = Service(folder / name, text, "run", "--role", role, environ=older)
            services[name] = await stack.enter_async_context(service)
            if name == "route":
                await until_routed_from_the_start(kafka.open())
        broken = {partner: feed.breaks for partner, feed in readers.feeds.items()}
        await replace(services, {})
        if back:
            await replace(services, older)
        outcomes = await enriched(services, total)
        async with asyncio.timeout(240):
            while await all_routed(services) < 3 * total:
                await asyncio.sleep(0.2)
        assert (await committed(services, "source"))["admitted"] == total
        assert outcomes.pop("admitted") == outcomes["published"] == outcomes.total() == total
        for verdict in await readers.judged(wanted):
            verdict.check()
        assert all(feed.torn == 0 for feed in readers.feeds.values()), "a drained stream ends with an event"
        assert all(feed.breaks > broken[partner] for partner, feed in readers.feeds.items())
        for partner, rows in wanted.items():
            got = await by_librdkafka(brokers, Topics(kafka.prefix).of_partner(partner))
            judge(f"{partner} by librdkafka", [row_of_article(article) for article in got], rows).check()
        for name, service in services.items():
            assert await service.terminate() == 0, (name, service.lines[-5:])
            assert not [line for line in service.lines if "Traceback" in line], name


async def test_each_process_is_replaced(tmp_path: Path, rng: random.Random, brokers: Brokers) -> None:
    """A process of each role, drained and started anew: readers that were there all the time, and librdkafka,
    get every article once and in order; the counts agree.
    """
    await walk(tmp_path, rng, brokers, older={})


@pytest.mark.soak
async def test_from_an_older_version_and_back(tmp_path: Path, rng: random.Random, brokers: Brokers) -> None:
    """The same from the commit or tag that $STREAMER_UPGRADE_FROM names to this one, and back to it."""
    revision = os.environ.get(OLDER)
    if not revision:
        pytest.skip(f"{OLDER} names no older commit or tag")
    older = checked_out(revision, tmp_path / "older")
    await walk(tmp_path, rng, brokers, older=older, back=True)
