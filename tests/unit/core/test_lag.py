"""Lag, commits and the lanes that a process runs, as they are exported."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.errors import LaneLost, LogTimeout
from streamer.lag import watch_lag
from streamer.log.base import Record, TopicSpec
from streamer.log.lanes import counted
from streamer.log.local import LocalLog
from streamer.metrics import LAG, REGISTRY, LaneLag


def lags(lag: LaneLag) -> dict[tuple[str, str], float]:
    (family,) = lag.collect()
    return {(s.labels["group"], s.labels["partition"]): s.value for s in family.samples}


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_lag_is_told_by_who_runs_the_lane() -> None:
    """Only with an end that is known, never below 0, and no longer once the lane is another's."""
    lag = LaneLag()
    lag.at("enrich", "changes", 3, 10)
    lag.at("enrich", "changes", 4, 10)
    lag.at("route", "articles", 3, 7)
    assert lags(lag) == {}
    assert lag.topics() == {"changes", "articles"}
    lag.reach("changes", [0, 0, 0, 25, 9])
    lag.reach("articles", [0, 0, 0, 7])
    assert lags(lag) == {("enrich", "3"): 15, ("enrich", "4"): 0, ("route", "3"): 0}
    lag.at("enrich", "changes", 3, 20)
    lag.leave("enrich", 4)
    lag.unknown("articles")
    assert lags(lag) == {("enrich", "3"): 5}


async def test_ends_are_asked_of_the_log(tmp_path: Path) -> None:
    """What is appended behind a lane shows; a topic that is gone shows nothing."""
    async with LocalLog(tmp_path / "log.db", clean_every_s=3600) as log:
        await log.ensure_topics([TopicSpec("in", 10, compact=False, retention_ms=None)])
        LAG.at("g", "in", 2, 0)
        try:
            await log.append([Record("in", 2, "k", b"v")] * 3)
            await looked(log, lambda: told() == 3)
            await log.delete_topic("in")
            await looked(log, lambda: told() is None)
        finally:
            LAG.leave("g", 2)


def told() -> float | None:
    return REGISTRY.get_sample_value("streamer_log_lag_offsets", {"group": "g", "partition": "2"})


async def looked(log: LocalLog, holds: Callable[[], bool]) -> None:
    """Somebody watches until that holds."""
    watching = asyncio.ensure_future(watch_lag(log))
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)
    watching.cancel()


async def test_commits_are_counted_by_how_they_end() -> None:
    """Committed, the code of the error, or cancelled; each goes on to whoever committed."""

    async def commit(error: BaseException | None) -> None:
        async with counted("counted"):
            if error is not None:
                raise error

    await commit(None)
    for error in (LaneLost("x"), LogTimeout("x"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await commit(error)
    for outcome in ("committed", "lane_lost", "log_timeout", "cancelled"):
        assert sample("streamer_log_commits_total", group="counted", outcome=outcome) == 1
