"""A compose file as its loader sees it: aliases, merges and variables resolved."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from clients.programs import BUILD, Absent

VARIABLE: Final = re.compile(r"\$\{(\w+)(?:(:?-)([^}]*))?\}")
SOURCE: Final = Path(__file__).resolve().parents[1] / "deploy" / "loader"
BUILD_S: Final = 600.0


@dataclass(frozen=True)
class Composed:
    tree: dict[str, Any]

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        services: dict[str, dict[str, Any]] = self.tree["services"]
        return services

    def ours(self) -> dict[str, dict[str, Any]]:
        """Those that run our image."""
        return {k: one for k, one in self.services.items() if one["image"].startswith("streamer:")}


def composed(file: Path, variables: Mapping[str, str] | None = None) -> Composed:
    """With these variables, and none of this process."""
    tree: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return Composed(_interpolated(tree, variables or {}))


def _interpolated(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _interpolated(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_interpolated(value, variables) for value in node]
    if not isinstance(node, str):
        return node

    def value(match: re.Match[str]) -> str:
        given = variables.get(match[1])
        absent = given is None or (match[2] == ":-" and not given)
        return (match[3] or "") if absent else str(given)

    return VARIABLE.sub(value, node)


def loader(file: Path, env: Path | None = None) -> dict[str, Any]:
    """By compose-go, the library of `docker compose`, built once. Raises Absent where it can't be had."""
    if shutil.which("go") is None:
        raise Absent("go is not installed")
    program = BUILD / "compose" / "loader"
    program.parent.mkdir(parents=True, exist_ok=True)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("STREAMER_", "CANARY_", "EDGE_"))}
    try:
        subprocess.run(
            ["go", "build", "-o", str(program), "."],
            cwd=SOURCE,
            env=environ | {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            check=True,
            timeout=BUILD_S,
        )
    except subprocess.CalledProcessError as error:
        raise Absent(f"compose-go can't be built: {error.stderr.splitlines()[-1:]}") from None
    command = [str(program), str(file), *([str(env)] if env else [])]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
