"""Three partners' clients as partners write them: each reconnects by itself and resumes by the last id that
came with a whole event.
"""

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Protocol

import sseclient
from harness.feed import CUT_S, Feed, Refused
from harness.schema import checked

from prove.wiki import Json

SINCE: Final = "2020-01-01T00:00:00Z"
"""Of the first connection: everything there is."""
AGAIN_S: Final = 0.05
CURL_LIMIT: Final = 65_536


@dataclass(frozen=True, slots=True)
class Receipt:
    article: Json
    at_s: float
    """Unix time."""


class Reader(Protocol):
    """Runs until cancelled. `received` grows in the order in which events came."""

    received: list[Receipt]

    @property
    def last_id(self) -> str: ...

    async def run(self) -> None: ...


class WithAiohttp:
    """aiohttp, and an SSE parser that lets go of whatever has no blank line behind it."""

    def __init__(self, url: str, key: str) -> None:
        self._feed = self._feed_of(url, key)
        self.received: list[Receipt] = []

    def _feed_of(self, url: str, key: str) -> Feed:
        return Feed(url, key, since=SINCE)

    @property
    def last_id(self) -> str:
        return self._feed.last_id

    async def run(self) -> None:
        async for event in self._feed.articles(asyncio.Event()):
            self.received.append(Receipt(event.article, time.time()))


class WithCurl(WithAiohttp):
    """`curl --no-buffer`, its output parsed in the same way."""

    def _feed_of(self, url: str, key: str) -> Feed:
        return _CurlFeed(url, key, since=SINCE)


class _CurlFeed(Feed):
    async def chunks(self) -> AsyncGenerator[bytes, None]:
        resume = ["--header", f"Last-Event-ID: {self.last_id}"] if self.last_id else []
        since = [] if self.last_id else ["--get", "--data-urlencode", f"since={self.since}"]
        curl = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--no-buffer", "--fail", "--noproxy", "*", "--max-time", "3600"),
            *("--header", f"Authorization: Bearer {self.key}", "--header", "Accept: text/event-stream"),
            *resume,
            *since,
            self.url,
            stdout=asyncio.subprocess.PIPE,
        )
        assert curl.stdout
        try:
            while True:
                async with asyncio.timeout(CUT_S):
                    chunk = await curl.stdout.read(CURL_LIMIT)
                if not chunk:
                    break
                yield chunk
            code = await curl.wait()
            if code == 22:
                raise Refused("curl: the service answered with an error", AGAIN_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                curl.kill()
            await curl.wait()


class WithSseclient:
    """sseclient-py over the standard library's HTTP, in a thread of its own.

    It reconnects nowhere and passes on a last event that the connection cut short, with its id. An id
    stands before its data, and a JSON object is only valid when it is whole: so an event whose data can't be
    read was cut, and neither it nor its id counts.
    """

    def __init__(self, host: str, port: int, path: str, key: str) -> None:
        self._host, self._port, self._path, self._key = host, port, path, key
        self._stopped = threading.Event()
        self._socket: socket.socket | None = None
        self.received: list[Receipt] = []
        self.truncated = 0
        self.last_id = ""

    async def run(self) -> None:
        reading = asyncio.get_running_loop().run_in_executor(None, self._read)
        try:
            await asyncio.shield(reading)
        finally:
            self._stopped.set()
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            await reading

    def _read(self) -> None:
        while not self._stopped.is_set():
            connection = http.client.HTTPConnection(self._host, self._port, timeout=CUT_S)
            try:
                connection.connect()
                self._socket = connection.sock
                self._follow(connection)
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            self._stopped.wait(AGAIN_S)

    def _follow(self, connection: http.client.HTTPConnection) -> None:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "text/event-stream"}
        path = self._path
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        else:
            path += f"?since={SINCE}"
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        if response.status == 503:
            return
        assert response.status == 200, f"{response.status}: {response.read().decode()}"
        for event in sseclient.SSEClient(response).events():
            try:
                data = json.loads(event.data)
            except ValueError:
                self.truncated += 1
                return
            if event.event == "message":
                self.received.append(Receipt(checked(data), time.time()))
            self.last_id = event.id or self.last_id
            if self._stopped.is_set():
                return
