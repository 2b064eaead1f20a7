"""What processes hold in memory: their pages, each shared one by its share, and files that are nowhere else.

A memfd is its process's memory, whether it is mapped or not. What the kernel holds for sockets is nobody's in
/proc/PID; it is told apart, for the whole machine.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

KIB: Final = 1024
BLOCK_BYTES: Final = 512
_FIELD: Final = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
_TCP: Final = re.compile(r"^TCP:.* mem (\d+)", re.MULTILINE)


def resident_bytes(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Of all these together."""
    pids = tuple(pids)
    pages = shared = 0
    for pid in pids:
        fields = fields_of((proc / str(pid) / "smaps_rollup").read_text())
        pages += fields["Pss"]
        shared += fields.get("Pss_Shmem", 0)
    return pages + max(0, _memfd_bytes(pids, proc) - shared)


def fields_of(text: str) -> dict[str, int]:
    """Name → bytes."""
    return {name: int(value) * KIB for name, value in _FIELD.findall(text)}


def _memfd_bytes(pids: Iterable[int], proc: Path) -> int:
    found: dict[tuple[int, int], int] = {}
    for pid in pids:
        for entry in (proc / str(pid) / "fd").iterdir():
            try:
                if str(entry.readlink()).startswith("/memfd:"):
                    status = entry.stat()
                    found[status.st_dev, status.st_ino] = status.st_blocks * BLOCK_BYTES
            except FileNotFoundError:  # closed meanwhile
                continue
    return sum(found.values())


def socket_bytes() -> int:
    """What TCP holds in buffers, of the whole machine."""
    match = _TCP.search(Path("/proc/net/sockstat").read_text())
    return int(match[1]) * os.sysconf("SC_PAGE_SIZE") if match else 0
