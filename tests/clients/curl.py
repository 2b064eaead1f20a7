"""curl, as the README shows it, and a loop around it that reads its lines."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from clients.reading import PAUSE_S, Sink, Target

STATUS = "%{stderr}%{http_code} %header{retry-after}"
LINE_BYTES = 1 << 25
"""An article has at most 16 MB."""


@asynccontextmanager
async def running(
    command: Sequence[str], *, errors: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Killed at the end, if it has not ended by itself. `errors`: its stderr is read too."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if errors else None,
        limit=LINE_BYTES,
    )
    try:
        yield process
    finally:
        assert process.stdout is not None
        if not process.stdout.at_eof():  # else it is ending: a kill would race asyncio for its exit status
            with suppress(ProcessLookupError):
                process.kill()
        await process.communicate()


def command(target: Target, *more: str) -> list[str]:
    packed = ["--compressed"] if target.encoding == "gzip" else []
    return ["curl", "-sN", *packed, "-H", f"Authorization: Bearer {target.key}", *more]


async def by_curl(target: Target, sink: Sink) -> None:
    """An event counts once its blank line has come: what curl was given before a break, it prints."""
    last_id = ""
    seen = ["-f", "-w", STATUS]
    while not sink.stopped:
        where = ["-H", f"Last-Event-ID: {last_id}", target.url] if last_id else [target.first_url()]
        async with running(command(target, *seen, *where), errors=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            sink.encoding = target.encoding
            event: dict[str, str] = {}
            async for line in process.stdout:
                if not line.endswith(b"\n"):  # broken off, perhaps inside a character
                    break
                name, _, value = line.decode()[:-1].partition(": ")
                if name:
                    event[name] = value
                elif event.get("data"):
                    if "event" in event:
                        sink.controls[event["event"]] += 1
                    else:
                        sink.take(json.loads(event["data"]))
                    last_id = event.get("id", last_id)
                    event = {}
            status, _, retry_after = (await process.stderr.read()).decode().partition(" ")
            if status not in ("200", "000"):
                sink.refuse(int(status), {"Retry-After": retry_after})
        await asyncio.sleep(PAUSE_S)
