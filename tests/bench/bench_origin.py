"""What following the wikis costs in requests and in waiting: `make bench-origin`.

    python -m tests.bench.bench_origin [--json FILE] [--seed N] [--minutes M]

The recorded mix of a minute of the stream (where the recording is not at hand, a mix of the project's own) is
replayed at 19, 30 and 50 edits a second against stub wikis, in virtual time: the whole of enrich and its
origin, as they are, follow it under a budget of 200 requests a minute, three at once. Every request counts,
where the wikis would count it. Beside it, under the same budget: a request an edit. The seed decides all
that is random; the figures are not this machine's.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from streamer.plan import Plan
from tests.harness.edit_mix import Mix, invented, recorded
from tests.harness.origin_cost import (
    Figures,
    Scenario,
    measured,
)
from tests.harness.stub_wikis import Nature

ROOT: Final = Path(__file__).resolve().parents[2]
RECORDING: Final = "recentchange-2021.sse"
RATES: Final = (19.0, 30.0, 50.0)
SPREAD: Final = Nature(spread=0.6, hangs=0.002, lagging=0.003, maxlag=0.003)
"""Half of the requests take less than 0.42 s, one in a hundred more than 1.7 s, some 15 s."""
GOAL_P99_S: Final = 60.0
"""Of the cheapest budget."""
BUDGETS: Final = range(40, 165, 5)
"""Among these it is looked for."""
EACH: Final = ("categories", "templates", "redirects")
WORKERS: Final = min(2, os.cpu_count() or 1)

Run = Callable[[Iterable[Scenario]], Iterator[Figures]]


def the_mix(seed: int) -> Mix:
    folder = Path(os.environ.get("STREAMER_SHARED_DATA") or ROOT.parent / "shared" / "data")
    path = folder / RECORDING
    return recorded(path, seed) if path.is_file() else invented(seed)


def followed(base: Scenario, run: Run) -> dict[str, dict[str, Any]]:
    """At each rate: half a second each, times that spread, and a request an edit."""
    scenarios = {}
    for rate in sorted(RATES, reverse=True):  # the longest first
        at = replace(base, edits_per_s=rate)
        scenarios[f"{rate:.0f} edits/s"] = at
        scenarios[f"{rate:.0f} edits/s, times spread"] = replace(at, nature=SPREAD)
        scenarios[f"{rate:.0f} edits/s, a request an edit"] = replace(at, batch=1)
    return _rows(scenarios, run)


def cheapest(base: Scenario, run: Run) -> dict[str, dict[str, Any]]:
    """By thirds: two budgets at once, until the one below the smallest that suffices is known not to."""
    rows: dict[str, dict[str, Any]] = {}
    low, high = 0, len(BUDGETS) - 1
    while low < high:
        tried = sorted({low + (high - low) // 3, low + 2 * (high - low) // 3})
        found = _rows({_budget(at): replace(base, requests_per_minute=BUDGETS[at]) for at in tried}, run)
        rows |= found
        enough = [at for at in tried if found[_budget(at)]["hand_p99_s"] <= GOAL_P99_S]
        too_small = [at for at in tried if at not in enough]
        high = min([high, *enough])
        low = max([low, *(at + 1 for at in too_small if at < high)])
    rows["cheapest"] = {"requests_per_minute": BUDGETS[high], "p99_goal_s": GOAL_P99_S}
    return rows


def _budget(at: int) -> str:
    return f"{BUDGETS[at]} requests/min"


def priced(base: Scenario, run: Run) -> dict[str, dict[str, Any]]:
    """What each thing costs that a partner may ask for, or an operator may leave out."""
    scenarios = {"nothing more": base, "removals looked up in the log": replace(base, with_page_change=False)}
    for name in EACH:
        scenarios[name] = replace(base, plan=Plan(text=False, lists=frozenset({name})))
    scenarios["all page lists"] = replace(base, plan=Plan(text=False, lists=frozenset(EACH)))
    scenarios["HTML"] = replace(base, plan=Plan(text=False, html=True))
    scenarios["newest revisions only"] = replace(base, plan=Plan(text=False, latest_only=True))
    return _rows(scenarios, run)


def _rows(scenarios: dict[str, Scenario], run: Run) -> dict[str, dict[str, Any]]:
    return {name: asdict(figures) for name, figures in zip(scenarios, run(scenarios.values()), strict=True)}


COLUMNS: Final = {
    "in hand p50": ("hand_p50_s", "{:.1f} s"),
    "p99": ("hand_p99_s", "{:.1f} s"),
    "published p99": ("published_p99_s", "{:.1f} s"),
    "requests/edit": ("requests_per_edit", "{:.3f}"),
    "most in 60 s": ("most_in_a_minute", "{}"),
    "waiting at the end": ("unanswered", "{}"),
}


def show(title: str, rows: dict[str, dict[str, Any]]) -> None:
    print(f"{title}\n    {'':<34}" + "".join(f"{name:>20}" for name in COLUMNS))
    for name, row in sorted(rows.items(), key=lambda pair: _natural(pair[0])):
        if "requests" not in row:
            print(f"    {name}: {row}")
            continue
        cells = "".join(f"{_cell(row, key, form):>20}" for key, form in COLUMNS.values())
        print(f"    {name:<34}{cells}")
        if name == "HTML":
            part = row["with_html"] / max(1, row["wikitext"])
            print(f"    {'':<34}{part:>20.1%} of the articles of wikitext had HTML")
        if superseded := row["outcomes"].get("superseded", 0):
            print(f"    {'':<34}{superseded:>20} superseded")
    sys.stdout.flush()


def _cell(row: dict[str, Any], key: str, form: str) -> str:
    """Where it has fallen behind, what waits has waited for longer in the end."""
    text = form.format(row[key])
    return f"> {text}" if row["is_behind"] and key.endswith("_s") else text


def _natural(name: str) -> tuple[int, str]:
    first = name.split(" ", 1)[0]
    return (int(first) if first.isdecimal() else 10_000, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="that are judged, beside some before and after"
    )
    options = parser.parse_args()
    mix = the_mix(options.seed)
    base = Scenario(mix, judged_s=60 * options.minutes, seed=options.seed)
    print(
        f"seed {options.seed}; the mix is {mix.name}: {mix.edits} edits of {mix.wikis} wikis in"
        f" {mix.lap_s:.0f} s; {base.requests_per_minute} requests/min, {base.concurrency} at once,"
        f" {base.nature.mean_s} s each"
    )
    began_s = time.monotonic()
    results: dict[str, Any] = {"seed": options.seed, "mix": mix.name, "judged_s": base.judged_s}
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:

        def run(scenarios: Iterable[Scenario]) -> Iterator[Figures]:
            return pool.map(measured, scenarios)

        for title, part in {
            "followed": followed,
            "cheapest budget at 19 edits/s": cheapest,
            "prices at 19 edits/s": priced,
        }.items():
            results[title] = part(base, run)
            show(title, results[title])
    print(f"took {time.monotonic() - began_s:.0f} s")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
