"""An image without an engine: the steps of a Dockerfile, run in overlays of this machine's own root.

The interpreter of the tests stands for the base image's, at /usr/local as there. What a step writes lies in
the overlay of its stage; nothing of this machine is changed. Needs root, and mount namespaces.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from harness.dockerfile import Stage, Step, stages, substituted

STEP_S: Final = 600.0
NAMESPACE: Final = ("unshare", "--mount", "--propagation", "private")
PREFIX: Final = Path(sys.base_prefix)
BARE: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LD_LIBRARY_PATH": "/usr/local/lib",  # the base image's loader knows that this is where libpython is
}
KEPT: Final = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "HTTPS_PROXY", "NO_PROXY")
"""How this machine reaches its index."""
NOT_HERE: Final = ("PIP_NO_CACHE_DIR",)
"""What was fetched before need not be again."""


def overlays_or_skip() -> None:
    """Skips where this process may not mount, or its interpreter can't make virtual environments."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("an image's steps run as root in a mount namespace (util-linux)")
    if not list((PREFIX / "lib").glob("python3.*/ensurepip/_bundled/pip-*.whl")):
        pytest.skip(f"the interpreter at {PREFIX} has no ensurepip, which the base image's has")
    tried = subprocess.run(
        [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip("no file system can be mounted here")


@dataclass
class Image:
    """What a stage has become."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """What the stage itself wrote."""
        return self.folder / "upper"

    def above(self, folder: Path) -> "Image":
        """One that begins as this. (A copy: the kernel takes no layers that lie within each other.)"""
        one = Image(folder, dict(self.environ), self.workdir, self.user)
        one.make()
        for name in ("upper", "local"):
            subprocess.run(["cp", "-a", f"{self.folder / name}/.", str(folder / name)], check=True)
        return one

    def make(self) -> None:
        for name in ("upper", "work", "local", "local-work", "merged"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def mounts(self) -> list[str]:
        """Shell lines that put it together at `merged`."""
        merged = self.folder / "merged"
        return [
            _overlay(Path("/"), self.root, self.folder / "work", merged),
            _overlay(PREFIX, self.folder / "local", self.folder / "local-work", merged / "usr/local"),
            f"mount -t proc proc {merged}/proc",
            f"mount --rbind /dev {merged}/dev",
            f"test -e {merged}/usr/local/bin/python || ln -s python3 {merged}/usr/local/bin/python",
        ]


def _overlay(lower: Path, upper: Path, work: Path, at: Path) -> str:
    return f"mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={work} {at}"


def built(file: Path, context: Path, target: str, folder: Path, *, without: Collection[str] = ()) -> Image:
    """The stage `target`, and before it all that it is made of. What it copies from stages `without` is left
    out: the test lays it.
    """
    all_stages = stages(file)
    images: dict[str, Image] = {}

    def build(name: str) -> Image:
        if name not in images:
            stage = all_stages[name]
            if stage.base in all_stages:
                image = build(stage.base).above(folder / name)
            else:
                image = Image(folder / name, environ=dict(BARE))
                image.make()
            images[name] = image
            for step in stage.steps:
                if source := step.option("from"):
                    if source in without:
                        continue
                    build(source)
                _apply(step, stage, image, images, context)
        return images[name]

    return build(target)


def _apply(step: Step, stage: Stage, image: Image, images: Mapping[str, Image], context: Path) -> None:
    match step.verb:
        case "RUN":
            _run(image, step)
        case "COPY":
            _copy(image, step, images, context)
        case "ENV":
            for name, value in step.pairs().items():
                if name not in NOT_HERE:
                    image.environ[name] = substituted(value, image.environ)
        case "WORKDIR":
            image.workdir = step.text
            _write_dir(image, step.text)
        case "USER":
            image.user = step.text
        case "ENTRYPOINT":
            image.entrypoint = step.words()
        case "CMD":
            image.command = step.words()
        case "HEALTHCHECK":
            image.health = Step("CMD", step.text.partition(" CMD ")[2].strip()).words()
        case "VOLUME" | "EXPOSE" | "LABEL":
            pass
        case verb:
            raise AssertionError(f"{verb} in stage {stage.name}: nobody has taught us that")


def _write_dir(image: Image, path: str) -> None:
    (image.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)


def _run(image: Image, step: Step) -> None:
    assert image.user == "0:0", "a step that needs no root would be the first"
    merged = image.folder / "merged"
    environ = image.environ | {name: os.environ[name] for name in KEPT if name in os.environ}
    inside = ["env", "-i", *(f"{name}={value}" for name, value in environ.items())]
    inside += ["/bin/sh", "-ec", f"cd {image.workdir}\n{step.text}"]
    script = "\n".join([*image.mounts(), f"exec chroot {merged} {shlex.join(inside)}"])
    done = subprocess.run(
        [*NAMESPACE, "sh", "-ec", script], capture_output=True, text=True, timeout=STEP_S, check=False
    )
    assert done.returncode == 0, f"RUN {step.text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def _copy(image: Image, step: Step, images: Mapping[str, Image], context: Path) -> None:
    *sources, target = [word for word in step.words() if not word.startswith("--")]
    origin = images[step.option("from")].root if step.option("from") else context
    place = image.root / os.path.normpath(f"/{image.workdir}/{target}").lstrip("/")
    if target.startswith("/"):
        place = image.root / target.lstrip("/")
    for source in sources:
        found = origin / source.lstrip("/")
        goal = place / found.name if target.endswith("/") else place
        goal.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            kept = None if step.option("from") else shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(found, goal, symlinks=True, ignore=kept, dirs_exist_ok=True)
        else:
            shutil.copy(found, goal)


# ── run it ─────────────────────────────────────────────────────────────────────────────────────


class Container:
    """Read-only but for /data and /tmp, by the image's user, with no capability; the process is number 1."""

    def __init__(self, image: Image, data: Path, environ: Mapping[str, str] | None = None) -> None:
        self._image = image
        self._data = data
        self._environ = image.environ | dict(environ or {})
        data.mkdir(exist_ok=True)
        user, _, group = image.user.partition(":")
        os.chown(data, int(user), int(group))

    def start(self, command: Sequence[str]) -> "Running":
        merged = self._image.folder / "merged"
        script = "\n".join(
            [
                *self._image.mounts(),
                f"mkdir -p {merged}/data",
                f"mount --bind {self._data} {merged}/data",
                f"mount -t tmpfs -o mode=1777 tmpfs {merged}/tmp",
                f"mount -o remount,ro {merged}/usr/local",
                f"mount -o remount,ro {merged}",
                f"exec chroot {merged} {shlex.join(self._inside(command))}",
            ]
        )
        return Running(
            subprocess.Popen(
                [*NAMESPACE, "--pid", "--fork", "--kill-child", "sh", "-ec", script],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )

    def _inside(self, command: Sequence[str]) -> list[str]:
        user, _, group = self._image.user.partition(":")
        inside = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs"]
        inside += ["--bounding-set=-all", "--inh-caps=-all"]
        inside += ["env", "-i", *(f"{name}={value}" for name, value in self._environ.items())]
        return [*inside, "/bin/sh", "-ec", f'cd {self._image.workdir}; exec "$@"', "sh", *command]

    def execute(self, running: "Running", *command: str) -> int:
        """`docker exec`: the exit code."""
        target = str(running.first)
        enter = ["nsenter", "--target", target, "--mount", "--pid", f"--root=/proc/{target}/root", "--"]
        return subprocess.run(
            [*enter, *self._inside(command)], capture_output=True, timeout=STEP_S, check=False
        ).returncode

    def run(self, *command: str) -> tuple[int, str]:
        """Exit code and all that it printed."""
        running = self.start(command)
        printed, _ = running.process.communicate(timeout=STEP_S)
        return running.process.returncode, printed.decode()


@dataclass
class Running:
    process: "subprocess.Popen[bytes]"

    @property
    def first(self) -> int:
        """Number 1 within, as it is called out here."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def until(self, pattern: str) -> str:
        """The first match in what it prints; waits for it."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line.decode())
            if match := re.search(pattern, seen[-1]):
                return match[0]
        raise AssertionError(f"ended without {pattern!r}:\n{''.join(seen[-20:])}")

    def terminate(self) -> int:
        """SIGTERM to number 1, as `docker stop` sends it; its exit code."""
        os.kill(self.first, signal.SIGTERM)
        self.process.communicate(timeout=STEP_S)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
