"""A race: the real wikis, the real service on them, and what a partner may never see.

    async with Stage(folder, origin) as stage, stage.race() as race:
        with race.hold_next("after") as hold:          the next revision's answer
            page = (await race.save("Title", race.canary("text")))["pageid"]
            await hold.arrived.wait()
            await race.delete("Title")
            [deleted] = await race.told(page, "delete")
        race.withdrawn(race.canary("text"), deleted)
        await race.ends(published=1, gone=1)

What is withdrawn never comes out after its withdrawal: `ends` holds all that a client received against it,
and all that a second client receives, which comes then.
"""

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from recording_setup import KEYS, write_partners

from harness.mediawiki.editors import Wiki
from harness.mediawiki.farm import WikiFarm
from harness.mediawiki.founding import STEWARD, WRITER
from harness.mediawiki.gate import Alter, Answer, Asked, Gate, Hold, Lag, Matching
from harness.mediawiki.mirror import Mirror
from harness.mediawiki.witness import Page, Seen, Withdrawn, Witness
from harness.service import Service, free_port

ROOT: Final = Path(__file__).resolve().parents[3]
WIKI: Final = "enproof"
TOLD_S: Final = 60.0
POLL_S: Final = 0.05
OUTCOMES: Final = ("published", "gone", "superseded", "deadletter")
CUTOFFS: Final = 'streamer_enrich_cutoffs_total{scope="revision"}'
EVERYTHING: Final = "content|comment|user"

When = Literal["before", "after"]


class Stage:
    """The wikis, one service, one partner's client; races take place on it one after the other."""

    def __init__(self, folder: Path, origin: Path) -> None:
        self.folder = folder
        self.farm = WikiFarm(folder / "farm", origin=origin)
        self._stack = AsyncExitStack()
        self._following: asyncio.Task[None] | None = None
        self.withdrawn: list[Withdrawn] = []
        self.numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.farm)
            write_partners(self.folder / "partners.toml")
            port = free_port()  # a client comes back to the same one
            config = self.farm.config().replace("\nport = 0\n", f"\nport = {port}\n")
            self.service = await stack.enter_async_context(Service(self.folder, config))
            await self.connected()
            self.witness = Witness(f"http://127.0.0.1:{port}/v2/articles", KEYS["everything"])
            self._following = asyncio.create_task(self.witness.follow())
            stack.push_async_callback(self._part)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                # whatever came between two races, or behind the last one
                for one in self.withdrawn:
                    one.check_live(self.witness.seen)
        finally:
            await self._stack.__aexit__(kind, error, trace)

    async def connected(self) -> None:
        await self.service.event("connected to the stream")
        await self.service.event("listening")

    async def _part(self) -> None:
        assert self._following
        self._following.cancel()
        await asyncio.wait([self._following])

    @asynccontextmanager
    async def race(self) -> AsyncIterator["Race"]:
        """Lets go whatever is held, also where it fails."""
        race = Race(self, await self.service.committed("enrich"))
        try:
            yield race
        finally:
            self.farm.gate.release_all()


class Race:
    def __init__(self, stage: Stage, before: dict[str, int]) -> None:
        self._stage = stage
        self._number = next(stage.numbers)
        self._before = before
        self._began = len(stage.witness.seen)
        self._withdrawn: list[Withdrawn] = []
        self._never: list[str] = []

    @property
    def wiki(self) -> Wiki:
        return self._stage.farm.wikis[WIKI]

    @property
    def gate(self) -> Gate:
        return self._stage.farm.gate

    @property
    def _mine(self) -> list[Seen]:
        """What the client received since the race began."""
        return self._stage.witness.seen[self._began :]

    @property
    def service(self) -> Service:
        return self._stage.service

    def canary(self, name: str) -> str:
        """A word that is in nothing else."""
        return f"canary-{self._number}-{name}"

    @property
    def address(self) -> str:
        """Somebody without an account, who edits in this race only."""
        return f"198.51.100.{self._number}"

    # ── deeds ──────────────────────────────────────────────────────────────────────────────────

    async def save(self, title: str, text: str, *, by: str = WRITER, comment: str = "") -> dict[str, Any]:
        answer = await self.wiki.act(by, "edit", title=title, text=text, summary=comment)
        edit: dict[str, Any] = answer["edit"]
        return edit

    async def delete(self, title: str) -> None:
        await self.wiki.act(STEWARD, "delete", title=title, reason="not needed")

    async def suppress_page(self, title: str) -> None:
        await self.wiki.act(STEWARD, "proofsuppress", title=title, reason="dangerous")

    async def restore(self, title: str) -> None:
        await self.wiki.act(STEWARD, "undelete", title=title, reason="needed after all")

    async def move(self, source: str, target: str, *, redirect: bool = True) -> None:
        more = {} if redirect else {"noredirect": 1}
        await self.wiki.act(STEWARD, "move", **{"from": source, "to": target, **more})

    async def protect(self, title: str, level: str = "sysop") -> None:
        await self.wiki.act(STEWARD, "protect", title=title, protections=f"edit={level}", reason="calm")

    async def hide(self, title: str, revision: int, what: str, *, suppress: bool = False) -> None:
        await self._set(title, revision, hide=what, suppress="yes" if suppress else "nochange")

    async def show(self, title: str, revision: int) -> None:
        await self._set(title, revision, show=EVERYTHING, suppress="no")

    async def _set(self, title: str, revision: int, **what: str) -> None:
        answer = await self.wiki.act(
            STEWARD, "revisiondelete", type="revision", target=title, ids=revision, reason="private", **what
        )
        assert answer["revisiondelete"]["status"] == "Success"

    def page(self, title: str) -> Page:
        [(page,)] = self.wiki.rows("SELECT page_id FROM page WHERE page_title = ?", title.replace(" ", "_"))
        return int(page)

    def newest(self) -> int:
        """The number of the wiki's newest revision, deleted or not."""
        rows = self.wiki.rows("SELECT seq FROM sqlite_sequence WHERE name = 'revision'")
        return int(rows[0][0]) if rows else 0

    # ── what is held ───────────────────────────────────────────────────────────────────────────

    def hold_next(self, when: When, number: int = 1) -> Hold:
        """The fetch of the revision that is written next, or of the one after it…"""
        return self.hold(when, revids=self.newest() + number)

    def hold(self, when: When, **asked: object) -> Hold:
        """Requests for one of these `revids`, `pageids` or `titles`."""
        return self.gate.hold(_about(asked), when=when)

    def alter_next(self, change: Callable[[Answer], Answer]) -> Alter:
        """What is answered of the revision that is written next."""
        return self.gate.alter(change, _about({"revids": self.newest() + 1}))

    def lag(self, *kinds: str) -> Lag:
        """A replica that stands still as of now, for what is asked by `revids`, `pageids` or `titles`."""

        def matches(one: Asked) -> bool:
            return any(kind in one.params for kind in kinds)

        return self.gate.lag(WIKI, matching=matches)

    # ── what is waited for ─────────────────────────────────────────────────────────────────────

    async def told(self, page: Page, *kinds: str) -> list[Seen]:
        """What the client received of the page, which is of these kinds, in this order."""
        return await self._stage.witness.told(page, list(kinds), self._began)

    async def read(self, number: int) -> None:
        """So many changes are in enrich's hands, and not committed."""

        def is_open(metrics: dict[str, float]) -> bool:
            names = "streamer_enrich_open_changes"
            return sum(value for name, value in metrics.items() if name.startswith(names)) == number

        await self.service.until(is_open, TOLD_S)

    async def cutoffs(self) -> int:
        """Of revisions, written since the service started."""
        return int((await self.service.metrics()).get(CUTOFFS, 0))

    async def cut_off(self, number: int) -> None:
        """So many were."""
        await self.service.until(lambda metrics: metrics.get(CUTOFFS, 0) >= number, TOLD_S)

    async def replay(self) -> str:
        """`streamer deadletter replay --all`, beside the service; what it said."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streamer", "--config", str(self.service.config)),
            *("deadletter", "replay", "--all"),
            cwd=self.service.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(TOLD_S):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, said
        return said.decode()

    async def restarted(self) -> None:
        """After `service.kill()`."""
        await self.service.start()
        await self._stage.connected()

    # ── what is proved ─────────────────────────────────────────────────────────────────────────

    def withdrawn(self, canary: str, by: Seen, restored: Seen | None = None) -> None:
        """Told to partners with the record `by`; published anew with `restored`."""
        self._withdrawn.append(Withdrawn(canary, by, restored))

    def never(self, canary: str) -> None:
        """It was withdrawn before anybody could see it."""
        self._never.append(canary)

    async def ends(self, **outcomes: int) -> None:
        """With these outcomes: then all has come that will. What a partner holds is what a reader finds."""
        published = await self.outcomes(**outcomes)
        await self._stage.witness.until(self._began + published)
        mine = self._mine
        assert len(mine) == published, [(one.page, one.kind) for one in mine]
        later = await self._stage.witness.from_the_beginning({one.page for one in mine})
        for canary in self._never:
            leaks = [one for one in (*mine, *later) if canary in one.data]
            assert not leaks, f"{canary} came out: {leaks[0]}"
        for one in self._withdrawn:
            one.check_live(mine)
            one.check_later(later)
        self._check_order(mine, later)
        await self._check_mirror(mine, later)
        self._stage.withdrawn += self._withdrawn

    async def outcomes(self, **outcomes: int) -> int:
        """As soon as so many changes have one they are these; how many were published."""
        expected = dict.fromkeys(OUTCOMES, 0) | outcomes
        found = await self._outcomes(sum(expected.values()))
        assert found == expected, f"{found}; received {[(one.page, one.kind) for one in self._mine]}"
        return expected["published"]

    async def _outcomes(self, admitted: int) -> dict[str, int]:
        """As soon as so many have one, or as they are when the time is over."""
        deadline_s = asyncio.get_running_loop().time() + TOLD_S
        while True:
            now = await self.service.committed("enrich")
            found = {outcome: count - self._before.get(outcome, 0) for outcome, count in now.items()}
            is_over = asyncio.get_running_loop().time() > deadline_s
            if found.get("admitted", 0) >= admitted or is_over:
                assert found.pop("admitted", 0) == sum(found.values())
                return dict.fromkeys(OUTCOMES, 0) | found
            await asyncio.sleep(POLL_S)

    def _check_order(self, mine: list[Seen], later: list[Seen]) -> None:
        """The second client has the same records in the same order, but for those that were withdrawn."""
        for page in {one.page for one in mine}:
            live = [one.sequence for one in mine if one.page == page]
            assert live == sorted(set(live))
            again = [one.sequence for one in later if one.page == page and one.sequence >= live[0]]
            assert again == [sequence for sequence in live if sequence in again]

    async def _check_mirror(self, mine: list[Seen], later: list[Seen]) -> None:
        pages = {(WIKI, one.page) for one in mine}
        truth = {key: told for key, told in (await self._stage.farm.truth()).items() if key in pages}
        for seen in (mine, later):
            mirror = Mirror()
            for one in seen:
                mirror.apply(one.article)
            wrong = await mirror.differs_from(truth, timeout_s=0)
            assert not wrong, wrong


def _about(keys: Mapping[str, object]) -> Matching:
    """Requests of the wiki for any of them, by `revids`, `pageids` or `titles`."""

    def matches(one: Asked) -> bool:
        return one.wiki == WIKI and any(
            str(key) in one.params.get(kind, "").split("|") for kind, key in keys.items()
        )

    return matches
