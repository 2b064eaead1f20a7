"""Wires the roles of one process: start, drain, stop.

    start   log ─► admin port ─► topics ─► partners, deliver, route, enrich, source
    drain   SIGTERM or SIGINT: every role takes no new input, finishes and commits what is in flight,
            says `bye` to its clients, and returns; after `drain_s` what is left is cancelled, at a second
            signal at once (streamer.stop)
    stop    admin port ─► log

Nothing is lost by a hard stop either: every role continues from its committed positions.
"""

import asyncio
import errno
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Literal, get_args

from aiohttp import web

from streamer.config import Settings
from streamer.deliver.server import run_deliver
from streamer.enrich.fleet import Fleet
from streamer.enrich.outbox import GROUP as ENRICH_GROUP
from streamer.enrich.sites import KeptSites
from streamer.enrich.stage import run_enrich
from streamer.errors import ConfigError, LogError, LogUnavailable, PortInUse
from streamer.groups import alone_by_name
from streamer.health import admin_app
from streamer.lag import watch_lag
from streamer.log.open import open_log
from streamer.log_watch import COMPONENT as LOG
from streamer.log_watch import LogWatch
from streamer.metrics import LOOP_LAG
from streamer.origin.liftwing import LiftWing
from streamer.origin.mediawiki import Origin
from streamer.partners import Demands, PartnersWatch
from streamer.plan import Plan, planning
from streamer.privacy import privacy_secret
from streamer.reload import Reload, loaded
from streamer.route.stage import run_route
from streamer.runtime import Runtime, topic_specs
from streamer.source.stage import run_source
from streamer.stop import Wishes
from streamer.tracing import opened

Role = Literal["source", "enrich", "route", "deliver"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
SERVANTS: Final = frozenset({LOG, "lag", "partners", "sites", "reload"})
"""Parts that never end by themselves: they go when the roles have gone."""
DRAIN_SHARE: Final = 0.9
"""Of `drain_s`, for the roles: what they opened has to be closed in it too."""
BEAT_S: Final = 0.5
DRAIN: Final = "process"
"""The component that says so: no role should get new clients or count as well."""
ADMIN_CLOSE_S: Final = 0.3
"""A probe that is being answered; aiohttp would wait a minute for a connection that is open."""
LOG_RETRY_S: Final = 1.0
ASKED_BEFORE_S: Final = 2.0
"""Once the log answers at all this takes milliseconds; see `_asked_before`."""

logger = logging.getLogger(__name__)


async def run_pipeline(
    settings: Settings,
    roles: Collection[Role] = ROLES,
    *,
    reload: Callable[[], Settings] | None = None,
    on_listening: Callable[[int], None] | None = None,
    beside: Sequence[Callable[[Runtime], Awaitable[None]]] = (),
) -> None:
    """Runs until a signal and its drain. `reload` is asked for the settings at SIGHUP. `beside` runs next to
    the roles (progress, quickstart's words) and is cancelled with them. Errors that have a name come out as
    they are, alone or in a group.
    """
    wishes = Wishes(settings.deliver.drain_s, can_reload=reload is not None)
    loaded()
    async with AsyncExitStack() as stack:
        stack.enter_context(wishes.heard())  # around the opening and the closing of the log too
        tracing = await stack.enter_async_context(opened(settings))
        log = await stack.enter_async_context(open_log(settings))
        runtime = Runtime(settings, log, draining=wishes.draining, tracing=tracing)
        runtime.follow(lambda settings: setattr(wishes, "drain_s", settings.deliver.drain_s))
        for component in (LOG, *roles):  # before anybody may ask
            runtime.health.expect(component)
        await stack.enter_async_context(_beating(runtime))
        await stack.enter_async_context(_admin(runtime))
        if not await runtime.before_drain(_make_topics(runtime)):
            return
        parts = _parts(runtime, roles, on_listening)
        if reload is not None:
            parts["reload"] = Reload(runtime, reload, wishes.reload).run
        await _run(runtime, wishes, parts, beside)


async def _make_topics(runtime: Runtime) -> None:
    """Waits for a log that doesn't answer yet: a cluster may come up after its clients."""
    while True:
        try:
            return await runtime.log.ensure_topics(topic_specs(runtime.settings))
        except LogUnavailable as error:
            runtime.health.unready(LOG, "it does not answer")
            logger.warning("waiting for the log", extra={"reason": str(error)})
        await asyncio.sleep(LOG_RETRY_S)


Part = Callable[[], Awaitable[None]]


def _parts(
    runtime: Runtime, roles: Collection[Role], on_listening: Callable[[int], None] | None
) -> dict[str, Part]:
    settings, topics = runtime.settings, runtime.topics
    inputs: dict[Role, str] = {
        "source": topics.changes,
        "enrich": topics.changes,
        "route": topics.articles,
        "deliver": topics.withdrawals,
    }
    watch = LogWatch(runtime, reads={inputs[role] for role in roles}, writes=bool(set(roles) - {"deliver"}))
    parts: dict[str, Part] = {LOG: watch.run, "lag": lambda: watch_lag(runtime.log)}
    if set(roles) - {"source"}:
        # of the roles route alone makes pseudonyms: the others need no secret, and read none
        has_secret = "route" not in roles or bool(privacy_secret(settings.privacy))
        partners = PartnersWatch(Path(settings.partners.file), Demands.of(settings, has_secret=has_secret))
        parts["partners"] = partners.run
        if "deliver" in roles:
            parts["deliver"] = lambda: run_deliver(runtime, partners, on_listening=on_listening)
        if "route" in roles:
            parts["route"] = lambda: run_route(runtime, partners)
        if "enrich" in roles:
            sites = KeptSites(runtime.log, topics.meta)
            parts["sites"] = sites.run
            parts["enrich"] = lambda: _enrich(runtime, sites, planning(lambda: partners.current))
    if "source" in roles:
        parts["source"] = lambda: run_source(runtime)
    return parts


async def _enrich(runtime: Runtime, sites: KeptSites, plan: Callable[[], Plan]) -> None:
    if not await runtime.before_drain(sites.load()):
        return
    settings = runtime.settings
    with Fleet.of(runtime) as fleet:
        origin = Origin(
            runtime.settings,
            runtime.clock,
            save_site=sites.keep,
            known_sites=sites.known(),
            asked_before=fleet is None and await _asked_before(runtime),
            plan=plan,
            purse=fleet.purse if fleet else None,
            tracing=runtime.tracing,
        )
        async with AsyncExitStack() as stack:
            scorer = None
            if settings.scores.url:
                lift_wing = LiftWing(settings.scores, settings.user_agent, clock=runtime.clock)
                scorer = await stack.enter_async_context(lift_wing)
            await stack.enter_async_context(origin)
            runtime.follow(origin.take)
            await run_enrich(runtime, origin, plan, scorer=scorer, fleet=fleet)
        if fleet:  # who is cut off has no time for it: what it had is free once its time is over
            await fleet.last_word()


async def _asked_before(runtime: Runtime) -> bool:
    """Whether wikis may have been asked within the last minute, by a process before this one. Nobody asks
    before the start of a lane has committed its position. (Of a fleet its keeper knows.)
    """
    try:
        async with asyncio.timeout(ASKED_BEFORE_S):
            return bool(await runtime.log.committed(ENRICH_GROUP))
    except (TimeoutError, LogError):  # to wait some seconds in vain is the lesser evil
        return True


async def _run(
    runtime: Runtime,
    wishes: Wishes,
    parts: dict[str, Part],
    beside: Sequence[Callable[[Runtime], Awaitable[None]]],
) -> None:
    """The roles until they return by a drain, or until one fails."""
    async with asyncio.TaskGroup() as group:
        background = [group.create_task(_awaiting(run(runtime)), name="beside") for run in beside]
        for name in SERVANTS & parts.keys():
            background.append(group.create_task(_awaiting(parts.pop(name)()), name=name))  # noqa: PERF401 - creating a task is an act
        try:
            await _roles(parts, runtime, wishes)
        finally:
            for task in background:
                task.cancel()


async def _roles(parts: dict[str, Part], runtime: Runtime, wishes: Wishes) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = {group.create_task(_awaiting(run()), name=name) for name, run in parts.items()}
        stop = group.create_task(_drained(runtime, wishes, tasks), name="drain")
        await asyncio.wait(tasks)
        stop.cancel()


async def _drained(runtime: Runtime, wishes: Wishes, tasks: set[asyncio.Task[None]]) -> None:
    """Cancels what is still running after the time for a drain, or at the wish for haste."""
    await wishes.draining.wait()
    drain_s = runtime.settings.deliver.drain_s
    runtime.health.unready(DRAIN, "draining")
    logger.info("draining", extra={"drain_s": drain_s})
    with suppress(TimeoutError):
        async with asyncio.timeout(drain_s * DRAIN_SHARE):
            await wishes.hurry.wait()
    for task in tasks:
        if not task.done():
            logger.warning("role cut off: it did not drain in time", extra={"role": task.get_name()})
            task.cancel()


async def _awaiting(run: Awaitable[None]) -> None:
    await run


@asynccontextmanager
async def _beating(runtime: Runtime) -> AsyncIterator[None]:
    """From the first moment on: a process that waits for its log is alive."""
    with alone_by_name():
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(_beat(runtime), name="beat")
            try:
                yield
            finally:
                beat.cancel()


async def _beat(runtime: Runtime) -> None:
    """Shows that the loop turns, and how late."""
    while True:
        due_s = time.monotonic() + BEAT_S
        await asyncio.sleep(BEAT_S)
        runtime.health.beaten_s = time.monotonic()
        LOOP_LAG.observe(max(0.0, runtime.health.beaten_s - due_s))


@asynccontextmanager
async def _admin(runtime: Runtime) -> AsyncIterator[None]:
    settings = runtime.settings.deliver
    runner = web.AppRunner(admin_app(runtime.health), access_log=None, shutdown_timeout=ADMIN_CLOSE_S)
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
