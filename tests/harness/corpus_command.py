"""`corpus` as a process of its own."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from harness.service import LEASH

ENDED_S: Final = 180.0
ROOT: Final = Path(__file__).resolve().parents[2]


async def begun(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *LEASH,
        sys.executable,
        "-c",
        "from consumers.cli import main; main()",
        *("--corpus", str(folder / "corpus.db")),
        *arguments,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        async with asyncio.timeout(ENDED_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def corpus(folder: Path, *arguments: str, code: int = 0) -> str:
    """Its standard output."""
    exited, out, err = await ended(await begun(folder, *arguments))
    assert exited == code, f"{arguments[0]} ended with {exited}:\n{out[-2_000:]}\n{err[-4_000:]}"
    return out
