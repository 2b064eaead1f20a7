"""More processes of enrich than the setting says are noticed, and keep the budget."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from streamer.config import LogSettings, MediaWikiSettings, Settings
from streamer.enrich.fleet import STANDS_S, Fleet
from streamer.metrics import ORIGIN_OVERCOMMITTED
from streamer.origin.budget import WINDOW_S


class Passing:
    """Seconds that a test owns."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def passing(bench: Any) -> Passing:
    clock = Passing()
    bench.runtime.clock = replace(bench.runtime.clock, monotonic_s=clock)
    bench.runtime.settings = Settings(log=LogSettings(kind="kafka"), mediawiki=MediaWikiSettings(workers=2))
    return clock


def alarm() -> float:
    (metric,) = ORIGIN_OVERCOMMITTED.collect()
    return metric.samples[0].value


async def test_a_share_falls_at_once_and_rises_a_minute_later(
    bench: Any, wikis: Any, passing: Passing
) -> None:
    """Lanes that came from another process bring their part of the budget when that one's requests no longer
    count; lanes that go take theirs with them.
    """
    fleet = Fleet(bench.runtime, wikis)
    fleet.look()
    assert wikis.lanes == []
    fleet.held(5)
    fleet.held(3)
    assert wikis.lanes == [5, 3]
    fleet.held(10)
    passing.now_s += WINDOW_S - 1
    fleet.look()
    assert wikis.lanes == [5, 3]
    passing.now_s += 1
    fleet.look()
    fleet.look()
    assert wikis.lanes == [5, 3, 10]


async def test_too_many_processes_are_told_once(
    bench: Any, wikis: Any, passing: Passing, caplog: pytest.LogCaptureFixture
) -> None:
    """Fewer lanes than a part of `workers` are an alarm when they stand, not while lanes are dealt out anew;
    it ends with the mistake.
    """
    fleet = Fleet(bench.runtime, wikis)
    with caplog.at_level(logging.ERROR, "streamer.enrich.fleet"):
        fleet.held(3)
        passing.now_s += STANDS_S - 1
        fleet.look()
        assert alarm() == 0
        passing.now_s += 1
        fleet.look()
        fleet.look()
    assert alarm() == 1
    assert [record.message for record in caplog.records] == [
        "more processes run enrich than mediawiki.workers says: set it to their number"
    ]
    settings = bench.runtime.settings
    bench.runtime.settings = structs.replace(settings, mediawiki=MediaWikiSettings(workers=3))
    fleet.look()
    assert alarm() == 0
