"""The headers of every answer, whoever makes it: a handler, the guard, the protocol."""

from typing import Final

from aiohttp import web

from streamer.deliver import cors

EVERY_ANSWER: Final = {
    **cors.EVERY_ANSWER,
    "Server": "streamer",  # aiohttp's own would tell the versions of it and of Python
    "X-Content-Type-Options": "nosniff",  # an article is hostile text; no browser is to guess at it
}
OVER_TLS: Final = {"Strict-Transport-Security": "max-age=31536000"}
"""Only where this process itself speaks TLS: over plain HTTP browsers ignore it, and a proxy has its own."""


VARY: Final = web.RequestKey("vary", str)
"""What a route's answers depend on, its problems too: a handler says it before anything can be refused."""


def put_every(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(EVERY_ANSWER)
    if request.secure:  # by the socket; no header can say so
        response.headers.update(OVER_TLS)
    if VARY in request:
        response.headers["Vary"] = request[VARY]
