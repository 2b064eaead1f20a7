"""The judge of these tests finds a build whose commits are in two parts, and names what it did."""

import signal
from pathlib import Path

import pytest
from harness.crashes import Crash, Material, crashing

from streamer.faultpoints import Point

SPLIT = str(Path(__file__).with_name("split_commit.py"))


async def killed_in_the_middle(crash: Crash, time: int) -> None:
    """A kill in the middle of that commit with records and a position, and a start of the same build."""
    crash.service.environ = crash.faults.arm("kill", {Point.LOG_COMMIT_MIDDLE: str(time)})
    await crash.service.start()
    assert await crash.service.wait(60) == -signal.SIGKILL, crash.service.lines[-10:]
    assert len(crash.faults.fired()) == 1
    crash.service.environ = {}
    await crash.service.start()


@pytest.mark.parametrize("group", [pytest.param("enrich", marks=pytest.mark.soak), "route"])
async def test_records_before_positions_is_found_out_as_doubled(
    group: str, material: Material, tmp_path: Path
) -> None:
    """Records in one transaction, positions in the next, a kill between: partners get changes twice."""
    program = (SPLIT, "records-first", group)
    async with crashing(material, material.fresh, tmp_path, program=program) as crash:
        await killed_in_the_middle(crash, 2)
        assert "doubled" in " ".join(await crash.judge())


@pytest.mark.parametrize("group", ["source", pytest.param("enrich", marks=pytest.mark.soak), "route"])
async def test_positions_before_records_is_found_out_as_loss(
    group: str, material: Material, tmp_path: Path
) -> None:
    """The other way round: partners lack changes, and from the source on the sums say so."""
    program = (SPLIT, "positions-first", group)
    async with crashing(material, material.fresh, tmp_path, program=program) as crash:
        await killed_in_the_middle(crash, 2 if group != "source" else 1)
        assert "missing" in " ".join(await crash.judge(timeout_s=3.0))


@pytest.mark.parametrize("group", ["source", "enrich", "route"])
async def test_the_build_as_it_is_passes_at_the_same_spot(
    group: str, material: Material, tmp_path: Path
) -> None:
    """The same launcher, kill and judge with the commit left whole: nothing is wrong."""
    async with crashing(material, material.fresh, tmp_path, program=(SPLIT, "whole", group)) as crash:
        await killed_in_the_middle(crash, 2 if group != "source" else 1)
        assert await crash.judge() == []
