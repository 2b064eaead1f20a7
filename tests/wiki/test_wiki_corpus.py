"""A partner's corpus, by SSE and from Kafka, is the wiki: whatever is done there, killed or cut."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.corpora import Follows
from harness.cutting import Hop
from harness.mediawiki import DEEDS, WikiFarm
from harness.on_kafka import OnKafka
from harness.service import Service
from recording_setup import KEYS, write_partners

from deploy.kafka import Brokers

PARTNER = "everything"
SINCE = "2020-01-01T00:00:00Z"
FIRST = ("create", "edit", "edit", "create", "edit", "create", "edit")
"""So that there is something to do the others to."""
SHORT = (
    "edit", "move", "delete", "create", "edit", "protect", "undelete", "hide_text", "show",
    "move_without_redirect", "create_redirect", "suppress_newest", "delete_suppressed", "edit", "edit_empty",
    "move_there_and_back", "edit", "merge", "delete", "undelete", "hide_all", "edit", "create",
)  # fmt: skip
EQUAL_S = 150


@dataclass
class World:
    farm: WikiFarm
    service: Service
    hop: Hop
    by_sse: Follows
    by_kafka: Follows
    rng: random.Random

    async def do(self, deed: str, wiki: str = "enproof") -> None:
        for _ in range(3):
            if await self.farm.do(deed, wiki, self.rng):
                return
            await self.farm.do("create", wiki, self.rng)

    # ── what happens meanwhile ─────────────────────────────────────────────────────────────────

    async def kill_service(self) -> None:
        await self.service.kill()
        await self.service.start()
        self.hop.target = await self.service.port()

    async def kill_by_sse(self) -> None:
        await self.by_sse.killed_and_started()

    async def kill_by_kafka(self) -> None:
        await self.by_kafka.killed_and_started()

    async def cut(self) -> None:
        """At some byte: an end, or a reset."""
        self.hop.cut_after(self.rng.randrange(20_000), abort=self.rng.random() < 0.5)

    async def cut_source(self) -> None:
        self.farm.cut(abort=self.rng.random() < 0.5)

    @property
    def harms(self) -> list[Callable[[], Awaitable[None]]]:
        return [self.kill_by_sse, self.cut, self.kill_by_kafka, self.kill_service, self.cut, self.cut_source]

    async def are_equal(self) -> None:
        """Both corpora are the wikis, page by page; both processes still run."""
        truth = await self.farm.truth()
        for corpus in (self.by_sse, self.by_kafka):
            wrong: dict[Any, Any] = await corpus.differs_from(truth, EQUAL_S)
            told = dict(list(wrong.items())[:6])
            assert not wrong, f"{corpus.path.name}: {len(wrong)} of {len(truth)} pages differ: {told}"
            assert corpus.runs
        kinds = {"deleted": 0, "hidden": 0, "shown": 0}
        for told in truth.values():
            kinds["deleted" if told.deleted else "shown" if told.sha1 else "hidden"] += 1
        assert kinds["deleted"]
        assert kinds["shown"]


@asynccontextmanager
async def world(farm: WikiFarm, brokers: Brokers, folder: Path, rng: random.Random) -> AsyncIterator[World]:
    """The service on Kafka: it serves by SSE what stands in the partner's topic, which the other reads."""
    place = OnKafka(brokers)
    write_partners(folder / "partners.toml")
    config = farm.config().replace('path = "streamer.db"', place.settings)
    topic = f"{place.prefix}.articles.v1.{PARTNER}"
    async with Service(folder, config) as service, Hop(await service.port()) as hop:
        await service.event("connected to the stream")
        sse = ["--url", f"http://127.0.0.1:{hop.port}", "--connections", "2"]
        kafka = ["--kafka", brokers.bootstrap, "--topic", topic]
        common = ["--since", SINCE, "--json", "--interval", "5"]
        async with (
            Follows(folder / "sse.db", [*sse, *common], {"CORPUS_KEY": KEYS[PARTNER]}) as by_sse,
            Follows(folder / "kafka.db", [*kafka, *common], {}) as by_kafka,
        ):
            yield World(farm, service, hop, by_sse, by_kafka, rng)
            for corpus in (by_sse, by_kafka):
                assert await corpus.stopped() == 0
                assert "Traceback" not in corpus.log.read_text()


@pytest.mark.timeout(400)
async def test_both_corpora_are_the_wiki(
    farm: WikiFarm, brokers: Brokers, tmp_path: Path, rng: random.Random
) -> None:
    """Pages are created, edited, moved, deleted, restored, hidden and suppressed, while each of the processes
    is killed by -9 and lines break at any byte: in the end ids, titles, revisions and texts of both corpora
    are those of the wiki, and no tombstone is missing.
    """
    async with world(farm, brokers, tmp_path, rng) as it:
        for deed in FIRST:
            await it.do(deed)
        await it.do("create", "deproof")
        for number, deed in enumerate(SHORT):
            await it.do(deed)
            if number % 3 == 2:
                harm = it.harms[number // 3 % len(it.harms)]
                await harm()
        await it.are_equal()


@pytest.mark.soak
@pytest.mark.timeout(3_600)
async def test_both_corpora_stay_the_wiki(
    farm: WikiFarm, brokers: Brokers, tmp_path: Path, rng: random.Random
) -> None:
    """The same with every kind of deed on all wikis, hundreds of them, and a harm every few."""
    async with world(farm, brokers, tmp_path, rng) as it:
        for wiki in farm.wikis:
            for deed in FIRST:
                await it.do(deed, wiki)
        for deed in sorted(DEEDS, key=lambda deed: deed != "create_foreign"):
            await it.do(deed)
        for _ in range(10):
            for _ in range(30):
                await farm.deed(rng)
                if rng.random() < 0.15:
                    await rng.choice(it.harms)()
            await it.are_equal()
        assert it.by_sse.kills + it.by_kafka.kills > 10
