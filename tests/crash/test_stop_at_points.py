"""A process stopped between its reading and its commit, as by a host that swaps or a debugger, then woken."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from harness.crashes import LOG, Crash, Material, crashing
from harness.faults import Faults, until_standing
from harness.service import Service

from streamer.faultpoints import Point
from streamer.log.local import LocalLog
from streamer.pipeline import ROLES

LANE_LOST = 'streamer_log_lane_restarts_total{{code="lane_lost",group="{}"}}'


def without(role: str) -> list[str]:
    return ["run", *(word for other in ROLES if other != role for word in ("--role", other))]


async def stopped(faults: Faults, service: Service, times: int = 1) -> None:
    """Until the kernel says that it stands, for the `times`th time."""
    await faults.until_fired(times, timeout_s=60)
    await until_standing(service.pid)


@asynccontextmanager
async def stopping(crash: Crash, point: Point, role: str, time: str) -> AsyncIterator[Service]:
    """`role` in a process of its own, stopped there, while the other roles run."""
    await crash.service.start()
    service = crash.beside(role, "stopped")
    service.environ = crash.faults.arm("stop", {point: time})
    async with service:
        await stopped(crash.faults, service)
        yield service


def is_writable(log: Path) -> bool:
    """Whether nobody is inside a transaction of the file."""
    with closing(sqlite3.connect(log, timeout=0.2, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


async def stopped_beside_the_file(crash: Crash, service: Service, log: Path) -> None:
    """Stopped where its own commit has not begun, nor another lane's, which shares the file: with that in the
    middle nobody gets as far as to ask who holds the role. It goes on to the next stop then.
    """
    times = 1
    while not is_writable(log):
        service.signal(signal.SIGCONT)
        times += 1
        await stopped(crash.faults, service, times)


async def kept_awake(service: Service) -> None:
    """Over the stops that are still planned."""
    while service.running:
        service.signal(signal.SIGCONT)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("point", "times"),
    [(Point.SOURCE_COMMITTING, "1-9"), (Point.ENRICH_COMMITTING, "4-19"), (Point.ROUTE_COMMITTING, "4-19")],
)
async def test_a_stopped_role_that_was_replaced_commits_nothing(
    point: Point, times: str, material: Material, tmp_path: Path
) -> None:
    """Stopped with a commit in its hands, it still holds the role: a second process is refused and told by
    whom. Then its lanes are taken from it: woken, its commit is refused, it starts anew, nothing is doubled.
    """
    role = point.role
    async with (
        crashing(material, material.fresh, tmp_path, command=without(role)) as crash,
        stopping(crash, point, role, times) as service,
        asyncio.TaskGroup() as tasks,
    ):
        await stopped_beside_the_file(crash, service, tmp_path / LOG)
        async with crash.beside(role, "second") as second:
            assert await second.wait(60) == 2
            assert f"held by the process {service.pid}" in second.lines[-1]
        async with LocalLog(tmp_path / LOG, clean_every_s=3600) as log:
            await log.fence(role)
        waking = tasks.create_task(kept_awake(service))
        assert await crash.judge({role: service}) == []
        assert (await service.metrics())[LANE_LOST.format(role)] >= 1
        assert await service.terminate() == 0
        waking.cancel()


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
