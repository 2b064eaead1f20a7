"""Clients in other languages: built once into the folder `build`, spoken to by JSON lines."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from clients.curl import running
from clients.ndjson import PARTITIONS
from clients.reading import Sink, Target

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / "clients"
BUILD_S = 300.0


class Absent(Exception):
    """A client that this machine can't have, and why."""


def build_node() -> list[str]:
    """The command of the reader in Node; what it needs is fetched once. Raises Absent."""
    _need("node", "npm")
    folder = BUILD / "node"
    with _alone(folder):
        sources = [HERE / "node" / name for name in ("package.json", "package-lock.json", "read.mjs")]
        if _stale(folder / "node_modules" / ".package-lock.json", sources):
            for source in sources:
                shutil.copy(source, folder)
            _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
    return ["node", str(folder / "read.mjs")]


def build_go() -> list[str]:
    """The command of the reader in Go, made of its standard library alone, once. Raises Absent."""
    _need("go")
    folder = BUILD / "go"
    with _alone(folder):
        sources = [HERE / "go" / name for name in ("go.mod", "main.go")]
        if _stale(folder / "read", sources):
            _run(["go", "build", "-o", str(folder / "read"), "."], HERE / "go")
    return [str(folder / "read")]


def node() -> list[str]:
    return _or_skip(build_node)


def go() -> list[str]:
    return _or_skip(build_go)


def _or_skip(build: Callable[[], list[str]]) -> list[str]:
    try:
        return build()
    except Absent as absent:
        pytest.skip(str(absent))


def _need(*names: str) -> None:
    for name in names:
        if shutil.which(name) is None:
            raise Absent(f"{name} is not installed")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One worker of the tests builds, the others wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (BUILD / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stale(made: Path, sources: list[Path]) -> bool:
    return not made.exists() or made.stat().st_mtime < max(source.stat().st_mtime for source in sources)


def _run(command: list[str], folder: Path) -> None:
    settings = {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0"}
    try:
        subprocess.run(
            command,
            cwd=folder,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise Absent(f"`{command[0]} {command[1]}` took longer than {BUILD_S} s") from None
    except subprocess.CalledProcessError as error:
        if command[0] == "npm":
            raise Absent("`npm ci` failed: is its registry in reach?") from None
        raise AssertionError(error.stderr) from None


async def lines(command: list[str], settings: dict[str, object]) -> AsyncIterator[dict[str, Any]]:
    """What the program tells, until it ends; it is killed where nobody listens any more."""
    async with running([*command, json.dumps(settings)]) as process:
        assert process.stdout is not None
        async for line in process.stdout:
            yield json.loads(line)


async def by_eventsource(target: Target, sink: Sink) -> None:
    """The npm package of that name: resumes by itself."""
    settings: dict[str, object] = {
        "url": target.first_url(),
        "key": target.key,
        "encoding": target.encoding,
        "follow": True,
    }
    async with aclosing(lines(node(), settings)) as told:
        async for line in told:
            if line.get("event") == "message":
                sink.take(line["data"])
            elif "event" in line:
                sink.controls[line["event"]] += 1
            elif line.get("status") == 200:
                sink.encoding = line["encoding"]
            elif "status" in line:
                sink.refuse(line["status"], {"Retry-After": line["retryAfter"]})


async def by_go_sdk(target: Target, sink: Sink) -> None:
    """As Enterprise's Go SDK: resumed by the program's loop."""
    settings: dict[str, object] = {
        "url": target.base(),
        "token": target.key,
        "encoding": target.encoding,
        "request": dict(target.start),
        "follow": True,
        "partitions": PARTITIONS,
    }
    async with aclosing(lines(go(), settings)) as told:
        async for line in told:
            if "article" in line:  # its model has no sequence; the harness makes revisions of them
                article = line["article"]
                sink.add(article["identifier"], article["revision"] - 1000)
            elif "status" in line:
                sink.encoding = line["encoding"]
            elif line.get("error", "").startswith("{"):
                problem = json.loads(line["error"])
                if "status" in problem:
                    sink.refuse(problem["status"], {})  # the SDK's error is the body alone


if __name__ == "__main__":  # before the tests, so that no test waits for a compiler
    for build in (build_node, build_go):
        try:
            build()
        except Absent as absent:
            print(f"{absent}: some tests of clients are skipped")
