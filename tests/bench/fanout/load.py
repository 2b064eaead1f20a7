"""The load client, written in C: compiled here, called here, its output read here.

A figure in Python would be one of the client: load.c reads a thousand streams with a tenth of the work.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

import msgspec

from tests.bench.fanout.process import Child, Failed, started
from tests.bench.fanout.servers import Server

SOURCES: Final = Path(__file__).resolve().parent
SLACK_S: Final = 30.0
BUSY: Final = 0.9
"""A client with more to do than this may be what is measured: such a repetition does not count."""


def compiler_missing() -> str:
    """What to do about it; "": there is one."""
    return "" if _compiler() else "no C compiler for the load client: apt-get install gcc libc6-dev"


def _compiler() -> str | None:
    return which("cc") or which("gcc")


def compiled(build: Path) -> Path:
    """The program, made anew where its sources are newer. Raises Failed."""
    compiler = _compiler()
    if compiler is None:
        raise Failed(compiler_missing())
    program = build / "fanout-load"
    newest_s = max(path.stat().st_mtime for path in SOURCES.glob("*.[ch]"))
    if program.exists() and program.stat().st_mtime > newest_s:
        return program
    build.mkdir(parents=True, exist_ok=True)
    command = [
        compiler,
        "-O2",
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-o",
        str(program),
        str(SOURCES / "load.c"),
        "-lm",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"the load client does not compile: {done.stderr}")
    return program


@dataclass(frozen=True, slots=True)
class Load:
    """What a run is. Closed loop: `burst` events at once, the next ones when all clients have these. With a
    `rate`, so many a second, whatever has arrived.
    """

    clients: int
    events: int = 0
    warmup: int = 0
    burst: int = 1
    rate: float = 0.0
    stalled: int = 0
    """Clients beside these that ask and never read."""
    gzip: bool = False
    keep: Path | None = None
    """Gets the body of the first stream, as it came."""
    first: int = 0
    """The number of the first event."""
    replay: str = ""
    """A target that replays the events before `first` to one client more; live ones end when it has them."""
    timeout_s: float = 120.0

    def arguments(self, server: Server, records: Path) -> list[str]:
        found = {
            "port": server.port,
            "target": server.target,
            "clients": self.clients,
            "publish-port": server.publish_port,
            "post": server.post,
            "records": records,
            "events": self.events,
            "warmup": self.warmup,
            "burst": self.burst,
            "rate": self.rate,
            "lanes": server.lanes,
            "first": self.first,
            "stalled": self.stalled,
            "replay": self.replay,
            "keep": self.keep or "",
            "timeout": self.timeout_s,
        }
        arguments = [f"--{name}={value}" for name, value in found.items() if value not in ("", 0)]
        arguments += [f"--header={header}" for header in server.headers]
        arguments += [f"--pid={pid}" for pid in server.pids]
        return arguments + ["--gzip"] * self.gzip


class Result(msgspec.Struct, frozen=True):
    """What load.c prints. `deliveries`, CPU and times are of the events that count, without the warm-up."""

    clients: int
    events: int
    deliveries: int
    wall_s: float
    server_cpu_s: float
    client_cpu_s: float
    body_bytes: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    stalled_open: int
    replayed: int
    replayed_bytes: int
    is_exact: bool

    @property
    def us_per_delivery(self) -> float:
        """Server CPU."""
        return self.server_cpu_s / self.deliveries * 1e6

    @property
    def us_per_event(self) -> float:
        return self.server_cpu_s / self.events * 1e6

    @property
    def client_busy(self) -> float:
        return self.client_cpu_s / self.wall_s

    @property
    def void(self) -> str:
        """Why the run does not count; "": it does."""
        if not self.is_exact:
            return "what came is not what was published"
        return f"client {self.client_busy:.0%} busy" if self.client_busy > BUSY else ""


def parsed(line: str) -> Result:
    """Raises Failed for what load.c would not say."""
    try:
        result = msgspec.json.decode(line, type=Result)
    except msgspec.DecodeError as error:
        raise Failed(f"the load client said {line[:200]!r}: {error}") from None
    if min(result.deliveries, result.wall_s, result.server_cpu_s) <= 0:
        raise Failed(f"nothing was measured: {line.strip()}")
    return result


@dataclass(frozen=True, slots=True)
class Client:
    """The program, its records, and its core."""

    program: Path
    core: int

    @contextmanager
    def running(self, server: Server, load: Load, records: Path) -> Iterator[Child]:
        command = [str(self.program), *load.arguments(server, records)]
        with started(command, records.parent, core=self.core) as child:
            yield child

    @staticmethod
    def result(child: Child, load: Load) -> Result:
        return parsed(child.text_line(within_s=load.timeout_s + SLACK_S))

    def run(self, server: Server, load: Load, records: Path) -> Result:
        """Raises Failed where it did not come to its end: a stream broke off, an article was lost."""
        with self.running(server, load, records) as child:
            return self.result(child, load)

    @contextmanager
    def idle(self, server: Server, clients: int, folder: Path) -> Iterator[None]:
        """So many streams are open, and nothing is published."""
        load = Load(clients)
        command = [str(self.program), *load.arguments(server, folder), "--idle"]
        with started(command, folder, core=self.core, talks=True) as child:
            child.line()
            yield
