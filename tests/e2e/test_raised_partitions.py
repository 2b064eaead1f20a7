"""`log.partitions` raised over a log that exists: refused at the start, for it would break order."""

import asyncio
from pathlib import Path

import pytest
from harness.on_kafka import OnKafka
from harness.service import Service

from deploy.kafka import Brokers
from streamer.config import LogSettings, Settings
from streamer.log.local import LocalLog
from streamer.runtime import topic_specs

PORTS = "[deliver]\nport = 0\nadmin_port = 0\n"
ROLES = (("run",), ("run", "--role", "deliver"))


async def is_refused(folder: Path, log: str, *command: str) -> None:
    """Exit 2, one line that names the setting, both numbers, and what to do."""
    async with Service(folder, f"{PORTS}[log]\n{log}\npartitions = 20\n", *command) as service:
        assert await service.wait() == 2, service.lines
        spoken = [line for line in service.lines if not line.startswith("{")]
        assert len(spoken) == 1, spoken
        for said in ("log.partitions", "10 partitions, not 20", "set it back", "log.prefix"):
            assert said in spoken[0]


async def test_over_a_local_log(tmp_path: Path) -> None:
    """Every role says so, and the log is as it was."""
    settings = Settings(log=LogSettings(path=str(tmp_path / "log.db")))
    async with LocalLog(tmp_path / "log.db") as log:
        await log.ensure_topics(topic_specs(settings))
        before = await log.topics()
    async with asyncio.TaskGroup() as group:
        for number, command in enumerate(ROLES):
            folder = tmp_path / str(number)
            folder.mkdir()
            group.create_task(is_refused(folder, f'path = "{tmp_path / "log.db"}"', *command))
    async with LocalLog(tmp_path / "log.db") as log:
        assert await log.topics() == before


@pytest.mark.xdist_group("kafka")
async def test_over_a_cluster(brokers: Brokers, tmp_path: Path) -> None:
    """The same, and no topic of the cluster is changed."""
    place = OnKafka(brokers)
    specs = topic_specs(Settings(log=LogSettings(prefix=place.prefix)))
    async with place.open() as log:
        await log.ensure_topics(specs)
        before = [topic for topic in await log.topics() if topic.name.startswith(place.prefix)]
        await is_refused(tmp_path, place.settings, *ROLES[1])
        assert [topic for topic in await log.topics() if topic.name.startswith(place.prefix)] == before
        for spec in specs:
            await log.delete_topic(spec.name)
