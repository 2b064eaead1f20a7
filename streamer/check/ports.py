"""Whether the ports can be had. One that is in use is no problem where the service itself has it."""

import errno
import socket
from pathlib import Path

from streamer.check.finding import Finding, ok, problem
from streamer.config import Settings
from streamer.log.local_inspect import holders


def is_taken(host: str, port: int) -> bool:
    """Raises OSError where the address is none of this machine's, or the port is not ours to have."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def ports_of(settings: Settings) -> list[Finding]:
    deliver = settings.deliver
    running = settings.log.kind == "local" and bool(holders(Path(settings.log.path)))
    return [
        _port("deliver.port", deliver.host, deliver.port, running=running),
        _port("deliver.admin_port", deliver.admin_host, deliver.admin_port, running=running),
    ]


def _port(name: str, host: str, port: int, *, running: bool) -> Finding:
    where = f"{name}: {port} on {host}"
    try:
        taken = is_taken(host, port)
    except OSError as error:
        return problem(f"{where} cannot be had ({error.strerror}): choose another")
    if not taken:
        return ok(f"{where} is free" if port else f"{name}: any free one")
    if running:
        return ok(f"{where} is in use, and the service runs on this log")
    return problem(f"{where} is in use: stop what holds it or choose another, 0 for any free one")
