"""A hop before the service that cuts its connections at any byte: how lines really break."""

import asyncio
import socket
import struct
from collections import deque
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 65_536
NO_LINGER: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class _Cut:
    left: int
    """Bytes."""
    abort: bool


class Hop:
    """Listens on `port` and passes everything to the port `target` and back, another one after a restart.
    `cuts` counts those that happened, `answered` the connections on which at least a byte came back.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._waiting: deque[_Cut] = deque()
        self._open: set[asyncio.StreamWriter] = set()
        self._stack = AsyncExitStack()
        self.port = 0
        self.cuts = 0
        self.answered = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(self.close)
            server = await asyncio.start_server(
                lambda reader, writer: group.create_task(self._serve(reader, writer)), "127.0.0.1", 0
            )
            stack.callback(server.close)
            self.port = server.sockets[0].getsockname()[1]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def cut_after(self, size: int, *, abort: bool) -> None:
        """The answer that passes now, or the next one, ends after so many more bytes: as if it were
        complete, or by a reset. Cuts that still wait happen before, as soon as somebody is connected.
        """
        self.hasten()
        self._waiting.append(_Cut(size, abort))

    def hasten(self) -> None:
        """What waits happens at once; if nobody is connected, as soon as somebody is."""
        for cut in self._waiting:
            cut.left = 0
        for writer in list(self._open):
            self._cut(writer)

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                theirs, ours = await asyncio.open_connection("127.0.0.1", self.target)
                self._open.add(writer)
                try:
                    async with asyncio.TaskGroup() as group:
                        asking = group.create_task(_pass(reader, ours))
                        await self._answer(theirs, writer)
                        asking.cancel()
                finally:
                    self._open.discard(writer)
                    ours.transport.abort()
        finally:
            writer.close()

    async def _answer(self, theirs: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chunk = await _read(theirs)
        self.answered += bool(chunk)
        while chunk and not writer.is_closing():
            if self._waiting:
                cut = self._waiting[0]
                writer.write(chunk[: cut.left])
                cut.left = max(0, cut.left - len(chunk))
            else:
                writer.write(chunk)
            with suppress(OSError):
                await writer.drain()
            self._cut(writer)
            chunk = await _read(theirs)

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        """Where a cut has come to its byte."""
        if not self._waiting or self._waiting[0].left or writer.is_closing():
            return
        self.cuts += 1
        if self._waiting.popleft().abort:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            writer.transport.abort()
        else:
            writer.close()

    def close(self) -> None:
        """All that is connected is reset."""
        for writer in list(self._open):
            writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What the client says; when it goes, the service must see it go."""
    while chunk := await _read(reader):
        writer.write(chunk)
        with suppress(OSError):
            await writer.drain()
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(CHUNK_BYTES)
    except OSError:
        return b""
