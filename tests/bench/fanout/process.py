"""Processes of a benchmark: each on its core, with a deadline for what it has to say, gone at the end."""

import json
import os
import resource
import select
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from tests.harness.service import LEASH

START_S: Final = 60.0
STOP_S: Final = 10.0
DESCRIPTORS: Final = 20_000
"""Twice the connections of the largest row, and some."""


class Failed(Exception):
    """A process of the benchmark did not do its part; the text has its last words."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The servers' and the load's; the same one where the machine has no more."""

    server: int
    load: int

    @classmethod
    def of_this_machine(cls) -> "Cores":
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[1] if len(cores) > 1 else cores[0])


@dataclass(frozen=True, slots=True)
class Child:
    process: subprocess.Popen[str]
    errors: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def children(self) -> tuple[int, ...]:
        """Processes that it has started."""
        return tuple(map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()))

    def line(self, within_s: float = START_S) -> dict[str, Any]:
        """The next object on its standard output. Raises Failed."""
        told: dict[str, Any] = json.loads(self.text_line(within_s))
        return told

    def text_line(self, within_s: float) -> str:
        stdout = self.process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], within_s)[0]:
            raise Failed(f"said nothing within {within_s:.0f} s: {self.last_words()}")
        line = stdout.readline()
        if not line:
            self.process.wait(STOP_S)
            raise Failed(f"ended with {self.process.returncode}: {self.last_words()}")
        return line

    def last_words(self) -> str:
        words = self.errors.read_text(encoding="utf-8", errors="replace").strip()
        return words[-2_000:] or f"{self.process.args} said nothing"


@contextmanager
def started(command: Sequence[str], folder: Path, *, core: int, talks: bool = False) -> Iterator[Child]:
    """`talks`: with a standard input of its own. Its standard error goes into `folder`."""
    errors = folder / f"{Path(command[0]).name}-{os.urandom(4).hex()}.err"
    with errors.open("wb") as file:
        process = _started(command, core, file, talks=talks)
        try:
            yield Child(process, errors)
        finally:
            _stop(process)


def _started(command: Sequence[str], core: int, errors: IO[bytes], *, talks: bool) -> subprocess.Popen[str]:
    """On this core, as all that it starts from then on: it has hardly begun when it is told so."""
    process = subprocess.Popen(
        [*LEASH, *command],
        stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    os.sched_setaffinity(process.pid, {core})
    return process


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def raise_descriptors() -> int:
    """As many as this user may have, up to those that are needed; how many there are now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
