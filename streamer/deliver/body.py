"""The body of a request, as far as we take one."""

import asyncio
from typing import Final

from aiohttp import web

from streamer.deliver.problems import Problem

MAX_BODY_BYTES: Final = 262_144
BODY_DEADLINE_S: Final = 10.0


async def body_of(request: web.Request) -> bytes:
    """Raises 400, 415, and aiohttp's 413."""
    if not request.can_read_body:
        return b""
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "unsupported_encoding", "send the body as it is, without Content-Encoding")
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            return await request.read()
    except TimeoutError:
        raise Problem(400, "bad_body", "the body did not come in time") from None
    except web.RequestPayloadError:
        raise Problem(400, "bad_body", "the body is broken off or not framed as it says") from None
