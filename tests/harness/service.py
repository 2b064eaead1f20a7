"""The service as its users have it: a process, its configuration, its ports, its signals."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import aiohttp

from streamer.faultpoints import VARIABLE

START_S = 120.0
"""A second where the machine has nothing else to do; a minute and more where it has far too much."""
LEASH = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Whatever ends the tests ends what they have started: a -9 leaves no `async with` time to."""


def free_port() -> int:
    """A port that was free a moment ago, for a service that must come back on the same one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def in_short(error: BaseException) -> Iterator[str]:
    """A line for each failure, also of a group, and for the end of each note that it has."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from in_short(one)
    else:
        first, _, _ = str(error).partition("\n")
        yield f"{type(error).__name__}: {first}"
        yield from (note.rpartition("\n")[2] for note in getattr(error, "__notes__", ()))


def committed(metrics: Mapping[str, float], role: str, scope: str = "") -> dict[str, int]:
    """Outcome → committed count of a role, or of a partner, as metrics tell it."""
    pattern = re.compile(
        rf'streamer_committed_changes_total{{outcome="(\w+)",role="{role}",scope="{scope}"}}'
        rf'|streamer_committed_changes_total{{role="{role}",scope="{scope}",outcome="(\w+)"}}'
    )
    found = ((pattern.fullmatch(name), value) for name, value in metrics.items())
    return {match[1] or match[2]: int(value) for match, value in found if match}


class Service:
    """`streamer COMMAND…` in a folder of its own. Its standard error is kept, line by line."""

    def __init__(
        self,
        folder: Path,
        config: str,
        *command: str,
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "streamer"),
    ) -> None:
        """`environ` is added to the environment of each start, and may be changed between two."""
        self.folder = folder
        self.environ: Mapping[str, str] = {} if environ is None else environ
        self._program = program
        self.config = folder / "streamer.toml"
        self.config.write_text(config, encoding="utf-8")
        self._command = command or ("run",)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._events: dict[str, dict[str, object]] = {}
        self._changed = asyncio.Condition()
        self.lines: list[str] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            await self.kill()
        if error is not None and self.lines:
            # what failed once more: of a long text CI shows the beginning and the end
            words = ["the service's last words:", *self.lines[-40:], "and what failed:", *in_short(error)]
            error.add_note("\n".join(words))

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def start(self) -> None:
        assert not self.running
        self._events.clear()
        environ = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
        with (self.folder / "stdout").open("wb") as stdout:
            self._process = await self._spawn(environ, stdout)
        self._reading = asyncio.create_task(self._read())

    async def _spawn(self, environ: Mapping[str, str], stdout: IO[bytes]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *LEASH,
            sys.executable,
            *self._program,
            "--config",
            str(self.config),
            *self._command,
            cwd=self.folder,
            env={**environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **self.environ},
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
        )

    async def _read(self) -> None:
        assert self._process
        assert self._process.stderr
        async for raw in self._process.stderr:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.lines.append(line)
            entry = json.loads(line) if line.startswith("{") else {}
            async with self._changed:
                if "event" in entry:
                    self._events[entry["event"]] = entry
                self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()

    @property
    def told(self) -> Mapping[str, Mapping[str, object]]:
        """The newest log event of each name since the start."""
        return self._events

    async def event(self, name: str, timeout_s: float = START_S) -> Mapping[str, object]:
        """The newest log event of this name since the start; waits for it."""

        def there() -> bool:
            return name in self._events or not self.running

        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(there)
        assert name in self._events, f"ended without {name!r}:\n" + "\n".join(self.lines[-30:])
        return self._events[name]

    async def port(self) -> int:
        return int(str((await self.event("listening"))["port"]))

    async def admin_port(self) -> int:
        return int(str((await self.event("admin listening"))["port"]))

    async def wait(self, timeout_s: float = START_S) -> int:
        """The exit code. A failure tells what would have ended it."""
        assert self._process
        assert self._reading
        try:
            async with asyncio.timeout(timeout_s):
                code = await self._process.wait()
                await self._reading
        except TimeoutError:
            plans = self.environ.get(VARIABLE, "")
            why = f", nor come to {plans}" if plans else ""
            raise AssertionError(f"did not end within {timeout_s} s{why}") from None
        return code

    def signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    async def kill(self) -> None:
        """-9, with every process it has started (they end by themselves when it is gone)."""
        if self.running:
            self.signal(signal.SIGKILL)
        await self.wait()

    async def terminate(self) -> int:
        self.signal(signal.SIGTERM)
        return await self.wait()

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text(encoding="utf-8")

    async def printed(self, pattern: str, timeout_s: float = START_S) -> str:
        """The first match on standard output; waits for it."""
        async with asyncio.timeout(timeout_s):
            while not (match := re.search(pattern, self.stdout)):
                assert self.running, self.lines[-10:]
                await asyncio.sleep(0.02)
        return match[0]

    # ── what it says of itself ───────────────────────────────────────────────────────────────

    async def metrics(self) -> dict[str, float]:
        """Sample name with its labels, as exposed, → value."""
        url = f"http://127.0.0.1:{await self.admin_port()}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            text = await response.text()
        return {
            match[1]: float(match[2])
            for match in re.finditer(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
        }

    async def admin(self, route: str, timeout_s: float = 30.0) -> tuple[int, str]:
        """Status and body of a route of the admin port."""
        url = f"http://127.0.0.1:{await self.admin_port()}/{route}"
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status, await response.text()

    async def ready(self) -> tuple[bool, dict[str, str]]:
        """What `/readyz` says, and of which component."""
        status, body = await self.admin("readyz")
        told = json.loads(body)
        assert told["ready"] == (status == 200)
        return told["ready"], told["components"]

    async def until_ready(self, component: str = "", said: str = "", timeout_s: float = START_S) -> float:
        """Waits until all is ready, or until the component says why it isn't; the seconds it took."""
        began_s = time.monotonic()
        components: dict[str, str] = {}
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    ready, components = await self.ready()
                    if said in components.get(component, "") if component else ready:
                        return time.monotonic() - began_s
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(
                "\n".join([f"not within {timeout_s} s", str(components), *self.lines[-20:]])
            ) from None

    async def committed(self, role: str, scope: str = "") -> dict[str, int]:
        """Outcome → committed count of a role, or of a partner."""
        return committed(await self.metrics(), role, scope)

    async def until(self, holds: Callable[[dict[str, float]], bool], timeout_s: float = 120.0) -> None:
        """Waits for the metrics to say so; a failure tells what they said instead."""
        seen: dict[str, float] = {}
        try:
            async with asyncio.timeout(timeout_s):
                while not holds(seen := await self.metrics()):
                    await asyncio.sleep(0.2)  # what is told costs the service some milliseconds each time
        except TimeoutError:
            told = {name: value for name, value in seen.items() if value and "bucket" not in name}
            raise AssertionError(
                "\n".join([f"not within {timeout_s} s", *map(str, told.items()), *self.lines[-20:]])
            ) from None
