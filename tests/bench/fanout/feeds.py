"""The row of distinct feeds: measured by tests.bench.bench_feeds, shown here beside the others."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tests.bench.fanout.process import Failed
from tests.bench.fanout.table import Line, skipped

ROW: Final = "distinct-feeds"
MODULE: Final = "tests.bench.bench_feeds"
WHAT: Final = "distinct feeds, 100 partners × 5 clients, 17 KB, 50 events/s"
GOAL: Final = "deliver and route ≤ 40 % of a core each"
DEADLINE_S: Final = 600.0
QUICK: Final = ("--seconds", "3")


def distinct_feeds(folder: Path, *, is_quick: bool) -> list[Line]:
    """A line for each of its results."""
    if find_spec(MODULE) is None:
        return [skipped(ROW, WHAT, f"there is no {MODULE}")]
    out = folder / "feeds.json"
    command = [sys.executable, "-m", MODULE, "--json", str(out), *(QUICK if is_quick else ())]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S, check=False
    )
    if done.returncode:
        raise Failed(f"{MODULE} ended with {done.returncode}: {done.stdout[-1_000:]}")
    return lines_of(json.loads(out.read_text()))


def lines_of(results: dict[str, dict[str, Any]]) -> list[Line]:
    """Its JSON: result → measure → figure."""
    found = []
    for title, figures in results.items():
        told = ", ".join(f"{measure} {figure:,.3g}" for measure, figure in figures.items())
        found.append(Line(ROW, f"{WHAT}: {title}", told, GOAL, data=figures))
    return found
