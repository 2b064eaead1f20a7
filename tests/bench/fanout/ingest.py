"""How events reach ours and the naive server: a TCP connection of records, each behind its length.

A length is four bytes, big-endian. Whatever has come whole in one piece is handed on in one go, as a log
would hand on what a commit holds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

PIECE_BYTES: Final = 1 << 20
LENGTH_BYTES: Final = 4

Take = Callable[[list[bytes]], Awaitable[None]]


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


async def listen(take: Take) -> asyncio.Server:
    """On any free port of 127.0.0.1."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        try:
            while piece := await reader.read(PIECE_BYTES):
                buffer += piece
                if records := split(buffer):
                    await take(records)
        except ConnectionError:  # the load is done, and left without a word
            pass
        finally:
            writer.transport.abort()

    return await asyncio.start_server(serve, "127.0.0.1", 0, limit=PIECE_BYTES)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
