"""What the kernel may hold for one client, and for how long; and the ends of a socket."""

import asyncio
import os
import socket
import struct
from typing import Final

SEND_BUFFER_BYTES: Final = 262_144
"""Without a cap the kernel lets a slow client's buffer grow to megabytes."""
USER_TIMEOUT_MS: Final = 60_000
"""A client that acknowledges nothing for so long is gone, whatever the write deadline says."""


WRITE_BUFFER_BYTES: Final = 65_536
"""What waits for the kernel in this process: the loops' default, which for TLS is eight times that."""
ABORTS: Final = struct.pack("ii", 1, 0)
"""A linger of no time: an RST instead of a FIN."""


def bound_buffers(transport: asyncio.WriteTransport) -> None:
    transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT") and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


def reset(transport: asyncio.Transport) -> None:
    """An RST, not a FIN: who was cut inside a frame must see an error, over HTTP/1.0 too."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTS)
    transport.abort()


def detached(transport: asyncio.Transport) -> int:
    """A descriptor of this transport's socket that outlives it; the transport is ended, which the client does
    not see. For one whose write buffer is empty.
    """
    sock = transport.get_extra_info("socket")
    fd = os.dup(sock.fileno())
    transport.abort()
    return fd


def shut_down(fd: int) -> bool:
    """Our side of it; False where the client has left."""
    sock = socket.socket(fileno=fd)
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return False
    finally:
        sock.detach()
    return True


def close_socket(fd: int, *, resets: bool = False) -> None:
    with socket.socket(fileno=fd) as sock:
        if resets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTS)
