"""Clients that mean no good, by the thousand, each an own socket of this process.

    async with Mob(port) as mob:
        await mob.gather(2_000, never_read)     returns once each of them is where it wants to be
        …                                       they go on
                                                they are gone

An attack is a coroutine function of a `Client`; it says `in_place()` once, and goes on until it is cancelled.
Its key is globex's, so that what it is sent is another feed than that of those who are well.
"""

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from harness.delivering import OTHER_KEY

AT_ONCE: Final = 64
"""So many connect at a time: more than a listener's backlog would wait for a second attempt."""
SMALL_BYTES: Final = 4_096
NO_LINGER: Final = struct.pack("ii", 1, 0)
BIND_ADDRESS_NO_PORT: Final = 24
"""IP_BIND_ADDRESS_NO_PORT of Linux: a port is chosen once the other end is known."""
AUTH: Final = f"Host: x\r\nAuthorization: Bearer {OTHER_KEY}\r\n".encode()
GET: Final = b"GET /v2/articles HTTP/1.1\r\n" + AUTH
POST: Final = b"POST /v2/articles HTTP/1.1\r\n" + AUTH
WHOLE: Final = GET + b"\r\n"


class Client:
    """One connection. Errors of the socket are OSError, as ever."""

    def __init__(self, port: int, address: str, receive_bytes: int) -> None:
        self._port = port
        self._address = address
        self._receive_bytes = receive_bytes
        self._loop = asyncio.get_running_loop()
        self._placed: asyncio.Future[None] = self._loop.create_future()
        self.sock = self._made()

    def _made(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
        sock.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
        sock.bind((self._address, 0))
        return sock

    async def again(self) -> None:
        """Another connection of the same client."""
        self.reset()
        self.sock = self._made()
        await self.connect()

    async def connect(self) -> None:
        await self._loop.sock_connect(self.sock, ("127.0.0.1", self._port))

    def in_place(self) -> None:
        if not self._placed.done():
            self._placed.set_result(None)

    async def placed(self) -> None:
        await self._placed

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.sock, data)

    async def receive(self, size: int) -> bytes:
        return await self._loop.sock_recv(self.sock, size)

    async def readable(self) -> None:
        """Something came, or the end. Nothing is taken."""
        came = self._loop.create_future()
        self._loop.add_reader(self.sock, lambda: came.done() or came.set_result(None))
        try:
            await came
        finally:
            self._loop.remove_reader(self.sock)

    def reset(self) -> None:
        """Closed by an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.sock.close()


Attack = Callable[[Client], Awaitable[None]]


class Mob:
    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.refused = 0
        """Whose connection the server ended, or never took."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.result()

    async def gather(self, count: int, attack: Attack, *, receive_bytes: int = SMALL_BYTES) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def join(number: int) -> None:
            async with places:
                client = Client(self._port, source(number), receive_bytes)
                self._tasks.add(asyncio.create_task(self._run(client, attack)))
                await client.placed()

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(join(number))

    async def _run(self, client: Client, attack: Attack) -> None:
        try:
            await client.connect()
            await attack(client)
        except OSError:
            self.refused += 1
        finally:
            client.in_place()
            client.reset()


def source(number: int) -> str:
    """One of some loopback addresses: each has its own ports."""
    return f"127.0.0.{2 + number % 8}"


# ── those who stay ─────────────────────────────────────────────────────────────────────────────

TRICKLE_S: Final = 1.0


async def never_read(client: Client) -> None:
    """It asks for the stream, and takes no byte of it."""
    await client.send(WHOLE)
    await client.readable()
    client.in_place()
    await asyncio.Event().wait()


async def read_a_byte_a_second(client: Client) -> None:
    await client.send(WHOLE)
    await client.readable()
    client.in_place()
    while await client.receive(1):
        await asyncio.sleep(TRICKLE_S)


async def never_ask(client: Client) -> None:
    """Connected, and not a word."""
    client.in_place()
    await client.receive(1)


async def send_a_slow_head(client: Client) -> None:
    client.in_place()
    for byte in GET + b"X: " + b"y" * 1_000:
        await client.send(bytes([byte]))
        await asyncio.sleep(TRICKLE_S)


async def send_a_slow_body(client: Client) -> None:
    await client.send(POST + b"Content-Length: 5000\r\n\r\n{")
    client.in_place()
    while True:
        await asyncio.sleep(TRICKLE_S)
        await client.send(b" ")


async def talk_on_the_stream(client: Client) -> None:
    """A second request behind the first, and then whatever the buffers take: nobody is to read it."""
    await client.send(WHOLE + b"GET /problem HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.readable()
    with suppress(BlockingIOError):
        while True:
            client.sock.send(b"GET /problem HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    client.in_place()
    while await client.receive(65_536):
        pass


async def send_a_huge_head(client: Client) -> None:
    """Without an end, as fast as it is taken; again and again, as often as it is refused."""
    await _flood(client, GET + b"X: ", b"y" * 65_536)


async def send_a_huge_body(client: Client) -> None:
    """Of which nobody asked for so much."""
    await _flood(client, POST + b"Content-Length: 1000000000\r\n\r\n", b" " * 65_536)


async def _flood(client: Client, head: bytes, more: bytes) -> None:
    while True:
        await client.send(head)
        client.in_place()
        with suppress(OSError):
            while True:
                await client.send(more)
        await asyncio.sleep(TRICKLE_S)
        await client.again()


# ── those who come and go ──────────────────────────────────────────────────────────────────────

EVER: Final = b"GET /v2/articles?since=2020-01-01T00:00:00Z HTTP/1.1\r\n" + AUTH + b"\r\n"
FRAMES_BYTES: Final = 1_000_000
"""Of a feed that has some large articles: anywhere in there is the middle of a frame."""


async def drops(port: int, rng: random.Random, count: int, workers: int, *, per_s: float = 0) -> None:
    """So many connections, one behind the other in each worker, as fast as they can or `per_s` of them. What
    becomes of such a connection is no error here.
    """
    left = iter(range(count))

    async def work() -> None:
        for number in left:
            large = number % 50 == 0
            client = Client(port, source(number), 65_536 if large else SMALL_BYTES)
            try:
                await client.connect()
                await (_torn(client, rng) if large else _dropped(client, rng, number % 5))
            except OSError:
                pass
            finally:
                if rng.random() < 0.5:
                    client.reset()
                client.sock.close()
            if per_s:
                await asyncio.sleep(workers / per_s)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


async def _dropped(client: Client, rng: random.Random, way: int) -> None:
    if way == 0:  # without a word
        return
    if way == 1:  # in the middle of the head
        await client.send(WHOLE[: rng.randrange(1, len(WHOLE))])
        return
    await client.send(WHOLE)
    if way == 2:  # before the answer
        return
    await client.readable()
    if way == 3:
        return
    client.sock.shutdown(socket.SHUT_WR)  # who says no more has left: the stream ends
    while await client.receive(SMALL_BYTES):
        pass


async def _torn(client: Client, rng: random.Random) -> None:
    """Somewhere in the articles that it catches up with."""
    await client.send(EVER)
    left = rng.randrange(1, FRAMES_BYTES)
    while left > 0 and (got := await client.receive(min(left, 65_536))):
        left -= len(got)
