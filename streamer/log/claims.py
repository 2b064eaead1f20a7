"""Who may write: a lock that the kernel frees with the process that held it, so no lease is needed.

`flock` says that a second worker should not start; the epoch row, checked inside each commit, says
that a first one which still runs can't write (streamer.log.local_writer).
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamer.errors import LogBusy


@contextmanager
def locked(path: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Holds the lock file `path`, which names the holder; LogBusy if another has it after `wait_s`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(descriptor, path, wait_s)
        with suppress(OSError):  # a courtesy to the reader of LogBusy, that a full disk need not pay
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, wait_s: float) -> None:
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                raise LogBusy(
                    f"{path}: held by the process {holder}: stop it, or run this role on another log.path"
                ) from None
            time.sleep(0.01)
        else:
            return
