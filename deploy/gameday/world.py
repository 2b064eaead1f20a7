"""What is broken: a sandbox wiki, the service on it, a partner, a canary, and Prometheus where it is there.

It starts in this order and ends in the other one.
"""

import asyncio
import hashlib
import random
import resource
import secrets
import shutil
import signal
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from deploy.gameday.partner import Partner
from deploy.gameday.process import Running, free_port
from deploy.gameday.prometheus import Prometheus, is_there
from streamer.sandbox.server import Sandbox, SandboxOptions

PARTNER: Final = "practice"
WIKI: Final = "ensandbox"
EDITS_PER_S: Final = 4.0
GOOD_DAYS: Final = 90
SOON_DAYS: Final = 1
NOTHING: Final = (0, resource.RLIM_INFINITY)
UNBOUND: Final = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
CANARY_TIMING: Final = ("--limit", "5", "--deadline", "15", "--interval", "1")
METRICS_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


@dataclass(slots=True)
class World:
    """`seed` of the wiki. `factor`: how many times as fast the rules are."""

    folder: Path
    seed: int
    factor: float
    sandbox: Sandbox = field(init=False)
    service: Running = field(init=False)
    canary: Running = field(init=False)
    partner: Partner = field(init=False)
    prometheus: Prometheus | None = None
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    canary_port: int = field(default_factory=free_port)
    key: str = field(default_factory=lambda: f"wrs_{secrets.token_urlsafe(32)}", repr=False)
    has_tls: bool = field(default_factory=lambda: shutil.which("openssl") is not None)
    _session: aiohttp.ClientSession | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.sandbox = await stack.enter_async_context(
                Sandbox(SandboxOptions(seed=self.seed, edits_per_s=EDITS_PER_S))
            )
            await self._furnish()
            self.service = await stack.enter_async_context(Running.streamer("service", self.folder, "run"))
            await self.service.told("listening")
            await self.service.told("connected to the stream")
            self.canary = await stack.enter_async_context(self._the_canary())
            self.partner = await stack.enter_async_context(
                Partner(self.port, self.key, self._trusting() if self.has_tls else None)
            )
            self._session = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=METRICS_S))
            )
            if is_there():
                targets = {"streamer": [self.admin_address], "canary": [f"127.0.0.1:{self.canary_port}"]}
                self.prometheus = await stack.enter_async_context(
                    Prometheus(self.folder, targets, factor=self.factor)
                )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    # ── what there is ──────────────────────────────────────────────────────────────────────────

    @property
    def feed(self) -> str:
        return f"{'https' if self.has_tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def admin_address(self) -> str:
        return f"127.0.0.1:{self.admin_port}"

    @property
    def partners(self) -> Path:
        return self.folder / "partners.toml"

    @property
    def settings(self) -> Path:
        return self.folder / "streamer.toml"

    def _trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "good.pem"))

    async def _furnish(self) -> None:
        if self.has_tls:
            await self._certificate("good", GOOD_DAYS)
            self.put_certificate("good")
        tls = f'certificate = "{self.folder}/feed.pem"\nprivate_key = "{self.folder}/feed-key.pem"'
        self.settings.write_text(
            f"""
[source]
url = "{self.sandbox.stream_url}"
[mediawiki]
endpoint = "{self.sandbox.endpoint}"
hosts = ["*.sandbox.example"]
requests_per_minute = 1200
timeout_s = 2.0
[log]
path = "{self.folder}/streamer.db"
[deliver]
port = {self.port}
admin_port = {self.admin_port}
heartbeat_s = 2
retained_mb = 64
{tls if self.has_tls else ""}
[partners]
file = "{self.partners}"
""",
            "utf-8",
        )
        digest = hashlib.sha256(self.key.encode()).hexdigest()
        self.partners.write_text(
            f'[{PARTNER}]\nkeys = ["sha256:{digest}"]\ncontent = ["wikitext"]\n', "utf-8"
        )

    def _the_canary(self) -> Running:
        assert self.sandbox.world is not None
        key = self.folder / "canary.key"
        key.write_text(self.key, "utf-8")
        arguments = [
            "canary",
            "--feed",
            self.feed,
            "--key-file",
            str(key),
            "--wiki",
            WIKI,
            "--page",
            "Canary",
        ]
        arguments += ["--edit", f"{self.sandbox.endpoint}/w/api.php"]
        arguments += ["--server", self.sandbox.world.wikis[WIKI].site.server_name]
        arguments += ["--port", str(self.canary_port), *CANARY_TIMING]
        if self.has_tls:
            arguments += ["--ca-file", str(self.folder / "good.pem")]
        return Running.streamer("canary", self.folder, *arguments)

    # ── what is asked ──────────────────────────────────────────────────────────────────────────

    async def samples(self) -> list[Sample]:
        """Of the service, as it exports them; none where it does not answer."""
        assert self._session is not None
        try:
            async with self._session.get(f"http://{self.admin_address}/metrics") as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return []
        return list(_samples(text))

    # ── what is done to it ─────────────────────────────────────────────────────────────────────

    def refuse_writes(self) -> None:
        """The kernel lets the service write no file any more, as on a full disk."""
        resource.prlimit(self.service.pid, resource.RLIMIT_FSIZE, NOTHING)

    def allow_writes(self) -> None:
        if self.service.is_running:
            resource.prlimit(self.service.pid, resource.RLIMIT_FSIZE, UNBOUND)

    async def cut(self) -> None:
        """The connections that the stream has now."""
        assert self._session is not None
        async with self._session.post(f"{self.sandbox.endpoint}/sandbox/cut") as answer:
            answer.raise_for_status()

    def reload(self) -> None:
        self.service.signal(signal.SIGHUP)

    async def soon_over(self) -> None:
        """A certificate that ends within a day."""
        await self._certificate("soon", SOON_DAYS)
        self.put_certificate("soon")

    def put_certificate(self, name: str) -> None:
        for kind in ("", "-key"):
            shutil.copyfile(self.folder / f"{name}{kind}.pem", self.folder / f"feed{kind}.pem")

    async def _certificate(self, name: str, days: int) -> None:
        """Self-signed, of this machine's loopback."""
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-nodes", "-keyout", str(self.folder / f"{name}-key.pem")]
        command += ["-out", str(self.folder / f"{name}.pem"), "-days", str(days), "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        if await process.wait():
            raise RuntimeError("openssl makes no certificate")

    async def write_much(self, rng: random.Random, pages: int, size_bytes: int) -> None:
        """Large edits, more than a client that does not read can be sent."""
        assert self._session is not None
        for number in range(pages):
            words = f"{rng.getrandbits(64):016x} "
            edit = {"wiki": WIKI, "title": f"Large {number}", "text": words * (size_bytes // len(words))}
            async with self._session.post(f"{self.sandbox.endpoint}/sandbox/edit", json=edit) as answer:
                answer.raise_for_status()


def _samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield Sample(sample.name, dict(sample.labels), sample.value)
