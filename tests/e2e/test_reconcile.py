"""What the stream loses upstream is found and repaired, and nothing else: the command beside a service."""

import asyncio
import os
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from harness.feed import Feed
from harness.sandboxed import live_config
from harness.service import Service, free_port
from recording_setup import KEYS, write_partners

from streamer.sandbox.pages import Page
from streamer.sandbox.server import Sandbox, SandboxOptions

ROOT = Path(__file__).resolve().parents[2]
WIKI = "ensandbox"


async def streamer(folder: Path, *command: str, timeout_s: float = 90.0) -> tuple[int, str, str]:
    """Code, standard output and standard error."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamer", "--config", str(folder / "streamer.toml"), *command),
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


def found(out: str) -> int:
    match = re.search(r"^found (\d+) in \d+ rows$", out, re.MULTILINE)
    assert match, out
    return int(match[1])


@dataclass
class Mirror:
    """What a partner holds that applies what it receives."""

    pages: dict[tuple[str, int], tuple[int, str, bool, str | None]] = field(default_factory=dict)
    refreshed: list[tuple[str, int]] = field(default_factory=list)

    async def follow(self, feed: Feed) -> None:
        async for event in feed.articles(asyncio.Event()):
            article = event.article
            told = article["event"]
            key = article["is_part_of"]["identifier"], article["identifier"]
            before = self.pages.get(key)
            assert before is None or told["sequence"] > before[0], "each page in order"
            if told["kind"] == "refresh":
                self.refreshed.append(key)
            if told.get("late"):
                continue
            body = article.get("article_body")
            self.pages[key] = (
                told["sequence"],
                article["name"],
                told["type"] == "delete",
                body["wikitext"] if body else None,
            )

    def differs(self, sandbox: Sandbox, known: set[int]) -> dict[int, Any]:
        """Of the pages that something was done to."""
        assert sandbox.world
        wiki = sandbox.world.wikis[WIKI]
        wrong: dict[int, Any] = {}
        for number in known:
            page = wiki.pages.get(number)
            held = self.pages.get((WIKI, number))
            wanted = None if page is None else (page.title, False, page.current.text)
            is_same = (held is None or held[2]) if wanted is None else held and held[1:] == wanted
            if not is_same:
                wrong[number] = held, wanted
        return wrong


class World:
    """The invented wiki, with a hand on what it tells."""

    def __init__(self, sandbox: Sandbox, service: Service, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.service = service
        self._session = session
        self.touched: set[int] = set()
        self.done = 0

    async def do(self, action: str, title: str, *, told: bool = True, **more: Any) -> int:
        """The page; 0 where the wiki refused."""
        asked = {"wiki": WIKI, "title": title, "action": action, "told": told, **more}
        async with self._session.post(f"{self.sandbox.endpoint}/sandbox/edit", json=asked) as response:
            if response.status == 409:
                return 0
            assert response.status == 200, await response.text()
            self.done += 1
            page = int((await response.json())["page_id"])
            self.touched.add(page)
            return page

    def page(self, title: str) -> Page:
        assert self.sandbox.world
        page = self.sandbox.world.wikis[WIKI].titled(title)
        assert page
        return page

    async def settled(self) -> None:
        """All that was told is published."""
        await self.do("edit", "Witness")
        revision = self.page("Witness").current.identifier
        assert revision

        async def is_done() -> bool:
            source = (await self.service.committed("source")).get("admitted", 0)
            replayed = (await self.service.committed("replay")).get("admitted", 0)
            outcomes = await self.service.committed("enrich")
            return bool(source) and outcomes.get("admitted", 0) == source + replayed

        await self.until(is_done)

    async def until(self, holds: Callable[[], Any], timeout_s: float = 60.0) -> None:
        async with asyncio.timeout(timeout_s):
            calm = 0
            while calm < 3:
                calm = calm + 1 if await holds() else 0
                await asyncio.sleep(0.1)

    async def followed(self) -> None:
        """A second later: wikis count whole ones, and what happened in the first is nobody's loss."""
        await self.do("create", "Witness")
        await self.settled()
        assert (await streamer(self.service.folder, "reconcile", WIKI))[0] == 0
        await asyncio.sleep(1.1 - time.time() % 1)


@asynccontextmanager
async def world(
    folder: Path, *, edits_per_s: float = 0.0, **more: str
) -> AsyncIterator[tuple[World, Mirror]]:
    write_partners(folder / "partners.toml")
    port = free_port()
    mirror = Mirror()
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=edits_per_s)) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        text = live_config(sandbox).replace("\nport = 0\n", f"\nport = {port}\n")
        text += "[reconcile]\nlag_s = 0\nevery_hours = 0\n"
        for before, after in more.items():
            text = text.replace(before, after)
        text = text.replace("timeout_s = 1.0", "timeout_s = 5.0\nmissing_retry_s = 0.3")
        async with Service(folder, text) as service, asyncio.TaskGroup() as tasks:
            await service.event("connected to the stream")
            feed = Feed(
                f"http://127.0.0.1:{port}/v2/articles", KEYS["everything"], since="2020-01-01T00:00:00Z"
            )
            following = tasks.create_task(mirror.follow(feed))
            yield World(sandbox, service, session), mirror
            following.cancel()


ACTIONS = ("edit",) * 5 + ("create",) * 2 + ("move", "delete", "restore", "hide", "suppress", "protect")


async def test_what_is_lost_is_found_repaired_and_found_once(tmp_path: Path, rng: random.Random) -> None:
    """120 random deeds of which a random fourth is not told, and one more: afterwards a partner's pages are
    not the wiki's; after the command they are, a second one finds nothing, and what it found is of pages of
    which something was lost.
    """
    async with world(tmp_path) as (wiki, mirror):
        await wiki.followed()
        lost: set[int] = set()
        for _ in range(120):
            action = rng.choice(ACTIONS)
            title = f"Lost {rng.randrange(14)}"
            told = rng.random() > 0.25
            more: dict[str, Any] = {}
            if action in {"edit", "create"}:
                more["text"] = f"Text {rng.random()} of {title}."
            elif action == "move":
                more = {"to": f"Lost {rng.randrange(14)}", "redirect": rng.random() < 0.5}
            elif action in {"hide", "suppress"}:
                page = wiki.sandbox.world.wikis[WIKI].titled(title) if wiki.sandbox.world else None
                if page is None or len(page.revisions) < 2:
                    continue
                more["revision"] = rng.choice(page.revisions[:-1]).identifier
            if action == "delete" and not told:
                # what is out before the second of a deletion is known to be from before
                await wiki.settled()
                await asyncio.sleep(1.1)
            page_id = await wiki.do(action, title, told=told, **more)
            if page_id and not told:
                lost.add(page_id)
                assert wiki.sandbox.world
                left = wiki.sandbox.world.wikis[WIKI].titled(title)
                lost |= {left.identifier} if left else set()
                wiki.touched |= {left.identifier} if left else set()
            await asyncio.sleep(rng.random() * 0.03)
        # of the others it may be that each was followed by something that was told
        lost.add(await wiki.do("create", "Lost for good", told=False, text="Nobody was told."))
        await wiki.settled()
        wrong = mirror.differs(wiki.sandbox, wiki.touched)
        code, out, error = await streamer(tmp_path, "reconcile", WIKI)
        assert code == 0, error
        number = found(out)
        assert number
        assert sum((await wiki.service.committed("reconcile")).values()) == number
        await wiki.settled()

        async def is_equal() -> bool:
            return not mirror.differs(wiki.sandbox, wiki.touched)

        try:
            await wiki.until(is_equal)
        except TimeoutError:
            raise AssertionError((mirror.differs(wiki.sandbox, wiki.touched), out)) from None
        assert {page for _, page in mirror.refreshed} & lost or not wrong
        code, out, error = await streamer(tmp_path, "reconcile")
        assert code == 0, error
        assert found(out) == 0, out
        outcomes = await wiki.service.committed("enrich")
        assert outcomes.pop("admitted") == sum(outcomes.values())
        assert not outcomes.get("deadletter")


async def test_where_nothing_is_lost_nothing_is_found(tmp_path: Path, rng: random.Random) -> None:
    """While everything happens and is told, with the stream cut and the service killed in between."""
    async with world(tmp_path) as (wiki, _):
        await wiki.followed()
        for number in range(60):
            action = rng.choice(ACTIONS)
            title = f"Told {rng.randrange(10)}"
            more = {"to": f"Told {rng.randrange(10)}"} if action == "move" else {}
            if action in {"hide", "suppress"}:
                more["hide"] = ["comment", "user"]  # type: ignore[assignment]
            await wiki.do(action, title, **more)
            if number == 30:
                await wiki.service.kill()
                await wiki.service.start()
                await wiki.service.event("connected to the stream")
        asked = [streamer(tmp_path, "reconcile", WIKI) for _ in range(2)]
        for code, out, error in await asyncio.gather(*asked):
            assert code == 0, error
            assert found(out) == 0, out
        await wiki.settled()
        code, out, error = await streamer(tmp_path, "reconcile")
        assert (code, found(out)) == (0, 0), (out, error)


async def test_editors_who_do_everything_lose_nothing(tmp_path: Path) -> None:
    """Five wikis at 20 actions a second, all kinds, some told 5 s late: nothing is found, however often it is
    looked for.
    """
    async with world(tmp_path, edits_per_s=20.0, **{"lag_s = 0": "lag_s = 7"}) as (wiki, _):
        listed = 0
        async with asyncio.timeout(120):
            while listed < 250:
                await asyncio.sleep(2.0)
                code, out, error = await streamer(tmp_path, "reconcile")
                assert (code, found(out)) == (0, 0), (out, error)
                listed = int(out.rpartition(" in ")[2].split()[0])
        assert sum((await wiki.service.committed("reconcile")).values()) == 0


async def test_by_itself_it_repairs_too(tmp_path: Path) -> None:
    """Every second here: nobody asks, and what was lost comes."""
    often = {"every_hours = 0\n": "every_hours = 0.0003\nlook_back_hours = 1\n"}
    async with world(tmp_path, **often) as (wiki, mirror):
        await wiki.followed()
        page = await wiki.do("create", "Unheard of", told=False, text="Nobody was told.")
        await wiki.settled()

        async def is_there() -> bool:
            return (WIKI, page) in mirror.pages

        await wiki.until(is_there)
        assert await wiki.service.committed("reconcile") == {"create": 1}


async def test_bad_input(tmp_path: Path) -> None:
    """Each mistake is named, with 2; without the role there is an end to waiting, with 1; and what was asked
    for is done once the role runs.
    """
    bare = tmp_path / "bare"
    bare.mkdir()
    async with world(tmp_path, **{"[log]": '[admit]\nwikis = ["ensandbox", "desandbox"]\n[log]'}) as (
        wiki,
        _,
    ):
        await wiki.followed()
        for arguments, said in (
            (("nowiki",), "reconcile nowiki: not admitted"),
            (
                ("desandbox",),
                "no such wiki is followed: nothing was ever heard of it. There are 1: ensandbox",
            ),
            (("*wiktionary",), "no such wiki is followed"),
            (("en.wikipedia.org",), "can match no wiki"),
            ((WIKI, "--since", "yesterday"), "--since"),
            ((WIKI, "--since", "2999-01-01T00:00:00Z"), "lies in the future"),
        ):
            code, out, error = await streamer(tmp_path, "reconcile", *arguments)
            assert (code, out) == (2, ""), error
            assert said in error
            assert error.startswith("streamer: ")
            assert error.count("\n") == 1
        await wiki.do("create", "Lost alone", told=False)
        await wiki.settled()
        assert await wiki.service.terminate() == 0
        code, out, error = await streamer(tmp_path, "reconcile", WIKI)
        assert (code, out) == (1, ""), error
        assert "no process with the role `enrich`" in error
        await wiki.service.start()
        code, out, error = await streamer(tmp_path, "reconcile", WIKI)
        assert code == 0, (out, error)
        # by the command before, if the service was quicker than this one
        assert await wiki.service.committed("reconcile") == {"create": 1}
    (bare / "streamer.toml").write_text("")
    code, _, error = await streamer(bare, "reconcile")
    assert code == 2
    assert "there is no log yet" in error
    (bare / "streamer.toml").write_text('[source]\nurl = "file:x.sse"\n')
    code, _, error = await streamer(bare, "reconcile")
    assert code == 2
    assert "recording" in error
