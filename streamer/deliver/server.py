"""The role `deliver`: partner topics over HTTP.

start   cut-offs to their end ─► listen ─► ready
drain   listen no more ─► `bye` to one after the other ─► reset who does not take it ─► return
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Final

from aiohttp import web

from streamer.config import Settings
from streamer.deliver.admission import Admission
from streamer.deliver.articles import Articles
from streamer.deliver.behind import Behind
from streamer.deliver.bind import bound, refuse_open_bind
from streamer.deliver.body import MAX_BODY_BYTES
from streamer.deliver.descriptors import ask_for
from streamer.deliver.farewell import farewell
from streamer.deliver.feed import Feeds
from streamer.deliver.guard import MAX_TARGET_CHARS, complete, guard
from streamer.deliver.hub import Hub
from streamer.deliver.openapi import OpenApi
from streamer.deliver.people import People
from streamer.deliver.protocol import SPARE_SOCKETS, Runner
from streamer.deliver.retained import Budget
from streamer.deliver.status import Statuses
from streamer.deliver.ticket_route import TicketRoute
from streamer.deliver.ticket_secret import ticket_secret
from streamer.deliver.tickets import Tickets
from streamer.deliver.tls import Tls
from streamer.deliver.withdrawals import Withdrawals
from streamer.groups import alone_by_name
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

COMPONENT: Final = "deliver"
REVOKE_PATIENCE_S: Final = 1.0
"""The partners file is polled; with this a revoked key has lost its streams within 5 s."""
WATCH_S: Final = 0.25
MEGABYTE: Final = 1_000_000

logger = logging.getLogger(__name__)


async def run_deliver(
    runtime: Runtime, partners: PartnersWatch, *, on_listening: Callable[[int], None] | None = None
) -> None:
    """Until cancelled or drained. `on_listening` gets the bound port. Raises ConfigError and PortInUse."""
    settings = runtime.settings.deliver
    refuse_open_bind(settings)
    tls = Tls(settings) if settings.certificate else None
    tickets = Tickets.of(ticket_secret(settings))
    if tls is not None:
        runtime.at_reload(tls.reload)
    runtime.health.expect(COMPONENT)
    withdrawals = Withdrawals(runtime.log, runtime.topics.withdrawals)
    if not await runtime.before_drain(withdrawals.load()):
        return
    ask_for(settings)
    runtime.follow(lambda settings: ask_for(settings.deliver))
    with alone_by_name():
        await _serve(runtime, partners, withdrawals, tls=tls, tickets=tickets, on_listening=on_listening)


async def _serve(
    runtime: Runtime,
    partners: PartnersWatch,
    withdrawals: Withdrawals,
    *,
    tls: Tls | None,
    tickets: Tickets,
    on_listening: Callable[[int], None] | None,
) -> None:
    budget = Budget(_retained_bytes(runtime.settings))
    async with asyncio.TaskGroup() as group:
        admission = Admission(
            partners, tickets, lambda: runtime.settings.deliver.max_connections, runtime.clock
        )
        hub = Hub(
            withdrawals,
            runtime.clock,
            lambda: runtime.settings.deliver.heartbeat_s,
            lambda stream, reason: articles.ended(stream, reason),  # noqa: PLW0108 - it is made below
        )
        feeds = Feeds(
            runtime.log,
            withdrawals,
            budget,
            hub,
            group,
            max_channels=lambda: runtime.settings.deliver.max_feeds,
            tracing=runtime.tracing,
        )
        articles = Articles(runtime, partners, feeds, hub, admission)
        runtime.follow(lambda settings: feeds.retain(_retained_bytes(settings)))
        ticket_route = TicketRoute(admission, tickets, runtime.clock)
        beside = [
            group.create_task(withdrawals.run(), name="deliver-withdrawals"),
            group.create_task(hub.run(), name="deliver-hub"),
            group.create_task(Behind(runtime, partners, articles.unsent_ms).run(), name="deliver-behind"),
            group.create_task(_revoke(partners, articles, admission), name="deliver-revoke"),
        ]
        try:
            app = application(articles, Statuses(runtime, admission, articles.standings), ticket_route)
            with hub.opened():
                async with _listening(runtime, app, articles, tls) as (listener, port):
                    beside.append(group.create_task(_watch(runtime, withdrawals), name="deliver-watch"))
                    if on_listening is not None:
                        on_listening(port)
                    await runtime.draining.wait()
                    # A refused connect is what all understand: a proxy asks the next process, whatever the
                    # method; EventSource comes again, as it never does after a 503.
                    listener.close()
                    await farewell(articles, runtime.settings.deliver.drain_s)
        finally:
            for task in beside:
                task.cancel()
            runtime.health.unready(COMPONENT, "stopped")


def application(articles: Articles, statuses: Statuses, ticket_route: TicketRoute) -> web.Application:
    """The routes; streamer.deliver.openapi describes each."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(complete)
    app.router.add_get("/v2/articles", articles.handle)  # and HEAD, as every GET
    app.router.add_post("/v2/articles", articles.handle)
    app.router.add_get("/v2/status", statuses.handle)
    app.router.add_post("/v2/tickets", ticket_route.handle)
    app.router.add_get("/openapi.json", OpenApi().handle)
    app.router.add_routes(People().routes())
    return app


@asynccontextmanager
async def _listening(
    runtime: Runtime, app: web.Application, articles: Articles, tls: Tls | None
) -> AsyncIterator[tuple[asyncio.Server, int]]:
    runner = Runner(
        app,
        guard=guard,
        max_sockets=lambda: runtime.settings.deliver.max_connections + SPARE_SOCKETS - articles.detached,
        access_log=None,  # targets are the partners' own business
        handler_cancellation=True,  # a client that leaves frees its place at once
        shutdown_timeout=1.0,
        auto_decompress=False,  # nothing that we take is large enough to be packed
        max_line_size=8 * MAX_TARGET_CHARS,  # so that 414 is ours to say
        max_field_size=2 * MAX_TARGET_CHARS,
    )
    await runner.setup()
    try:
        assert runner.server is not None
        with closing(await bound(runner.server, runtime.settings.deliver, tls)) as listener:
            host, port = listener.sockets[0].getsockname()[:2]
            logger.info("listening", extra={"host": host, "port": port, "tls": tls is not None})
            yield listener, port
    finally:
        articles.reset()  # none after a drain that was in time
        await runner.cleanup()


def _retained_bytes(settings: Settings) -> int:
    return int(settings.deliver.retained_mb * MEGABYTE)


async def _revoke(partners: PartnersWatch, articles: Articles, admission: Admission) -> None:
    generation = partners.generation
    while True:
        generation = await partners.changed(generation)
        admission.changed()
        articles.cut(
            "expired",
            patience_s=REVOKE_PATIENCE_S,
            of=lambda identity: not identity.still_valid(partners.current),
        )
        articles.forget_removed()
        articles.limited()


async def _watch(runtime: Runtime, withdrawals: Withdrawals) -> None:
    while True:
        if runtime.draining.is_set():
            runtime.health.unready(COMPONENT, "draining")
        elif withdrawals.behind:
            runtime.health.unready(COMPONENT, "cut-offs are behind, streams pause")
        else:
            runtime.health.ready(COMPONENT)
        await asyncio.sleep(WATCH_S)
