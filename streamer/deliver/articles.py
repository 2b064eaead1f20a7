"""`/v2/articles`: from a request to a stream, or to the problem that says why not."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from streamer.deliver.admission import Admission
from streamer.deliver.auth import Identity, identify, refuse_keys_in_query
from streamer.deliver.connection import Connection
from streamer.deliver.feed import Feed, Feeds
from streamer.deliver.grants import refuse_not_granted
from streamer.deliver.negotiate import encoding_of
from streamer.deliver.outlet import Outlet
from streamer.deliver.problems import Problem, busy, internal, of_http, refused, unauthorized
from streamer.deliver.request import Ask, Format, format_of, parameters_of, parse
from streamer.deliver.sockets import bound_buffers
from streamer.deliver.start import Beginning, resolve
from streamer.errors import LogError
from streamer.log.base import TopicInfo
from streamer.log.waiting import Condition
from streamer.metrics import DELIVER_CONNECTIONS, DELIVER_ENDED, ERRORS
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

MAX_TARGET_CHARS: Final = 8_192
"""Of path and query; longer: 414."""
MAX_BODY_BYTES: Final = 262_144
BODY_DEADLINE_S: Final = 10.0
TOPIC_WAIT_S: Final = 3.0
"""A partner that was added seconds ago has no topic yet."""
CONTENT_TYPE: Final[dict[Format, str]] = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
}

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
logger = logging.getLogger(__name__)


async def problems(request: web.BaseRequest, handler: Handler) -> web.StreamResponse:
    """Every refusal as problem+json, counted by its code."""
    try:
        return await handler(request)
    except Problem as problem:
        return refused(problem)
    except web.HTTPException as error:
        return refused(of_http(error))
    except LogError as error:
        ERRORS.labels("deliver", error.code).inc()
        logger.warning("the log does not answer", extra={"code": error.code})
        return refused(busy(503, "log_unavailable", "the log does not answer at the moment"))
    except ConnectionError:  # the client has left
        raise
    except Exception:  # the border: a mistake of ours is told as one, and costs this request alone
        ERRORS.labels("deliver", "internal").inc()
        logger.exception("request failed")
        return refused(internal())


class Articles:
    """The handler, and the streams that it has open."""

    def __init__(self, runtime: Runtime, partners: PartnersWatch, feeds: Feeds) -> None:
        self.connections: set[Connection] = set()
        self.left = Condition()
        """Notified whenever a stream ends."""
        self._runtime = runtime
        self._partners = partners
        self._feeds = feeds
        self._admission = Admission(lambda: runtime.settings.deliver.max_connections, runtime.clock)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if len(request.raw_path) > MAX_TARGET_CHARS:
            raise Problem(414, "uri_too_long", "put the parameters into a JSON body instead")
        refuse_keys_in_query(request.query.items())
        identity = identify(self._partners.current, request.headers.get("Authorization"))
        fmt = format_of(request.headers.get("Accept"))
        encoding = encoding_of(",".join(request.headers.getall("Accept-Encoding", ())))
        partner = identity.partner
        self._admission.request(partner)
        with self._admission.stream(partner):
            body = await _body(request)
            parameters = parameters_of(request.query.items(), body)
            info = await self._topic(partner.name)
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
            async with self._feeds.hold(partner.name, info) as feed:
                return await self._stream(request, identity, ask, beginning, feed)

    async def _topic(self, partner: str) -> TopicInfo:
        loop = asyncio.get_running_loop()
        name = self._runtime.topics.of_partner(partner)
        deadline_s = loop.time() + TOPIC_WAIT_S
        while True:
            info = await self._runtime.log.topic(name)
            if info is not None:
                return info
            if loop.time() >= deadline_s:
                raise busy(503, "not_ready", "this feed is being made; come back in a moment")
            await asyncio.sleep(0.1)

    async def _stream(
        self, request: web.Request, identity: Identity, ask: Ask, beginning: Beginning, feed: Feed
    ) -> web.StreamResponse:
        partner = identity.partner.name
        if self._runtime.draining.is_set():
            raise busy(503, "draining", "this server is stopping")
        if not identity.still_valid(self._partners.current):
            raise unauthorized("this key was revoked")
        transport = request.transport
        assert transport is not None  # a client that left has cancelled its handler
        response = web.StreamResponse(
            headers={
                "Content-Type": CONTENT_TYPE[ask.format],
                "Cache-Control": "no-store",
                "Vary": "Accept, Accept-Encoding",
                "X-Accel-Buffering": "no",  # nginx would hold events back
            }
        )
        if ask.encoding == "gzip":
            response.headers["Content-Encoding"] = "gzip"
        response.force_close()
        bound_buffers(transport)
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


async def _body(request: web.Request) -> bytes:
    if not request.can_read_body:
        return b""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem(415, "unsupported_encoding", "send the body as it is, without Content-Encoding")
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            return await request.read()
    except TimeoutError:
        raise Problem(400, "bad_body", "the body did not come in time") from None
    except web.RequestPayloadError:
        raise Problem(400, "bad_body", "the body is broken off or not framed as it says") from None
