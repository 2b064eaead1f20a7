"""What a wiki takes back leaves the brokers' disks, on the whole path."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiokafka.record.memory_records import MemoryRecords
from harness.on_kafka import OnKafka
from harness.sandboxed import live_config
from harness.service import Service
from recording_setup import write_partners

from deploy.kafka import Brokers
from streamer.log.base import partition_of
from streamer.model import Topics, page_key
from streamer.sandbox.pages import User
from streamer.sandbox.server import Sandbox, SandboxOptions

pytestmark = pytest.mark.xdist_group("kafka")

WIKI = "ensandbox"
HISTORY_S = 3.0
GONE_S = 90.0
"""Three spans of a segment, the history, the cleaner's pauses; the rest is for a busy machine."""


class Page:
    """Somebody writes it once, with words that stand nowhere else."""

    def __init__(self, session: aiohttp.ClientSession, sandbox: Sandbox, rng: random.Random) -> None:
        self._session = session
        self._sandbox = sandbox
        word = f"{rng.getrandbits(64):016x}"
        self.title = f"Withdrawn {rng.getrandbits(32)}"
        self.text, self.comment, self.user = (f"canary-{what}-{word}" for what in ("text", "comment", "user"))

    async def do(self, **request: object) -> int:
        """The page's id."""
        url = f"{self._sandbox.endpoint}/sandbox/edit"
        async with self._session.post(url, json={"wiki": WIKI, "title": self.title, **request}) as response:
            assert response.status == 200, await response.text()
            told = await response.json()
        return int(told["page_id"])

    async def write(self) -> int:
        assert self._sandbox.world is not None
        self._sandbox.world.users[WIKI].append(User(self.user, 900_000))
        text = f"{self.text} {'and so on ' * 200}"
        return await self.do(action="create", text=text, comment=self.comment, user=self.user)

    def on_disk(self, folder: Path, prefix: str) -> dict[str, set[str]]:
        """Topic → which of its words stand in any segment of any of its partitions."""
        found: dict[str, set[str]] = {}
        for path in folder.glob(f"{prefix}.*/*.log*"):
            with suppress(FileNotFoundError):  # the cleaner has just replaced it
                for part in decoded(path.read_bytes()):
                    words = {word for word in (self.text, self.comment, self.user) if word.encode() in part}
                    if words:
                        found.setdefault(path.parent.name.rpartition("-")[0], set()).update(words)
        return found


def decoded(segment: bytes) -> list[bytes]:
    """Keys, values and headers of all its records."""
    parts: list[bytes] = []
    batches = MemoryRecords(segment)
    while batches.has_next():
        for record in batches.next_batch():
            parts += [record.key or b"", record.value or b"", *(value for _, value in record.headers)]
    return parts


@pytest.mark.timeout(200)
async def test_a_deleted_page_and_a_suppressed_revision_leave_every_disk(
    tmp_path: Path, rng: random.Random, brokers: Brokers
) -> None:
    """Text, comment and editor of an edit stand in the articles and the partners' topics, and nowhere else;
    after the deletion of one page and the suppression of the other's revision, the last that happens in their
    partitions, no segment of any topic holds them.
    """
    kafka = OnKafka(brokers)
    topics = Topics(kafka.prefix)
    log = f"{kafka.settings}\nhistory_hours = {HISTORY_S / 3600}"
    write_partners(tmp_path / "partners.toml")
    async with (
        aiohttp.ClientSession() as session,
        Sandbox(SandboxOptions(seed=3, edits_per_s=0)) as sandbox,
        Service(tmp_path, live_config(sandbox).replace('path = "streamer.db"', log)) as service,
    ):
        await service.event("connected to the stream")
        await service.until_ready()
        data = brokers.data(1)
        deleted, suppressed = (Page(session, sandbox, rng) for _ in range(2))
        places = set()
        for page in (deleted, suppressed):
            places.add(partition_of(page_key(WIKI, await page.write()), 10))
        with_text = {topics.articles, *(topics.of_partner(name) for name in ("everything", "humans"))}

        async def until_out(total: int) -> None:
            async with asyncio.timeout(60):
                while (await service.committed("route", "humans")).get("published", 0) < total:
                    await asyncio.sleep(0.05)

        await until_out(2)
        for page in (deleted, suppressed):
            found = page.on_disk(data, kafka.prefix)
            assert found.keys() == with_text
            assert found[topics.articles] == {page.text, page.comment, page.user}
        await deleted.do(action="delete")
        await suppressed.do(action="suppress")
        await until_out(4)
        for page in (deleted, suppressed):
            async with asyncio.timeout(GONE_S):
                while page.on_disk(data, kafka.prefix):
                    await asyncio.sleep(0.2)
        assert await service.terminate() == 0
    assert len(places) == 2, "each page in a partition of its own"
