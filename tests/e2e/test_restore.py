"""The log is lost: restored from a copy, or begun with nothing. A partner's corpus ends as the wiki is."""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from harness.corpora import Follows
from harness.mediawiki.truth import Truth
from harness.on_kafka import OnKafka
from harness.service import Service, free_port
from recording_setup import KEYS, PARTITIONS, until_routed_from_the_start, write_partners
from test_mirror import TITLES, WIKI, Editor, digest

from streamer.log.base import TopicPartition
from streamer.log.local import LocalLog
from streamer.model import Topics
from streamer.sandbox.server import Sandbox, SandboxOptions

DEEDS: Final = 60
PATIENCE_S: Final = 90.0
SECRET: Final = "What nobody may read any more."
TITLE: Final = "A page that somebody regrets"
"""It has that, for a while; no random deed is done to it."""
TEXT_HIDDEN: Final = 1
LOST: Final = ("", "-wal", "-shm")


def truth(sandbox: Sandbox) -> dict[tuple[str, int], Truth]:
    assert sandbox.world
    wiki = sandbox.world.wikis[WIKI]
    found = {}
    for page in (*wiki.pages.values(), *wiki.deleted.values()):
        if page.title in (*TITLES, TITLE):
            gone, current = page.identifier in wiki.deleted, page.current
            sha1 = None if gone or current.hidden & TEXT_HIDDEN else digest(current.text)
            found[WIKI, page.identifier] = Truth(page.title, gone, current.identifier, sha1)
    return found


@dataclass
class Place:
    """The wiki, the service that follows it in `folder`, and a partner's corpus."""

    folder: Path
    sandbox: Sandbox
    session: aiohttp.ClientSession
    rng: random.Random
    port: int = field(default_factory=free_port)
    since: datetime | None = None
    kafka: OnKafka | None = None

    @property
    def log(self) -> Path:
        return self.folder / "streamer.db"

    @property
    def config(self) -> str:
        since = f"since = {self.since.isoformat()}" if self.since else ""
        return f"""
[source]
url = "{self.sandbox.stream_url}"
{since}
[mediawiki]
hosts = ["*.sandbox.example"]
endpoint = "{self.sandbox.endpoint}"
requests_per_minute = 6000
missing_retry_s = 0.5
[log]
{self.kafka.settings if self.kafka else f'path = "{self.log}"'}
[deliver]
port = {self.port}
admin_port = 0
heartbeat_s = 1
[partners]
file = "{self.folder / "partners.toml"}"
"""

    def service(self, *command: str) -> Service:
        folder = self.folder / "-".join(command).replace("--", "")
        folder.mkdir(exist_ok=True)
        return Service(folder, self.config, *command)

    def corpus(self, *more: str) -> Follows:
        return Follows(
            self.folder / "corpus.db",
            ["--json", *(self.on_kafka or self.by_sse), *more],
            {"CORPUS_KEY": KEYS["everything"]},
        )

    @property
    def by_sse(self) -> list[str]:
        return ["--url", f"http://127.0.0.1:{self.port}", "--since", "2020-01-01T00:00:00Z"]

    @property
    def on_kafka(self) -> list[str]:
        if self.kafka is None:
            return []
        topic = Topics(self.kafka.prefix).of_partner("everything")
        return ["--kafka", ",".join(self.kafka.bootstrap), "--topic", topic]

    async def deeds(self) -> None:
        editor = Editor(self.session, self.sandbox.endpoint, self.rng)
        for _ in range(DEEDS):
            await editor.act()

    async def deed(self, **deed: object) -> None:
        body = {"wiki": WIKI, "title": TITLE, **deed}
        async with self.session.post(f"{self.sandbox.endpoint}/sandbox/edit", json=body) as response:
            assert response.status == 200, await response.text()

    async def held(self, *more: str) -> None:
        """By the corpus: all that the wiki says."""
        async with self.corpus(*more) as corpus:
            assert not await corpus.differs_from(truth(self.sandbox), PATIENCE_S)
            assert await corpus.stopped() == 0

    async def is_told_of_the_loss(self) -> None:
        """A corpus that goes on by its position ends, and says what to do."""
        async with self.corpus() as corpus:
            async with asyncio.timeout(PATIENCE_S):
                while corpus.runs:
                    await asyncio.sleep(0.1)
            assert "corpus bootstrap" in corpus.log.read_text().splitlines()[-1]

    async def shows(self, text: str) -> bool:
        """In a record of the partner's feed."""
        topic, found = Topics().of_partner("everything"), False
        async with LocalLog(self.log, clean_every_s=3600) as log:
            bounds = {
                tp: await log.bounds(tp) for tp in (TopicPartition(topic, p) for p in range(PARTITIONS))
            }
            async with log.reader({tp: bound.earliest for tp, bound in bounds.items()}) as reader:
                while any(reader.position(tp) < bound.end for tp, bound in bounds.items()):
                    found |= any(text.encode() in (stored.value or b"") for stored in await reader.read())
        return found

    def copy(self, to: Path) -> None:
        """As `sqlite3 streamer.db ".backup FILE"` does it, beside a service that writes."""
        with (
            contextlib.closing(sqlite3.connect(self.log)) as log,
            contextlib.closing(sqlite3.connect(to)) as copy,
        ):
            log.backup(copy)

    def lose(self) -> None:
        for end in LOST:
            Path(f"{self.log}{end}").unlink(missing_ok=True)


async def caught_up(service: Service, here: Place) -> None:
    """As an operator sees it: the newest event is of now, nothing is open, nothing waits to be routed."""
    assert here.sandbox.world
    last_s = max(change.time_ms for change in here.sandbox.world.wikis[WIKI].changes) / 1_000

    def holds(metrics: dict[str, float]) -> bool:
        lags = [value for name, value in metrics.items() if name.startswith("streamer_log_lag_offsets")]
        opened = [value for name, value in metrics.items() if name.startswith("streamer_enrich_open_changes")]
        newest_s = metrics["streamer_source_newest_event_timestamp_seconds"]
        return newest_s >= last_s and not sum(lags) and not sum(opened)

    await service.until(holds)


@asynccontextmanager
async def place(folder: Path, rng: random.Random) -> AsyncIterator[Place]:
    write_partners(folder / "partners.toml")
    async with (
        Sandbox(SandboxOptions(seed=7, edits_per_s=0)) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield Place(folder, sandbox, session, rng)


@pytest.mark.timeout(600)
async def test_from_a_copy_and_from_nothing(tmp_path: Path, rng: random.Random) -> None:
    """The walks of deploy/UPGRADES.md, "Restore". Whoever resumes by an old position is told, nobody gets
    another record in its place; what was withdrawn since the copy is not served from it; with
    `on_gap=continue` the corpus is the wiki again, with what happened while there was no log.
    """
    async with place(tmp_path, rng) as here:
        async with here.service("run") as service:
            await service.event("connected to the stream")
            await until_routed_from_the_start(LocalLog(here.log, clean_every_s=3600))
            here.since = datetime.fromtimestamp(time.time() - 5, UTC)
            await here.deed(text=SECRET)
            await here.deeds()
            await here.held()
            here.copy(tmp_path / "copy.db")
            await here.deed(action="delete")
            await here.deeds()
            await here.held()
            await service.kill()

        # from the copy: deliver waits until the others have caught up, and every feed is made anew
        here.lose()
        (tmp_path / "copy.db").rename(here.log)
        assert await here.shows(SECRET)
        await here.deeds()
        roles = ("--role", "source", "--role", "enrich", "--role", "route")
        async with here.service("run", *roles) as service:
            await service.event("connected to the stream")
            await caught_up(service, here)
            async with here.service("partner", "rebuild", "everything") as rebuild:
                assert await rebuild.wait() == 0, rebuild.lines
            async with here.service("run", "--role", "deliver"):
                await here.is_told_of_the_loss()
                await here.held("--on-gap", "continue")
                await here.deeds()
                await here.held()
            assert await service.terminate() == 0
        assert not await here.shows(SECRET)

        # from nothing
        here.lose()
        await here.deeds()
        async with here.service("run", "--role", "enrich", "--role", "route"):
            await until_routed_from_the_start(LocalLog(here.log, clean_every_s=3600))
        async with here.service("run") as service:
            await here.is_told_of_the_loss()
            await here.held("--on-gap", "continue")
            outcomes = await service.committed("enrich")
            assert outcomes.pop("admitted") == sum(outcomes.values())
            assert await service.terminate() == 0
        assert not await here.shows(SECRET)
