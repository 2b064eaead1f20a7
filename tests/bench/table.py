"""What the pipeline was measured to do beside what it is to do: `make bench` ends with it.

    python -m tests.bench.table [FOLDER]

Of the JSON that the benchmarks have written. Delivery has a table of its own (`make bench-fanout`).
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Results = Mapping[str, Any]
"""Of one benchmark, as it writes them."""

MET: Final = "yes"
MISSED: Final = "missed"
UNKNOWN: Final = "not measured"


@dataclass(frozen=True, slots=True)
class Goal:
    what: str
    bench: str
    row: str
    """Of its results; "" where they have no rows."""
    measure: str
    bound: float
    unit: str
    at_least: bool = False
    below: bool = False
    """Else: at most."""

    def text(self) -> str:
        sign = "≥" if self.at_least else "<" if self.below else "≤"
        return f"{sign} {_number(self.bound)}{self.unit}"

    def is_met(self, value: float) -> bool:
        if self.at_least:
            return value >= self.bound
        return value < self.bound if self.below else value <= self.bound


LOCAL: Final = "on the local log"
GOALS: Final = (
    Goal("SSE bytes to typed changes, one core", "ingest", "", "typed changes", 100_000, " events/s", True),
    Goal(
        f"all four roles {LOCAL}, one partner: 2 kB of wikitext, no text",
        "pipeline", "2 kB wikitext, no text", "changes_per_s", 2_000, " changes/s", at_least=True,
    ),
    Goal(
        f"all four roles {LOCAL}, one partner: 17 kB pages with text",
        "pipeline", "17 kB pages, with text", "changes_per_s", 150, " changes/s", at_least=True,
    ),
    Goal(
        f"edit answered to frame at a client {LOCAL}, p99", "pipeline", "added latency", "p99_ms", 150, " ms"
    ),
    Goal(
        "edit answered to frame at a client on Kafka, p99",
        "kafka", "service, kafka: added latency", "p99_ms", 500, " ms",
    ),
    Goal(
        "commit by another process to reader, p99",
        "log", "tail 100 topics", "commit_to_reader_p99_ms", 20, " ms",
    ),
    Goal(
        "embedded anew by edits, of their articles' characters",
        "index", "real articles", "embedded %", 10, " %",
    ),
    Goal(
        "readers of 100 topics that wait, of a core", "log", "tail 100 topics", "idle_cpu_percent", 1, " %",
        below=True,
    ),
)  # fmt: skip


def table(results: Mapping[str, Results], goals: Iterable[Goal] = GOALS) -> str:
    """Markdown, of the goals whose benchmark ran; "" where none did."""
    lines = [_line(goal, results[goal.bench]) for goal in goals if goal.bench in results]
    if not lines:
        return ""
    return "\n".join(["| what | goal | measured | met |", "|---|---|---|---|", *lines])


def _line(goal: Goal, results: Results) -> str:
    """A benchmark that could not run says why (`skipped`)."""
    row = results.get(goal.row, {}) if goal.row else results
    value = row.get(goal.measure)
    if value is None:
        why = results.get("skipped")
        return f"| {goal.what} | {goal.text()} | {UNKNOWN}{f' ({why})' if why else ''} | |"
    met = goal.is_met(value)
    shown = _number(value)
    if goal.is_met(float(shown.replace(",", ""))) != met:  # rounded across the goal
        shown = f"{value:,.2f}"
    return f"| {goal.what} | {goal.text()} | {shown}{goal.unit} | {MET if met else MISSED} |"


def _number(value: float) -> str:
    """To three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def read(folder: Path, names: Iterable[str]) -> dict[str, Results]:
    """By benchmark, of those that have written something."""
    files = {name: folder / f"{name}.json" for name in names}
    return {name: json.loads(file.read_bytes()) for name, file in files.items() if file.is_file()}


def main(arguments: list[str], show: Callable[[str], None] = print) -> None:
    folder = Path(arguments[0]) if arguments else Path("build/bench")
    show(table(read(folder, {goal.bench for goal in GOALS})) or f"{folder}: nothing was measured")


if __name__ == "__main__":
    main(sys.argv[1:])
