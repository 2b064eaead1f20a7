"""Changes that were deleted before enrich read them: a stop that is told, until the operator says go on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from harness.on_kafka import OnKafka
from harness.sandboxed import live_config
from harness.service import Service
from recording_setup import LOCAL, write_partners

from deploy.kafka import Brokers
from streamer.log.base import Log, Record, TopicPartition, partition_of
from streamer.log.local import LocalLog
from streamer.model import Topics
from streamer.runtime import DAY_MS
from streamer.sandbox.server import Sandbox, SandboxOptions

HERE, ELSEWHERE = "ensandbox", "desandbox"
LOST = 3

Deletion = Callable[[list[Record]], Awaitable[None]]
"""Appends these records, and deletes all that their partition holds."""


async def survive(folder: Path, log: str, topics: Topics, lose: Deletion, opened: Callable[[], Log]) -> None:
    assert partition_of(HERE, 10) != partition_of(ELSEWHERE, 10)
    lane = TopicPartition(topics.changes, partition_of(HERE, 10))
    write_partners(folder / "partners.toml")
    label = f'{{partition="{lane.partition}",role="enrich"}}'
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0)) as sandbox, aiohttp.ClientSession() as session:
        # what is gone is nobody's to remember: a rewind would bring the edits before it once more
        text = live_config(sandbox).replace(LOCAL, log).replace("[source]", "[source]\nrewind_s = 0")
        published = 0

        async def edit(service: Service, wiki: str, *, waits: bool = True) -> None:
            nonlocal published
            request = {"wiki": wiki, "title": f"Lost {published}", "action": "edit"}
            url = f"{sandbox.endpoint}/sandbox/edit"
            async with session.post(url, json=request) as response:
                assert response.status == 200
            published += 1
            if waits:
                async with asyncio.timeout(30):
                    while (await service.committed("enrich")).get("published", 0) < published:
                        await asyncio.sleep(0.05)

        async with Service(folder, text) as service:
            await service.event("connected to the stream")
            for wiki in (HERE, ELSEWHERE):
                await edit(service, wiki)
            assert await service.terminate() == 0

        async with opened() as log_of_test:
            committed = (await log_of_test.committed("enrich"))[lane].next
        await lose([Record(*lane, HERE, b"a change that nobody read")] * LOST)
        async with opened() as log_of_test:
            earliest = (await log_of_test.bounds(lane)).earliest
        assert earliest - committed >= LOST

        async with Service(folder, text) as service:
            await service.until_ready("enrich_input", f"{lane.topic}/{lane.partition}")
            said = (await service.ready())[1]["enrich_input"]
            assert f"committed offset {committed}, earliest {earliest}" in said
            stop = await service.event("a lane stops: its input is lost")
            assert (stop["role"], stop["partition"], stop["reason"]) == ("enrich", lane.partition, said)
            await service.event("connected to the stream")
            await edit(service, ELSEWHERE)
            metrics = await service.metrics()
            stopped = {name: value for name, value in metrics.items() if "streamer_lane_stopped{" in name}
            assert {name for name, value in stopped.items() if value} == {f"streamer_lane_stopped{label}"}
            await edit(service, HERE, waits=False)
            # a lane that took it would be heard of by then: another's edit, made later, is out
            published -= 1
            await edit(service, ELSEWHERE)
            assert (await service.committed("enrich"))["published"] == published
            published += 1
            assert await service.terminate() == 0
            assert sum("a lane stops" in line for line in service.lines) == 1

        async with Service(folder, text, environ={"STREAMER_LOG__LOST": "skip"}) as service:
            await service.until(
                lambda m: m.get(f"streamer_lane_lost_offsets_total{label}") == earliest - committed
            )
            await service.event("a lane goes on without what it lost")
            await service.event("connected to the stream")
            await edit(service, HERE)
            await service.until_ready()

        async with Service(folder, text) as service:  # stops at losses again, and there are none
            await service.event("connected to the stream")
            await edit(service, HERE)
            await service.until_ready()
            metrics = await service.metrics()
            assert metrics[f"streamer_lane_stopped{label}"] == 0
            assert metrics[f"streamer_lane_lost_offsets_total{label}"] == 0


async def test_a_lane_stops_on_the_local_log(tmp_path: Path) -> None:
    """Only the lane whose changes are gone stops, and says what and where; the process stays and drains. With
    `skip` it goes on, once, and counts how many; without it afterwards it goes on from there.
    """

    async def lose(records: list[Record]) -> None:
        ahead = lambda: time.time_ns() // 1_000_000 + 8 * DAY_MS  # noqa: E731 - more than changes are kept
        async with LocalLog(tmp_path / "streamer.db") as log:
            await log.append(records)
        async with LocalLog(tmp_path / "streamer.db", clock=ahead) as log:
            await log.clean()

    await survive(tmp_path, LOCAL, Topics(), lose, lambda: LocalLog(tmp_path / "streamer.db"))


@pytest.mark.xdist_group("kafka")
async def test_a_lane_stops_on_kafka(tmp_path: Path, brokers: Brokers) -> None:
    """The same where Kafka's own command has deleted them."""
    kafka = OnKafka(brokers)

    async def lose(records: list[Record]) -> None:
        async with kafka.open() as log:
            await log.append(records)
            end = (await log.bounds(TopicPartition(records[0].topic, records[0].partition))).end
        admin = AIOKafkaAdminClient(bootstrap_servers=brokers.bootstrap)
        await admin.start()
        try:
            place = KafkaPartition(records[0].topic, records[0].partition)
            await admin.delete_records({place: RecordsToDelete(before_offset=end)})
        finally:
            await admin.close()

    await survive(tmp_path, kafka.settings, Topics(kafka.prefix), lose, kafka.open)
