"""What every client does that is answered 503: it comes again when the answer says, a few times."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

TIMES: Final = 4
MOST_S: Final = 10.0
"""Who is told to stay away for longer than a test can wait comes again all the same."""


def again_s(headers: Mapping[str, str]) -> float:
    """By Retry-After, which each 503 of the service has."""
    return min(float(headers["Retry-After"]), MOST_S)


@asynccontextmanager
async def answered(
    session: aiohttp.ClientSession, method: str, path: str, **request: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The first answer that is no 503, or the last of all."""
    for _ in range(TIMES - 1):
        async with session.request(method, path, **request) as response:
            if response.status != 503:
                yield response
                return
        await asyncio.sleep(again_s(response.headers))
    async with session.request(method, path, **request) as response:
        yield response
