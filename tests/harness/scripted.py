"""A server on loopback that answers each connection with the next thing it was told to, byte by byte.

async with Scripted([Answer(sse(1, 2), then="break"), Answer(status=503)]) as server:
server.url, server.requests[0].headers["last-event-id"]
"""

import asyncio
import json
import ssl
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

DATE = "Sat, 21 Nov 2026 12:00:00 GMT"


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes | Sequence[bytes] = b""
    """Pieces are written one by one."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    then: Literal["end", "cut", "break", "hold"] = "end"
    """A clean end; an end within the body (of chunks); a reset; nothing more."""
    is_chunked: bool = True
    """Else the end of the connection is that of the body, as with HTTP/1.0."""
    is_mute: bool = False
    """Takes the request and says nothing at all."""


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    """Names in lower case."""


class Scripted:
    """The last answer is given to all that come after it."""

    def __init__(self, answers: Sequence[Answer], tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._answers = list(answers)
        self.requests: list[Asked] = []
        self.url = ""
        self._released = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v2/articles"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.close()
        await self._server.wait_closed()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        place = urlsplit(head.split(" ")[1])
        headers = dict(line.split(": ", 1) for line in lines if line)
        asked = Asked(place.path, parse_qs(place.query), {k.lower(): v for k, v in headers.items()})
        answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
        self.requests.append(asked)
        if answer.is_mute:
            await self._released.wait()
            return
        said = {
            "Content-Type": "text/event-stream",
            "Date": "Sat, 21 Nov 2026 12:00:00 GMT",
            **answer.headers,
        }
        said |= {"Transfer-Encoding": "chunked"} if answer.is_chunked else {"Connection": "close"}
        told = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        writer.write(f"HTTP/1.1 {answer.status} X\r\n{told}\r\n".encode())
        for piece in [answer.body] if isinstance(answer.body, bytes) else answer.body:
            if piece:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.is_chunked else piece)
                await writer.drain()
                await asyncio.sleep(0)
        if answer.then == "hold":
            await self._released.wait()
        elif answer.then == "break":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
            writer.transport.abort()
        elif answer.then == "end" and answer.is_chunked:
            writer.write(b"0\r\n\r\n")


def article(number: int, text: str = "") -> dict[str, object]:
    """Of page `number`, as small as an article can be."""
    return {
        "name": f"Page {number}",
        "identifier": number,
        "url": f"https://en.wikipedia.example/wiki/Page_{number}",
        "namespace": {"identifier": 0},
        "is_part_of": {"identifier": "enwiki"},
        "event": {
            "identifier": f"e{number}",
            "type": "update",
            "kind": "edit",
            "sequence": number,
            "date_created": "2026-11-21T12:00:00.000Z",
            "date_published": "2026-11-21T12:00:01.000Z",
        },
        "article_body": {"wikitext": text},
    }


def event(number: int, text: str = "") -> bytes:
    """With the id `id-N`."""
    return f"id: id-{number}\ndata: {json.dumps(article(number, text), ensure_ascii=False)}\n\n".encode()


def control(name: str, data: Mapping[str, object], position: str = "") -> bytes:
    return f"event: {name}\nid: {position}\ndata: {json.dumps(data)}\n\n".encode()


PREAMBLE = b"retry: 1\n:ok\n"
