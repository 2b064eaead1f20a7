"""What following recent changes costs in requests and in waiting: the whole of enrich, in virtual time."""

from dataclasses import asdict
from pathlib import Path

import pytest
from harness.edit_mix import Mix, invented, recorded, replayed
from harness.origin_cost import Scenario, measured

RECORDING = "recentchange-2021.sse"


def short(mix: Mix, edits_per_s: float, *, batch: int = 50) -> Scenario:
    return Scenario(mix, edits_per_s=edits_per_s, batch=batch, warm_s=60, judged_s=80, tail_s=40)


@pytest.mark.parametrize(
    ("name", "is_long"),
    [
        pytest.param("recorded", False, id="recorded"),
        pytest.param("invented", False, id="invented"),
        pytest.param("recorded", True, id="ten minutes", marks=pytest.mark.soak),
    ],
)
def test_at_live_rate_all_stays_fresh_within_the_budget(
    name: str, is_long: bool, request: pytest.FixtureRequest
) -> None:
    """19 edits a second of 73 wikis, 200 requests a minute, three at once: all that is asked is counted where
    the wikis would count it.
    """
    mix = recorded(request.getfixturevalue("shared_data") / RECORDING) if name == "recorded" else invented()
    scenario = Scenario(mix, judged_s=390.0) if is_long else short(mix, 19.0)
    assert mix.wikis >= 55
    figures = measured(scenario)
    assert figures.edits > 18.5 * scenario.judged_s
    assert figures.hand_p50_s <= 2.5
    assert figures.hand_p99_s <= 22.0
    assert figures.published_p99_s <= 22.5
    assert figures.most_in_a_minute <= 200
    assert figures.requests_per_edit < 0.19
    assert set(figures.outcomes) <= {"admitted", "published", "gone"}


def test_a_busy_hour_stays_fresh_too(shared_data: Path) -> None:
    """50 edits a second by the same budget: a batch holds more."""
    figures = measured(short(recorded(shared_data / RECORDING), 50.0))
    assert figures.hand_p99_s <= 35.0
    assert figures.most_in_a_minute <= 200
    assert figures.requests_per_edit < 0.08


def test_a_request_an_edit_does_not() -> None:
    """The naive way under the same budget keeps it, and falls behind by five of six edits."""
    figures = measured(short(invented(), 19.0, batch=1))
    assert figures.most_in_a_minute <= 200
    assert figures.hand_p50_s > 22.0
    assert figures.hand_p99_s > 35.0
    assert figures.unanswered > 0.7 * 19 * 180


def test_a_seed_gives_the_same_figures_again() -> None:
    mix = invented()
    first, second = (
        measured(Scenario(mix, edits_per_s=5.0, warm_s=5, judged_s=40, tail_s=15)) for _ in range(2)
    )
    assert asdict(first) == asdict(second)


def test_a_replay_has_its_rate_and_each_revision_once() -> None:
    mix = invented()
    seen: set[tuple[str, int]] = set()
    edits = 0
    last_s = 0.0
    for arrival in replayed(mix, 30.0):
        assert arrival.at_s >= last_s
        last_s = arrival.at_s
        if last_s >= 300:
            break
        change = arrival.change
        if change.revision:
            edits += 1
            assert (change.wiki, change.revision) not in seen
            seen.add((change.wiki, change.revision))
    assert edits == pytest.approx(30 * 300, rel=0.03)
