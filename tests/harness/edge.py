"""deploy/nginx as it stands, in front of servers of a test: only ports, files and the folder are others."""

import asyncio
import re
import shutil
import signal
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from harness.certificates import Pair, self_signed
from harness.service import LEASH, free_port

CONF: Final = Path(__file__).resolve().parents[2] / "deploy" / "nginx"
NGINX: Final = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
PATIENCE_S: Final = 60.0
WORKERS: Final = 2
"""So that what is true of one worker alone is found out."""
CONNECTIONS: Final = 512


@dataclass
class Edge:
    folder: Path
    port: int
    pair: Pair
    process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def trusting(self) -> ssl.SSLContext:
        return self.pair.trusting()

    def curl(self, *more: str) -> list[str]:
        return ["curl", "-sN", "--cacert", str(self.pair.certificate), *more]

    def log(self) -> str:
        """What went to both logs."""
        return (self.folder / "access.log").read_text() + (self.folder / "error.log").read_text()

    def accepting(self) -> set[int]:
        """Workers that are not on their way out."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = set()
        for pid in children:
            with suppress(OSError):  # it has gone
                if b"shutting down" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(int(pid))
        return found

    async def reload(self, ports: Iterable[int]) -> None:
        """Other upstreams; returns once workers of the new configuration are there, and no others accept."""
        before = self.accepting()
        _lay(self.folder, self.port, ports)
        self.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_S):
            while len(now := self.accepting()) < WORKERS or now & before:
                await asyncio.sleep(0.01)


def _changed(text: str, *changes: tuple[str, str]) -> str:
    """Each must find what it changes: else the test looks at something else than what is shipped."""
    for pattern, into in changes:
        text, count = re.subn(pattern, lambda _, into=into: into, text)
        assert count, pattern
    return text


def _lay(folder: Path, port: int, ports: Iterable[int], connections: int = CONNECTIONS) -> None:
    main = _changed(
        (CONF / "nginx.conf").read_text(),
        ("worker_processes 2;", f"daemon off;\nworker_processes {WORKERS};"),
        ("worker_rlimit_nofile 65536;", ""),
        ("worker_connections 32768;", f"worker_connections {connections};"),
        ("/tmp/", f"{folder}/"),
        ("error_log stderr crit", f"error_log {folder}/error.log crit"),
    )
    servers = "\n".join(f"  server 127.0.0.1:{one} max_fails=0;" for one in ports)
    upstream = _changed(
        (CONF / "upstream" / "deliver.conf").read_text(),
        (r"  server 127\.0\.0\.1:8080 max_fails=0;", servers),
    )
    edge = _changed(
        (CONF / "edge.conf").read_text(),
        ("listen 8443 ", f"listen 127.0.0.1:{port} "),
        ("/dev/stdout", f"{folder}/access.log"),
        ("error_log stderr emerg", f"error_log {folder}/error.log emerg"),
        ("/run/certificates/fullchain.pem", f"{folder}/edge.pem"),
        ("/run/certificates/privkey.pem", f"{folder}/edge-key.pem"),
    )
    shutil.copy(CONF / "problem.conf", folder)
    (folder / "upstream").mkdir(exist_ok=True)
    for name, text in (("nginx.conf", main), ("upstream/deliver.conf", upstream), ("edge.conf", edge)):
        (folder / name).write_text(text)


@asynccontextmanager
async def edge(folder: Path, *ports: int, connections: int = CONNECTIONS) -> AsyncIterator[Edge]:
    """Listening, with so many connections in a worker. Skips where there is no nginx."""
    if NGINX is None:
        pytest.skip("no nginx: apt-get install nginx")
    folder = folder / "edge"
    folder.mkdir()
    pair = self_signed(folder, "edge")
    port = free_port()
    _lay(folder, port, ports, connections)
    process = await asyncio.create_subprocess_exec(
        *LEASH, NGINX, "-p", str(folder), "-c", "nginx.conf", "-e", str(folder / "error.log"),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await _listening(process, port)
        yield Edge(folder, port, pair, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if process.returncode is not None:
                    assert process.stderr
                    raise AssertionError((await process.stderr.read()).decode()) from None
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
