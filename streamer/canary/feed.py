"""The feed as a partner reads it: one stream, resumed by `Last-Event-ID` after each break, for ever.

Only edits come out, by `heard`. What keeps the stream from being open is `problem`, in a few words.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import msgspec

from streamer.canary.verdict import Arrival, read
from streamer.clock import Clock
from streamer.errors import FrameTooLarge
from streamer.logs import describe
from streamer.retry_after import retry_after_s
from streamer.sse import Decoder, Frame

logger = logging.getLogger(__name__)

CONNECT_S: Final = 10.0
SILENCE_S: Final = 45.0
"""The service says something every 15 s."""
MAX_EVENT_BYTES: Final = 33_554_432
"""Twice what a record may have."""
FIRST_WAIT_S: Final = 0.25
MOST_WAIT_S: Final = 10.0
ASKED_MOST_S: Final = 60.0
RESUME: Final = "Last-Event-ID"


class Ended(Exception):
    """The stream is over, or never began; `reason` is of a few words."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


@dataclass(slots=True)
class Feed:
    url: str
    key: Callable[[], str] = field(repr=False)
    """Asked for at each connection: a key that is rotated is read anew. "": it can't be read."""
    parameters: Mapping[str, str]
    heard: Callable[[Arrival], None]
    tls: ssl.SSLContext | bool = True
    clock: Clock = field(default_factory=Clock)
    problem: str = "connecting"
    """Why it is not open; "" while it is."""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    _last_id: str = ""
    _wait_s: float = 0.0

    async def run(self) -> None:
        """Until cancelled; failures are waited out."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                asked_s: float | None = None
                try:
                    await self._one_connection(session)
                    reason = "ended"
                except Ended as error:
                    reason, asked_s = error.reason, error.wait_s
                except TimeoutError:
                    reason = "silent"
                except (aiohttp.ClientError, OSError, ValueError) as error:
                    reason = describe(error)  # aiohttp quotes what it got
                self.opened.clear()
                self.problem = reason
                wait_s = self._next_wait_s(asked_s)
                logger.warning(
                    "the canary's stream is not open", extra={"reason": reason, "wait_s": round(wait_s, 3)}
                )
                await asyncio.sleep(wait_s)

    def _next_wait_s(self, asked_s: float | None) -> float:
        spread = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        self._wait_s = min(MOST_WAIT_S, max(FIRST_WAIT_S, self._wait_s * 2))
        return max(self._wait_s * spread, asked_s or 0.0)

    async def _one_connection(self, session: aiohttp.ClientSession) -> None:
        key = self.key()
        if not key:
            raise Ended("the key can't be read")
        headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
        if self._last_id:
            headers[RESUME] = self._last_id
        async with session.get(
            self.url, params=self.parameters, headers=headers, allow_redirects=False, ssl=self.tls
        ) as response:
            self._judge(response)
            decoder = Decoder(max_event_bytes=MAX_EVENT_BYTES)
            async for chunk in response.content.iter_any():
                self._opened()
                for frame in decoder.feed(chunk):
                    self._take(frame)

    def _judge(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 410:  # the service was away for longer than it keeps what it sent
            self._last_id = ""
        if response.status != 200:
            asked_s = retry_after_s(response.headers.get("Retry-After"), most_s=ASKED_MOST_S)
            raise Ended(f"status_{response.status}", asked_s)
        if response.content_type != "text/event-stream":
            raise Ended("no event stream")

    def _opened(self) -> None:
        """With the first byte: then the service knows where the stream begins."""
        if not self.opened.is_set():
            self._wait_s = 0.0
            self.problem = ""
            self.opened.set()
            logger.info("the canary's stream is open", extra={"resumed": bool(self._last_id)})

    def _take(self, frame: Frame | FrameTooLarge) -> None:
        if isinstance(frame, FrameTooLarge):
            raise Ended(frame.code)
        if frame.event == b"message":
            try:
                arrival = read(frame.data, at_s=self.clock.monotonic_s(), at_ms=self.clock.now_ms())
            except (msgspec.DecodeError, UnicodeDecodeError):
                logger.warning("the canary was sent what is no article")
            else:
                if arrival is not None:
                    self.heard(arrival)
        self._last_id = frame.last_id.decode("ascii", "replace") or self._last_id
