"""Clients of newline-delimited JSON: resumed by offsets, since a line has no id."""

import asyncio
import json

import aiohttp
from clients.reading import PAUSE_S, SILENCE_S, Offsets, Sink, Target

PARTITIONS = 10
"""What `/v2/status` says."""


async def by_aiohttp(target: Target, sink: Sink) -> None:
    """POST with a JSON body. Lines are split here: aiohttp's own `readline` gives up at 128 KiB."""
    offsets = Offsets(PARTITIONS, target.start)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while not sink.stopped:
            headers = target.headers(Accept="application/x-ndjson")
            try:
                async with session.post(target.url, json=offsets.ask(), headers=headers) as response:
                    response.raise_for_status()
                    sink.opened(response.headers)
                    rest = b""
                    async for chunk in response.content.iter_any():
                        *lines, rest = (rest + chunk).split(b"\n")
                        for line in lines:
                            article = json.loads(line)  # a space before it is a heartbeat
                            if offsets.is_new(article):
                                sink.take(article)
            except aiohttp.ClientResponseError as error:
                sink.refuse(error.status, error.headers or {})
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(PAUSE_S)
