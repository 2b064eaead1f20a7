"""An error at each named place that can have one: the process stays, nothing is lost or doubled."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import aiohttp
import pytest
from harness.crashes import Material, crashing, misplaced
from harness.service import Service
from harness.stages import STAGES, in_hand

from streamer.faultpoints import Point


@dataclass(frozen=True, slots=True)
class Case:
    """Begin from this log; fail there at these times; `sign` is a metric that counts it."""

    log: Literal["fresh", "half", "aged"]
    times: dict[Point, str]
    sign: str = ""


RESTARTS: Final = 'streamer_log_lane_restarts_total{{code="log_unavailable",group="{}"}}'
CASES: Final = {
    "source": Case(
        "fresh", {Point.SOURCE_COMMITTING: "1", Point.SOURCE_COMMITTED: "1"}, RESTARTS.format("source")
    ),
    "enrich": Case(
        "fresh", {Point.ENRICH_COMMITTING: "3-4", Point.ENRICH_COMMITTED: "5"}, RESTARTS.format("enrich")
    ),
    "fetch": Case(
        "fresh", {Point.ENRICH_FETCHED: "2-4"}, 'streamer_origin_requests_total{outcome="disconnected"}'
    ),
    "route": Case(
        "fresh",
        {Point.ROUTE_READ: "2", Point.ROUTE_COMMITTING: "3-4", Point.ROUTE_COMMITTED: "5"},
        RESTARTS.format("route"),
    ),
    "deliver": Case("fresh", {Point.DELIVER_WRITE_MIDDLE: "2", Point.DELIVER_WRITTEN: "4"}),
    "log": Case(
        "fresh", {Point.LOG_COMMIT_MIDDLE: "5", Point.LOG_COMMITTING: "9", Point.LOG_COMMITTED: "12-13"}
    ),
    "start": Case(
        "half",
        {Point.SOURCE_READING_BACK: "1", Point.ENRICH_READING_BACK: "1", Point.DELIVER_CATCHING_UP: "1"},
        RESTARTS.format("source"),
    ),
    "cleaner": Case("aged", {Point.CLEAN_AGE_MIDDLE: "1"}),
    "compaction": Case("aged", {Point.CLEAN_COMPACT_MIDDLE: "1"}),
    "slices": Case("aged", {Point.CLEAN_BETWEEN: "2"}),
    "wal": Case("aged", {Point.CLEAN_WAL: "1"}),
}


@pytest.mark.parametrize("name", CASES)
async def test_an_error_at_this_place_loses_and_doubles_nothing(
    name: str, material: Material, tmp_path: Path
) -> None:
    """What fired says that each error happened; the process lives; partners and sums are right afterwards.
    What a lane had in hand when it failed is read again, so that what each stage received still adds up.

    Whether a client sees the half of a frame that it was sent, its system decides: a reset may overtake it.
    """
    case = CASES[name]
    async with crashing(material, getattr(material, case.log), tmp_path) as crash:
        crash.service.environ = crash.faults.arm("fail", case.times)
        await crash.service.start()
        fired = await crash.faults.until_fired(len(case.times), timeout_s=60)
        pid = crash.service.pid
        assert await crash.judge(thinned=case.log == "aged") == []
        assert {one.point for one in crash.faults.fired()} == {point.label for point in case.times}
        assert {one.pid for one in fired} == {pid}
        told = await crash.service.metrics()
        if case.sign:
            assert told[case.sign] >= 1
        assert {stage: in_hand(told, stage) for stage in STAGES} == dict.fromkeys(STAGES, 0)
        if case.log == "aged":
            assert any("cleaning failed" in line for line in crash.service.lines)
        assert crash.service.running
        assert await crash.service.terminate() == 0
    assert misplaced(tmp_path / "streamer.db") == []


async def readiness(service: Service) -> tuple[int, str]:
    url = f"http://127.0.0.1:{await service.admin_port()}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("point", "component"),
    [
        (Point.SOURCE_COMMITTING, "source_log"),
        (Point.ENRICH_COMMITTING, "enrich_log"),
        (Point.ROUTE_COMMITTING, "route"),
    ],
)
async def test_a_role_whose_commits_fail_is_not_ready_until_they_succeed(
    point: Point, component: str, material: Material, tmp_path: Path
) -> None:
    """`/readyz` is 503 and names the role, 200 once the log takes its commits; nothing is lost meanwhile."""
    async with crashing(material, material.fresh, tmp_path) as crash:
        crash.service.environ = crash.faults.arm("fail", {point: "1-12" if point.role != "source" else "1-4"})
        await crash.service.start()
        async with asyncio.timeout(60):
            while True:
                status, said = await readiness(crash.service)
                if crash.faults.fired() and status == 503 and f'"{component}": "ready"' not in said:
                    break
                await asyncio.sleep(0.02)
        assert await crash.judge() == []
        assert (await readiness(crash.service))[0] == 200
