"""Fault points as a test sees them: the environment that arms one, and the proof that it happened."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from streamer.faultpoints import FILE_VARIABLE, VARIABLE, Action, Point


@dataclass(frozen=True, slots=True)
class Fired:
    point: str
    action: str
    time: int
    pid: int

    @classmethod
    def of(cls, line: str) -> Self:
        point, action, time, pid = line.split()
        return cls(point, action, int(time), int(pid))


@dataclass(frozen=True, slots=True)
class Faults:
    """`file` holds what fired; it outlives the processes."""

    file: Path

    def arm(self, action: Action, times: Mapping[Point, str]) -> Mapping[str, str]:
        """What to add to a process's environment: this action, when it is at a point `1`, `2-3` or `4+`."""
        plans = [f"{point.label}={action}@{when}" for point, when in times.items()]
        return {VARIABLE: ",".join(plans), FILE_VARIABLE: str(self.file)}

    def fired(self) -> list[Fired]:
        if not self.file.exists():
            return []
        return [Fired.of(line) for line in self.file.read_text(encoding="utf-8").splitlines()]

    async def until_fired(self, times: int = 1, timeout_s: float = 60.0) -> list[Fired]:
        async with asyncio.timeout(timeout_s):
            while len(fired := self.fired()) < times:
                await asyncio.sleep(0.01)
        return fired


async def until_standing(pid: int, timeout_s: float = 60.0) -> None:
    """Until the kernel says that the process is stopped: what fired was told a moment before."""
    stat = Path(f"/proc/{pid}/stat")
    async with asyncio.timeout(timeout_s):
        while stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "T":
            await asyncio.sleep(0.01)
