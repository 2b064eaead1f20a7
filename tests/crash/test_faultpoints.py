"""The fault points themselves: nothing without the variable, no mistake in it, no point without a proof."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_fail_at_points
import test_kill_at_points
import test_points_on_kafka
from harness.crashes import Material, crashing

from streamer import faultpoints
from streamer.errors import ConfigError, LogUnavailable
from streamer.faultpoints import FILE_VARIABLE, LABELS, VARIABLE, Point, points_of, reached
from streamer.pipeline import ROLES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def unarmed() -> Iterator[None]:
    yield
    faultpoints._plans.clear()
    faultpoints._times.clear()


def test_each_point_is_killed_at_and_failed_at_where_it_can() -> None:
    """No point without a proof that it is reached and that the service comes through it."""
    killed = set(test_kill_at_points.CASES) | set(test_points_on_kafka.KILLED)
    assert killed | {Point.ENRICH_CUT_OFF_EARLY} == set(Point)
    failed = {point for case in test_fail_at_points.CASES.values() for point in case.times}
    failed |= set(test_points_on_kafka.FAILED)
    assert failed | {Point.CLEAN_ROOM_MIDDLE} == {point for point in Point if point.error}


def test_each_role_has_points_and_each_label_is_one() -> None:
    """What a random choice picks from: the role's own, and those of the log that it commits to."""
    assert len(LABELS) == len(Point)
    for role in ROLES:
        own, on_kafka = points_of(role), points_of(role, "kafka")
        assert any(point.role == role for point in own)
        assert (Point.LOG_COMMIT_MIDDLE in own) == (Point.KAFKA_COMMITTING in on_kafka) == (role != "deliver")
        assert not {point.role for point in own} & {"kafka"}
        assert not {point.role for point in on_kafka} & {"log"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere=kill", "no point 'nowhere'; they are source.reading_back"),
        ("source.read", "allowed is kill|stop|fail"),
        ("source.read=explode", "allowed is kill|stop|fail"),
        ("source.read=kill@0", "allowed is kill|stop|fail"),
        ("source.read=kill@3-2", "before the first"),
        ("source.read=fail", "has no error to fail with"),
        ("source.read=kill,source.read=stop", "twice"),
        ("source.read=kill,", "no point ''"),
    ],
)
def test_a_mistake_in_the_variable_is_named(text: str, said: str) -> None:
    """The variable, and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        faultpoints.arm({VARIABLE: text})
    assert caught.value.where == f"${VARIABLE}"
    assert said in caught.value.problem
    reached(Point.SOURCE_READ)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Without it nothing would prove that a fault happened."""
    with pytest.raises(ConfigError) as caught:
        faultpoints.arm({VARIABLE: "source.read=kill", FILE_VARIABLE: str(tmp_path / "no" / "such")})
    assert caught.value.where == f"${FILE_VARIABLE}"


@pytest.mark.usefixtures("unarmed")
def test_it_happens_at_these_times_and_is_told_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From the second to the third time, a line each; the start said it loudly; other points do nothing."""
    file = tmp_path / "fired"
    with caplog.at_level(logging.WARNING):
        faultpoints.arm({VARIABLE: "route.committing=fail@2-3", FILE_VARIABLE: str(file)})
    assert "FAULT POINTS ARE ARMED" in caplog.text
    came = []
    for _ in range(5):
        reached(Point.ROUTE_COMMITTED)
        try:
            reached(Point.ROUTE_COMMITTING)
            came.append(False)
        except LogUnavailable:
            came.append(True)
    assert came == [False, True, True, False, False]
    pid = os.getpid()
    assert file.read_text() == f"route.committing fail 2 {pid}\nroute.committing fail 3 {pid}\n"


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        ((), "source.read=explode", "allowed is kill|stop|fail"),
        (("-O",), "source.read=kill", "is for tests, and python -O is not"),
    ],
)
async def test_the_service_does_not_start_with_it(
    arguments: tuple[str, ...], text: str, said: str, tmp_path: Path
) -> None:
    """Exit 2 and one line, for a mistake and under `python -O`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, "-m", "streamer", "run",
        cwd=tmp_path, env={**os.environ, VARIABLE: text, "PYTHONPATH": str(ROOT)},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        _, error = await process.communicate()
    assert process.returncode == 2
    assert said in error.decode()
    assert error.count(b"\n") == 1


async def test_nothing_happens_without_the_variable(material: Material, tmp_path: Path) -> None:
    """All roles over the recording, with a file to tell it in: it stays empty, no warning is logged."""
    async with crashing(material, material.fresh, tmp_path) as crash:
        crash.service.environ = {FILE_VARIABLE: str(crash.faults.file)}
        await crash.service.start()
        assert await crash.judge() == []
        assert await crash.service.terminate() == 0
        assert not crash.faults.file.exists()
        assert not any("faultpoints" in line for line in crash.service.lines)
