"""An exercise by itself: what breaks is detected by the right alert, and over once it is healed."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from harness.service import LEASH, START_S

from deploy.gameday.prometheus import is_there

ROOT = Path(__file__).resolve().parents[2]


async def gameday(tmp_path: Path, *arguments: str) -> asyncio.subprocess.Process:
    environ = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    return await asyncio.create_subprocess_exec(
        *LEASH,
        *(sys.executable, "-m", "deploy.gameday", "--seed", "7", *arguments),
        env={**os.environ, **environ},
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )


async def test_what_breaks_is_detected_and_over_once_it_is_healed(tmp_path: Path) -> None:
    """A kill, by its own alert where Prometheus is there and by its symptom where it isn't; times are told
    and nothing is left behind.
    """
    process = await gameday(tmp_path, "--script", "--speed", "60", "--scenario", "killed")
    async with asyncio.timeout(4 * START_S):
        out, errors = await process.communicate()
    text = out.decode()
    assert process.returncode == 0, text + errors.decode()
    by = "ProcessDown" if is_there() else "symptom"
    assert re.search(rf"^killed +[\d.]+ s +[\d.]+ s   {by}", text, re.MULTILINE), text
    assert list(tmp_path.iterdir()) == []


async def test_ctrl_c_ends_an_exercise_at_any_time(tmp_path: Path) -> None:
    """With 0, in order, and its folder goes with it: here while the world is being made."""
    process = await gameday(tmp_path)
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        assert await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
