"""A small HTTP client that sees every byte: what a library would smooth over is what is looked at here.

Nothing of the service is imported. A body that ends where it must not is `Torn`; everything else that is
not as it should be is an AssertionError.
"""

import asyncio
import json
import re
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

CONNECT_S = 30.0
ANSWER_S = 30.0
READ_BYTES = 1 << 18
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): *([^\r\n]*?) *\r\n")
CHUNK_HEAD = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


class Torn(Exception):
    """The body ended in the middle, by a reset or without its last chunk."""


class Key(str):
    """Not to be seen in any report."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<key>"


class Chunked:
    """`Transfer-Encoding: chunked`, to the letter and without extensions or trailers."""

    def __init__(self) -> None:
        self.over = False
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the chunks that are complete."""
        buffer = self._buffer + data
        found, at = [], 0
        while head := CHUNK_HEAD.match(buffer, at):
            assert not self.over, "bytes behind the last chunk"
            size = int(head[1], 16)
            end = head.end() + size
            if len(buffer) < end + 2:
                break
            assert buffer[end : end + 2] == b"\r\n", "a chunk is longer than it says"
            if size:
                found.append(buffer[head.end() : end])
            else:
                self.over = True
            at = end + 2
        self._buffer = buffer[at:]
        assert not (self.over and self._buffer), "bytes behind the last chunk"
        assert len(self._buffer) < 10 or CHUNK_HEAD.match(self._buffer), "no size in front of a chunk"
        return found


@dataclass
class Answer:
    """Status and headers, and then the body as it comes."""

    status: int
    headers: list[tuple[str, str]]
    """Names in lower case."""
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)
    raw_bytes: int = 0
    """Of the body, as it came over the wire."""
    over: bool = False

    def __post_init__(self) -> None:
        self._chunked = Chunked() if self.header("transfer-encoding") == "chunked" else None
        length = self.header("content-length")
        self._left = int(length) if length else None
        self._gzip = zlib.decompressobj(wbits=31) if self.header("content-encoding") == "gzip" else None
        if self.status in (204, 304):
            self._left, self._chunked = 0, None

    def header(self, name: str) -> str:
        found = [value for known, value in self.headers if known == name]
        assert len(found) <= 1, f"{name} is sent twice"
        return found[0] if found else ""

    def names(self, name: str) -> set[str]:
        """Of a header that is a list."""
        return {part.strip().lower() for part in self.header(name).split(",") if part.strip()}

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The body: decoded, chunk by chunk where it has chunks; returns at a clean end. Raises Torn."""
        while not self.over:
            for block in await self._blocks():
                self.raw_bytes += len(block)
                if self._gzip is None:
                    yield block
                    continue
                assert not self._gzip.eof, "bytes behind the only gzip member"
                try:
                    text = self._gzip.decompress(block)
                except zlib.error as error:
                    raise AssertionError(f"no gzip: {error}") from None
                assert not self._gzip.unused_data, "bytes behind the only gzip member"
                if text:
                    yield text
        if self._gzip is not None and self.raw_bytes:
            assert self._gzip.eof, "a clean end without the trailer of gzip"

    async def _blocks(self) -> list[bytes]:
        if self._left == 0:
            self.over = True
            return []
        try:
            data = await self.reader.read(READ_BYTES)
        except ConnectionError as error:
            raise Torn(type(error).__name__) from None
        if self._chunked is not None:
            if not data:
                raise Torn("no last chunk")
            found = self._chunked.feed(data)
            self.over = self._chunked.over
            return found
        if self._left is not None:
            if not data:
                raise Torn("shorter than Content-Length")
            self._left -= len(data)
            assert self._left >= 0, "longer than Content-Length"
        elif not data:
            self.over = True
        return [data] if data else []

    async def whole(self) -> bytes:
        return b"".join([block async for block in self.blocks()])


@dataclass(frozen=True)
class Endpoint:
    """A URL of `/v2/articles` and a key."""

    url: str
    key: Key = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """Where the certificate is no public one."""

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @asynccontextmanager
    async def ask(
        self,
        method: str = "GET",
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        path: str = "",
        key: str | None = None,
        version: str = "1.1",
        receive_buffer: int = 0,
    ) -> AsyncIterator[Answer]:
        """`key` "" sends none; a header of its own beats it. `body` is sent as JSON, or as it is where it
        is bytes.
        """
        target = (path or self.path) + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        given = dict(headers or {})
        shown = self.key if key is None else key
        if shown:
            given.setdefault("Authorization", f"Bearer {shown}")
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
            given.setdefault("Content-Length", str(len(data)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        head = f"{method} {target} HTTP/{version}\r\nHost: {urlsplit(self.url).netloc}\r\n{lines}\r\n"
        async with self.connected(receive_buffer) as (reader, writer):
            writer.write(head.encode("latin-1") + data)
            async with asyncio.timeout(ANSWER_S):
                answer = await answered(reader, writer)
            if method == "HEAD":
                answer._left, answer._chunked, answer._gzip = 0, None, None
            yield answer

    @asynccontextmanager
    async def connected(
        self, receive_buffer: int = 0
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A bare connection; it ends by a reset."""
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        assert parts.hostname, self.url
        port = parts.port or (443 if secure else 80)
        async with asyncio.timeout(CONNECT_S):
            loop = asyncio.get_running_loop()
            (family, kind, proto, _, address), *_ = await loop.getaddrinfo(
                parts.hostname, port, type=socket.SOCK_STREAM
            )
            sock = socket.socket(family, kind, proto)
            try:
                sock.setblocking(False)
                if receive_buffer:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                await loop.sock_connect(sock, address)
                reader, writer = await asyncio.open_connection(
                    sock=sock,
                    ssl=(self.tls or ssl.create_default_context()) if secure else None,
                    server_hostname=parts.hostname if secure else None,
                    limit=receive_buffer or READ_BYTES,
                )
            except BaseException:
                sock.close()
                raise
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def problem(self, status: int, *, parameter: str = "", **asked: object) -> dict[str, object]:
        """What this request is told; asserts its form."""
        async with self.ask(**asked) as answer:  # type: ignore[arg-type] # handed through
            body = await self.told(answer, status)
        if parameter:
            assert body.get("parameter") == parameter, body
        return body

    async def told(self, answer: Answer, status: int) -> dict[str, object]:
        """The problem in an answer: RFC 9457 with `status` and `message`, and never the key."""
        text = b"" if answer.status == 200 else await answer.whole()
        assert answer.status == status, (answer.status, text)
        assert answer.header("content-type").partition(";")[0] == "application/problem+json"
        assert self.key.encode() not in text
        assert not any(self.key in value for _, value in answer.headers)
        body = json.loads(text)
        assert isinstance(body, dict)
        assert {"type", "title", "status", "detail", "message"} <= body.keys()
        assert body["status"] == status
        if status in (429, 503):
            assert int(answer.header("retry-after")) > 0
        if status == 401:
            assert answer.header("www-authenticate").startswith("Bearer")
        return body


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    """The head of an answer, read strictly."""
    status = STATUS_LINE.fullmatch(line := await reader.readline())
    assert status, f"no status line: {line!r}"
    headers = []
    while (line := await reader.readline()) != b"\r\n":
        header = HEADER_LINE.fullmatch(line)
        assert header, f"no header line: {line!r}"
        headers.append((header[1].decode().lower(), header[2].decode("latin-1")))
    return Answer(int(status[1]), headers, reader, writer)
