"""What a broker is made of: the official jars of Maven Central, pinned by version and by SHA-256.

`mvn` fetches them once into the user's cache; each use compares every file with jars.sha256, so a
jar that was changed, here or on its way, never runs.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
POM: Final = HERE / "pom.xml"
LOCK: Final = HERE / "jars.sha256"
JAVA_AT_LEAST: Final = 17
FETCH_DEADLINE_S: Final = 600.0


class Unavailable(Exception):
    """No broker can be had here; the message says what is missing and how to get it."""


def java() -> str:
    """The path of a Java that is new enough."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise Unavailable("there is no java: install openjdk-17-jre-headless, or set JAVA_HOME")
    told = subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stderr  # noqa: S603 - the java of this machine
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < JAVA_AT_LEAST:
        raise Unavailable(f"{found} is no Java {JAVA_AT_LEAST} or later: install openjdk-17-jre-headless")
    return found


def jars() -> Path:
    """The folder of the verified jars; fetches them if they aren't there yet."""
    wanted = _wanted()
    version = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamer"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"kafka-{version}"
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want them at once
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as fresh:
                _fetch(Path(fresh))
                _verify(Path(fresh), wanted)
                shutil.copytree(fresh, f"{folder}.part", dirs_exist_ok=True)
            Path(f"{folder}.part").rename(folder)
        _verify(folder, wanted)
    return folder


def _wanted() -> dict[str, str]:
    lines = (line.split() for line in LOCK.read_text().splitlines())
    return {name: digest for digest, name in lines}


def _fetch(into: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("there is no mvn to fetch the brokers' jars with: install maven")
    command = [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={into}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_DEADLINE_S, check=False)  # noqa: S603 - our own arguments
    except subprocess.TimeoutExpired:
        raise Unavailable(f"mvn did not fetch the jars within {FETCH_DEADLINE_S:g} s") from None
    if done.returncode:
        raise Unavailable(f"mvn could not fetch the jars: {(done.stdout + done.stderr).strip()[-500:]}")


def _verify(folder: Path, wanted: dict[str, str]) -> None:
    present = {path.name: path for path in folder.glob("*.jar")}
    if present.keys() != wanted.keys():
        odd = sorted(present.keys() ^ wanted.keys())
        raise Unavailable(f"{folder}: other files than in {LOCK.name}: {', '.join(odd)}; remove the folder")
    for name, path in present.items():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != wanted[name]:
            raise Unavailable(f"{path}: not the file whose SHA-256 stands in {LOCK.name}; remove the folder")
