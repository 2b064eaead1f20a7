"""What `streamer canary` runs: the stream, the runs, the metrics, until a signal.

Ends at once on SIGTERM or SIGINT: an edit that is under way is nobody's loss.
"""

import asyncio
import errno
import logging
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streamer.canary.feed import Feed
from streamer.canary.metrics import REGISTRY
from streamer.canary.verdict import Verdict
from streamer.canary.watch import Arrivals, Canary
from streamer.canary.wiki import Bot, Wiki
from streamer.config import PRIVATE_URL
from streamer.errors import ConfigError, PortInUse
from streamer.groups import alone_by_name

logger = logging.getLogger(__name__)

CLOSE_S: Final = 1.0
FIELDS: Final = ("identifier", "version.identifier", "event.kind", "event.sequence", "event.late",
                 "event.date_created")  # fmt: skip
"""What is looked at, so that the canary costs the service nearly nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`wiki` is a database name, "" for any; `page` a title of it. `api` "": it only watches."""

    feed: str
    key: Callable[[], str] = field(repr=False)
    wiki: str
    page: str
    api: str
    server: str
    bot: Callable[[], Bot | None] = field(repr=False)
    user_agent: str
    tls: ssl.SSLContext | bool
    limit_s: float
    deadline_s: float
    interval_s: float
    host: str
    port: int


async def run_once(options: Options) -> Verdict | None:
    """One run; None where a signal ended it."""
    verdict: Verdict | None = None

    async def once(canary: Canary) -> None:
        nonlocal verdict
        verdict = await canary.once()

    await _until_signal(options, once)
    return verdict


async def run_canary(options: Options) -> None:
    """For ever. Raises ConfigError, PortInUse where the metrics can't be served."""
    async with _metrics(options.host, options.port):
        await _until_signal(options, lambda canary: canary.every(options.interval_s))


async def _until_signal(options: Options, work: Callable[[Canary], Coroutine[object, object, None]]) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        with alone_by_name():
            if not PRIVATE_URL.fullmatch(options.feed):
                logger.warning("the feed is http on another machine: the key goes there in clear")
            async with AsyncExitStack() as stack:
                canary = await _canary(options, stack)
                group = await stack.enter_async_context(asyncio.TaskGroup())
                following = group.create_task(canary.feed.run(), name="feed")
                working = group.create_task(work(canary), name="runs")
                working.add_done_callback(lambda _: stopping.set())
                await stopping.wait()
                working.cancel()
                following.cancel()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _canary(options: Options, stack: AsyncExitStack) -> Canary:
    wiki = None
    if options.api:
        wiki = await stack.enter_async_context(
            Wiki(
                options.api,
                server=options.server,
                page=options.page,
                user_agent=options.user_agent,
                bot=options.bot,
            )
        )
    arrivals = Arrivals()
    feed = Feed(options.feed, options.key, parameters(options), arrivals.put, options.tls)
    return Canary(feed, arrivals, wiki, options.limit_s, options.deadline_s)


def parameters(options: Options) -> dict[str, str]:
    """What the feed is asked for: the page, or all of the wiki, with the text where it is known."""
    wanted = {"is_part_of.identifier": options.wiki, "name": options.page}
    filters = [{"field": name, "value": value} for name, value in wanted.items() if value]
    fields = [*FIELDS, "article_body.wikitext"] if options.api else FIELDS
    asked = {"fields": ",".join(fields)}
    return {**asked, "filters": msgspec.json.encode(filters).decode()} if filters else asked


@asynccontextmanager
async def _metrics(host: str, port: int) -> AsyncIterator[None]:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/livez", livez)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            where = f"cannot listen on {host}:{port} ({error.strerror})"
            if error.errno != errno.EADDRINUSE:
                raise ConfigError("--host", f"{where}; name an address of this machine") from None
            raise PortInUse("--port", f"{where}; stop what holds it or choose another, 0 for any") from None
        logger.info("admin listening", extra={"host": host, "port": runner.addresses[0][1]})
        yield
    finally:
        await runner.cleanup()
