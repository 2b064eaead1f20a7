"""What another process holds, by /proc: descriptors, threads, memory, and the CPU that it took."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
BLOCK_BYTES: Final = 512
"""Of `st_blocks`, whatever the file system's own are."""
_LINE: Final = re.compile(r"^(\w+):\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Footprint:
    descriptors: int
    threads: int
    private_bytes: int
    """Resident, of no file."""
    memfd_bytes: int
    """Pages of its memory files, mapped or not: they count to nobody's resident size."""
    cpu_s: float

    @property
    def bytes(self) -> int:
        return self.private_bytes + self.memfd_bytes


def footprint(pid: int) -> Footprint:
    """As it is now. Raises FileNotFoundError where the process is gone."""
    process = Path("/proc") / str(pid)
    status = {name: int(value) for name, value in _LINE.findall((process / "status").read_text())}
    links = list((process / "fd").iterdir())
    # behind the name in brackets, which may hold anything
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return Footprint(
        descriptors=len(links),
        threads=status["Threads"],
        private_bytes=status["RssAnon"] * 1_024,
        memfd_bytes=sum(_memfd_bytes(link) for link in links),
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_S,
    )


def _memfd_bytes(link: Path) -> int:
    """0 for any other descriptor, and for one that is closed meanwhile."""
    with suppress(FileNotFoundError):
        if str(link.readlink()).startswith("/memfd:"):
            return link.stat().st_blocks * BLOCK_BYTES
    return 0
