"""A process stopped between its reading and its commit, as by a host that swaps or a debugger, then woken."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.crashes import LOG, Crash, Material, crashing
from harness.faults import Faults
from harness.service import Service

from streamer.faultpoints import Point
from streamer.log.local import LocalLog
from streamer.pipeline import ROLES

LANE_LOST = 'streamer_log_lane_restarts_total{{code="lane_lost",group="{}"}}'


def without(role: str) -> list[str]:
    return ["run", *(word for other in ROLES if other != role for word in ("--role", other))]


async def stopped(faults: Faults, service: Service) -> None:
    """Until the kernel says that it stands."""
    await faults.until_fired(timeout_s=60)
    stat = Path(f"/proc/{service.pid}/stat")
    async with asyncio.timeout(20):
        while stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "T":
            await asyncio.sleep(0.01)


@asynccontextmanager
async def stopping(crash: Crash, point: Point, role: str, time: str) -> AsyncIterator[Service]:
    """`role` in a process of its own, stopped there, while the other roles run."""
    await crash.service.start()
    service = crash.beside(role, "stopped")
    service.environ = crash.faults.arm("stop", {point: time})
    async with service:
        await stopped(crash.faults, service)
        yield service


@pytest.mark.parametrize(
    ("point", "time"),
    [(Point.SOURCE_COMMITTING, "1"), (Point.ENRICH_COMMITTING, "4"), (Point.ROUTE_COMMITTING, "4")],
)
async def test_a_stopped_role_that_was_replaced_commits_nothing(
    point: Point, time: str, material: Material, tmp_path: Path
) -> None:
    """Stopped with a commit in its hands, it still holds the role: a second process is refused and told by
    whom. Then its lanes are taken from it: woken, its commit is refused, it starts anew, nothing is doubled.
    """
    role = point.role
    async with (
        crashing(material, material.fresh, tmp_path, command=without(role)) as crash,
        stopping(crash, point, role, time) as service,
    ):
        async with crash.beside(role, "second") as second:
            assert await second.wait(60) == 2
            assert f"held by the process {service.pid}" in second.lines[-1]
        async with LocalLog(tmp_path / LOG, clean_every_s=3600) as log:
            await log.fence(role)
        service.signal(signal.SIGCONT)
        assert await crash.judge({role: service}) == []
        assert (await service.metrics())[LANE_LOST.format(role)] >= 1
        assert await service.terminate() == 0


@pytest.mark.parametrize("point", [Point.LOG_COMMIT_MIDDLE, Point.LOG_COMMITTED])
async def test_a_role_that_is_stopped_inside_its_commit_holds_the_others_only_so_long(
    point: Point, material: Material, tmp_path: Path
) -> None:
    """The file is its own meanwhile (before COMMIT) or not (behind it); woken, all go on where they were."""
    async with (
        crashing(material, material.fresh, tmp_path, command=without("enrich")) as crash,
        stopping(crash, point, "enrich", "4") as service,
    ):
        await asyncio.sleep(1.0)  # what is shown: others try to commit while it stands
        service.signal(signal.SIGCONT)
        assert await crash.judge({"enrich": service}) == []
        assert await service.terminate() == 0


async def test_a_client_that_has_half_a_frame_gets_the_rest(material: Material, tmp_path: Path) -> None:
    """Stopped in the middle of a write and woken: the same connection goes on with the other half."""
    async with crashing(material, material.fresh, tmp_path) as crash:
        crash.service.environ = crash.faults.arm("stop", {Point.DELIVER_WRITE_MIDDLE: "4"})
        await crash.service.start()
        await stopped(crash.faults, crash.service)
        breaks = {partner: feed.breaks for partner, feed in crash.readers.feeds.items()}
        crash.service.signal(signal.SIGCONT)
        assert await crash.judge() == []
        assert {partner: feed.breaks for partner, feed in crash.readers.feeds.items()} == breaks
        assert not any(feed.torn for feed in crash.readers.feeds.values())
