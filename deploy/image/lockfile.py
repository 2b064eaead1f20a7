"""The part of requirements.lock that an image needs: what pyproject.toml asks for, with or without extras,
and what that asks for. The lock says of each package through whom it came ("via"), so no index is asked.

    python deploy/image/lockfile.py pyproject.toml requirements.lock [--extra NAME]… >image.lock

Of the standard library alone: it runs before anything is installed. Raises SystemExit where a package that
is asked for is not locked.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PINNED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==")
VIA: Final = re.compile(r"\s+# +(?:via *)?([A-Za-z0-9][A-Za-z0-9._-]*)?")
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass
class Pinned:
    """One package: its lines as they are, and who wants it."""

    lines: list[str] = field(default_factory=list)
    via: set[str] = field(default_factory=set)


def normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: str) -> dict[str, Pinned]:
    """By normal name. Lines before the first package are options of whoever made the lock."""
    packages: dict[str, Pinned] = {}
    current = Pinned()
    for line in lock.splitlines():
        if match := PINNED.match(line):
            current = packages.setdefault(normal(match[1]), Pinned())
        elif (match := VIA.match(line)) and match[1]:
            current.via.add(normal(match[1]))
        current.lines.append(line)
    return packages


def asked(project: Mapping[str, Any], extras: Iterable[str]) -> set[str]:
    """Normal names of what the project asks for itself. Raises SystemExit for an unknown extra."""
    requirements = list(project["dependencies"])
    for extra in extras:
        if extra not in project["optional-dependencies"]:
            raise SystemExit(f"pyproject.toml has no extra {extra!r}")
        requirements += project["optional-dependencies"][extra]
    return {normal(match[0]) for text in requirements if (match := NAME.match(text))}


def needed(packages: Mapping[str, Pinned], roots: set[str]) -> set[str]:
    """`roots`, and all that came through them."""
    if missing := sorted(roots - packages.keys()):
        raise SystemExit(f"not in the lock: {', '.join(missing)}; make it anew")
    found = set(roots)
    while more := {name for name, package in packages.items() if package.via & found} - found:
        found |= more
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="the part of a lock that an image needs, on standard output")
    parser.add_argument("project", type=Path, help="pyproject.toml")
    parser.add_argument("lock", type=Path, help="requirements.lock")
    parser.add_argument("--extra", action="append", default=[], help="of the project; may be repeated")
    options = parser.parse_args(arguments)
    project = tomllib.loads(options.project.read_text(encoding="utf-8"))["project"]
    packages = locked(options.lock.read_text(encoding="utf-8"))
    for name in sorted(needed(packages, asked(project, options.extra))):
        sys.stdout.write("\n".join(packages[name].lines) + "\n")


if __name__ == "__main__":
    main()
