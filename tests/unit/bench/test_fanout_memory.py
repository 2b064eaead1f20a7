"""Memory of processes, as /proc tells it."""

import os
from pathlib import Path

import pytest

from tests.bench.fanout.memory import fields_of, resident_bytes

MB = 1_000_000


def test_fields_are_bytes() -> None:
    assert fields_of("Rss:      4 kB\nPss_Shmem:   12 kB\nother\n") == {"Rss": 4_096, "Pss_Shmem": 12_288}


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc/PID/smaps_rollup here")
def test_a_file_that_is_nowhere_but_in_memory_is_memory() -> None:
    before = resident_bytes([os.getpid()])
    fd = os.memfd_create("frames")
    try:
        os.write(fd, bytes(30 * MB))
        assert resident_bytes([os.getpid()]) - before > 20 * MB
    finally:
        os.close(fd)
