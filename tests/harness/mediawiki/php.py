"""PHP's own web server, as many single processes as requests are answered at once.

Each listens on a port that the kernel has chosen and dies with its parent, kill -9 included (a server with
workers of its own would leave these behind). A process does one thing at a time, so one is borrowed for each
request, and what still runs behind an answer (jobs) is over when `idle` returns.
"""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from harness.mediawiki.founding import HERE, compiled, environment

START_S: Final = 20.0
ANSWER_S: Final = 60.0
STARTED: Final = re.compile(rb"Development Server \(http://127\.0\.0\.1:(\d+)\) started")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: CIMultiDict[str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Worker:
    process: asyncio.subprocess.Process
    url: str


class Php:
    def __init__(self, folder: Path, origin: Path, processes: int) -> None:
        self._folder = folder
        self._origin = origin
        self._processes = processes
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._workers: list[Worker] = []
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            log = stack.enter_context((self._folder / "php.log").open("wb"))
            for _ in range(self._processes):
                worker = await self._start(stack, log)
                self._workers.append(worker)
                self._idle.put_nowait(worker)
            self._session = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(force_close=True),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    timeout=aiohttp.ClientTimeout(total=ANSWER_S),
                )
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self._workers]

    async def _start(self, stack: AsyncExitStack, log: IO[bytes]) -> Worker:
        said = log.tell()
        process = await asyncio.create_subprocess_exec(
            "setpriv",
            *("--pdeathsig", "KILL"),
            *compiled(self._origin),
            *("-S", "127.0.0.1:0", str(HERE / "router.php")),
            cwd=self._folder,
            env=environment(self._folder, self._origin),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
        stack.push_async_callback(_end, process)
        async with asyncio.timeout(START_S):
            while True:
                told = (self._folder / "php.log").read_bytes()[said:]
                if match := STARTED.search(told):
                    return Worker(process, f"http://127.0.0.1:{int(match[1])}")
                assert process.returncode is None, told.decode("utf-8", "replace")
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Worker]:
        worker = await self._idle.get()
        try:
            yield worker
        finally:
            self._idle.put_nowait(worker)

    async def ask(
        self,
        server_name: str,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        data: bytes | io.BytesIO | aiohttp.FormData | None = None,
    ) -> Reply:
        """As that wiki; `path` may hold a query. Waits until a process is free."""
        async with asyncio.timeout(ANSWER_S), self._borrowed() as worker:
            request = self._session.request(
                method,
                URL(worker.url + path, encoded=True),
                headers={**(headers or {}), "Host": server_name},
                data=data,
                allow_redirects=False,
            )
            async with request as response:
                return Reply(response.status, CIMultiDict(response.headers), await response.read())

    async def idle(self) -> None:
        """Once nothing runs any more of what was begun before."""
        async with asyncio.timeout(ANSWER_S), AsyncExitStack() as stack:
            workers = [await stack.enter_async_context(self._borrowed()) for _ in self._workers]
            for worker in workers:
                async with self._session.get(f"{worker.url}/proof/idle") as response:
                    assert response.status == 204


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
