"""What a fault does to a request, of the API or of the stream, before it is answered."""

import asyncio
import socket
import struct
from typing import Final

from aiohttp import web

from streamer.sandbox.faults import Fault

SILENCE_S: Final = 3_600
NO_LINGER: Final = struct.pack("ii", 1, 0)


async def spoil(request: web.Request, fault: Fault) -> web.Response | None:
    """None where the request goes on after the fault."""
    match fault.kind:
        case "latency":
            await asyncio.sleep(fault.seconds)
        case "silent":
            await asyncio.sleep(SILENCE_S)
        case "reset":
            reset(request)
            return web.Response()
        case "redirect":
            return web.Response(status=302, headers={"Location": fault.location})
        case "status":
            return refusal(fault.status, fault)
        case _:
            pass
    return None


def refusal(status: int, fault: Fault) -> web.Response:
    return web.Response(status=status, headers=retry_after(fault), text="<html>Our servers…</html>")


def retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}


def reset(request: web.Request) -> None:
    """RST instead of FIN: nothing that was sent last is sure to arrive."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
