"""Wires the roles of one process: start, drain, stop.

    start   log ─► admin port ─► topics ─► partners, deliver, route, enrich, source
    drain   SIGTERM or SIGINT: every role takes no new input, finishes and commits what is in flight,
            says `bye` to its clients, and returns; after `drain_s` what is left is cancelled
    stop    admin port ─► log

Nothing is lost by a hard stop either: every role continues from its committed positions.
"""

import asyncio
import errno
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, get_args

from aiohttp import web

from streamer.config import Settings
from streamer.deliver.server import run_deliver
from streamer.enrich.sites import KeptSites
from streamer.enrich.stage import run_enrich
from streamer.errors import ConfigError, LogError, LogUnavailable, PortInUse
from streamer.health import admin_app
from streamer.log.open import open_log
from streamer.metrics import LOOP_LAG
from streamer.origin.mediawiki import Origin
from streamer.partners import PartnersWatch
from streamer.route.stage import run_route
from streamer.runtime import Runtime, topic_specs
from streamer.source.stage import run_source

Role = Literal["source", "enrich", "route", "deliver"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
SERVANTS: Final = frozenset({"partners", "sites"})
"""Parts that never end by themselves: they go when the roles have gone."""
BEAT_S: Final = 0.5
LOG_RETRY_S: Final = 1.0
LOG_WATCH_S: Final = 5.0

logger = logging.getLogger(__name__)


async def run_pipeline(
    settings: Settings,
    roles: Collection[Role] = ROLES,
    *,
    on_listening: Callable[[int], None] | None = None,
    beside: Sequence[Callable[[Runtime], Awaitable[None]]] = (),
) -> None:
    """Runs until a signal and its drain. `beside` runs next to the roles (progress, quickstart's words)
    and is cancelled with them. Errors that have a name come out as they are, alone or in a group.
    """
    draining = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(_signals(draining))  # around the opening and the closing of the log too
        log = await stack.enter_async_context(open_log(settings))
        runtime = Runtime(settings, log, draining=draining)
        await stack.enter_async_context(_admin(runtime))
        if not await _topics_ready(runtime):
            return
        parts = await _parts(runtime, roles, on_listening, stack)
        await _run(runtime, parts, beside)


async def _topics_ready(runtime: Runtime) -> bool:
    """Waits for a log that doesn't answer yet: a cluster may come up after its clients. False: drained."""
    while not runtime.draining.is_set():
        try:
            await runtime.log.ensure_topics(topic_specs(runtime.settings))
        except LogUnavailable as error:
            runtime.health.unready("log", "it does not answer")
            logger.warning("waiting for the log", extra={"reason": str(error)})
            with suppress(TimeoutError):
                async with asyncio.timeout(LOG_RETRY_S):
                    await runtime.draining.wait()
        else:
            runtime.health.ready("log")
            return True
    return False


Part = Callable[[], Awaitable[None]]


async def _parts(
    runtime: Runtime,
    roles: Collection[Role],
    on_listening: Callable[[int], None] | None,
    stack: AsyncExitStack,
) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    settings = runtime.settings
    if "route" in roles or "deliver" in roles:
        partners = PartnersWatch(Path(settings.partners.file))
        parts["partners"] = partners.run
        if "deliver" in roles:
            parts["deliver"] = lambda: run_deliver(runtime, partners, on_listening=on_listening)
        if "route" in roles:
            parts["route"] = lambda: run_route(runtime, partners)
    if "enrich" in roles:
        sites = KeptSites(runtime.log, runtime.topics.meta)
        origin = await stack.enter_async_context(
            Origin(settings, runtime.clock, save_site=sites.keep, known_sites=await sites.load())
        )
        parts["sites"] = sites.run
        parts["enrich"] = lambda: run_enrich(runtime, origin)
    if "source" in roles:
        parts["source"] = lambda: run_source(runtime)
    return parts


async def _run(
    runtime: Runtime, parts: dict[str, Part], beside: Sequence[Callable[[Runtime], Awaitable[None]]]
) -> None:
    """The roles until they return by a drain, or until one fails."""
    settings = runtime.settings
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(_beat(runtime), name="beat"),
            group.create_task(_watch_log(runtime), name="log-watch"),
            *(group.create_task(_awaiting(run(runtime)), name="beside") for run in beside),
        ]
        for name in SERVANTS & parts.keys():
            background.append(group.create_task(_awaiting(parts.pop(name)()), name=name))  # noqa: PERF401 - creating a task is an act
        try:
            await _roles(parts, runtime.draining, settings.deliver.drain_s)
        finally:
            for task in background:
                task.cancel()


async def _roles(parts: dict[str, Part], draining: asyncio.Event, drain_s: float) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = {group.create_task(_awaiting(run()), name=name) for name, run in parts.items()}
        stop = group.create_task(_drained(draining, tasks, drain_s), name="drain")
        await asyncio.wait(tasks)
        stop.cancel()


async def _drained(draining: asyncio.Event, tasks: set[asyncio.Task[None]], drain_s: float) -> None:
    """Cancels what is still running `drain_s` after the wish to stop."""
    await draining.wait()
    logger.info("draining", extra={"drain_s": drain_s})
    _, running = await asyncio.wait(tasks, timeout=drain_s)
    for task in running:
        logger.warning("role cut off: it did not drain in time", extra={"role": task.get_name()})
        task.cancel()


async def _awaiting(run: Awaitable[None]) -> None:
    await run


@contextmanager
def _signals(draining: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, draining.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _beat(runtime: Runtime) -> None:
    """Shows that the loop turns, and how late."""
    while True:
        due_s = time.monotonic() + BEAT_S
        await asyncio.sleep(BEAT_S)
        runtime.health.beaten_s = time.monotonic()
        LOOP_LAG.observe(max(0.0, runtime.health.beaten_s - due_s))


async def _watch_log(runtime: Runtime) -> None:
    """Not ready while the log does not answer: whatever the roles make of it, nothing gets on."""
    while True:
        await asyncio.sleep(LOG_WATCH_S)
        try:
            await runtime.log.topic(runtime.topics.meta)
        except LogError as error:
            runtime.health.unready("log", "it does not answer")
            logger.warning("the log does not answer", extra={"code": error.code, "reason": str(error)})
        else:
            runtime.health.ready("log")


@asynccontextmanager
async def _admin(runtime: Runtime) -> AsyncIterator[None]:
    settings = runtime.settings.deliver
    runner = web.AppRunner(admin_app(runtime.health), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.admin_host, settings.admin_port)
        try:
            await site.start()
        except OSError as error:
            where = f"cannot listen on {settings.admin_host}:{settings.admin_port} ({error.strerror})"
            if error.errno != errno.EADDRINUSE:
                raise ConfigError("deliver.admin_host", f"{where}; name an address of this machine") from None
            raise PortInUse(
                "deliver.admin_port", f"{where}; stop what holds it or choose another, 0 for any free one"
            ) from None
        host, port = runner.addresses[0][:2]
        logger.info("admin listening", extra={"host": host, "port": port})
        yield
    finally:
        await runner.cleanup()
