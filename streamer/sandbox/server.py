"""The sandbox as one server on loopback: `/v2/stream/…`, `/w/api.php` and HTML by Host, and `/sandbox/…`.

    async with Sandbox(SandboxOptions(seed=7)) as sandbox:
        sandbox.stream_url    # source.url
        sandbox.endpoint      # mediawiki.endpoint

One task lets the invented wikis live, or plays the recording. On leaving, first the streams are told
to end, then that task is cancelled, then the listening socket closes, and what still hangs (a silent
fault) is cancelled with it.
"""

import asyncio
import contextlib
import errno
import logging
import random
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from streamer.clock import Clock
from streamer.errors import ConfigError, PortInUse
from streamer.sandbox import events
from streamer.sandbox.admin import Admin, Json
from streamer.sandbox.api import Api
from streamer.sandbox.editor import hire
from streamer.sandbox.faults import Fault, FaultBox
from streamer.sandbox.feed import Feed
from streamer.sandbox.pages import Page, Readable
from streamer.sandbox.query import MAX_RESULT_BYTES
from streamer.sandbox.recording import Recording, load
from streamer.sandbox.rest import PATH, Rest
from streamer.sandbox.saving import Saving
from streamer.sandbox.stream import Bell, Streams
from streamer.sandbox.world import World, WorldOptions

log: Final = logging.getLogger(__name__)
SHUTDOWN_S: Final = 0.5
IDLE_S: Final = 1.0
SEEDS: Final = 1_000_000
MAX_RATE: Final = 10_000


@dataclass(frozen=True)
class SandboxOptions:
    """`port` 0 is any free one; `seed` None is a random one; `edits_per_s` 0 is a wiki nobody edits."""

    host: str = "127.0.0.1"
    port: int = 0
    seed: int | None = None
    edits_per_s: float = 1.0
    pages_per_wiki: int = 60
    recording: Path | None = None
    recorded_pace: bool = False
    """Else all events are there at once."""
    cut_after_s: float = 900.0
    canary_every_s: float = 300.0
    switchover_every_s: float = 600.0
    late_share: float = 0.02
    coarse_ms: int = 1
    max_result_bytes: int = MAX_RESULT_BYTES
    faults: tuple[Fault, ...] = ()
    clock: Clock = field(default_factory=Clock)


class Sandbox:
    """`requests` counts by kind: api, api:WIKI, html, html:WIKI, revids, titles, meta, list, categories,
    clcontinue, stream, fault:KIND …
    """

    def __init__(self, options: SandboxOptions) -> None:
        _check(options)
        self.options = options
        self.seed = random.SystemRandom().randrange(SEEDS) if options.seed is None else options.seed
        self.requests: Counter[str] = Counter()
        self.world: World | None = None
        self.recording: Recording | None = None
        self.faults = FaultBox(random.Random(self.seed + 1), options.faults)  # noqa: S311 - a game, not a secret
        self.feed = Feed(coarse_ms=options.coarse_ms)
        """Of a recording it is made anew, so large that it holds all."""
        self._bell = Bell()
        self._connected = asyncio.Event()
        self._woken = asyncio.Event()
        """Something was done by hand: its events are due sooner than the next thing that was planned."""
        self._streams: Streams | None = None
        self._stack = AsyncExitStack()
        self.port = options.port

    @property
    def endpoint(self) -> str:
        return f"http://{self.options.host}:{self.port}"

    @property
    def stream_url(self) -> str:
        return f"{self.endpoint}/v2/stream"

    async def __aenter__(self) -> Self:
        """Raises ConfigError for a recording that can't be read, PortInUse for a port that is taken."""
        if self.options.recording:
            self.recording = await asyncio.to_thread(load, self.options.recording)
            self.feed = Feed(capacity=max(1, len(self.recording.events)))
            live = self._replay(self.recording)
        else:
            self.world = self._found()
            live = self._live(self.world)
        async with AsyncExitStack() as stack:
            try:
                await self._serve(stack)
            except BaseException:
                live.close()
                raise
            group = await stack.enter_async_context(asyncio.TaskGroup())
            task = group.create_task(live, name="sandbox")
            stack.callback(task.cancel)
            stack.callback(self._bell.cut)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def state(self) -> Json:
        """What tests compare with: per wiki and page its newest revision, and what is deleted or hidden."""
        wikis: Mapping[str, object] = {}
        if self.world:
            wikis = {
                name: {
                    "server_name": wiki.site.server_name,
                    "pages": {
                        str(page.identifier): _page_state(page, deleted=page.identifier in wiki.deleted)
                        for page in [*wiki.pages.values(), *wiki.deleted.values()]
                    },
                }
                for name, wiki in self.world.wikis.items()
            }
        elif self.recording:
            wikis = {
                wiki.site.wiki: {"server_name": name, "pages": {}}
                for name, wiki in self.recording.wikis.items()
            }
        return {
            "seed": self.seed,
            "now_ms": self.options.clock.now_ms(),
            "wikis": wikis,
            "events": self.feed.counts(),
            "requests": dict(self.requests),
            "connections": self._streams.connections if self._streams else 0,
            "cuts": self._bell.cuts,
        }

    def _found(self) -> World:
        options, now_ms = self.options, self.options.clock.now_ms()
        world = World(
            WorldOptions(
                self.seed,
                options.pages_per_wiki,
                options.canary_every_s,
                options.switchover_every_s,
                options.late_share,
            ),
            now_ms,
        )
        if options.edits_per_s > 0:
            hire(world, now_ms, options.edits_per_s)
        return world

    async def _serve(self, stack: AsyncExitStack) -> None:
        now_ms = self.options.clock.now_ms
        known = (
            {*events.STREAMS, *(event.stream for event in self.recording.events)}
            if self.recording
            else events.STREAMS
        )
        self._streams = Streams(
            self.feed,
            self._bell,
            self.faults,
            self.requests,
            known,
            cut_after_s=self.options.cut_after_s,
            from_start=self.recording is not None,
            on_connect=self._connected.set,
        )
        api = Api(
            self._wiki_at,
            self.faults,
            now_ms,
            self.requests,
            max_result_bytes=self.options.max_result_bytes,
            save=Saving(self.world, now_ms, self._woken.set).save,
        )
        admin = Admin(
            self.world,
            self.faults,
            self._bell,
            now_ms=now_ms,
            happened=self._woken.set,
            state=self.state,
        )
        app = web.Application()
        app.add_routes(
            [
                web.get("/v2/stream/{streams}", self._streams.handle),
                web.get("/w/api.php", api.handle),
                web.post("/w/api.php", api.handle),
                web.get(PATH, Rest(self._wiki_at, self.faults, self.requests).html),
                *admin.routes(),
            ]
        )
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S, handle_signals=False
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await self._listen(runner)
        log.info(
            "sandbox listening",
            extra={"stream": self.stream_url, "endpoint": self.endpoint, "seed": self.seed},
        )

    async def _listen(self, runner: web.AppRunner) -> None:
        where = f"sandbox {self.options.host}:{self.options.port}"
        try:
            await web.TCPSite(runner, self.options.host, self.options.port).start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(where, "the port is in use; stop what holds it or choose another") from None
            raise ConfigError(where, f"can't listen there: {error.strerror}") from None
        self.port = int(runner.addresses[0][1])

    def _wiki_at(self, server_name: str) -> Readable | None:
        if self.recording:
            return self.recording.wikis.get(server_name)
        return self.world.wiki_at(server_name) if self.world else None

    async def _live(self, world: World) -> None:
        while True:
            self._happened()
            due_ms = world.next_due_ms
            wait_s = IDLE_S if due_ms is None else (due_ms - self.options.clock.now_ms()) / 1000
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(IDLE_S, max(0.001, wait_s))):
                    await self._woken.wait()

    def _happened(self) -> None:
        if self.world is None:
            return
        emissions = self.world.advance(self.options.clock.now_ms())
        for emission in emissions:
            self.feed.append(emission.data_centre, emission.stream, emission.time_ms, emission.event)
        if emissions:
            self._bell.ring()

    async def _replay(self, recording: Recording) -> None:
        """At once, or from the first connection on as fast as it was recorded."""
        if not self.options.recorded_pace:
            for event in recording.events:
                self.feed.append_raw(event.topic, event.time_ms, event.data)
            self._bell.ring()
            return
        await self._connected.wait()
        started_s = self.options.clock.monotonic_s()
        first_ms = min((event.time_ms for event in recording.events if event.time_ms), default=0)
        for event in recording.events:
            due_s = started_s + max(0, event.time_ms - first_ms) / 1000
            wait_s = due_s - self.options.clock.monotonic_s()
            if wait_s > 0:
                self._bell.ring()
                await asyncio.sleep(wait_s)
            self.feed.append_raw(event.topic, event.time_ms, event.data)
        self._bell.ring()


def _check(options: SandboxOptions) -> None:
    """What would otherwise fail in the middle, or spin."""
    limits = {"port": (0, 65_535), "edits_per_s": (0, MAX_RATE), "pages_per_wiki": (1, 10_000)}
    for name, (low, high) in limits.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise ConfigError(f"sandbox {name}", f"{value} is not within {low} and {high}")


def _page_state(page: Page, *, deleted: bool) -> Json:
    return {
        "title": page.title,
        "namespace": page.namespace,
        "revision": page.current.identifier,
        "sha1": page.current.sha1,
        "redirect": page.is_redirect,
        "deleted": deleted,
        "hidden": {str(one.identifier): one.hidden for one in page.revisions if one.hidden},
    }


async def run_sandbox(options: SandboxOptions, started: Callable[[Sandbox], None] | None = None) -> None:
    """Until cancelled, SIGINT or SIGTERM. `started` is told once it listens: port and seed are known then."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        async with Sandbox(options) as sandbox:
            if started:
                started(sandbox)
            await stopping.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
