"""A partner of the practice world: reads its feed as fast as it comes or, when told to, hardly at all."""

import asyncio
import contextlib
import socket
import ssl
from types import TracebackType
from typing import Final, Self

RECEIVE_BYTES: Final = 4_096
"""What the kernel takes for a client that does not read; more would hide that for a while."""
FAST_BYTES: Final = 65_536
SIP_S: Final = 1.0
"""Between two reads of a slow one. One that took nothing for a minute would be cut, and is another story."""
AGAIN_S: Final = 0.5
REQUEST: Final = (
    "GET /v2/articles HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
    "Accept: text/event-stream\r\n\r\n"
)


class Partner:
    """Reconnects for ever. `is_slow` is heeded at once."""

    def __init__(self, port: int, key: str, tls: ssl.SSLContext | None) -> None:
        self._port = port
        self._key = key
        self._tls = tls
        self._task: asyncio.Task[None] | None = None
        self.is_slow = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="partner")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
                await self._one_stream()
            await asyncio.sleep(AGAIN_S)

    async def _one_stream(self) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as plain:
            plain.setblocking(False)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            await loop.sock_connect(plain, ("127.0.0.1", self._port))
            reader, writer = await asyncio.open_connection(
                sock=plain,
                limit=RECEIVE_BYTES,
                ssl=self._tls,
                server_hostname="localhost" if self._tls else None,
            )
            try:
                writer.write(REQUEST.format(key=self._key).encode())
                while await reader.read(RECEIVE_BYTES if self.is_slow else FAST_BYTES):
                    if self.is_slow:
                        await asyncio.sleep(SIP_S)
            finally:
                writer.transport.abort()
