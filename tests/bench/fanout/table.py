"""The table of bench-fanout, in Markdown, as the README has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

COLUMNS: Final = ("what", "measured", "goal", "beside")


@dataclass(frozen=True, slots=True)
class Line:
    row: str
    """Its name for `--rows`."""
    what: str
    measured: str
    goal: str = ""
    is_met: bool | None = None
    """None: there is no goal, or it was not measured."""
    beside: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    """For JSON: every figure that was taken."""


def skipped(row: str, what: str, why: str) -> Line:
    return Line(row, what, f"skipped: {why}")


def cells(line: Line) -> tuple[str, str, str, str]:
    mark = "" if line.is_met is None else " ✓" if line.is_met else " ✗"
    return (line.what, line.measured, f"{line.goal}{mark}", line.beside)


def table(lines: Sequence[Line]) -> str:
    """A pipe within a cell is escaped, so that it ends none."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(cells, lines)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
