"""deploy/CAPACITY.md and deploy/UPGRADES.md say what is so: their figures, and what they name."""

import re
from pathlib import Path
from typing import Final

import pytest

from deploy.capacity import FEED_US, MEASURED, ROUTE_US, SIZES, TABLES, Load, Prices, caught_up_h, cost
from streamer.metrics import REGISTRY

ROOT: Final = Path(__file__).resolve().parents[3]
DEPLOY: Final = ROOT / "deploy"
PAGES: Final = ("CAPACITY.md", "UPGRADES.md")


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_those_that_are_computed(name: str) -> None:
    """After a change of a figure: `python -m deploy.capacity`, and put the table in its place."""
    assert f"{TABLES[name]()}\n" in text_of("CAPACITY.md")


def test_measured_figures_stand_in_the_readme() -> None:
    """A figure that is measured anew there is not left behind here."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [each.told for each in MEASURED if each.in_readme and each.told not in readme]


def test_the_formulae_name_what_is_computed() -> None:
    """The two derived figures that stand in the text."""
    text = text_of("CAPACITY.md")
    assert f"{ROUTE_US:.0f} µs / 0.6" in text
    assert f"({FEED_US:.0f} µs + 4.9 µs · c)" in text


def test_cost_grows_with_what_is_bought() -> None:
    """Twice the clients are twice the traffic; a shared part is shared; what is free costs nothing."""
    prices = Prices()
    one, two = (cost(Load(20, 50, clients), prices) for clients in (1, 2))
    assert two["traffic, gzip"] == pytest.approx(2 * one["traffic, gzip"])
    shared = [
        cost(Load(20, partners, 1), prices)["shared: source, enrich, articles"] for partners in (10, 20)
    ]
    assert shared[0] == pytest.approx(2 * shared[1])
    assert sum(cost(SIZES["small fleet"], Prices(0, 0, 0, 0)).values()) == 0


def test_a_budget_that_is_too_small_never_catches_up() -> None:
    """And it says so, in place of a negative time."""
    assert caught_up_h(1, 20, 200) < 1
    with pytest.raises(ValueError, match="10 requests a minute don't carry 20 edits/s"):
        caught_up_h(1, 20, 10)


@pytest.mark.parametrize("page", PAGES)
def test_metrics_and_tests_that_are_named_exist(page: str) -> None:
    """Nobody is sent to look for what isn't there."""
    text = text_of(page)
    metrics = {family.name for family in REGISTRY.collect()}
    named = set(re.findall(r"\bstreamer_[a-z_]+", text))
    assert not {name for name in named if name.removesuffix("_total") not in metrics}
    paths = re.findall(r"`((?:tests|deploy)/[\w./-]+)`", text)
    assert not [path for path in paths if not (ROOT / path).exists()]
