"""The bytes of one channel as they go out, appended once for all that follow it.

    released │ retained                              │ appended next
    ─────────┼───────────────────────────────────────┼─────────────►
           first                                    end

Offsets only grow and bytes never change: sockets that were given them by sendfile may still refer to their
pages after these are released. On Linux they lie in a memfd, so that a write to a client needs no copy of
ours; elsewhere on the heap.
"""

import ctypes
import os
from bisect import bisect_left, bisect_right
from typing import Final, Protocol

RELEASE_BYTES: Final = 131_072
"""So many are given back at a time, in whole pages: a system call for each frame is not worth it."""
RELEASE_PARTS: Final = 1_024
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4_096
_KEEP_SIZE_AND_PUNCH_HOLE: Final = 0x01 | 0x02
"""FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE (linux/falloc.h)."""


class FrameLog(Protocol):
    """`end` is where the next bytes go. Reading what is released gives nothing of use."""

    end: int

    def append(self, data: bytes) -> None: ...

    def read(self, start: int, end: int) -> bytes: ...

    def release(self, until: int) -> None:
        """What lies before `until` is read no more."""
        ...

    def close(self) -> None: ...


class MemfdLog:
    """`fd` can be given to sendfile; its offsets are those of the log."""

    __slots__ = ("_released", "end", "fd")

    def __init__(self) -> None:
        self.fd = os.memfd_create("frames", os.MFD_CLOEXEC)
        self.end = 0
        self._released = 0

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self.fd, view)
            self.end += written
            view = view[written:]

    def read(self, start: int, end: int) -> bytes:
        return os.pread(self.fd, end - start, start)

    def release(self, until: int) -> None:
        until -= until % PAGE_BYTES
        if until - self._released >= RELEASE_BYTES:
            _punch(self.fd, self._released, until - self._released)
            self._released = until

    def close(self) -> None:
        """Pages that a socket still refers to live on until it has sent them."""
        os.close(self.fd)


class HeapLog:
    """For systems without memfd."""

    __slots__ = ("_parts", "_released", "_starts", "end")

    def __init__(self) -> None:
        self.end = 0
        self._starts: list[int] = []
        self._parts: list[bytes] = []
        self._released = 0
        """So many parts at the front are let go and not yet taken out."""

    def append(self, data: bytes) -> None:
        self._starts.append(self.end)
        self._parts.append(data)
        self.end += len(data)

    def read(self, start: int, end: int) -> bytes:
        first = max(0, bisect_right(self._starts, start) - 1)
        last = bisect_left(self._starts, end)
        return b"".join(
            part[max(0, start - at) : end - at]
            for at, part in zip(self._starts[first:last], self._parts[first:last], strict=True)
        )

    def release(self, until: int) -> None:
        ended = bisect_right(self._starts, until) - (until < self.end)
        for number in range(self._released, ended):
            self._parts[number] = b""
        self._released = max(self._released, ended)
        if self._released >= RELEASE_PARTS:
            del self._starts[: self._released], self._parts[: self._released]
            self._released = 0

    def close(self) -> None:
        self._starts.clear()
        self._parts.clear()


HAS_MEMFD: Final = hasattr(os, "memfd_create")


def frame_log() -> MemfdLog | HeapLog:
    return MemfdLog() if HAS_MEMFD else HeapLog()


if HAS_MEMFD:
    _fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    _fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def _punch(fd: int, start: int, size: int) -> None:
    """Gives the pages back and leaves a hole. (Python has no name for it.)"""
    if _fallocate(fd, _KEEP_SIZE_AND_PUNCH_HOLE, start, size):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
