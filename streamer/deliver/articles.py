"""`/v2/articles`: from a request to a stream, or to the problem that says why not."""

import logging
from typing import Final

from aiohttp import web

from streamer.deliver.admission import TICKET, Admission
from streamer.deliver.auth import Identity
from streamer.deliver.body import body_of
from streamer.deliver.connection import Connection
from streamer.deliver.feed import Feed, Feeds
from streamer.deliver.grants import refuse_not_granted
from streamer.deliver.headers import VARY
from streamer.deliver.negotiate import encoding_of
from streamer.deliver.outlet import Outlet
from streamer.deliver.pace import Pace
from streamer.deliver.problems import busy, unauthorized
from streamer.deliver.request import Ask, Format, format_of, parameters_of, parse
from streamer.deliver.start import Beginning, resolve
from streamer.deliver.topic import topic_of
from streamer.log.waiting import Condition
from streamer.metrics import DELIVER_CONNECTIONS, DELIVER_ENDED
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

CONTENT_TYPE: Final[dict[Format, str]] = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
}

READING: Final = frozenset({"GET", "HEAD"})
"""What a ticket may stand for."""

logger = logging.getLogger(__name__)


class Articles:
    """The handler, and the streams that it has open."""

    def __init__(self, runtime: Runtime, partners: PartnersWatch, feeds: Feeds, admission: Admission) -> None:
        self.connections: set[Connection] = set()
        self.left = Condition()
        """Notified whenever a stream ends."""
        self._runtime = runtime
        self._partners = partners
        self._feeds = feeds
        self._admission = admission

    async def handle(self, request: web.Request) -> web.StreamResponse:
        request[VARY] = "Accept, Accept-Encoding"
        identity = self._admission.admit(request, by_ticket=request.method in READING)
        partner = identity.partner
        fmt = format_of(request.headers.get("Accept"))
        encoding = encoding_of(",".join(request.headers.getall("Accept-Encoding", ())))
        with self._admission.stream(partner) as pace:
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
                return await self._stream(request, identity, ask, beginning, feed=feed, pace=pace)

    def _still_served(self, identity: Identity) -> None:
        """To be looked at again after the waits: from here on a change cuts the stream."""
        if self._runtime.draining.is_set():
            raise busy(503, "draining", "this server is stopping")
        if not identity.still_valid(self._partners.current):
            raise unauthorized("this key was revoked")

    async def _stream(
        self,
        request: web.Request,
        identity: Identity,
        ask: Ask,
        beginning: Beginning,
        *,
        feed: Feed,
        pace: Pace,
    ) -> web.StreamResponse:
        partner = identity.partner.name
        self._still_served(identity)
        transport = request.transport
        assert transport is not None  # a client that left has cancelled its handler
        response = web.StreamResponse(headers=_headers(ask))
        response.force_close()
        connection = Connection(
            log=self._runtime.log,
            feed=feed,
            ask=ask,
            identity=identity,
            outlet=Outlet(
                response,
                transport,
                ask.format,
                partner=partner,
                encoding=ask.encoding,
                heartbeat_s=self._runtime.settings.deliver.heartbeat_s,
                clock=self._runtime.clock,
                pace=pace,
            ),
            clock=self._runtime.clock,
        )
        open_streams = DELIVER_CONNECTIONS.labels(partner, ask.format)
        self.connections.add(connection)
        open_streams.inc()
        try:
            await response.prepare(request)
            await connection.run(beginning)
        finally:
            self.connections.discard(connection)
            self.left.notify()
            open_streams.dec()
            DELIVER_ENDED.labels(partner, connection.reason).inc()
            logger.info("stream ended", extra={"partner": partner, "reason": connection.reason})
        return response


def _headers(ask: Ask) -> dict[str, str]:
    headers = {
        "Content-Type": CONTENT_TYPE[ask.format],
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",  # nginx would hold events back
    }
    if ask.encoding == "gzip":
        headers["Content-Encoding"] = "gzip"
    return headers
