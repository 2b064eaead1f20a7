"""Which servers may be contacted at all. A change names its own server: untrusted input.

Two walls: the name must be a plain DNS name on the allow-list, and what it resolves to must be a
public address, so that neither a forged event nor a forged name server reaches loopback, the cloud's
metadata service or the operator's network.
"""

import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from streamer.errors import HostNotAllowed

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.[a-z][a-z0-9-]*[a-z0-9]", re.ASCII)
"""Plain lower-case ASCII with a top-level domain that is no number: no address in any notation, no
port, no user, no path, no trailing dot, no Unicode look-alike."""
_NAME_MOST = 253


class Allowed:
    """`patterns`: names, and `*.suffix` for every name below that suffix (not the suffix itself)."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._names: Final = frozenset(p.lower() for p in patterns if not p.startswith("*."))
        self._suffixes: Final = tuple(p[1:].lower() for p in patterns if p.startswith("*."))

    def check(self, server_name: str) -> None:
        """Raises HostNotAllowed. No look-up is made."""
        if len(server_name) > _NAME_MOST or not _NAME.fullmatch(server_name):
            raise HostNotAllowed(f"not a plain host name: {server_name[:_NAME_MOST]!a}")
        if server_name not in self._names and not server_name.endswith(self._suffixes):
            raise HostNotAllowed(f"not in mediawiki.hosts: {server_name}")


class PrivateAddress(OSError):
    """A name on the allow-list resolves to nothing but addresses inside."""


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet; also where it is wrapped into IPv6."""
    ip = ip_address(address.split("%", 1)[0])
    if ip.version == 6:
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if inner:
            ip = inner
    return ip.is_global and not ip.is_multicast


class PublicResolver(AbstractResolver):
    """Hands the connector public addresses only, and the connector connects to what it was handed: no
    second look-up in between.
    """

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver: Final = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [entry for entry in found if is_public(entry["host"])]
        if not public:
            raise PrivateAddress(f"{host} resolves to no public address")
        return public

    async def close(self) -> None:
        await self._resolver.close()
