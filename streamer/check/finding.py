"""One line of `streamer check`."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "PROBLEM"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`PROBLEM`: the service would not start, or not work. The text says what, where and what to do."""

    level: Level
    text: str
    hangs: bool = False
    """It was given up; a thread of this process may still wait."""

    def __str__(self) -> str:
        return f"{self.level:<7} {self.text}"


def ok(text: str) -> Finding:
    return Finding("ok", text)


def warning(text: str) -> Finding:
    return Finding("warning", text)


def problem(text: str) -> Finding:
    return Finding("PROBLEM", text)
