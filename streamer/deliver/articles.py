"""`/v2/articles`: from a request to a stream, or to the problem that says why not."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from aiohttp import HttpVersion11, web

from streamer.deliver.admission import TICKET, Admission
from streamer.deliver.auth import Identity
from streamer.deliver.body import body_of
from streamer.deliver.connection import Connection
from streamer.deliver.detached import Detached
from streamer.deliver.feed import Feeds
from streamer.deliver.grants import refuse_not_granted
from streamer.deliver.headers import VARY
from streamer.deliver.hub import CAN_DETACH, Hub
from streamer.deliver.negotiate import encoding_of
from streamer.deliver.outlet import LINGER_S, Outlet
from streamer.deliver.problems import Problem, draining, unauthorized
from streamer.deliver.request import Ask, Format, format_of, parameters_of, parse
from streamer.deliver.standing import Standing
from streamer.deliver.start import Beginning, resolve
from streamer.deliver.topic import topic_of
from streamer.deliver.wanted import wanted_of
from streamer.log.waiting import Condition
from streamer.metrics import DELIVER_CONNECTIONS, DELIVER_CONNECTS, DELIVER_ENDED, END_REASONS, forget_partner
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

CONTENT_TYPE: Final[dict[Format, str]] = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
}

READING: Final = frozenset({"GET", "HEAD"})
"""What a ticket may stand for."""
ACCEPTED: Final = web.RequestKey("accepted", bool)
"""Its stream has begun."""
LATER: Final = frozenset({"draining", "not_ready"})
"""503 by which a client is told to come again, as is meant: to another process, or once the feed is made."""

Stream = Connection | Detached

logger = logging.getLogger(__name__)


class Articles:
    """The handler, and the streams that it has open."""

    def __init__(
        self, runtime: Runtime, partners: PartnersWatch, feeds: Feeds, hub: Hub, admission: Admission
    ) -> None:
        self.left = Condition()
        """Notified whenever a stream ends."""
        self._attached: set[Connection] = set()
        self._streams: Counter[str] = Counter()
        """By partner that has had some since it was last forgotten."""
        self._runtime = runtime
        self._partners = partners
        self._feeds = feeds
        self._hub = hub
        self._admission = admission

    # ── the streams ────────────────────────────────────────────────────────────────────────────

    @property
    def detached(self) -> int:
        return len(self._hub.streams)

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._attached) + self.detached

    def standings(self, partner: str) -> list[Standing]:
        """Of this partner's."""
        now_ms, is_paused = self._runtime.clock.now_ms(), self._feeds.is_paused
        return [
            *(one.standing() for one in self._attached if one.identity.partner.name == partner),
            *(
                one.standing(now_ms=now_ms, is_paused=is_paused)
                for one in self._hub.streams.values()
                if one.identity.partner.name == partner
            ),
        ]

    def streams(self) -> list[Stream]:
        """As they are now."""
        return [*self._attached, *self._hub.streams.values()]

    def end(self, stream: Stream, reason: str, *, patience_s: float) -> None:
        """On the next event border, by a reset after `patience_s`. Nothing for one that is over; one that was
        attached when it was listed may be detached by now.
        """
        if isinstance(stream, Connection):
            if stream in self._attached:
                stream.cut(reason, patience_s=patience_s)
                return
            if stream.detached is None:
                return
            stream = stream.detached
        self._hub.cut(stream, reason, patience_s=patience_s)

    def unsent_ms(self) -> dict[str, int]:
        """By partner with open streams: when the article was appended that comes next for the slowest of
        them; 0: all have all. Costs next to nothing for those that are detached and keep up.
        """
        found: dict[str, int] = {}
        own = ((one.identity.partner.name, one.unsent_ms) for one in self._attached)
        for partner, appended_ms in (*own, *self._hub.unsent_ms()):
            found[partner] = _older(found.get(partner, 0), appended_ms)
        for partner, appended_ms in self._feeds.unsent_ms(self._runtime.clock.now_ms()):
            if partner in found:
                found[partner] = _older(found[partner], appended_ms)
        return found

    def cut(self, reason: str, *, patience_s: float, of: Callable[[Identity], bool]) -> None:
        """Those of whom `of` is true."""
        for stream in self.streams():
            if of(stream.identity):
                self.end(stream, reason, patience_s=patience_s)

    def limited(self) -> None:
        """Other limits are in force: who is detached knows none of bytes per second, and comes back for
        them.
        """
        for stream in tuple(self._hub.streams.values()):
            if self._admission.is_paced(stream.identity.partner.name):
                self._hub.cut(stream, "drain", patience_s=LINGER_S)

    def forget_removed(self) -> None:
        """Of partners that are no more, once their last stream is gone, nothing is told any longer."""
        for partner, streams in tuple(self._streams.items()):
            if not streams and partner not in self._partners.current:
                del self._streams[partner]
                forget_partner(partner)

    def reset(self) -> None:
        """Whoever is still there."""
        for connection in tuple(self._attached):
            connection.reset()

    def ended(self, stream: Detached, reason: str) -> None:
        """For the hub to say."""
        self._feeds.leave(stream.channel)
        self._admission.leave(stream.identity.partner.name)
        self._over(stream.identity.partner.name, stream.channel.wanted.format, reason)

    def _over(self, partner: str, fmt: Format, reason: str) -> None:
        self.left.notify()
        self._streams[partner] -= 1
        DELIVER_CONNECTIONS.labels(partner, fmt).dec()
        DELIVER_ENDED.labels(partner, reason).inc()
        self.forget_removed()
        logger.info("stream ended", extra={"partner": partner, "reason": reason})

    # ── a request ──────────────────────────────────────────────────────────────────────────────

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ConnectionError:  # the client has left
            raise
        except Exception as error:  # whatever it was, the objective of connects has to know; guard answers it
            if request.method != "HEAD" and not request.get(ACCEPTED):
                DELIVER_CONNECTS.labels(_outcome(error)).inc()
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        request[VARY] = "Accept, Accept-Encoding"
        self._refuse_at_drain()
        identity = self._admission.admit(request, by_ticket=request.method in READING)
        partner = identity.partner
        fmt = format_of(request.headers.get("Accept"))
        encoding = encoding_of(",".join(request.headers.getall("Accept-Encoding", ())))
        with ExitStack() as held:
            pace = self._admission.enter(partner)
            held.callback(self._admission.leave, partner.name)
            body = await body_of(request)
            query = ((n, v) for n, v in request.query.items() if n != TICKET or request.method not in READING)
            parameters = parameters_of(query, body)
            info = await topic_of(self._runtime, partner.name)
            ask = parse(
                parameters,
                fmt=fmt,
                last_event_id=request.headers.get("Last-Event-ID", "").strip(),
                partitions=info.partitions,
                now_ms=self._runtime.clock.now_ms(),
                encoding=encoding,
            )
            refuse_not_granted(ask, partner)
            beginning = await resolve(self._runtime.log, info, ask)
            if request.method == "HEAD":
                self._still_served(identity)
                return web.StreamResponse(headers=_headers(ask))
            async with self._feeds.hold(partner.name, info) as feed:
                channel = self._feeds.follow(feed, wanted_of(ask, info.partitions), most=partner.limits.feeds)
                held.callback(self._feeds.leave, channel)
                self._still_served(identity)
                response = web.StreamResponse(headers=_headers(ask))
                response.force_close()
                transport = request.transport
                assert transport is not None  # a client that left has cancelled its handler
                connection = Connection(
                    log=self._runtime.log,
                    feed=feed,
                    channel=channel,
                    ask=ask,
                    identity=identity,
                    outlet=Outlet(
                        response,
                        transport,
                        ask.format,
                        partner=partner.name,
                        encoding=ask.encoding,
                        heartbeat_s=self._runtime.settings.deliver.heartbeat_s,
                        clock=self._runtime.clock,
                        pace=pace,
                    ),
                    clock=self._runtime.clock,
                    can_detach=CAN_DETACH and not pace.is_limited and _is_plain(request, transport),
                )
                await self._stream(request, response, connection, beginning)
            if connection.detached is not None:
                try:
                    self._hub.adopt(connection.detached)
                except OSError:
                    self._over(partner.name, ask.format, "failed")
                    raise
                held.pop_all()  # they are the stream's, which outlives this request
            return response

    def _refuse_at_drain(self) -> None:
        if self._runtime.draining.is_set():
            raise draining()

    def _still_served(self, identity: Identity) -> None:
        """To be looked at again after the waits: from here on a change cuts the stream."""
        self._refuse_at_drain()
        if not identity.still_valid(self._partners.current):
            raise unauthorized("this key was revoked")

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        connection: Connection,
        beginning: Beginning,
    ) -> None:
        """Until it is over, or detached."""
        partner, fmt = connection.identity.partner.name, connection.format
        self._attached.add(connection)
        self._streams[partner] += 1
        for reason in END_REASONS:
            DELIVER_ENDED.labels(partner, reason)  # 0 before the first: so that it is seen as an increase
        DELIVER_CONNECTIONS.labels(partner, fmt).inc()
        try:
            await response.prepare(request)
            request[ACCEPTED] = True
            DELIVER_CONNECTS.labels("accepted").inc()
            await connection.run(beginning)
        finally:
            self._attached.discard(connection)
            if connection.detached is None:
                self._over(partner, fmt, connection.reason)


def _outcome(error: Exception) -> str:
    """Of a request that got no stream."""
    if isinstance(error, Problem) and error.code in LATER:
        return "later"
    status = error.status if isinstance(error, Problem | web.HTTPException) else 500
    return "failed" if status >= 500 else "refused"


def _older(one_ms: int, other_ms: int) -> int:
    """0 is none."""
    return min(one_ms, other_ms) if one_ms and other_ms else one_ms or other_ms


def _is_plain(request: web.Request, transport: asyncio.Transport) -> bool:
    """Chunks as the channel has them, and no encryption of ours."""
    return request.version == HttpVersion11 and transport.get_extra_info("sslcontext") is None


def _headers(ask: Ask) -> dict[str, str]:
    headers = {
        "Content-Type": CONTENT_TYPE[ask.format],
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",  # nginx would hold events back
    }
    if ask.encoding == "gzip":
        headers["Content-Encoding"] = "gzip"
    return headers
