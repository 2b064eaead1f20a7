"""A Dockerfile as far as ours goes: stages, instructions, variables. No heredocs, no ONBUILD."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
PAIR: Final = re.compile(r'(\w[\w.]*)=("(?:[^"\\]|\\.)*"|\S*)')


@dataclass(frozen=True)
class Step:
    """`verb` in capitals; `text` as it stands, its lines joined."""

    verb: str
    text: str

    def words(self) -> list[str]:
        """Of the JSON form, or parted at white space; options (`--from=…`) are among them."""
        return json.loads(self.text) if self.text.startswith("[") else self.text.split()

    def option(self, name: str) -> str:
        match = re.search(rf"--{name}=(\S+)", self.text)
        return match[1] if match else ""

    def pairs(self) -> dict[str, str]:
        """Of ENV and LABEL."""
        return {match[1]: match[2].strip('"') for match in PAIR.finditer(self.text)}


@dataclass
class Stage:
    name: str
    base: str
    """Another stage's name, or an image."""
    steps: list[Step] = field(default_factory=list)

    def last(self, verb: str) -> Step | None:
        return next((step for step in reversed(self.steps) if step.verb == verb), None)


def stages(file: Path) -> dict[str, Stage]:
    """By name, in the order of the file; ARGs before the first are put in."""
    arguments: dict[str, str] = {}
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for step in _steps(file.read_text(encoding="utf-8")):
        if step.verb == "FROM":
            base, _, name = step.text.partition(" AS ")
            current = found[name] = Stage(name, substituted(base, arguments))
        elif current is None:
            assert step.verb == "ARG", step
            name, _, value = step.text.partition("=")
            arguments[name] = value
        else:
            current.steps.append(step)
    return found


def substituted(text: str, variables: Mapping[str, str]) -> str:
    return VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), text)


def _steps(text: str) -> list[Step]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    steps = []
    for line in joined.splitlines():
        verb, _, rest = line.strip().partition(" ")
        steps.append(Step(verb.upper(), rest.strip()))
    return steps
