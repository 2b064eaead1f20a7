"""HTTP as far as aiohttp speaks it before, and after, our handlers: its refusals in our words.

What is no HTTP is answered by the protocol itself. Left as it is, that answer repeats the bytes that
were wrong, and so does the log, with a traceback: an overlong or broken `Authorization` header would put
a key there. And who connects and says nothing, or asks and never reads, would hold a socket for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import _ErrInfo

from streamer.deliver.body import MAX_BODY_BYTES
from streamer.deliver.headers import put_every
from streamer.deliver.problems import Problem, internal, refused
from streamer.deliver.sockets import bound_buffers, reset
from streamer.deliver.wellformed import spoken
from streamer.metrics import DELIVER_CONNECTS

HEAD_DEADLINE_S: Final = 10.0
"""From the connection to the end of the first request's head."""
KEEPALIVE_S: Final = 15.0
"""How long a connection may wait for its next request (after an error: streams end theirs)."""
ANSWER_DEADLINE_S: Final = 60.0
"""For a client to take the rest of an answer, all but what the buffers hold; streams have a deadline for each
write (streamer.deliver.outlet).
"""
UNANSWERED_BYTES: Final = 2 * MAX_BODY_BYTES
"""What may come from one client between two answers, the rest of a body that was refused included: aiohttp
reads on for ten seconds to throw it away.
"""
SPARE_SOCKETS: Final = 1_000
"""Beyond the streams: those who are about to ask, and those who are being refused."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Guard = Callable[[web.BaseRequest, Handler], Awaitable[web.StreamResponse]]
logger = logging.getLogger(__name__)


class Runner(web.AppRunner):
    """An application behind `guard`, which sees what middlewares do not: a failed `Expect`, too."""

    __slots__ = ("_guard", "_max_sockets")

    def __init__(
        self,
        app: web.Application,
        *,
        guard: Guard,
        max_sockets: Callable[[], int],
        **kwargs: Any,  # noqa: ANN401 - aiohttp's own
    ) -> None:
        super().__init__(app, keepalive_timeout=KEEPALIVE_S, **kwargs)
        self._guard = guard
        self._max_sockets = max_sockets

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()

        async def guarded(request: web.BaseRequest) -> web.StreamResponse:
            return await self._guard(request, server.request_handler)

        guarding = _Server(guarded, request_factory=spoken(server.request_factory), **self._kwargs)
        guarding.max_sockets = self._max_sockets
        return guarding


class _Server(web.Server):
    max_sockets: Callable[[], int]

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)

    @property
    def is_full(self) -> bool:
        return len(self._connections) > self.max_sockets()


class _Protocol(web.RequestHandler):
    __slots__ = ("_head_timer", "_is_broken", "_unanswered_bytes")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        bound_buffers(self.transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_broken = False
        self._unanswered_bytes = 0
        if isinstance(self._manager, _Server) and self._manager.is_full:
            DELIVER_CONNECTS.labels("failed").inc()  # whatever it would have asked for
            self.force_close()
            return
        self._head_timer = self._loop.call_later(HEAD_DEADLINE_S, self._expect_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._head_timer is not None:
            self._head_timer.cancel()  # it would hold what is over for seconds

    def data_received(self, data: bytes) -> None:
        """Nothing behind what is no HTTP is looked at: the parser would find an error in each piece, and keep
        it. Who sends more than anybody needs is gone.
        """
        if self._is_broken:
            return
        self._unanswered_bytes += len(data)
        if self._unanswered_bytes > UNANSWERED_BYTES:
            self.force_close()
            return
        super().data_received(data)
        self._is_broken = bool(self._messages) and isinstance(self._messages[-1][0], _ErrInfo)

    def _expect_head(self) -> None:
        if not self._request_count:
            self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """What is True of it: the client is gone."""
        self._unanswered_bytes = 0
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            if self.transport is not None:
                reset(self.transport)
            return resp, True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what was sent
    ) -> web.StreamResponse:
        """For what is no HTTP; errors of handlers are the guard's."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of an answer was sent already")
        logger.debug("no HTTP", extra={"error": type(exc).__name__})
        if status == 400:
            problem = Problem(400, "bad_request", "this is not HTTP/1.1 as this server understands it")
        else:
            problem = internal()
        response = refused(problem)
        put_every(request, response)  # no application has seen this request
        response.force_close()
        return response
