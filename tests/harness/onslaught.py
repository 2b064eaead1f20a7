"""Many bad requests at once against a role `deliver`, and what must be so during and after them.

`Bystander` is another partner with a live stream: it loses nothing, doubles nothing, and has its heartbeats
in time. `Eavesdropper` hears every log event. `Footing` is what the process holds.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import re
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness.delivering import KEY, OTHER_KEY, Delivering, article_record, metric
from harness.feed import Feed
from harness.malformed import MARK
from streamer.runtime import article_spec

DEADLINE_S = 60.0
ONCE = 8
"""Descriptors and tasks that a process makes once: connections of a pool, a reader of a topic."""
"""For each answer, or the end of the connection."""
QUIET_S = 0.25
"""A server that has said nothing for so long after an answer waits for more of the request."""
STATUSES = frozenset({200, 201, 204, 400, 401, 403, 404, 405, 406, 410, 413, 414, 415, 417, 422})
PROBLEM = "application/problem+json"
TYPE = re.compile(r"urn:streamer:problem:[a-z_]+")
OF_GLOBEX = b"of globex alone"
SECRETS = (KEY, OTHER_KEY, MARK)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) [A-Za-z '-]+")

T = TypeVar("T")


@dataclass(slots=True)
class Answer:
    """`body` of a stream is what came of it until its preamble."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_stream(self) -> bool:
        return self.status == 200 and "content-length" not in self.headers

    @property
    def problem(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded


def judge(answer: Answer, request: object) -> None:
    """A status of the contract, a problem of its shape, and nothing of what was sent. Also a 503 that says
    when to come again: how many of them a crowd may get is the caller's to say.
    """
    is_later = answer.status == 503 and "retry-after" in answer.headers
    assert is_later or answer.status in STATUSES, (answer, request)
    assert OF_GLOBEX not in answer.body, request
    said = answer.body + repr(answer.headers).encode()
    assert not any(secret.encode() in said for secret in SECRETS), (answer, request)
    if answer.status < 300:
        return
    if not answer.body:  # of a HEAD
        return
    assert answer.headers["content-type"] == PROBLEM, (answer, request)
    problem = answer.problem
    assert {"type", "title", "status", "detail", "message"} <= problem.keys(), (answer, request)
    assert problem["status"] == answer.status, (answer, request)
    assert TYPE.fullmatch(problem["type"]), (answer, request)
    assert len(answer.body) < 1_000, (answer, request)


async def thrown(port: int, request: bytes, *, is_head: bool = False, expected: int = 0) -> list[Answer]:
    """Every answer to these bytes on a connection of their own. Raises where one is no HTTP, or none comes.

    Returns when so many came (0: it is not known), the connection is closed, a stream has begun, or the
    server waits for more.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    answers: list[Answer] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            writer.write(request)
            while True:
                patience_s = QUIET_S if answers else DEADLINE_S
                try:
                    async with asyncio.timeout(patience_s):
                        head = await reader.readuntil(b"\r\n\r\n")
                except TimeoutError:
                    return answers
                except asyncio.IncompleteReadError as end:
                    if end.partial:
                        raise AssertionError((end.partial, request)) from None
                    return answers
                answer = await _answer(reader, head, is_head=is_head)
                if answer is None:
                    continue
                answers.append(answer)
                if answer.is_stream or len(answers) == expected:
                    return answers
    except ConnectionError:  # closed with something unread: a reset
        return answers
    except TimeoutError:
        raise AssertionError((answers, request)) from None
    finally:
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader, head: bytes, *, is_head: bool) -> Answer | None:
    """None: 100 Continue."""
    first, *lines = head[:-4].split(b"\r\n")
    match = _STATUS.fullmatch(first)
    assert match, head
    status = int(match[1])
    if status == 100:
        return None
    headers = {}
    for line in lines:
        name, colon, value = line.decode("ascii").partition(": ")
        assert colon, head
        assert name.lower() not in headers, head
        headers[name.lower()] = value
    if status == 200 and "content-length" not in headers:
        preamble = b":ok\n" if "event" in headers["content-type"] else b" "
        body = b""
        if headers.get("content-encoding") == "gzip":
            body = await _unpacked(reader, preamble)
        elif not is_head:  # and what came with it
            body = await reader.readuntil(preamble) + bytes(reader._buffer)  # type: ignore[attr-defined]
    elif status == 204:
        body = b""
    else:
        length = int(headers["content-length"])
        # a HEAD that is no HTTP is not known to be one
        body = await (_perhaps(reader, length) if is_head else reader.readexactly(length))
    return Answer(status, headers, body)


async def _unpacked(reader: asyncio.StreamReader, preamble: bytes) -> bytes:
    """Of a gzip stream in chunks, its beginning."""
    unpacker, body = zlib.decompressobj(31), b""
    while preamble not in body:
        size = int(await reader.readuntil(b"\r\n"), 16)
        body += unpacker.decompress(await reader.readexactly(size + 2))
    return body


async def _perhaps(reader: asyncio.StreamReader, length: int) -> bytes:
    try:
        async with asyncio.timeout(QUIET_S):
            return await reader.readexactly(length)
    except (TimeoutError, asyncio.IncompleteReadError):
        return b""


async def at_once(throw: Callable[[T], Awaitable[None]], requests: Iterable[T], workers: int) -> None:
    """Each of them, so many at a time."""
    left = iter(requests)

    async def work() -> None:
        for request in left:
            await throw(request)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


@dataclass
class Bystander:
    server: Delivering
    heartbeat_s: float
    written: dict[int, list[int]] = field(default_factory=dict)
    got: dict[int, list[int]] = field(default_factory=dict)
    longest_silence_s: float = 0.0
    _sequence: int = 1_000_000

    async def write(self) -> None:
        topic = self.server.runtime.topics.of_partner("globex")
        records = []
        for page in range(700, 705):
            self._sequence += 1
            record = article_record(topic, page, 1, self._sequence, text=OF_GLOBEX.decode())
            self.written.setdefault(record.partition, []).append(self._sequence)
            records.append(record)
        await self.server.log.append(records)

    async def writing(self, ended: asyncio.Event) -> None:
        """Until told to end, and not cancelled: who is amid an append can't say whether it was written."""
        while not ended.is_set():
            await self.write()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * self.heartbeat_s):
                    await ended.wait()

    async def reading(self, begun: asyncio.Event) -> None:
        last_s = time.monotonic()
        feed = Feed(self.server.url, OTHER_KEY)
        async for event in feed.events():
            begun.set()
            now_s = time.monotonic()
            self.longest_silence_s, last_s = max(self.longest_silence_s, now_s - last_s), now_s
            if event.name == "message":
                about = event.article["event"]
                assert isinstance(about, dict)
                self.got.setdefault(about["partition"], []).append(about["sequence"])
        raise AssertionError("the stream of another partner ended")

    async def whole(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self.got != self.written:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def bystander(server: Delivering, *, late_s: float) -> AsyncIterator[Bystander]:
    """`late_s`: by so much a heartbeat may be late, on a machine that has other things to do."""
    topic = server.runtime.topics.of_partner("globex")
    await server.log.ensure_topics([article_spec(server.runtime.settings, topic)])
    stands = Bystander(server, server.runtime.settings.deliver.heartbeat_s)
    begun = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(stands.reading(begun))
        async with asyncio.timeout(DEADLINE_S):
            await begun.wait()
        stands.longest_silence_s = 0.0
        ended = asyncio.Event()
        writing = group.create_task(stands.writing(ended))
        yield stands
        ended.set()
        await writing
        await stands.whole()
        reading.cancel()
    assert stands.longest_silence_s < stands.heartbeat_s + late_s


class Eavesdropper(logging.Handler):
    """What log events say that they must not, and those that tell of mistakes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = self.format(record) + repr(record.__dict__)
        if any(secret in said for secret in SECRETS) or record.exc_info or record.levelno >= logging.ERROR:
            self.heard.append(said)


@contextmanager
def eavesdropping() -> Iterator[None]:
    """Nothing is logged of what was sent, and no mistake, by any library; nor is one counted."""
    root, handler = logging.getLogger(), Eavesdropper()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    internal = metric("streamer_errors_total", stage="deliver", code="internal")
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    assert not handler.heard, handler.heard[:5]
    assert metric("streamer_errors_total", stage="deliver", code="internal") == internal


@dataclass(frozen=True)
class Footing:
    descriptors: int
    tasks: int
    bytes: int

    @staticmethod
    def now() -> "Footing":
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return Footing(
            len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - counted only
            len(asyncio.all_tasks()),
            pages * os.sysconf("SC_PAGE_SIZE"),
        )

    async def regained(self, *, grown_bytes: int) -> None:
        """Waits until no more is held than this, but for so much memory that an allocator keeps, and what is
        made once, when it is first needed: hundreds of clients that each left something would be more.
        """
        now = Footing.now()
        async with asyncio.timeout(DEADLINE_S):
            while now.descriptors > self.descriptors + ONCE or now.tasks > self.tasks + ONCE:
                await asyncio.sleep(0.1)
                now = Footing.now()
        assert now.bytes - self.bytes < grown_bytes, (self, now)
