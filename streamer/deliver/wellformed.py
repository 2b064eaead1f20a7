"""What aiohttp lets through and two readers of one request could take for two things.

A proxy in front of this server may believe the second of two keys where this server believes the first, or
see the end of a body elsewhere. Nothing is guessed: such a request is refused.
"""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http_parser import RawRequestMessage

from streamer.deliver.problems import Problem

ONCE: Final = ("Authorization", "Last-Event-ID")
"""Headers that decide who gets what. (aiohttp itself refuses a second Host or Content-Length.)"""
_SPOKEN: Final = (HttpVersion10, HttpVersion11)
_UNSPOKEN: Final = web.RequestKey("unspoken", bool)

Factory = Callable[..., web.BaseRequest]


def spoken(make: Factory) -> Factory:
    """Aiohttp's parser takes 0.9 and 2.0, too, and its answer would be in a protocol that we don't speak:
    what is asked so is refused, in 1.1.
    """

    def factory(message: RawRequestMessage, *rest: Any) -> web.BaseRequest:  # noqa: ANN401 - aiohttp's own
        if message.version in _SPOKEN:
            return make(message, *rest)
        request = make(message._replace(version=HttpVersion11, should_close=True), *rest)
        request[_UNSPOKEN] = True
        return request

    return factory


def refuse_ill_formed(request: web.BaseRequest) -> None:
    """Raises a 400, the connection's last answer where its framing is in doubt, or a 417."""
    if _UNSPOKEN in request:
        raise _ill_formed("this server speaks HTTP/1.1 and HTTP/1.0")
    coding = request.headers.get(hdrs.TRANSFER_ENCODING)
    if coding is not None and (coding.strip().lower() != "chunked" or request.version < HttpVersion11):
        raise _ill_formed("the only Transfer-Encoding here is chunked, in HTTP/1.1")
    for name in ONCE:
        if len(request.headers.getall(name, ())) > 1:
            raise _ill_formed(f"the header {name} is given twice; say it once")
    expected = request.headers.get(hdrs.EXPECT)
    if expected is not None and expected.strip().lower() != "100-continue":
        # aiohttp would repeat it, and fail where it is no text
        raise Problem(417, "expectation_failed", "this server meets no expectation but 100-continue")


def _ill_formed(detail: str) -> Problem:
    return Problem(400, "bad_request", detail, closes=True)
