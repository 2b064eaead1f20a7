"""Around every request: what is refused is told as a problem, and every answer carries what all of them do.

The routes know nothing of OPTIONS, CORS and `RateLimit`; whoever adds one gets them here.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from streamer.deliver import cors
from streamer.deliver.admission import RATE_LIMIT
from streamer.deliver.headers import put_every
from streamer.deliver.problems import Problem, busy, internal, of_http, refused
from streamer.deliver.wellformed import refuse_ill_formed
from streamer.errors import LogError
from streamer.metrics import ERRORS

MAX_TARGET_CHARS: Final = 8_192
"""Of path and query; longer: 414."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
logger = logging.getLogger(__name__)


async def guard(request: web.BaseRequest, handler: Handler) -> web.StreamResponse:
    """The answer, whatever happens; a refusal is counted by its code."""
    response = await _answer(request, handler)
    if not response.prepared:  # the application completes its own, but not what no route was looked up for
        await complete(request, response)
    return response


async def _answer(request: web.BaseRequest, handler: Handler) -> web.StreamResponse:
    if len(request.raw_path) > MAX_TARGET_CHARS:
        return refused(Problem(414, "uri_too_long", "put the parameters into a JSON body instead"))
    try:
        refuse_ill_formed(request)
        return await handler(request)
    except ConnectionError:  # the client has left
        raise
    except Exception as error:  # noqa: BLE001 - the border: a mistake of ours costs this request alone
        if request.method == "OPTIONS" and isinstance(error, web.HTTPMethodNotAllowed):
            return cors.options(error.allowed_methods)
        return refused(_problem_of(error))


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, web.HTTPException):
        return of_http(error)
    if isinstance(error, LogError):
        ERRORS.labels("deliver", error.code).inc()
        logger.warning("the log does not answer", extra={"code": error.code})
        return busy(503, "log_unavailable", "the log does not answer at the moment")
    ERRORS.labels("deliver", "internal").inc()
    logger.error("request failed", exc_info=error)
    return internal()


async def complete(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Just before its headers are sent: a stream's are, long before its handler returns."""
    put_every(request, response)
    if RATE_LIMIT in request:
        response.headers.update(request[RATE_LIMIT].headers())
