"""All that a wiki can take back, done to pages whose every word is known.

    async with Withdrawals(folder, origin, rng, taken=pages()) as stage:
        await stage.write()                         each page, as it is before
        borders = await stage.borders()             behind them, wherever they are
        await stage.take_back()                     returns with the cut-offs committed
        stage.words, stage.visible, stage.current   all; what is served from then on; what both logs keep

The service is a process of its own, on the embedded log or on a real broker.
"""

import asyncio
import hashlib
import os
import random
import sys
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import aiohttp

from deploy.kafka import Brokers
from harness.canaries import Canaries
from harness.mediawiki.editors import Wiki
from harness.mediawiki.farm import WikiFarm
from harness.mediawiki.founding import STEWARD, WRITER
from harness.mediawiki.gate import Answer
from harness.mediawiki.taken import Taken
from harness.on_disk import Disk, KafkaDisk, LocalDisk
from harness.on_kafka import OnKafka
from harness.served import EVER, PartnersFeed
from harness.service import Service, free_port
from streamer.log.base import partition_of
from streamer.model import Topics, page_key

ROOT: Final = Path(__file__).resolve().parents[3]
WIKI: Final = "enproof"
PARTITIONS: Final = 10
TOLD_S: Final = 60.0
FILLER_BYTES: Final = 1_900_000
"""Of a page that nobody looks at; a wiki takes 2 MiB."""
FILLERS: Final = 3
"""More than all buffers on the way to a client that takes nothing."""
RULES: Final = {
    "everything": "namespaces = [0]",
    "narrow": 'namespaces = [0]\nkinds = ["create"]',
    "slow": "",
}


class Withdrawals:
    """On the local log, or on that cluster. `history_s`: so long the log keeps what was overwritten."""

    def __init__(
        self,
        folder: Path,
        origin: Path,
        rng: random.Random,
        brokers: Brokers | None = None,
        *,
        taken: Collection[Taken],
        history_s: float = 3600.0,
    ) -> None:
        kafka = OnKafka(brokers) if brokers else None
        self.folder = folder
        self.farm = WikiFarm(folder / "farm", origin=origin)
        self.taken = list(taken)
        self.topics = Topics(kafka.prefix if kafka else "wiki")
        self._rng = rng
        self._port = free_port()
        self._borders = 0
        self.changes = 0
        """That were done, and are to be admitted."""
        self._stack = AsyncExitStack()
        log = kafka.settings if kafka else 'path = "streamer.db"'
        config = self.farm.config
        self._config = lambda: (
            config()
            .replace('path = "streamer.db"', f"{log}\nhistory_hours = {history_s / 3600}")
            .replace("\nport = 0\n", f"\nport = {self._port}\n")
        )
        for one in self.taken:
            one.first, one.second = Canaries.made(rng), Canaries.made(rng)
        self.home = folder / "service"
        self.brokers = brokers
        self.disk: Disk
        if brokers and kafka:
            self.disk = KafkaDisk(brokers.data(1), kafka.prefix, self.words)
        else:
            self.disk = LocalDisk(self.home, self.home / "streamer.db", self.words)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.farm)
            stack.callback(self.farm.gate.release_all)
            self.home.mkdir()
            _write_partners(self.home / "partners.toml")
            self.service = await stack.enter_async_context(Service(self.home, self._config()))
            await self.service.event("connected to the stream")
            await self.service.until_ready()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    # ── the words ──────────────────────────────────────────────────────────────────────────────

    @property
    def words(self) -> dict[str, str]:
        return {name: word for one in self.taken for name, word in one.words.items()}

    @property
    def firsts(self) -> dict[str, str]:
        """Of the first revisions, but for those that become dead letters."""
        return {
            name: word
            for one in self.taken
            if not one.is_lost_first
            for name, word in one.first.words(one.name).items()
        }

    @property
    def visible(self) -> set[str]:
        return set[str]().union(*(one.visible for one in self.taken))

    @property
    def hidden(self) -> set[str]:
        return self.words.keys() - self.visible

    @property
    def current(self) -> set[str]:
        return set[str]().union(*(one.current for one in self.taken))

    @property
    def told(self) -> set[str]:
        return set[str]().union(*(one.told for one in self.taken))

    def feed(self, partner: str, key: str = "") -> PartnersFeed:
        return PartnersFeed(self._port, key or _key(partner), self.topics.of_partner(partner))

    # ── deeds ──────────────────────────────────────────────────────────────────────────────────

    @property
    def wiki(self) -> Wiki:
        return self.farm.wikis[WIKI]

    async def write(self) -> None:
        await self.write_firsts()
        await self.write_seconds()

    async def write_firsts(self) -> None:
        """Each page's first revision. Of those that are to become dead letters the text is missing when it is
        asked for, until they are.
        """
        for one in self.taken:
            if not one.is_lost_first:
                await self._write_first(one)
        await self._lose_firsts([one for one in self.taken if one.is_lost_first])

    async def write_seconds(self) -> None:
        for one in self.taken:
            if one.is_older:
                await self._save(one, one.second)

    async def _write_first(self, one: Taken) -> None:
        edit = await self._save(one, one.first)
        one.page, one.revision = edit["pageid"], edit["newrevid"]

    async def _act(self, who: str, action: str, **params: object) -> dict[str, Any]:
        self.changes += 1
        return await self.wiki.act(who, action, **params)

    async def replay(self) -> None:
        """All dead letters, beside the service."""
        lost = sum(one.is_lost_first for one in self.taken)
        assert f"replays {lost} dead letters" in await self.command("deadletter", "replay", "--all")
        self.changes += lost

    async def _save(self, one: Taken, canaries: Canaries) -> dict[str, Any]:
        answer = await self._act(
            canaries.user,
            "edit",
            title=_title(one),
            text=canaries.article(self._rng),
            summary=canaries.comment,
        )
        edit: dict[str, Any] = answer["edit"]
        return edit

    async def _lose_firsts(self, lost: list[Taken]) -> None:
        revisions: set[int] = set()

        def without_text(answer: Answer) -> Answer:
            for page in answer["query"]["pages"]:
                for revision in page.get("revisions", ()):
                    if revision["revid"] in revisions:
                        revision["slots"]["main"].pop("content", None)
                        revision["slots"]["main"]["textmissing"] = True
            return answer

        with self.farm.gate.alter(without_text):
            for one in lost:
                revisions.add(self._newest() + 1)
                await self._write_first(one)
            await self._outcome("deadletter", len(lost))

    def _newest(self) -> int:
        [(newest,)] = self.wiki.rows(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'revision'"
        )
        return int(newest)

    async def take_back(self) -> None:
        """All at once; the reasons quote what is hidden, as some do."""
        metrics = await self.service.metrics()
        before = {scope: metrics.get(_cutoffs(scope), 0.0) for scope in ("page", "revision")}
        for one in self.taken:
            if not one.is_kept:
                await self._take_back(one)
                before["revision" if one.hides else "page"] += 1
        await self.service.until(
            lambda now: all(now.get(_cutoffs(scope), 0.0) >= count for scope, count in before.items()), TOLD_S
        )

    async def _take_back(self, one: Taken) -> None:
        title, reason = _title(one), f"it said {' '.join(one.first.words('').values())}"
        if one.hides:
            answer = await self._act(
                STEWARD,
                "revisiondelete",
                type="revision",
                target=title,
                ids=one.revision,
                hide=one.hides,
                suppress="yes" if one.suppressed else "nochange",
                reason=reason,
            )
            assert answer["revisiondelete"]["status"] == "Success"
        else:
            action = "proofsuppress" if one.suppressed else "delete"
            await self._act(STEWARD, action, title=title, reason=reason)

    async def borders(self) -> set[str]:
        """New pages behind all that was done: one at least in the partition of each that counts. Titles."""
        missing = {_partition(one.page) for one in self.taken}
        made = set()
        while missing:
            self._borders += 1
            title = f"Border {self._borders}"
            answer = await self._act(WRITER, "edit", title=title, text=title)
            missing.discard(_partition(answer["edit"]["pageid"]))
            made.add(title)
        return made

    async def fill(self) -> None:
        """Articles that only the partner `slow` gets, and takes long to."""
        for number in range(FILLERS):
            await self._act(
                STEWARD,
                "edit",
                title=f"User:Filler {number}",
                text=f"{number} and so on " * (FILLER_BYTES // 16),
                contentmodel="text",
            )

    async def _outcome(self, outcome: str, count: int) -> None:
        async with asyncio.timeout(TOLD_S):
            while (await self.service.committed("enrich")).get(outcome, 0) < count:
                await asyncio.sleep(0.05)

    async def killed(self) -> None:
        """-9, and it is there again."""
        await self.service.kill()
        await self.service.start()
        await self.service.event("listening")

    async def settled(self) -> None:
        """Each change has its outcome, and the replays of dead letters have."""
        await self._outcome("admitted", self.changes)

    # ── commands ───────────────────────────────────────────────────────────────────────────────

    async def add_since(self, partner: str) -> PartnersFeed:
        """A partner with all of the past; returns once its key is in force."""
        feed = self.feed(partner, await self.command("partner", "add", partner, "--since", EVER))
        headers = {"Authorization": f"Bearer {feed.key}"}
        async with asyncio.timeout(TOLD_S), aiohttp.ClientSession(headers=headers) as session:
            while True:
                async with session.get(f"http://127.0.0.1:{feed.port}/v2/status") as response:
                    if response.status == 200:
                        return feed
                await asyncio.sleep(0.1)

    async def command(self, *words: str) -> str:
        """`streamer …`, beside the service; its standard output."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streamer", "--config", str(self.service.config), *words),
            cwd=self.service.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(2 * TOLD_S):
                said, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, errors.decode()
        return said.decode().strip()


class OnALog(Protocol):
    """What the fixture `on` is: `history_s` is how long the log keeps what was overwritten."""

    def __call__(
        self, taken: Collection[Taken], *, history_s: float = ...
    ) -> AbstractAsyncContextManager[Withdrawals]: ...


def _title(one: Taken) -> str:
    return f"Page {one.name}"


def _partition(page: int) -> int:
    return partition_of(page_key(WIKI, page), PARTITIONS)


def _cutoffs(scope: str) -> str:
    return f'streamer_enrich_cutoffs_total{{scope="{scope}"}}'


def _key(partner: str) -> str:
    return f"wrs_test_key_of_{partner}"


def _write_partners(file: Path) -> None:
    file.write_text(
        "\n".join(
            f'[{name}]\nkeys = ["sha256:{hashlib.sha256(_key(name).encode()).hexdigest()}"]\n{rules}\n'
            for name, rules in RULES.items()
        ),
        encoding="utf-8",
    )
