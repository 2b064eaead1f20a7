"""The table that `make bench` ends with (tests/bench/table.py)."""

import json
from pathlib import Path
from typing import Any

from tests.bench.table import GOALS, main, read, table

MEASURED: dict[str, Any] = {
    "ingest": {"frames": 400_000.0, "typed changes": 128_680.4},
    "pipeline": {
        "2 kB wikitext, no text": {"changes_per_s": 1_999.6},
        "17 kB pages, with text": {"changes_per_s": 234.0},
        "added latency": {"p50_ms": 65.0, "p99_ms": 79.42},
    },
    "log": {"tail 100 topics": {"commit_to_reader_p99_ms": 20.0, "idle_cpu_percent": 1.0}},
    "index": {"real articles": {"embedded %": 6.98}},
    "kafka": {"skipped": "there is no Java"},
}


def cells(what: str, results: dict[str, Any] = MEASURED) -> list[str]:
    lines = [line for line in table(results).splitlines() if what in line]
    assert len(lines) == 1, what
    return [cell.strip() for cell in lines[0].strip("|").split("|")][1:]


def test_each_goal_stands_beside_what_was_measured() -> None:
    assert cells("SSE bytes") == ["≥ 100,000 events/s", "128,680 events/s", "yes"]
    assert cells("17 kB") == ["≥ 150 changes/s", "234 changes/s", "yes"]
    assert cells("embedded anew") == ["≤ 10 %", "6.98 %", "yes"]
    assert cells("local log, p99") == ["≤ 150 ms", "79.4 ms", "yes"]


def test_what_is_missed_is_said_so() -> None:
    """By little as by much."""
    assert cells("2 kB") == ["≥ 2,000 changes/s", "1,999.60 changes/s", "missed"]
    assert cells("readers") == ["< 1 %", "1 %", "missed"]


def test_a_bound_that_may_be_reached_is_met_there() -> None:
    assert cells("another process") == ["≤ 20 ms", "20 ms", "yes"]


def test_what_could_not_run_says_why() -> None:
    assert cells("Kafka") == ["≤ 500 ms", "not measured (there is no Java)", ""]


def test_what_a_benchmark_left_out_is_not_measured() -> None:
    assert cells("17 kB", {"pipeline": {}}) == ["≥ 150 changes/s", "not measured", ""]


def test_benchmarks_that_did_not_run_have_no_row() -> None:
    assert table({"ingest": MEASURED["ingest"]}).count("\n") == 2
    assert table({"settle": {}}) == ""


def test_it_reads_what_was_written(tmp_path: Path) -> None:
    for name, results in MEASURED.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(results), encoding="utf-8")
    assert read(tmp_path, ("log", "text")) == {"log": MEASURED["log"]}
    shown: list[str] = []
    main([str(tmp_path)], shown.append)
    assert shown == [table(MEASURED)]
    assert shown[0].count("\n") == len(GOALS) + 1
