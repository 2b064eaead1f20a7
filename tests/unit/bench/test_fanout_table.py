"""The table, and the rows that can be asked for."""

import argparse

import pytest

from tests.bench.fanout.__main__ import ROWS, rows_of
from tests.bench.fanout.feeds import lines_of
from tests.bench.fanout.table import Line, skipped, table


def test_a_table_is_markdown_and_says_which_goals_are_met() -> None:
    lines = [
        Line("a", "fast", "2.0", "≥ 1", is_met=True, beside="5 µs"),
        Line("b", "slow", "0.5", "≥ 1", is_met=False),
        Line("c", "told", "7"),
        skipped("d", "missing", "no nginx"),
    ]
    assert table(lines).splitlines() == [
        "| what | measured | goal | beside |",
        "| --- | --- | --- | --- |",
        "| fast | 2.0 | ≥ 1 ✓ | 5 µs |",
        "| slow | 0.5 | ≥ 1 ✗ |  |",
        "| told | 7 |  |  |",
        "| missing | skipped: no nginx |  |  |",
    ]


def test_a_pipe_ends_no_cell() -> None:
    assert table([Line("a", "x|y", "1")]).splitlines()[-1].startswith("| x\\|y |")


def test_rows_are_measured_in_the_order_of_the_table() -> None:
    assert rows_of("idle,fanout-1k") == ("fanout-1k", "idle")


def test_an_unknown_row_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"no row nonsense; there are {ROWS[0]}"):
        rows_of("idle,nonsense")


def test_each_result_of_the_benchmark_of_feeds_is_a_line_judged_by_its_role() -> None:
    route, idle = lines_of(
        {
            "route, local log": {"events_per_s": 39.0, "route_percent_of_a_core": 41.0},
            "idle, local log": {"connections": 500},
        }
    )
    assert route.what.endswith(": route, local log")
    assert (route.measured, route.is_met) == ("41 % of a core", False)
    assert route.beside == "events per s 39, route percent of a core 41"
    assert (idle.measured, idle.is_met) == ("connections 500", None)
