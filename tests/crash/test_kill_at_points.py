"""kill -9 at each named place: the process dies there, its successor goes on, nothing is lost or doubled."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pytest
from harness.crashes import LOG, Material, crashing, misplaced
from harness.faults import Fired

from streamer.faultpoints import Point


@dataclass(frozen=True, slots=True)
class Case:
    """Begin from this log; die there at this time."""

    log: Literal["fresh", "half", "aged"]
    times: tuple[int, ...] = (1,)
    is_short_of_room: bool = False


CASES: Final = {
    Point.SOURCE_READING_BACK: Case("half"),
    Point.SOURCE_READ: Case("fresh", (2,)),
    Point.SOURCE_COMMITTING: Case("fresh", (2,)),
    Point.SOURCE_COMMITTED: Case("fresh", (2,)),
    Point.ENRICH_READING_BACK: Case("half"),
    Point.ENRICH_FETCHED: Case("fresh", (5,)),
    Point.ENRICH_COMMITTING: Case("fresh", (6,)),
    Point.ENRICH_COMMITTED: Case("fresh", (6,)),
    Point.ROUTE_READ: Case("fresh", (6,)),
    Point.ROUTE_COMMITTING: Case("fresh", (6,)),
    Point.ROUTE_COMMITTED: Case("fresh", (6,)),
    Point.DELIVER_CATCHING_UP: Case("half"),
    Point.DELIVER_WRITE_MIDDLE: Case("fresh", (5,)),
    Point.DELIVER_WRITTEN: Case("fresh", (5,)),
    Point.LOG_CLAIMED: Case("half", (2,)),
    Point.LOG_COMMIT_MIDDLE: Case("fresh", (1, 20)),
    Point.LOG_COMMITTING: Case("fresh", (2, 14)),
    Point.LOG_COMMITTED: Case("fresh", (3, 15)),
    Point.CLEAN_AGE_MIDDLE: Case("aged", (2,)),
    Point.CLEAN_COMPACT_MIDDLE: Case("aged", (2,)),
    Point.CLEAN_ROOM_MIDDLE: Case("aged", is_short_of_room=True),
    Point.CLEAN_BETWEEN: Case("aged"),
    Point.CLEAN_WAL: Case("aged"),
}


@pytest.mark.parametrize(
    ("point", "time"),
    [pytest.param(p, t, id=f"{p.label}@{t}") for p, case in CASES.items() for t in case.times],
)
async def test_a_kill_at_this_place_loses_and_doubles_nothing(
    point: Point, time: int, material: Material, tmp_path: Path
) -> None:
    """The file of what fired says that it died there; afterwards each partner has every change once, each
    page in order, over the connection that broke and from the log; the sums of all roles are equal.
    """
    case = CASES[point]
    log: Path = getattr(material, case.log)
    retention_gb = 0.3 * (log / LOG).stat().st_size / 1024**3 if case.is_short_of_room else 4.0
    async with crashing(material, log, tmp_path, retention_gb=retention_gb) as crash:
        crash.service.environ = crash.faults.arm("kill", {point: str(time)})
        await crash.service.start()
        pid = crash.service.pid
        assert await crash.service.wait(60) == -signal.SIGKILL, crash.service.lines[-10:]
        assert crash.faults.fired() == [Fired(point.label, "kill", time, pid)]
        crash.service.environ = {}
        await crash.service.start()
        assert await crash.judge(thinned=case.log == "aged", lacking=case.is_short_of_room) == []
        if point is Point.DELIVER_WRITE_MIDDLE:
            assert any(feed.torn for feed in crash.readers.feeds.values()), "nobody had half a frame"
        assert await crash.service.terminate() == 0
    assert crash.faults.fired() == [Fired(point.label, "kill", time, pid)]
    assert misplaced(tmp_path / LOG) == []
