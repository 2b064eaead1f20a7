"""Deleted text is physically gone also where the process died between its deletion and the WAL's emptying."""

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from streamer.log.local import LocalLog

ROOT = Path(__file__).resolve().parents[2]
MARK = b"this text was withdrawn "
CLEANER = """
import asyncio, sys
from streamer import faultpoints
from streamer.log.base import Record, TopicSpec
from streamer.log.local import LocalLog

async def main():
    async with LocalLog(sys.argv[1], clean_every_s=3600) as log:
        await log.ensure_topics([TopicSpec("t", 10, compact=True, retention_ms=None, compaction_lag_ms=0)])
        await log.clean()  # the pass with which a start begins is over
        for value in (sys.argv[2].encode(), b"after it"):
            await log.append([Record("t", 0, "page", value)])
        await asyncio.sleep(0.01)
        faultpoints.arm({faultpoints.VARIABLE: "clean.wal=kill"})
        await log.clean()

asyncio.run(main())
"""


async def test_the_next_process_empties_the_wal_that_a_kill_left(tmp_path: Path) -> None:
    """The cleaner of roles that run apart died: its successor has nothing to delete any more, and looks
    all the same for what was left undone.
    """
    path = tmp_path / "log.db"
    wal = Path(f"{path}-wal")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLEANER, str(path), MARK.decode(), env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL
    # a role that goes on: the WAL of a file that nobody has open is emptied by opening it
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM records").fetchone()
        assert MARK in wal.read_bytes()
        async with LocalLog(path, clean_every_s=3600), asyncio.timeout(60):
            while MARK in wal.read_bytes() + path.read_bytes():
                await asyncio.sleep(0.01)
