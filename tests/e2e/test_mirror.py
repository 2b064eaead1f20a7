"""A partner that only applies what it receives ends up with the wiki as it is, whatever was done to both."""

import asyncio
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from harness.feed import Feed
from harness.service import Service, free_port
from recording_setup import KEYS, write_partners

from streamer.sandbox.server import Sandbox, SandboxOptions

WIKI = "ensandbox"
TITLES = [f"Mirror {number}" for number in range(12)]
ACTIONS = 250
KILLS = 4


@dataclass
class Page:
    """What a partner holds of a page."""

    sequence: int
    title: str
    deleted: bool
    text: str | None


def apply(mirror: dict[int, Page], article: dict[str, object]) -> None:
    """By sequence alone; what came late never replaces the page."""
    event = article["event"]
    assert isinstance(event, dict)
    page = article["identifier"]
    assert isinstance(page, int)
    held = mirror.get(page)
    assert held is None or event["sequence"] > held.sequence, "each page in order"
    if event.get("late"):
        return
    body = article.get("article_body")
    mirror[page] = Page(
        event["sequence"],
        str(article["name"]),
        event["type"] == "delete",
        body["wikitext"] if isinstance(body, dict) else None,
    )


class Editor:
    """Does anything to its pages; what the wiki refuses (409) is part of the game."""

    def __init__(
        self, session: aiohttp.ClientSession, endpoint: str, rng: random.Random, wiki: str = WIKI
    ) -> None:
        self._wiki = wiki
        self._session = session
        self._url = f"{endpoint}/sandbox/edit"
        self._rng = rng
        self.done = 0

    async def act(self) -> None:
        rng = self._rng
        title = rng.choice(TITLES)
        action = rng.choice(
            ("edit",) * 6 + ("move", "delete", "restore", "restore", "hide", "suppress", "protect")
        )
        request: dict[str, object] = {"wiki": self._wiki, "title": title, "action": action}
        if action == "edit":
            request["text"] = f"Text {rng.random()} of {title}."
        elif action == "move":
            request |= {"to": rng.choice(TITLES), "redirect": rng.random() < 0.5}
        elif action == "hide":
            request["hide"] = rng.choice((["text"], ["comment"], [], ["text", "user", "comment"]))
        async with self._session.post(self._url, json=request) as response:
            assert response.status in {200, 409}, await response.text()
            self.done += response.status == 200


async def test_the_mirror_is_the_wiki(tmp_path: Path, rng: random.Random) -> None:
    """250 random deeds of every kind, 4 kills, cuts of the stream: the mirror is equal."""
    write_partners(tmp_path / "partners.toml")
    port = free_port()
    mirror: dict[int, Page] = {}
    async with (
        Sandbox(SandboxOptions(seed=7, edits_per_s=0.001)) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        text = f"""
[source]
url = "{sandbox.stream_url}"
[mediawiki]
hosts = ["*.sandbox.example"]
endpoint = "{sandbox.endpoint}"
requests_per_minute = 6000
missing_retry_s = 0.5
[log]
path = "streamer.db"
[deliver]
port = {port}
admin_port = 0
heartbeat_s = 1
"""
        async with Service(tmp_path, text) as service, asyncio.TaskGroup() as group:
            stop = asyncio.Event()
            feed = Feed(
                f"http://127.0.0.1:{port}/v2/articles", KEYS["everything"], since="2020-01-01T00:00:00Z"
            )

            async def follow() -> None:
                async for event in feed.articles(stop):
                    apply(mirror, event.article)

            await service.event("connected to the stream")
            following = group.create_task(follow())
            editor = Editor(session, sandbox.endpoint, rng)
            for number in range(ACTIONS):
                await editor.act()
                await asyncio.sleep(rng.uniform(0, 0.05))
                if number % (ACTIONS // KILLS) == ACTIONS // KILLS - 10:
                    await service.kill()
                    await service.start()
                if rng.random() < 0.05:
                    await session.post(f"{sandbox.endpoint}/sandbox/cut", json={"abort": rng.random() < 0.5})
            assert editor.done > ACTIONS // 3
            wanted = wiki_of(sandbox)
            try:
                async with asyncio.timeout(60):
                    while held(mirror, wanted) != wanted:
                        await asyncio.sleep(0.1)
            except TimeoutError:
                got = held(mirror, wanted)
                wrong = {
                    page: (got.get(page), wanted[page]) for page in wanted if got.get(page) != wanted[page]
                }
                pytest.fail(f"{len(wrong)} of {len(wanted)} pages differ: {list(wrong.items())[:4]}")
            outcomes = await service.committed("enrich")
            assert outcomes.pop("admitted") == sum(outcomes.values())
            stop.set()
            following.cancel()


Told = tuple[str, bool, str | None]


def digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha1(text.encode()).hexdigest()


def held(mirror: dict[int, Page], wanted: dict[int, Told]) -> dict[int, Told]:
    return {
        number: (page.title, page.deleted, None if page.deleted else digest(page.text))
        for number, page in mirror.items()
        if number in wanted
    }


def wiki_of(sandbox: Sandbox, name: str = WIKI) -> dict[int, Told]:
    """Page id → title, deleted, SHA-1 of the text that everybody may see."""
    assert sandbox.world
    wiki = sandbox.world.wikis[name]
    found: dict[int, Told] = {}
    for page in [*wiki.pages.values(), *wiki.deleted.values()]:
        if page.title in TITLES:
            gone = page.identifier in wiki.deleted
            current = page.current
            shown = None if gone or current.hidden & 1 else current.text
            found[page.identifier] = (page.title, gone, digest(shown))
    return found
