"""Where the feed may listen: keys never travel in the clear."""

import socket

import pytest

from streamer.config import DeliverSettings
from streamer.deliver.bind import refuse_open_bind
from streamer.errors import ConfigError

LOOPBACK = ["127.0.0.1", "127.8.9.10", "::1", "localhost"]
OPEN = [
    "0.0.0.0",
    "::",
    "",
    "*",
    "192.0.2.1",
    "2001:db8::1",
    "::ffff:192.0.2.1",
    "example.org",
    "127.1",
    "0",
    "lo",
]
OPEN += ["localhost.example.org", "fe80::1", "LOCALHOST", " 127.0.0.1"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_needs_no_tls(host: str) -> None:
    """What never leaves this machine."""
    refuse_open_bind(DeliverSettings(host=host))


@pytest.mark.parametrize("host", OPEN)
def test_anything_else_needs_it(host: str) -> None:
    """Every other address, all of them at once, a name that could mean anything: in front or here."""
    with pytest.raises(ConfigError, match="would travel in the clear") as caught:
        refuse_open_bind(DeliverSettings(host=host))
    assert caught.value.where == "deliver.host"
    refuse_open_bind(DeliverSettings(host=host, behind_tls=True))
    refuse_open_bind(DeliverSettings(host=host, certificate="c.pem", private_key="k.pem"))


@pytest.mark.parametrize("addresses", [["192.0.2.1"], ["127.0.0.1", "2001:db8::1"], []])
def test_localhost_is_what_the_system_says(addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A hosts file can make it another machine's, or an address that others reach."""

    def resolved(*_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        if not addresses:
            raise socket.gaierror("unknown")
        return [(0, 0, 0, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with pytest.raises(ConfigError):
        refuse_open_bind(DeliverSettings(host="localhost"))
