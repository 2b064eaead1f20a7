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
SHARES: Final = {"route": "route_percent_of_a_core", "deliver": "percent_of_a_core"}
"""What the goal is about, by the role that a result is of."""
GOAL_PERCENT: Final = 40.0
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
    """Its JSON: result, which begins with the role → measure → figure."""
    found = []
    for title, figures in results.items():
        share = SHARES.get(title.partition(",")[0], "")
        percent = figures.get(share)
        shown = [f"{name.replace('_', ' ')} {figure:,.3g}" for name, figure in figures.items()]
        found.append(
            Line(
                ROW,
                f"{WHAT}: {title}",
                ", ".join(shown) if percent is None else f"{percent:.0f} % of a core",
                "" if percent is None else f"≤ {GOAL_PERCENT:.0f} %",
                None if percent is None else percent <= GOAL_PERCENT,
                "" if percent is None else ", ".join(shown),
                figures,
            )
        )
    return found
