"""The built-in sandbox wiki as the proof's: what can be had everywhere, and in a second."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Final, Self

import aiohttp

from prove.wiki import Json, PageKey, Truth
from streamer.sandbox.faults import Fault
from streamer.sandbox.feed import Feed
from streamer.sandbox.pages import HIDDEN_TEXT, Page
from streamer.sandbox.server import Sandbox, SandboxOptions
from streamer.sandbox.world import World

EDITED: Final = 3
"""Of its five wikis."""
TITLES: Final = (
    *(f"Proof {number}" for number in range(8)),
    *(f"Talk:Proof {number}" for number in range(3)),
    "User:Proof",
)
DEEDS: Final = {
    "edit": 10,
    "rollback": 1,
    "move": 2,
    "delete": 2,
    "restore": 3,
    "hide": 2,
    "suppress": 1,
    "protect": 1,
}
"""How often each, of 22."""
KEPT_EVENTS: Final = 1_000_000
"""All of a long run."""
HIDINGS: Final[tuple[tuple[str, ...], ...]] = (("text",), ("comment",), (), ("text", "user", "comment"))
FAULTS: Final = (
    Fault("status", probability=0.01),
    Fault("reset", probability=0.01),
    Fault("cut_body", probability=0.01),
    Fault("internal", probability=0.01),
)
"""What wikis do to every client now and then."""


class Invented:
    """Nobody edits it but the proof."""

    def __init__(self, seed: int) -> None:
        self._sandbox = Sandbox(SandboxOptions(seed=seed, edits_per_s=0, faults=FAULTS))
        self._sandbox.feed = Feed(capacity=KEPT_EVENTS)
        self._stack = AsyncExitStack()
        self.done: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._sandbox)
            self._session = await stack.enter_async_context(aiohttp.ClientSession())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def _world(self) -> World:
        assert self._sandbox.world
        return self._sandbox.world

    @property
    def endpoint(self) -> str:
        return self._sandbox.endpoint

    @property
    def stream_url(self) -> str:
        return self._sandbox.stream_url

    @property
    def allowed_hosts(self) -> Sequence[str]:
        return ("*.sandbox.example",)

    @property
    def wikis(self) -> Sequence[str]:
        return tuple(self._world.wikis)[:EDITED]

    @property
    def undone(self) -> Sequence[str]:
        return [name for name in DEEDS if not self.done[name]]

    @property
    def requests(self) -> int:
        return self._sandbox.requests["api"]

    async def deed(self, rng: Random) -> str | None:
        wiki = rng.choice(self.wikis)
        action = rng.choices(list(DEEDS), list(DEEDS.values()))[0]
        request: dict[str, object] = {"wiki": wiki, "title": rng.choice(TITLES), "action": action}
        if action == "edit":
            request |= {
                "text": f"Text {rng.random()}. " * rng.randrange(1, 200),
                "user": rng.choice(self._world.users[wiki]).name,
            }
        elif action == "move":
            request |= {"to": rng.choice(TITLES), "redirect": rng.random() < 0.5}
        elif action == "hide":
            request["hide"] = rng.choice(HIDINGS)
        async with self._session.post(f"{self.endpoint}/sandbox/edit", json=request) as response:
            assert response.status in {200, 409}, await response.text()
            if response.status == 409:
                return None
        self.done[action] += 1
        return action

    async def truth(self) -> dict[PageKey, Truth]:
        return {
            (name, page.identifier): _truth_of(page, deleted=page.identifier in wiki.deleted)
            for name, wiki in self._world.wikis.items()
            for page in [*wiki.pages.values(), *wiki.deleted.values()]
        }

    def events(self) -> list[Json]:
        feed = self._sandbox.feed
        assert feed.earliest == 0, "the sandbox has forgotten what it told first"
        return [json.loads(entry.data) for entry in feed.read(0, feed.end)]

    def cut(self, *, abort: bool) -> None:
        self._sandbox._bell.cut(abort=abort)

    def silence(self, seconds: float) -> None:
        """The next connection is accepted, and answered so late."""
        self._sandbox.faults.add(Fault("latency", where="stream", seconds=seconds, count=1))
        self._sandbox._bell.cut()


def _truth_of(page: Page, *, deleted: bool) -> Truth:
    current = page.current
    shown = not deleted and not current.hidden & HIDDEN_TEXT
    return Truth(page.title, deleted, hashlib.sha1(current.text.encode()).hexdigest() if shown else None)
