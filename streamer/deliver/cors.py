"""What a browser wants to be told before a page of another origin may read us (the Fetch standard).

Everybody may: what protects a feed is its key, which no browser adds by itself. So the origin is `*` and
credentials are never allowed.
"""

from collections.abc import Iterable
from typing import Final

from aiohttp import web

EVERY_ANSWER: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate",
}
"""Without the first a page can't even see that it was refused, and why."""
REQUEST_HEADERS: Final = "Authorization, Content-Type, Last-Event-ID, Accept, Cache-Control"
"""Each by its name: `*` does not cover Authorization."""
MAX_AGE_S: Final = 7_200
"""The longest that Chromium remembers."""


def methods_of(allowed: Iterable[str]) -> str:
    """For `Allow`: OPTIONS goes everywhere."""
    return ", ".join(sorted({*allowed, "OPTIONS"}))


def options(allowed: Iterable[str]) -> web.Response:
    """The answer to OPTIONS, a preflight or not, on a route that takes these methods."""
    methods = methods_of(allowed)
    return web.Response(
        status=204,
        headers={
            "Allow": methods,
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(MAX_AGE_S),
        },
    )
