"""curl, as the README shows it, and a loop around it that reads its lines."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from clients.reading import PAUSE_S, SINCE, Sink, Target

LINE_BYTES = 1 << 25
"""An article has at most 16 MB."""


@asynccontextmanager
async def running(command: Sequence[str], *, text: bytes = b"") -> AsyncIterator[asyncio.subprocess.Process]:
    """Killed at the end, if it has not ended by itself. `text` goes to its stdin."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if text else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
    )
    try:
        if process.stdin is not None:
            process.stdin.write(text)
            process.stdin.close()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def command(target: Target, *more: str) -> list[str]:
    packed = ["--compressed"] if target.encoding == "gzip" else []
    return ["curl", "-sN", *packed, "-H", f"Authorization: Bearer {target.key}", *more]


async def by_curl(target: Target, sink: Sink) -> None:
    """An event counts once its blank line has come: what curl was given before a break, it prints."""
    last_id = ""
    while not sink.stopped:
        more = ["-H", f"Last-Event-ID: {last_id}", target.url] if last_id else [f"{target.url}?since={SINCE}"]
        async with running(command(target, *more)) as process:
            assert process.stdout is not None
            event: dict[str, str] = {}
            async for line in process.stdout:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    event[name] = value
                elif event.get("data"):
                    if "event" in event:
                        sink.controls[event["event"]] += 1
                    else:
                        sink.take(json.loads(event["data"]))
                    last_id = event.get("id", last_id)
                    event = {}
        await asyncio.sleep(PAUSE_S)
