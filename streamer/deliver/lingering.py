"""Streams that ended well, until their last bytes have arrived.

A close while there are bytes unread is a reset, and a reset takes from the client what it has not read yet.
So our side is shut down, what it still says is thrown away, and the socket is closed after its own side is.
"""

import os
import select
from typing import Final

from streamer.clock import Clock
from streamer.deliver.sockets import close_socket, shut_down

READ_BYTES: Final = 262_144


class Lingering:
    """Sockets that are registered with `epoll`; not for longer than `for_s` each."""

    def __init__(self, clock: Clock, for_s: float) -> None:
        self._clock = clock
        self._for_s = for_s
        self._until_s: dict[int, float] = {}

    def __contains__(self, fd: int) -> bool:
        return fd in self._until_s

    def __len__(self) -> int:
        return len(self._until_s)

    def add(self, epoll: "select.epoll", fd: int) -> None:
        if shut_down(fd):
            self._until_s[fd] = self._clock.monotonic_s() + self._for_s
            epoll.modify(fd, select.EPOLLIN | select.EPOLLRDHUP)
        else:  # it has left
            epoll.unregister(fd)
            close_socket(fd)

    def heed(self, epoll: "select.epoll", fd: int) -> None:
        """It said something, or has closed its side, too."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(epoll, fd)

    def expire(self, epoll: "select.epoll") -> None:
        now_s = self._clock.monotonic_s()
        for fd, until_s in tuple(self._until_s.items()):
            if now_s >= until_s:
                self._forget(epoll, fd)

    def close(self, epoll: "select.epoll") -> None:
        """All of them, at once; what is there of what they said is read before."""
        for fd in tuple(self._until_s):
            self.heed(epoll, fd)
            if fd in self._until_s:
                self._forget(epoll, fd)

    def _forget(self, epoll: "select.epoll", fd: int) -> None:
        del self._until_s[fd]
        epoll.unregister(fd)
        close_socket(fd)
