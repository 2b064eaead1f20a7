"""Text extraction off the event loop: a few worker processes, started when first needed.

A thread would share the interpreter's lock and stall every role for the milliseconds that a page costs.
A worker that does not answer within its time is killed and another is started for the next page; it
reads its requests from a pipe, so it ends with this process however that ends.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self

import msgspec

import streamer
from consumers.wikitext.text import ANYWHERE, TEXT, Make, Origin, PlainText, nothing
from streamer.enrich import textworker
from streamer.enrich.textworker import LENGTH, Asked
from streamer.metrics import QUEUE_DEPTH, TEXT_FAILURES, TEXT_SECONDS

MAX_INPUT_CHARS: Final = 1_000_000
"""A fifth of a second of work; longer pages (0.01 %) go without text. MediaWiki's own limit is 2 MiB."""
TIMEOUT_S: Final = 2.0
START_TIMEOUT_S: Final = 20.0
"""An interpreter and its imports, on a busy machine."""
WAIT_S: Final = 10.0
"""For a worker that is free: thousands of usual pages. What waits longer goes without text."""
SLOW_FOR_S: Final = 600.0
"""So long a page that took too long goes without text, whatever its edits are: each would take a worker for
all of its time, and others would wait for it.
"""
MAX_SLOW: Final = 1_000
NOTHING_TO_DO: Final = b'{"wikitext": ""}'
WORKERS: Final = max(1, min(2, os.cpu_count() or 1))

log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PlainText | None)


class _Worker:
    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Where it isn't. Raises as `ask` does."""
        if self._process is not None:
            return
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

    async def ask(self, frame: bytes, timeout_s: float) -> bytes:
        """Of one that is started. Raises TimeoutError, and OSError or IncompleteReadError where it died."""
        assert self._process
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


class _SlowPages:
    """Those that took too long, each until it may be tried again."""

    def __init__(self) -> None:
        self._until_s: dict[Hashable, float] = {}

    def add(self, page: Hashable, until_s: float) -> None:
        self._until_s.pop(page, None)
        if len(self._until_s) >= MAX_SLOW:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[page] = until_s

    def has(self, page: Hashable, now_s: float) -> bool:
        return self._until_s.get(page, now_s) > now_s


class TextPool:
    """`async with TextPool() as pool: await pool.extract(…)`. Callers wait in turn for a free worker.

    `page` is whatever tells one page from all others; without it the markup does.
    """

    def __init__(
        self,
        *,
        workers: int = WORKERS,
        timeout_s: float = TIMEOUT_S,
        wait_s: float = WAIT_S,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._all = [_Worker() for _ in range(workers)]
        self._free: asyncio.Queue[_Worker] = asyncio.Queue()
        for each in self._all:
            self._free.put_nowait(each)
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._now_s = now_s
        self._slow = _SlowPages()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in self._all:
            await each.stop()

    async def extract(
        self, wikitext: str, origin: Origin = ANYWHERE, make: Make = TEXT, page: Hashable = None
    ) -> PlainText | None:
        """None where nothing can be had in bounds: too long, too slow, or the worker gave up."""
        if not any(make):
            return None
        if not wikitext:
            return nothing(make)
        if len(wikitext) > MAX_INPUT_CHARS:
            TEXT_FAILURES.labels("too_long").inc()
            return None
        return await self._extract(Asked(wikitext, origin, make), page)

    async def extract_html(self, html: str, make: Make = TEXT, page: Hashable = None) -> PlainText | None:
        """Of Parsoid's, whose length has been bounded (streamer.origin.fetch)."""
        if not any(make):
            return None
        return await self._extract(Asked("", make=make, html=html), page)

    async def _extract(self, asked: Asked, page: Hashable) -> PlainText | None:
        markup = asked.wikitext or asked.html
        key = (hash(markup) if page is None else page, bool(asked.html))
        if self._slow.has(key, self._now_s()):
            TEXT_FAILURES.labels("slow_before").inc()
            return None
        waiting = QUEUE_DEPTH.labels("text_pool")
        waiting.inc()
        try:
            async with asyncio.timeout(self._wait_s):
                each = await self._free.get()
        except TimeoutError:
            TEXT_FAILURES.labels("no_worker").inc()
            return None
        finally:
            waiting.dec()
        kept = begun = False
        try:
            with TEXT_SECONDS.time():
                await each.start()
                begun = True
                frame = _encoder.encode(asked)
                answer: PlainText | None = _decoder.decode(await each.ask(frame, self._timeout_s))
            kept = True
        except TimeoutError:
            if begun:
                self._slow.add(key, self._now_s() + SLOW_FOR_S)
            TEXT_FAILURES.labels("timeout").inc()
            log.warning("text extraction took too long", extra={"chars": len(markup)})
            return None
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError):
            TEXT_FAILURES.labels("worker_died").inc()
            log.warning("text worker died", extra={"chars": len(markup)})
            return None
        finally:
            try:
                if not kept:
                    # also when cancelled between question and answer: the next one would get this answer
                    await each.stop()
            finally:  # cancelled once more: what is stopped is free all the same
                self._free.put_nowait(each)
        if answer is None:
            TEXT_FAILURES.labels("unparsable").inc()
        return answer
