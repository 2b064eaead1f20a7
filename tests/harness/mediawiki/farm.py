"""The wikis, what they tell, and the way to them: one fixture that starts and ends as a whole.

Ends in this order: the server (so nobody asks any more), PHP, the relay; a lost event or an exception in a
wiki fails whoever used it.
"""

import random
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from harness.mediawiki.deeds import DEEDS, WEIGHTS, Pages
from harness.mediawiki.editors import Refused, Wiki, WikiBroken
from harness.mediawiki.founding import SITES, found
from harness.mediawiki.gate import Gate
from harness.mediawiki.php import Php
from harness.mediawiki.relay import Relay
from harness.mediawiki.truth import Truth, truth_of
from streamer.clock import Clock
from streamer.sandbox import events
from streamer.sandbox.faults import FaultBox
from streamer.sandbox.feed import Feed
from streamer.sandbox.stream import Bell, Streams

PROCESSES: Final = 3
"""Two cores; one more, so that an editor is not held up by two slow requests of the service."""
CAPACITY: Final = 1_000_000
"""Events that the stream keeps: all of a long run."""
UNDONE_SHARE: Final = 0.2
"""Of random deeds, those kept for kinds that were not done yet: the rarest would be missing in many a run."""
SHUTDOWN_S: Final = 0.5
CUT_AFTER_S: Final = 900.0


class WikiFarm:
    def __init__(
        self,
        folder: Path,
        *,
        origin: Path | None = None,
        processes: int = PROCESSES,
        cut_after_s: float = CUT_AFTER_S,
    ) -> None:
        """`folder` is empty or not there yet. What several farms may share is made in `origin`, by the first
        of them; nothing is written elsewhere.
        """
        self.folder = folder
        self.exceptions = folder / "exceptions.log"
        """What went wrong inside of a wiki; a test that wants that removes it."""
        self.origin = origin or folder / "origin"
        self.clock = Clock()
        self.feed = Feed(capacity=CAPACITY)
        self.bell = Bell()
        self.faults = FaultBox(random.Random(0))
        self.php = Php(folder, self.origin, processes)
        self.wikis = {site.name: Wiki(site, folder, self.php) for site in SITES}
        self.pages = {name: Pages(wiki) for name, wiki in self.wikis.items()}
        self.relay = Relay(folder, self.feed, self.bell.ring, self.clock)
        self.gate = Gate(self.php, self.wikis)
        self.stream_requests: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.allowed_hosts = [wiki.server_name for wiki in self.wikis.values()]
        self._streams = Streams(
            self.feed,
            self.bell,
            self.faults,
            self.stream_requests,
            events.STREAMS,
            cut_after_s=cut_after_s,
            from_start=False,
            on_connect=lambda: None,
        )
        self._stack = AsyncExitStack()
        self._port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def stream_url(self) -> str:
        return f"{self.endpoint}/v2/stream"

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        await found(self.folder, self.origin)
        async with AsyncExitStack() as stack:
            self.relay.open()
            stack.callback(self.relay.close)
            await stack.enter_async_context(self.php)
            app = web.Application(client_max_size=1 << 26)
            app.add_routes([web.get("/v2/stream/{streams}", self._streams.handle), *self.gate.routes()])
            runner = web.AppRunner(
                app,
                access_log=None,
                handler_cancellation=True,
                shutdown_timeout=SHUTDOWN_S,
                handle_signals=False,
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._port = int(runner.addresses[0][1])
            stack.callback(self.bell.cut)
            stack.callback(self.gate.release_all)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raises EventLost, or WikiBroken with what a wiki has logged."""
        self.relay.check()
        self.gate.check()
        if self.exceptions.exists():
            raise WikiBroken(self.exceptions.read_text("utf-8")[:2_000])

    # ── what is done to the wikis ──────────────────────────────────────────────────────────────

    @property
    def undone(self) -> tuple[str, ...]:
        """Kinds of deeds that no wiki has seen yet."""
        return tuple(name for name in DEEDS if not self.done[name])

    async def deed(self, rng: random.Random) -> str | None:
        """One random deed on a random wiki, now and then of a kind that was not done yet; its name, or None
        where the wiki refused.
        """
        names = self.undone if rng.random() < UNDONE_SHARE else ()
        names = names or tuple(DEEDS)
        name = rng.choices(names, [WEIGHTS.get(deed, 1.0) for deed in names])[0]
        wiki = rng.choice(list(self.wikis))
        return name if await self.do(name, wiki, rng) else None

    async def do(self, name: str, wiki: str, rng: random.Random) -> bool:
        """That deed on that wiki; False where the wiki refused."""
        try:
            done = await DEEDS[name](self.wikis[wiki], rng, self.pages[wiki])
        except Refused as refusal:
            self.refused[f"{name}: {refusal.code}"] += 1
            return False
        self.done[name] += done
        return done

    async def truth(self) -> dict[tuple[str, int], Truth]:
        """By wiki and page id. Waits until nothing that was begun still runs, and all events are here."""
        await self.settled()
        return {
            (name, page): told
            for name, wiki in self.wikis.items()
            for page, told in (await truth_of(wiki)).items()
        }

    async def settled(self) -> None:
        """Jobs are done, and each event that a wiki has told is in the stream. Raises EventLost."""
        await self.php.idle()
        await self.relay.settled()

    # ── what is done to the stream ─────────────────────────────────────────────────────────────

    @property
    def connections(self) -> int:
        return self._streams.connections

    def cut(self, *, abort: bool = False) -> None:
        """Ends all connections of the stream; by a reset where `abort`."""
        self.bell.cut(abort=abort)

    def silence(self, seconds: float) -> None:
        """The connections of now stay open without a byte for so long; later ones are served."""
        self.bell.silence(seconds)

    def switch_over(self) -> None:
        """From now on the other data centre tells."""
        self.relay.data_centre = "codfw" if self.relay.data_centre == "eqiad" else "eqiad"

    def config(self, *, missing_retry_s: float = 0.5, silence_s: float = 60.0) -> str:
        """`streamer.toml` of a service that follows these wikis; its log and ports are its own."""
        hosts = ", ".join(f'"{host}"' for host in self.allowed_hosts)
        return f"""
[source]
url = "{self.stream_url}"
silence_s = {silence_s}
[mediawiki]
endpoint = "{self.endpoint}"
hosts = [{hosts}]
requests_per_minute = 60000
missing_retry_s = {missing_retry_s}
[log]
path = "streamer.db"
[deliver]
port = 0
admin_port = 0
heartbeat_s = 1
"""
