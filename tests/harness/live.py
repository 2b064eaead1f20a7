"""Clients that are well, beside whatever else is connected: what they get, and how late."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from harness.delivering import KEY, OTHER_KEY, Delivering

DEADLINE_S: Final = 30.0
PLACE: Final = re.compile(rb'"sequence":(\d+),.*"partition":(\d+),"offset":\d+')
KEYS: Final = {"acme": KEY, "globex": OTHER_KEY}


class _Client(asyncio.Protocol):
    """One live SSE stream. It is taken apart only as far as a test's own small articles need that."""

    def __init__(self, moved: asyncio.Event) -> None:
        self.begun = False
        self.ended = False
        self.got: dict[int, list[int]] = {}
        """By partition, the sequences in the order in which they came."""
        self.came_s: dict[int, float] = {}
        self._moved = moved
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        *events, self._rest = (self._rest + data).split(b"\n\n")
        self.begun = self.begun or b":ok\n" in data or b":ok\n" in self._rest
        for event in events:
            match = PLACE.search(event)
            if match:
                self.got.setdefault(int(match[2]), []).append(int(match[1]))
                self.came_s[int(match[1])] = now_s
        self._moved.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        self.ended = True
        self._moved.set()


class Live:
    """Some of them, and the one who writes for them: one article at a time, each awaited by all."""

    def __init__(self, writes: Delivering, clients: list[_Client], moved: asyncio.Event) -> None:
        self._writes = writes
        self._clients = clients
        self._moved = moved

    async def reached(self, sequence: int) -> None:
        """All have this article. Raises AssertionError where a stream ends, TimeoutError."""
        async with asyncio.timeout(DEADLINE_S):
            while not all(sequence in client.came_s for client in self._clients):
                assert not any(client.ended for client in self._clients), "a live stream ended"
                self._moved.clear()
                await self._moved.wait()

    async def late_s(self, rounds: int, *, text: str = "") -> list[float]:
        """From the append to a client, of so many articles and all clients: the commit is in it, since the
        news of it may come to this process later than the article.
        """
        late_s: list[float] = []
        for round_ in range(rounds):
            # in no step with whatever polls: the next one is written some milliseconds after the last came
            await asyncio.sleep(0.0037 * (1 + round_ % 3))
            began_s = time.monotonic()
            (sequence,) = await self._writes.write([1 + round_ % 20], text=text)
            await self.reached(sequence)
            late_s += [client.came_s[sequence] - began_s for client in self._clients]
        return late_s

    async def check(self) -> None:
        """Each has got all there was, once, each partition in order."""
        wanted: dict[int, list[int]] = {}
        for partition, sequence in self._writes.written:
            wanted.setdefault(partition, []).append(sequence)
        await self.reached(self._writes.sequence)
        for client in self._clients:
            assert client.got == wanted


@asynccontextmanager
async def living(writes: Delivering, port: int, count: int) -> AsyncIterator[Live]:
    """From the first article on: nothing may be written before. At the end each must have got all."""
    assert not writes.written
    request = f"GET /v2/articles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEYS[writes.partner]}\r\n\r\n"
    loop = asyncio.get_running_loop()
    moved = asyncio.Event()
    clients: list[_Client] = []
    transports: list[asyncio.Transport] = []
    try:
        for _ in range(count):
            transport, client = await loop.create_connection(lambda: _Client(moved), "127.0.0.1", port)
            transports.append(transport)
            clients.append(client)
            transport.write(request.encode())
        async with asyncio.timeout(DEADLINE_S):
            while not all(client.begun for client in clients):
                moved.clear()
                await moved.wait()
        live = Live(writes, clients, moved)
        yield live
        await live.check()
    finally:
        for transport in transports:
            transport.abort()
