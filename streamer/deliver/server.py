"""The role `deliver`: partner topics over HTTP.

start   cut-offs to their end ─► listen ─► ready
drain   stop accepting ─► `bye` on event borders ─► reset who does not take it ─► return
"""

import asyncio
import errno
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from streamer.config import DeliverSettings, Settings
from streamer.deliver.admission import Admission
from streamer.deliver.articles import Articles
from streamer.deliver.body import MAX_BODY_BYTES
from streamer.deliver.feed import Feeds
from streamer.deliver.guard import MAX_TARGET_CHARS, complete, guard
from streamer.deliver.protocol import SPARE_SOCKETS, Runner
from streamer.deliver.retained import Budget
from streamer.deliver.status import Statuses
from streamer.deliver.ticket_route import TicketRoute
from streamer.deliver.ticket_secret import ticket_secret
from streamer.deliver.tickets import Tickets
from streamer.deliver.withdrawals import Withdrawals
from streamer.errors import ConfigError, PortInUse
from streamer.groups import alone_by_name
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

COMPONENT: Final = "deliver"
REVOKE_PATIENCE_S: Final = 1.0
"""The partners file is polled; with this a revoked key has lost its streams within 5 s."""
WATCH_S: Final = 0.25
BACKLOG: Final = 1024
MEGABYTE: Final = 1_000_000

logger = logging.getLogger(__name__)


async def run_deliver(
    runtime: Runtime, partners: PartnersWatch, *, on_listening: Callable[[int], None] | None = None
) -> None:
    """Until cancelled or drained. `on_listening` gets the bound port. Raises ConfigError and PortInUse."""
    settings = runtime.settings.deliver
    refuse_open_bind(settings)
    runtime.health.expect(COMPONENT)
    withdrawals = Withdrawals(runtime.log, runtime.topics.withdrawals)
    if not await runtime.before_drain(withdrawals.load()):
        return
    with alone_by_name():
        await _serve(runtime, partners, withdrawals, on_listening)


async def _serve(
    runtime: Runtime,
    partners: PartnersWatch,
    withdrawals: Withdrawals,
    on_listening: Callable[[int], None] | None,
) -> None:
    async with asyncio.TaskGroup() as group:
        budget = Budget(_retained_bytes(runtime.settings))
        runtime.follow(lambda settings: budget.change(_retained_bytes(settings)))
        feeds = Feeds(runtime.log, withdrawals, budget, group)
        tickets = Tickets.of(ticket_secret(runtime.settings.deliver))
        admission = Admission(
            partners, tickets, lambda: runtime.settings.deliver.max_connections, runtime.clock
        )
        articles = Articles(runtime, partners, feeds, admission)
        ticket_route = TicketRoute(admission, tickets, runtime.clock)
        beside = [
            group.create_task(withdrawals.run(), name="deliver-withdrawals"),
            group.create_task(_revoke(partners, articles), name="deliver-revoke"),
        ]
        try:
            app = application(articles, ticket_route, Statuses(runtime, admission, articles.connections))
            async with _listening(runtime, app, articles) as (site, port):
                beside.append(group.create_task(_watch(runtime, withdrawals), name="deliver-watch"))
                if on_listening is not None:
                    on_listening(port)
                await runtime.draining.wait()
                await site.stop()
                await _drain(articles, runtime.settings.deliver.drain_s)
        finally:
            for task in beside:
                task.cancel()
            runtime.health.unready(COMPONENT, "stopped")


def refuse_open_bind(settings: DeliverSettings) -> None:
    """Keys travel in headers: off this machine only behind TLS."""
    if settings.behind_tls or settings.host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError(
            "deliver.host",
            f"{settings.host or 'all addresses'} is not loopback, and keys would travel in the clear: "
            "put a TLS proxy in front and set deliver.behind_tls = true, or use 127.0.0.1",
        )


def application(articles: Articles, tickets: TicketRoute, statuses: Statuses) -> web.Application:
    """The routes; streamer.deliver.openapi describes each."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(complete)
    app.router.add_get("/v2/articles", articles.handle)  # and HEAD, as every GET
    app.router.add_post("/v2/articles", articles.handle)
    app.router.add_post("/v2/tickets", tickets.handle)
    app.router.add_get("/v2/status", statuses.handle)
    return app


@asynccontextmanager
async def _listening(
    runtime: Runtime, app: web.Application, articles: Articles
) -> AsyncIterator[tuple[web.TCPSite, int]]:
    settings = runtime.settings.deliver
    runner = Runner(
        app,
        guard=guard,
        max_sockets=lambda: runtime.settings.deliver.max_connections + SPARE_SOCKETS,
        access_log=None,  # targets are the partners' own business
        handler_cancellation=True,  # a client that leaves frees its place at once
        shutdown_timeout=1.0,
        auto_decompress=False,  # nothing that we take is large enough to be packed
        max_line_size=8 * MAX_TARGET_CHARS,  # so that 414 is ours to say
        max_field_size=2 * MAX_TARGET_CHARS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as error:
            raise _unbindable(settings, error) from None
        host, port = runner.addresses[0][:2]
        logger.info("listening", extra={"host": host, "port": port})
        yield site, port
    finally:
        for connection in tuple(articles.connections):  # none after a drain that was in time
            connection.reset()
        await runner.cleanup()


def _unbindable(settings: DeliverSettings, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            "deliver.port",
            f"{settings.port} on {settings.host} is in use; stop what holds it, or choose another port "
            "(0: any free one)",
        )
    reason = error.strerror or type(error).__name__
    return ConfigError("deliver.host", f"cannot listen on {settings.host}:{settings.port}: {reason}")


def _retained_bytes(settings: Settings) -> int:
    return int(settings.deliver.retained_mb * MEGABYTE)


async def _revoke(partners: PartnersWatch, articles: Articles) -> None:
    generation = partners.generation
    while True:
        generation = await partners.changed(generation)
        for connection in tuple(articles.connections):
            if not connection.identity.still_valid(partners.current):
                connection.cut("expired", patience_s=REVOKE_PATIENCE_S)


async def _watch(runtime: Runtime, withdrawals: Withdrawals) -> None:
    while True:
        if runtime.draining.is_set():
            runtime.health.unready(COMPONENT, "draining")
        elif withdrawals.behind:
            runtime.health.unready(COMPONENT, "cut-offs are behind, streams pause")
        else:
            runtime.health.ready(COMPONENT)
        await asyncio.sleep(WATCH_S)


async def _drain(articles: Articles, drain_s: float) -> None:
    """Leaves a margin within `drain_s`, after which the process is stopped the hard way."""
    patience_s = 0.8 * drain_s
    for connection in tuple(articles.connections):
        connection.cut("drain", patience_s=patience_s)
    try:
        async with asyncio.timeout(patience_s):
            while articles.connections:
                await articles.left.wait()
    except TimeoutError:
        logger.warning("streams were reset at the drain", extra={"streams": len(articles.connections)})
