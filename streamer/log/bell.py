"""Tells other processes that something was committed: a file that is touched, watched by inotify.

Where there is no inotify `watch` gives None, and the slow poll behind the bell is all there is.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

IN_ATTRIB: Final = 0x0004
IN_NONBLOCK: Final = os.O_NONBLOCK
IN_CLOEXEC: Final = os.O_CLOEXEC


class Bell:
    """`ring` from any thread. A touch writes no block, so that it rings on a full disk too."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def ring(self) -> None:
        os.utime(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def watch(path: Path) -> int | None:
    """A descriptor that becomes readable when the bell rings; None where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(path), ctypes.c_uint32(IN_ATTRIB)) < 0:
        os.close(descriptor)
        return None
    return descriptor


def drained(descriptor: int, rang: Callable[[], None]) -> None:
    """Reads what lies in the descriptor, and tells."""
    try:
        while os.read(descriptor, 65_536):
            pass
    except BlockingIOError:
        pass
    rang()
