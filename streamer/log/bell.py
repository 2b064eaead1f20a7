"""Tells other processes that something was committed: a file that is touched, watched by inotify.

Where there is no inotify `following` says so, and polling is all there is.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

IN_ATTRIB: Final = 0x0004


class Bell:
    """`ring` from any thread. A touch writes no block, so that it rings on a full disk too."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def ring(self) -> None:
        os.utime(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def following(path: Path, rang: Callable[[], None]) -> Iterator[bool]:
    """Calls `rang` in the running loop when the bell is rung; False where the system can't tell."""
    descriptor = _watch(path)
    if descriptor is None:
        yield False
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, _drain, descriptor, rang)
    try:
        yield True
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _watch(path: Path) -> int | None:
    """A descriptor that becomes readable at each touch."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(path), ctypes.c_uint32(IN_ATTRIB)) < 0:
        os.close(descriptor)
        return None
    return descriptor


def _drain(descriptor: int, rang: Callable[[], None]) -> None:
    with suppress(BlockingIOError):
        while os.read(descriptor, 65_536):
            pass
    rang()
