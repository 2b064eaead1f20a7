"""Text extraction off the event loop: a few worker processes, started when first needed.

A thread would share the interpreter's lock and stall every role for the milliseconds that a page costs.
A worker that does not answer within its time is killed and another is started for the next page; it
reads its requests from a pipe, so it ends with this process however that ends.
"""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

import streamer
from streamer.enrich import textworker
from streamer.enrich.text import ANYWHERE, TEXT, Make, Origin, PlainText, nothing
from streamer.enrich.textworker import LENGTH, Asked
from streamer.metrics import TEXT_FAILURES, TEXT_SECONDS

MAX_INPUT_CHARS: Final = 1_000_000
"""A fifth of a second of work; longer pages (0.01 %) go without text. MediaWiki's own limit is 2 MiB."""
TIMEOUT_S: Final = 2.0
START_TIMEOUT_S: Final = 20.0
"""An interpreter and its imports, on a busy machine."""
NOTHING_TO_DO: Final = b'{"wikitext": ""}'
WORKERS: Final = max(1, min(2, os.cpu_count() or 1))

log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PlainText | None)


class _Worker:
    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, frame: bytes, timeout_s: float) -> bytes:
        """Raises TimeoutError, and OSError or IncompleteReadError where the worker died."""
        if self._process is None:
            async with asyncio.timeout(START_TIMEOUT_S):
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # the folder that this process was started in stays off its path
                    "-m",
                    textworker.__name__,
                    env=_environment(),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,  # a traceback may quote the page
                )
                await _exchange(self._process, NOTHING_TO_DO)
        async with asyncio.timeout(timeout_s):
            return await _exchange(self._process, frame)

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        if process.stdin:
            process.stdin.close()
        await process.wait()


def _environment() -> dict[str, str]:
    """The worker is of the same code as this process, wherever that was found."""
    root = str(Path(streamer.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


async def _exchange(process: asyncio.subprocess.Process, frame: bytes) -> bytes:
    stdin, stdout = process.stdin, process.stdout
    assert stdin
    assert stdout
    stdin.write(LENGTH.pack(len(frame)) + frame)
    await stdin.drain()
    (length,) = LENGTH.unpack(await stdout.readexactly(LENGTH.size))
    return await stdout.readexactly(length)


class TextPool:
    """`async with TextPool() as pool: await pool.extract(…)`. Callers wait in turn for a free worker."""

    def __init__(self, *, workers: int = WORKERS, timeout_s: float = TIMEOUT_S) -> None:
        self._all = [_Worker() for _ in range(workers)]
        self._free: asyncio.Queue[_Worker] = asyncio.Queue()
        for each in self._all:
            self._free.put_nowait(each)
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in self._all:
            await each.stop()

    async def extract(self, wikitext: str, origin: Origin = ANYWHERE, make: Make = TEXT) -> PlainText | None:
        """None where nothing can be had in bounds: too long, too slow, or the worker gave up."""
        if not any(make):
            return None
        if not wikitext:
            return nothing(make)
        if len(wikitext) > MAX_INPUT_CHARS:
            TEXT_FAILURES.labels("too_long").inc()
            return None
        return await self._extract(Asked(wikitext, origin, make))

    async def extract_html(self, html: str, make: Make = TEXT) -> PlainText | None:
        """Of Parsoid's, whose length has been bounded (streamer.origin.fetch)."""
        if not any(make):
            return None
        return await self._extract(Asked("", make=make, html=html))

    async def _extract(self, asked: Asked) -> PlainText | None:
        each = await self._free.get()
        kept = False
        try:
            with TEXT_SECONDS.time():
                frame = _encoder.encode(asked)
                answer: PlainText | None = _decoder.decode(await each.ask(frame, self._timeout_s))
            kept = True
        except TimeoutError:
            TEXT_FAILURES.labels("timeout").inc()
            log.warning("text extraction took too long", extra={"chars": len(asked.wikitext or asked.html)})
            return None
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError):
            TEXT_FAILURES.labels("worker_died").inc()
            log.warning("text worker died", extra={"chars": len(asked.wikitext or asked.html)})
            return None
        finally:
            if (
                not kept
            ):  # also when cancelled between question and answer: the next one would get this answer
                await each.stop()
            self._free.put_nowait(each)
        if answer is None:
            TEXT_FAILURES.labels("unparsable").inc()
        return answer
