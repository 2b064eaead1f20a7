"""The bytes of a channel: on either system the same, whole for as long as a socket has them, given back."""

import os
import random
import socket
from collections.abc import Callable

import pytest

from streamer.deliver.framelog import (
    PAGE_BYTES,
    RELEASE_BYTES,
    FrameLog,
    HeapLog,
    MemfdLog,
    frame_log,
)

Made = Callable[[], FrameLog]
BLOCK_BYTES = 512
"""What st_blocks counts in, whatever the pages are (stat(2))."""


def held_bytes(log: MemfdLog) -> int:
    return os.fstat(log.fd).st_blocks * BLOCK_BYTES


@pytest.mark.parametrize("made", [MemfdLog, HeapLog])
def test_what_is_retained_reads_as_it_was_appended(made: Made, rng: random.Random) -> None:
    """Anywhere behind what was released, across all appends."""
    log, whole, released = made(), b"", 0
    for _ in range(300):
        data = rng.randbytes(rng.choice([1, 40, 3_000, 70_000]))
        log.append(data)
        whole += data
        assert log.end == len(whole)
        if rng.random() < 0.2:
            released = rng.randrange(released, len(whole) + 1)
            log.release(released)
        for _ in range(3):
            start = rng.randrange(released, len(whole) + 1)
            end = rng.randrange(start, len(whole) + 1)
            assert log.read(start, end) == whole[start:end]
    log.close()


def test_released_pages_are_given_back(rng: random.Random) -> None:
    """The memfd holds what is retained, and less than one step of releasing beside it."""
    log = MemfdLog()
    released = 0
    for _ in range(200):
        log.append(rng.randbytes(rng.randrange(1, 60_000)))
        released = max(released, log.end - 200_000)
        log.release(released)
        assert held_bytes(log) <= log.end - released + RELEASE_BYTES + 2 * PAGE_BYTES
    assert log.end > 10 * 200_000
    log.release(log.end)
    assert held_bytes(log) <= RELEASE_BYTES + PAGE_BYTES
    log.close()


def test_what_a_socket_was_given_stays_whole(rng: random.Random) -> None:
    """Its pages are released, others are appended, the log is closed: the client reads what was sent."""
    log = MemfdLog()
    data = rng.randbytes(3 * RELEASE_BYTES)
    log.append(data)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        served, _ = server.accept()
    with client, served:
        served.setblocking(False)
        sent = os.sendfile(served.fileno(), log.fd, 0, len(data))
        assert sent > PAGE_BYTES
        log.release(log.end)
        log.append(bytes(len(data)))
        log.close()
        served.shutdown(socket.SHUT_WR)
        got = b""
        while more := client.recv(1 << 20):
            got += more
    assert got == data[:sent]


def test_a_closed_log_holds_nothing() -> None:
    """Its descriptor is free again."""
    log = MemfdLog()
    log.append(b"x")
    fd = log.fd
    log.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_each_system_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A memfd where there is such a thing."""
    log = frame_log()
    assert isinstance(log, MemfdLog)
    log.close()
    monkeypatch.setattr("streamer.deliver.framelog.HAS_MEMFD", False)
    assert isinstance(frame_log(), HeapLog)
