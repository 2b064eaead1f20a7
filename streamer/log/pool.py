"""Threads that read the file, each by a connection of its own."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from streamer.errors import LogUnavailable
from streamer.log.local_file import connect, errors

THREADS: Final = 3
"""Reads wait for the disk and for decompression, both without the interpreter's lock."""

T = TypeVar("T")


class ReadPool:
    """Some threads, each with a connection of its own that only reads."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._threads = ThreadPoolExecutor(THREADS, "log-reader")
        self._mine = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in a thread. A transaction that stays open makes the WAL grow: keep it short."""
        return await self.submit(work)

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """The same for who does not wait here."""
        return self._start(lambda: self._call(work))

    async def run(self, work: Callable[[], T]) -> T:
        """The same threads for what is pure work."""
        return await self._start(work)

    def _start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        if self._closed:
            raise LogUnavailable(f"{self.path}: the log is closed")
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = connect(self.path, writing=False)
            self._connections.append(connection)
        with errors(self.path):
            return work(connection)

    async def close(self) -> None:
        self._closed = True
        await asyncio.shield(asyncio.to_thread(self._threads.shutdown))
        for connection in self._connections:
            connection.close()
