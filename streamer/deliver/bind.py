"""Where the feed listens: on loopback, or anywhere where keys don't travel in the clear."""

import asyncio
import errno
import ipaddress
import socket
from typing import Final

from aiohttp import web

from streamer.config import DeliverSettings
from streamer.deliver.tls import Tls
from streamer.errors import ConfigError, PortInUse

BACKLOG: Final = 1024
HANDSHAKE_S: Final = 10.0
"""As long as for a request's head: who connects and says nothing must not hold a socket for a minute."""
FAREWELL_S: Final = 5.0
"""For the client's `close_notify`, after ours."""


def refuse_open_bind(settings: DeliverSettings) -> None:
    """Keys travel in headers: off this machine only by TLS, here or in front."""
    if settings.behind_tls or settings.certificate or _is_loopback(settings.host):
        return
    raise ConfigError(
        "deliver.host",
        f"{settings.host or 'all addresses'} is not loopback, and keys would travel in the clear: "
        "set deliver.certificate and deliver.private_key, or put a TLS proxy in front and set "
        "deliver.behind_tls = true, or use 127.0.0.1",
    )


def _is_loopback(host: str) -> bool:
    """Of names only `localhost` may be, and only where the system agrees: any other may mean another address
    tomorrow.
    """
    addresses = [host]
    if host == "localhost":
        try:
            addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, None)]
        except OSError:
            return False
    try:
        return all(ipaddress.ip_address(address).is_loopback for address in addresses)
    except ValueError:
        return False


async def bound(server: web.Server, settings: DeliverSettings, tls: Tls | None) -> asyncio.Server:
    """Listening. Raises ConfigError and PortInUse."""
    try:
        return await asyncio.get_running_loop().create_server(
            server,
            settings.host,
            settings.port,
            ssl=None if tls is None else tls.context,
            backlog=BACKLOG,
            reuse_port=settings.reuse_port or None,
            ssl_handshake_timeout=None if tls is None else HANDSHAKE_S,
            ssl_shutdown_timeout=None if tls is None else FAREWELL_S,
        )
    except OSError as error:
        raise _unbindable(settings, error) from None


def _unbindable(settings: DeliverSettings, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            "deliver.port",
            f"{settings.port} on {settings.host} is in use; stop what holds it, choose another port (0: any "
            "free one), or set deliver.reuse_port = true in all processes that are to share it",
        )
    reason = error.strerror or type(error).__name__
    return ConfigError("deliver.host", f"cannot listen on {settings.host}:{settings.port}: {reason}")
