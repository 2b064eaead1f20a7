"""A partner that trusts nothing: a line-exact SSE reader that remembers each id it was given."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import aiohttp

from harness.patience import TIMES, again_s
from harness.schema import checked

CUT_S = 10.0
"""No byte for so long, with heartbeats every second, is a dead connection."""


class Refused(Exception):
    """The service has nothing for anybody at the moment (503): come again."""

    def __init__(self, answer: str, again_s: float) -> None:
        super().__init__(answer)
        self.again_s = again_s


@dataclass(slots=True)
class Received:
    """One event with a blank line behind it, or a heartbeat (`name` is then `heartbeat`)."""

    name: str
    id: str
    data: str

    @property
    def article(self) -> dict[str, object]:
        loaded: dict[str, object] = json.loads(self.data)
        return loaded


@dataclass(slots=True)
class Feed:
    """Reads `url` with a key; `last_id` survives breaks, and the next `events` resumes by it."""

    url: str
    key: str
    since: str = ""
    last_id: str = ""
    breaks: int = field(default=0)
    torn: int = field(default=0)
    """Connections that ended in the middle of an event."""
    answer: str = field(default="")
    """What the service said last: status, headers, and the body of a refusal. No answer has a key in it."""

    async def events(self) -> AsyncGenerator[Received, None]:
        """One connection's events; ends when it does. Who is refused comes again as the service says, a few
        times; then raises Refused. Raises aiohttp.ClientError where it can't connect.
        """
        for _ in range(TIMES - 1):
            try:
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        yield event
            except Refused as refused:
                await asyncio.sleep(refused.again_s)
            else:
                return
        async with aclosing(self._connection()) as events:
            async for event in events:
                yield event

    async def _connection(self) -> AsyncGenerator[Received, None]:
        buffer = b""
        try:
            async for chunk in self.chunks():
                buffer += chunk
                *lines, buffer = buffer.split(b"\n")
                for event in self._take(lines):
                    yield event
        finally:
            self.torn += bool(buffer or self._name or self._id or self._data)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """One connection's bytes."""
        headers = {"Authorization": f"Bearer {self.key}", "Accept": "text/event-stream"}
        params = {}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        elif self.since:
            params["since"] = self.since
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=CUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self.url, headers=headers, params=params) as response,
        ):
            self.answer = f"{response.status} {dict(response.headers)}"
            if response.status != 200:
                self.answer += f" {await response.text()}"
            if response.status == 503:
                raise Refused(self.answer, again_s(response.headers))
            assert response.status == 200, self.answer
            assert response.content_type == "text/event-stream"
            content = response.content
            try:
                while chunk := await content.readany():
                    yield chunk
            except (aiohttp.ClientError, ConnectionError):
                # what came before a reset, and was not asked for yet: aiohttp would keep it to itself
                if rest := b"".join(content._buffer)[content._buffer_offset :]:
                    yield rest
                raise

    _name: str = ""
    _id: str = ""
    _data: list[str] = field(default_factory=list)

    def _take(self, lines: list[bytes]) -> list[Received]:
        found: list[Received] = []
        for raw in lines:
            line = raw.decode("utf-8")
            if not line:
                if self._data:
                    event = Received(self._name or "message", self._id, "\n".join(self._data))
                    if event.name == "message":
                        checked(event.article)
                    found.append(event)
                if self._id:
                    self.last_id = self._id
                self._name, self._id, self._data = "", "", []
                continue
            if line.startswith(":hb"):
                found.append(Received("heartbeat", "", ""))
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._data.append(value)
            elif name == "event":
                self._name = value
            elif name == "id":
                self._id = value
        return found

    async def articles(self, stop: asyncio.Event) -> AsyncGenerator[Received, None]:
        """Across breaks, until `stop`: reconnects at once and resumes by id."""
        while not stop.is_set():
            self._name, self._id, self._data = "", "", []
            try:
                async for event in self._connection():
                    if event.name == "message":
                        yield event
                    if stop.is_set():
                        return
            except (TimeoutError, aiohttp.ClientError, ConnectionError, Refused):
                pass
            self.breaks += 1
            await asyncio.sleep(0.02)
