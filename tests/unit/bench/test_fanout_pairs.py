"""Figures in turn: ratios of pairs, their order, and what does not count."""

from collections.abc import Callable

import pytest

from tests.bench.fanout.growth import fitted
from tests.bench.fanout.pairs import AllVoid, Spread, in_turn, orders, ratios, short


def test_a_ratio_is_of_each_pair_and_its_median_is_what_is_told() -> None:
    """A drift that both meet cancels out, which it would not in the ratio of two medians."""
    spread = ratios([4.0, 8.0, 40.0], [2.0, 4.0, 10.0])
    assert spread.figures == (2.0, 2.0, 4.0)
    assert spread.median == 2.0
    assert str(spread) == "2 (2 to 4)"


def test_a_single_pair_has_no_range() -> None:
    assert str(ratios([3.0], [2.0])) == "1.5"


@pytest.mark.parametrize(("above", "below"), [([], []), ([1.0], [1.0, 2.0])])
def test_pairs_that_are_none_are_refused(above: list[float], below: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pair|argument"):
        ratios(above, below)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.25123, "0.251"), (4.128, "4.13"), (17.2, "17.2"), (360.4, "360"), (21_951.0, "21951")],
)
def test_a_figure_has_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_who_is_first_changes_from_round_to_round() -> None:
    assert list(orders(("a", "b"), 3)) == [("a", "b"), ("b", "a"), ("a", "b")]


def counting(figures: list[float]) -> Callable[[], float]:
    return iter(figures).__next__


def test_a_round_with_a_void_figure_is_measured_anew() -> None:
    """The whole round: a figure without its partner is no pair."""
    rounds = in_turn(
        {"ours": counting([1, 2, 3]), "peer": counting([10, -1, 30])},
        2,
        void=lambda figure: "busy" if figure < 0 else "",
    )
    assert rounds.figures("ours", float) == [1, 3]
    assert rounds.figures("peer", float) == [10, 30]
    assert rounds.void == ("peer: busy",)


def test_rounds_are_bounded_where_none_counts() -> None:
    measured: list[int] = []
    with pytest.raises(AllVoid, match="ours: busy; ours: busy; ours: busy"):
        in_turn({"ours": lambda: measured.append(1)}, 2, void=lambda _: "busy", spare=1)
    assert len(measured) == 3


def test_growth_is_told_as_what_an_event_costs_and_what_a_client_adds() -> None:
    fixed, each = fitted([(50, 250.0), (200, 700.0), (1_000, 3_100.0)])
    assert fixed == pytest.approx(100.0)
    assert each == pytest.approx(3.0)


def test_a_spread_tells_all_its_figures() -> None:
    assert Spread((1.0, 3.0)).told() == {"figures": (1.0, 3.0), "median": 2.0}
