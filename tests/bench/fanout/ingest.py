"""How events reach ours and the naive server: a TCP connection of records, each behind its length.

A length is four bytes, big-endian. Whatever has come whole in one piece is handed on in one go, as a log
would hand on what a commit holds.
"""

import asyncio
from collections.abc import Callable
from typing import Final

LENGTH_BYTES: Final = 4

Take = Callable[[list[bytes]], None]


def split(buffer: bytearray) -> list[bytes]:
    """The whole records at the beginning of `buffer`, which loses them."""
    found: list[bytes] = []
    at = 0
    while at + LENGTH_BYTES <= len(buffer):
        end = at + LENGTH_BYTES + int.from_bytes(buffer[at : at + LENGTH_BYTES], "big")
        if end > len(buffer):
            break
        found.append(bytes(buffer[at + LENGTH_BYTES : end]))
        at = end
    del buffer[:at]
    return found


class Ingest(asyncio.Protocol):
    """A protocol, for streams would be a task's turn more, which is charged to the server."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if records := split(self._buffer):
            self._take(records)


async def listen(take: Take) -> asyncio.Server:
    """On any free port of 127.0.0.1."""
    return await asyncio.get_running_loop().create_server(lambda: Ingest(take), "127.0.0.1", 0)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
