"""From the wikis' hooks into the streams: each event a datagram, none may be lost.

The socket is none of the network: the sender waits where the reader is behind, nothing is dropped. (Its name
is abstract, since a path may have 108 bytes and pytest's are longer.) Each wiki numbers what it sends in a
file; a number that is missing, or a count that is higher than what came, is a lost event, and no test that
relied on it may pass.
"""

import asyncio
import hashlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from streamer.clock import Clock
from streamer.sandbox.feed import Feed

LARGEST: Final = 1 << 20
"""Bytes of a datagram; the kernel's own limit is lower."""
ARRIVE_S: Final = 30.0


class Told(msgspec.Struct, frozen=True):
    """One datagram."""

    wiki: str
    number: int
    stream: str
    event: dict[str, object]


class EventLost(AssertionError):
    """The wiki has told something that never came here."""


def socket_name(folder: Path) -> str:
    """Of the farm in that folder."""
    return f"proof-{hashlib.sha1(bytes(folder.resolve())).hexdigest()}"


class Relay:
    """`heard` keeps all events in the order in which they came."""

    def __init__(self, folder: Path, feed: Feed, ring: Callable[[], None], clock: Clock) -> None:
        self._folder = folder
        self._feed = feed
        self._ring = ring
        self._clock = clock
        self._decoder = msgspec.json.Decoder(Told)
        self._stack = ExitStack()
        self._came = asyncio.Event()
        self.data_centre = "eqiad"
        self.heard: list[Told] = []
        self.counts: Counter[str] = Counter()
        self._lost: list[str] = []
        self._drops: list[tuple[Callable[[Told], bool], list[Told]]] = []

    @contextmanager
    def drop(self, matching: Callable[[Told], bool]) -> Iterator[list[Told]]:
        """What is told and matches never reaches the streams, as if upstream had lost it; what that was. It
        came here, so it is no lost event: wait until all is `settled` before the end.
        """
        dropped: list[Told] = []
        self._drops.append((matching, dropped))
        try:
            yield dropped
        finally:
            self._drops.remove((matching, dropped))

    def open(self) -> None:
        """Listens; in the running loop."""
        reader = self._stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        reader.setblocking(False)
        reader.bind(f"\0{socket_name(self._folder)}")
        loop = asyncio.get_running_loop()
        loop.add_reader(reader, self._read, reader)
        self._stack.callback(loop.remove_reader, reader)

    def close(self) -> None:
        self._stack.close()

    def _read(self, reader: socket.socket) -> None:
        while True:
            try:
                data = reader.recv(LARGEST)
            except BlockingIOError:
                break
            self._take(self._decoder.decode(data))
        self._ring()
        self._came.set()

    def _take(self, told: Told) -> None:
        self.counts[told.wiki] += 1
        if told.number != self.counts[told.wiki]:
            self._lost.append(f"event {told.number} of {told.wiki} came as number {self.counts[told.wiki]}")
        self.heard.append(told)
        for matching, dropped in self._drops:
            if matching(told):
                dropped.append(told)
                return
        self._feed.append(self.data_centre, told.stream, self._clock.now_ms(), told.event)

    def _sent(self) -> Counter[str]:
        """What each wiki has counted."""
        files = self._folder.glob("sent-*")
        return Counter({file.name.removeprefix("sent-"): int(file.read_text() or 0) for file in files})

    def check(self) -> None:
        """Raises EventLost."""
        if self._lost:
            raise EventLost("; ".join(self._lost[:5]))

    async def settled(self) -> None:
        """All that was told before is here. Raises EventLost for what doesn't come."""
        try:
            async with asyncio.timeout(ARRIVE_S):
                while self._sent() != self.counts:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise EventLost(f"told {dict(self._sent())}, came {dict(self.counts)}") from None
        self.check()
