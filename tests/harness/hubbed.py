"""Clients of a hub on real sockets, whose bytes are taken apart as they come."""

import asyncio
import os
import random
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from harness.fed import Fed
from streamer.deliver.channel import Channel
from streamer.deliver.detached import Detached
from streamer.deliver.gzipped import HEADER, Member

SMALL_BYTES: Final = 4_096
"""Of a buffer; the kernel makes more of it, and yet a few frames of 20 KB fill both ways."""
DEADLINE_S: Final = 30.0


class Reader:
    """One client: what came, without the chunks around it. `error` once it was reset."""

    def __init__(self, sock: socket.socket, *, is_gzip: bool) -> None:
        self.sock = sock
        self.raw = b""
        self.body = b""
        self.chunks: list[bytes] = []
        """Whole ones, before gzip is taken off."""
        self.is_whole = False
        """The last chunk came."""
        self.has_ended = False
        self.error: OSError | None = None
        self._rest = b""
        self._inflate = zlib.decompressobj(wbits=31) if is_gzip else None
        if self._inflate is not None:
            assert self._inflate.decompress(HEADER) == b""  # which goes out before it is detached

    @property
    def has_trailer(self) -> bool:
        """Zlib looked at checksum and length."""
        return self._inflate is not None and self._inflate.eof

    def take(self, most: int = 1 << 20) -> int:
        """What there is now, of so many bytes."""
        if self.has_ended or self.error is not None:
            return 0
        try:
            data = self.sock.recv(most)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.error = error
            return 0
        self.has_ended = not data
        self.raw += data
        self._rest += data
        while self._chunk():
            pass
        return len(data)

    def _chunk(self) -> bool:
        size, found, rest = self._rest.partition(b"\r\n")
        if not found:
            return False
        length = int(size, 16)
        if len(rest) < length + 2:
            return False
        assert not self.is_whole, "bytes behind the end"
        assert rest[length : length + 2] == b"\r\n"
        self._rest = rest[length + 2 :]
        self.is_whole = not length
        if length:
            piece = rest[:length]
            self.chunks.append(piece)
            self.body += piece if self._inflate is None else self._inflate.decompress(piece)
        return True

    @property
    def is_mid_chunk(self) -> bool:
        return bool(self._rest)

    async def until(self, met: Callable[[], bool], most: int = 1 << 20) -> None:
        """Reads until then."""
        async with asyncio.timeout(DEADLINE_S):
            while not met():
                if not self.take(most):
                    assert not self.has_ended, self.body[-300:]
                    if self.error is not None:
                        raise self.error
                    await asyncio.sleep(0.002)

    async def has(self, text: bytes, count: int = 1) -> None:
        await self.until(lambda: self.body.count(text) >= count)

    async def end(self) -> None:
        """Reads to the end, or to the reset."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.has_ended and self.error is None:
                if not self.take():
                    await asyncio.sleep(0.002)


class Hubbed(Fed):
    """A feed whose hub runs; `join` makes clients."""

    def __init__(self, **wishes: Any) -> None:
        super().__init__(**wishes)
        self.sockets: list[socket.socket] = []

    def connect(self, *, small: bool = False) -> tuple[socket.socket, socket.socket]:
        """The server's side and the client's. `small`: with small buffers on the way."""
        with socket.socket() as listening:
            if small:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BYTES)
            listening.bind(("127.0.0.1", 0))
            listening.listen(1)
            client = socket.socket()
            if small:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
            client.connect(listening.getsockname())
            served, _ = listening.accept()
        self.sockets += (served, client)
        for sock in (served, client):
            sock.setblocking(False)
        return served, client

    def join(
        self,
        channel: Channel,
        *,
        number: int | None = None,
        small: bool = False,
        sockets: tuple[socket.socket, socket.socket] | None = None,
    ) -> tuple[Detached, Reader]:
        """At the channel's end, or at that entry."""
        served, client = sockets or self.connect(small=small)
        is_gzip = channel.wanted.encoding == "gzip"
        at = channel.log.end if number is None else channel.offset_of(number)
        member = Member() if is_gzip else None
        nobody: Any = None
        stream = Detached(served.detach(), channel, at, identity=nobody, since_ms=0, member=member)
        self.hub.adopt(stream)
        return stream, Reader(client, is_gzip=is_gzip)

    async def send(self, *records: Any) -> None:
        """Publishes as a batch, and gives each stream its chance, as a feed does."""
        await self.feed._send(self.publish(*records))

    async def sweep(self, forward_s: float = 0.0) -> None:
        """What is due once the clock has gone on by that."""
        self.hands.now_s += forward_s
        await self.hub._sweep()

    def reasons(self) -> list[str]:
        return [reason for _, reason in self.ended]

    async def over(self, count: int) -> list[str]:
        """The reasons, once so many streams have ended."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.ended) < count:
                await asyncio.sleep(0.002)
        return self.reasons()


@asynccontextmanager
async def hubbed(**wishes: Any) -> AsyncIterator[Hubbed]:
    """Nothing of it is left open afterwards: no descriptor, no stream."""
    before = descriptors()
    fed = Hubbed(**wishes)
    with fed.hub.opened():
        yield fed
    for sock in fed.sockets:
        sock.close()
    for channel in tuple(fed.feed.channels.values()):
        fed.feed.drop(channel)
    assert not fed.hub.streams
    assert len({id(stream) for stream, _ in fed.ended}) == len(fed.ended), "each ends once"
    assert descriptors() == before


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Odd:
    """`os`, but sockets take what they like: a part of what they are given, or nothing for now."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _most(self, size: int) -> int:
        if self._rng.random() < 0.2:
            raise BlockingIOError
        return self._rng.choice([1, 2, 3, size // 2, size - 1, size]) if size > 1 else size

    def write(self, fd: int, data: bytes) -> int:
        return os.write(fd, data[: max(1, self._most(len(data)))])

    def sendfile(self, fd: int, log_fd: int, offset: int, size: int) -> int:
        return os.sendfile(fd, log_fd, offset, max(1, self._most(size)))


def oddly(monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> None:
    """Such sockets for all hubs."""
    monkeypatch.setattr("streamer.deliver.hub.os", Odd(rng))
