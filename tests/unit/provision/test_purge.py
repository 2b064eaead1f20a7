"""What is left of a partner goes, from the local log too."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.accounts import GROUP
from streamer.cli_provision import check_purge
from streamer.config import LogSettings, PartnersSettings, Settings
from streamer.errors import ConfigError, LogUnavailable
from streamer.log.base import Record, TopicPartition
from streamer.log.local import LocalLog
from streamer.log.position import Position
from streamer.log.table import Table
from streamer.model import Topics
from streamer.provision import purge
from streamer.provision.purge import purge_from_file
from streamer.route.rebuild import Start
from streamer.route.starts import Starts, record_start
from streamer.runtime import article_spec, topic_specs

TOPICS = Topics()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "partners.toml"
    file.write_text("[other]\n")
    os.utime(file, (0, 0))  # its change is in force
    return Settings(log=LogSettings(path=str(tmp_path / "log.db")), partners=PartnersSettings(str(file)))


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[LocalLog]:
    async with LocalLog(settings.log.path) as log:
        names = [TOPICS.of_partner(name) for name in ("acme", "other")]
        await log.ensure_topics([*topic_specs(settings), *(article_spec(settings, name) for name in names)])
        await record_start(log, TOPICS, "acme", 1)

        async def commit(lane: object) -> None:
            positions = {TopicPartition(name, 0): Position(7) for name in names}
            await lane.commit([Record(name, 0, "k", b"{}") for name in names], positions)  # type: ignore[attr-defined]

        await log.run_lanes(GROUP, TOPICS.articles, commit, partitions=[0])
        yield log


async def test_purge_leaves_the_others(settings: Settings, log: LocalLog) -> None:
    """Topic, positions and the start that was asked for are gone; another partner's are not. Again, there is
    nothing to do.
    """
    said: list[str] = []
    assert await purge_from_file(log, settings, "acme", said.append)
    assert await log.topic(TOPICS.of_partner("acme")) is None
    assert {tp.topic for tp in await log.committed(GROUP)} == {TOPICS.of_partner("other")}
    assert (await log.bounds(TopicPartition(TOPICS.of_partner("other"), 0))).end == 1
    assert said[-1] == f"remove topic {TOPICS.of_partner('acme')}, with all positions there"
    assert not await purge_from_file(log, settings, "acme", said.append)
    assert await purge_from_file(log, settings, "other", said.append)


class Ended(Exception):
    """A process that was killed while it told something."""


async def test_an_end_at_each_step_is_completed_by_the_next_run(settings: Settings, log: LocalLog) -> None:
    """Ended after each thing that it tells of, and run again, it leaves neither topic nor start; a start that
    is all there is, of a partner whose topic was never made, goes too.
    """
    told: set[str] = set()

    def say(line: str) -> None:
        if line not in told:
            told.add(line)
            raise Ended

    for _ in range(10):
        try:
            known = await purge_from_file(log, settings, "acme", say)
        except Ended:
            continue
        break
    assert not known
    assert any(line.startswith("remove topic") for line in told)
    assert await start_of(log, "acme") is None
    await record_start(log, TOPICS, "late", 1)
    assert await purge_from_file(log, settings, "late", say)
    assert await start_of(log, "late") is None


async def start_of(log: LocalLog, name: str) -> Start | None:
    starts = Starts()
    await Table(log, TOPICS.meta, starts.apply).load()
    return starts.of(name)


async def test_what_is_still_written_is_waited_for(settings: Settings, log: LocalLog) -> None:
    """While a pass that was under way ends, the topic stays: a commit to one that is gone would hold all
    partners up.
    """
    topic = TOPICS.of_partner("acme")
    written = 0

    async def write() -> None:
        nonlocal written
        for _ in range(8):
            await asyncio.sleep(0.5)
            await log.append([Record(topic, 3, "k", b"{}")])
            written += 1

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        assert await purge_from_file(log, settings, "acme", lambda _: None)
        assert written == 8


async def test_what_never_ends_is_told(
    settings: Settings, log: LocalLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has the partner in a file of its own keeps writing: nothing is deleted under it."""
    monkeypatch.setattr(purge, "LET_GO_S", 1.0)
    topic = TOPICS.of_partner("acme")

    async def write() -> None:
        while True:
            await log.append([Record(topic, 3, "k", b"{}")])
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(write())
        with pytest.raises(LogUnavailable, match="still written"):
            await purge_from_file(log, settings, "acme", lambda _: None)
        writing.cancel()
    assert await log.topic(topic) is not None


def test_only_a_partners_name_is_purged() -> None:
    """A user of the service would go with it."""
    on_kafka = Settings(log=LogSettings(kind="kafka"))
    for name in ("Ä", "", "a/b", "*"):
        with pytest.raises(ConfigError, match="a partner's name is"):
            check_purge(on_kafka, name)
    with pytest.raises(ConfigError, match="is a user of the service"):
        check_purge(on_kafka, "wiki-route")
    check_purge(on_kafka, "acme")
