"""A process of the practice world: its log in a file, and gone when we are."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

START_S: Final = 120.0
"""A second where the machine has nothing else to do."""
STOP_S: Final = 20.0
POLL_S: Final = 0.05
LEASH: Final = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
ROOT: Final = Path(__file__).resolve().parents[2]


class Failed(Exception):
    """A process did not start, or ended by itself; the message says where its log is."""


def free_port() -> int:
    """One that was free a moment ago: what is started again must come back on the same."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """`command` from `start` on; `log` is what it says on standard error."""

    def __init__(
        self, name: str, folder: Path, command: Sequence[str], environ: Mapping[str, str] | None = None
    ) -> None:
        self.log = folder / f"{name}.log"
        self._name = name
        self._folder = folder
        self._command = command
        self._environ = environ or {}
        self._process: Process | None = None
        self._from = 0

    @classmethod
    def streamer(cls, name: str, folder: Path, *arguments: str) -> Self:
        """A command of the service, with the settings of this folder alone."""
        environ = {key: value for key, value in os.environ.items() if not key.startswith("STREAMER_")}
        return cls(
            name,
            folder,
            (sys.executable, "-m", "streamer", "--config", str(folder / "streamer.toml"), *arguments),
            {**environ, "PYTHONPATH": str(ROOT)},
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        if self.is_running:
            return
        with self.log.open("ab") as out:
            self._from = out.tell()
            self._process = await asyncio.create_subprocess_exec(
                *LEASH,
                *self._command,
                cwd=self._folder,
                env={**os.environ, **self._environ} if self._environ else None,
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for us: we end them in order
            )

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for what does not heed it."""
        self.signal(signal.SIGTERM)
        if self._process is not None:
            try:
                async with asyncio.timeout(STOP_S):
                    await self._process.wait()
            except TimeoutError:
                await self.kill()

    def said(self) -> str:
        """Since its last start."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode("utf-8", "replace")

    async def told(self, event: str) -> Mapping[str, object]:
        """The first log line of this event since the start. Raises Failed."""
        try:
            async with asyncio.timeout(START_S):
                while True:
                    for line in self.said().splitlines():
                        if line.startswith("{") and line.endswith("}"):
                            entry: dict[str, object] = json.loads(line)
                            if entry.get("event") == event:
                                return entry
                    self._must_run()
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise Failed(f"{self._name} did not say {event!r} in time: see {self.log}") from None

    def _must_run(self) -> None:
        if not self.is_running:
            last = self.said().strip().splitlines()[-3:]
            raise Failed("\n".join([f"{self._name} ended by itself:", *last]))
