"""The whole service on a cluster: what holds on the local log holds there."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from harness.faults import Faults
from harness.feed import Feed
from harness.judge import Row, judge, read_all, routed, row_of_article
from harness.kafka_readers import by_console, by_librdkafka
from harness.on_kafka import OnKafka
from harness.recording import write_recording
from harness.service import Service
from recording_oracle import expected
from recording_setup import KEYS, PARTITIONS, config, write_partners
from test_kills import run_under_kills
from test_recording import run_through
from test_roles_apart import run_apart

from deploy.kafka import Brokers
from streamer.faultpoints import Point
from streamer.model import Topics
from streamer.sandbox.server import Sandbox, SandboxOptions

pytestmark = pytest.mark.xdist_group("kafka")

KILLED_AT: Final = (
    *(point for point in Point if point.role == "kafka"),
    Point.SOURCE_COMMITTED,
    Point.ENRICH_FETCHED,
    Point.ENRICH_COMMITTED,
    Point.ROUTE_READ,
    Point.ROUTE_COMMITTED,
)


async def test_own_recording_reaches_each_partner_exactly(
    tmp_path: Path, rng: random.Random, brokers: Brokers
) -> None:
    """Each partner gets what its rules say, once, in order per page, with the right content; counts agree."""
    recording = tmp_path / "own.sse"
    write_recording(recording, rng)
    await run_through(recording, tmp_path, "full", OnKafka(brokers).settings)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [8, pytest.param(30, marks=pytest.mark.soak)])
async def test_own_recording_survives_kills(
    tmp_path: Path, rng: random.Random, brokers: Brokers, kills: int
) -> None:
    """Kill -9 of the whole service, at random and at fault points; readers that resume by id see one
    sequence without hole or double, and so do librdkafka and Kafka's own console consumer in the partners'
    topics.
    """
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, seconds=2 * kills, events=30 * kills)
    kafka = OnKafka(brokers)
    points = rng.sample(KILLED_AT, min(len(KILLED_AT), kills // 2))
    await run_under_kills(recording, tmp_path, rng, kafka, points, kills=kills)

    async def check(partner: str, rows: list[Row], read: Callable[..., Awaitable[list[Any]]]) -> None:
        got = await read(brokers, Topics(kafka.prefix).of_partner(partner))
        judge(f"{partner} {read.__name__}", [row_of_article(article) for article in got], rows).check()

    async with asyncio.TaskGroup() as tasks:
        for partner, rows in expected(recording).items():
            for read in (by_librdkafka, by_console):
                tasks.create_task(check(partner, rows, read))


def published(metrics: Mapping[str, float]) -> float:
    return sum(
        value
        for name, value in metrics.items()
        if name.startswith("streamer_committed_changes_total{")
        and 'role="enrich"' in name
        and 'outcome="published"' in name
    )


async def test_enrich_killed_in_its_transaction_goes_on_at_once(
    tmp_path: Path, rng: random.Random, brokers: Brokers
) -> None:
    """A position of the dead process is undecided until its lane is taken: nothing that comes before that
    waits for it, least of all for as long as a question to the cluster may take.
    """
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, events=150)
    total = len(expected(recording)["everything"])
    faults, kafka = Faults(tmp_path / "fired"), OnKafka(brokers)
    write_partners(tmp_path / "partners.toml")
    async with Sandbox(SandboxOptions(recording=recording)) as sandbox:
        text = config(recording, sandbox.endpoint, speed="full", log=kafka.settings)
        async with Service(tmp_path, text, "run", "--role", "enrich") as enrich:
            async with asyncio.timeout(60), kafka.open() as log:
                while len(await log.committed("enrich")) < PARTITIONS:  # only then one can be undecided
                    await asyncio.sleep(0.05)
            await enrich.kill()
            async with Service(tmp_path, text, "run", "--role", "source") as source:
                await source.until(lambda metrics: metrics["streamer_source_exhausted"] == 1)
                assert await source.terminate() == 0, source.lines[-5:]
            enrich.environ = faults.arm("kill", {Point.KAFKA_COMMITTING: "1"})
            await enrich.start()
            assert await enrich.wait() == -signal.SIGKILL, enrich.lines[-10:]
            enrich.environ = {}
            await enrich.start()
            await enrich.until(lambda metrics: published(metrics) == total, timeout_s=240)
            # a question that was asked until its deadline takes its client along
            replaced = 'streamer_log_clients_replaced_total{client="questions"}'
            assert not (await enrich.metrics()).get(replaced)


@pytest.mark.soak  # tests/prove has such a fleet too
@pytest.mark.timeout(600)
async def test_roles_apart_with_two_workers(tmp_path: Path, rng: random.Random, brokers: Brokers) -> None:
    """Five processes, two of them share enrich: each is killed several times, one worker sleeps until its
    lanes are the other's; each partner gets what the file says, once, and the fleet's counts agree.
    """
    await run_apart(tmp_path, rng, OnKafka(brokers))


async def until_log(service: Service, *, ready: bool) -> None:
    url = f"http://127.0.0.1:{await service.admin_port()}/readyz"
    async with asyncio.timeout(120), aiohttp.ClientSession() as session:
        while True:
            assert service.running, service.lines[-10:]
            async with session.get(url) as response:
                told = await response.json()
                is_ready = told["components"].get("log") == "ready"
                if is_ready == ready and (told["ready"] or not ready):
                    return
            await asyncio.sleep(0.1)


@pytest.mark.timeout(600)
async def test_service_waits_for_its_cluster(tmp_path: Path, rng: random.Random) -> None:
    """With the broker down at its start, and again for a while in the middle, the service stays, is not
    ready, and goes on by itself: nothing is lost or doubled.
    """
    recording = tmp_path / "own.sse"
    write_recording(recording, rng, seconds=8)
    wanted = expected(recording)
    total = len(wanted["everything"])
    write_partners(tmp_path / "partners.toml")
    async with (
        Brokers(tmp_path / "brokers") as brokers,
        Sandbox(SandboxOptions(recording=recording)) as sandbox,
    ):
        await brokers.kill(1)
        text = config(recording, sandbox.endpoint, speed="recorded", log=OnKafka(brokers).settings)
        async with Service(tmp_path, text) as service:
            await until_log(service, ready=False)
            await brokers.start(1)
            await service.until(lambda metrics: routed(metrics) >= total, timeout_s=240)
            await brokers.kill(1)
            await until_log(service, ready=False)
            await brokers.start(1)
            await until_log(service, ready=True)
            await service.until(lambda metrics: routed(metrics) >= 3 * total, timeout_s=240)
            url = f"http://127.0.0.1:{await service.port()}/v2/articles"
            for partner, rows in wanted.items():
                feed = Feed(url, KEYS[partner], since="2020-01-01T00:00:00Z")
                judge(partner, await read_all(feed, len(rows)), rows).check()
            assert await service.terminate() == 0, service.lines[-5:]
