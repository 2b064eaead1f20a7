"""HEALTHCHECK of the image: 0 where the process says that it lives, at the address that its settings name.

Not `/readyz`: what waits for its log or its wiki is not mended by being started anew.
"""

import http.client
import ipaddress
import sys
from typing import Final

from streamer.config import load
from streamer.errors import ConfigError

TIMEOUT_S: Final = 8.0


def main() -> int:
    try:
        settings = load().deliver
        connection = http.client.HTTPConnection(
            reached(settings.admin_host), settings.admin_port, timeout=TIMEOUT_S
        )
        connection.request("GET", "/livez")
        return int(connection.getresponse().status != 200)
    except (ConfigError, OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"livez: {error}\n")
        return 1


def reached(host: str) -> str:
    """Where whatever listens on `host` is reached from inside: "all addresses" is none to connect to."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host or "127.0.0.1"
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


if __name__ == "__main__":
    sys.exit(main())
