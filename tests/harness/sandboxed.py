"""The service on the invented wiki: what every end-to-end test of bad input begins with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from recording_setup import write_partners

from harness.service import Service
from streamer.sandbox.server import Sandbox, SandboxOptions


def live_config(sandbox: Sandbox) -> str:
    return f"""
[source]
url = "{sandbox.stream_url}"
[mediawiki]
endpoint = "{sandbox.endpoint}"
hosts = ["*.sandbox.example"]
requests_per_minute = 6000
timeout_s = 1.0
[log]
path = "streamer.db"
[deliver]
port = 0
admin_port = 0
heartbeat_s = 1
"""


@asynccontextmanager
async def on_sandbox(folder: Path, *, edits_per_s: float = 0.0) -> AsyncIterator[tuple[Sandbox, Service]]:
    """Both, the stream connected. With no edits a second only the test edits."""
    write_partners(folder / "partners.toml")
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=edits_per_s)) as sandbox,
        Service(folder, live_config(sandbox)) as service,
    ):
        await service.event("connected to the stream")
        yield sandbox, service
