"""The client of Wikimedia's EventStreams (and of anything that speaks like it).

One connection for all streams, for ever: upstream cuts it every 15 minutes at the latest, so a cut is
normal and the next connection asks for what followed. It only reads; what was read counts as dealt with
once the other side of the inbox has committed it, and a process that dies in between asks again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from streamer.admission import Rules
from streamer.clock import Clock
from streamer.config import SourceSettings
from streamer.errors import FrameTooLarge, UpstreamRefused
from streamer.health import Health
from streamer.logs import describe
from streamer.metrics import ERRORS, SOURCE_CONNECTIONS, SOURCE_GAPS
from streamer.retry_after import retry_after_s
from streamer.source.backoff import Backoff
from streamer.source.changes import interpret
from streamer.source.inbox import Arrival, Inbox
from streamer.source.marks import Marks
from streamer.source.told import Told
from streamer.sse import Decoder, Frame

logger = logging.getLogger(__name__)

COMPONENT: Final = "source"
CONNECT_S: Final = 30.0
"""Until the status line is there."""
RETRY_AFTER_MOST_S: Final = 3_600.0
"""Longer than this no server means; a mistake there must not stop us for a day."""
SETTLED_S: Final = 5.0
"""A connection that lived so long, or brought anything, was a good one: the backoff starts over."""


@dataclass(slots=True)
class EventStreams:
    settings: SourceSettings
    user_agent: str
    rules: Callable[[], Rules]
    """Those in force."""
    marks: Marks
    started_ms: int
    rewind_ms: int
    is_resumed: bool
    """False: nothing was ever read, and the feed begins with what comes now."""
    health: Health
    backoff: Backoff
    clock: Clock = field(default_factory=Clock)
    _missing: dict[str, int] = field(default_factory=dict)
    """After a resume, per topic the time by which its first event must be (see `_watch_for_gap`)."""

    _arrived: int = 0
    _newest_ms: int = 0
    _was_silent: bool = False
    """The last connection was, so the next one counts as a good one only once something new has come."""

    @property
    def url(self) -> str:
        return f"{self.settings.url.rstrip('/')}/{','.join(self.settings.streams)}"

    async def run(self, inbox: Inbox) -> None:
        """Until cancelled; failures are waited out."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        headers = {
            "User-Agent": self.user_agent,
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache",
        }
        async with aiohttp.ClientSession(timeout=timeout, headers=headers, auto_decompress=False) as session:
            while True:
                wait_s = await self._one_connection(session, inbox)
                await asyncio.sleep(wait_s)

    async def _one_connection(self, session: aiohttp.ClientSession, inbox: Inbox) -> float:
        """From connecting to its end; how long to wait before the next."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        decoder = Decoder(max_event_bytes=self.settings.max_event_bytes)
        asked_s: float | None = None
        is_refused = False
        outcome, reason = "ended", "it ends each connection at once, without an event"
        arrived_before = self._arrived
        try:
            await self._read(session, decoder, inbox)
        except UpstreamRefused as error:
            outcome, reason = f"status_{error.status}", str(error)
            asked_s, is_refused = error.retry_after_s, error.is_lasting
            ERRORS.labels("source", error.code).inc()
            logger.warning("the stream refused us", extra={"status": error.status, "reason": reason})
        except TimeoutError:
            outcome = "silent"
            reason = f"no answer, or no byte, for {self.settings.silence_s:g} s"
            logger.warning("the stream went silent", extra={"silence_s": self.settings.silence_s})
        except (aiohttp.ClientError, OSError) as error:
            outcome, reason = "broken", describe(error)  # aiohttp quotes what it got
            logger.info("the connection to the stream broke", extra={"reason": reason})
        SOURCE_CONNECTIONS.labels(outcome).inc()
        self.backoff.suggested(decoder.retry_ms)
        was_good = self._arrived > arrived_before or loop.time() - began_s >= SETTLED_S
        if outcome in ("ended", "broken") and was_good:
            self.backoff.reset()
        else:
            self.health.unready(COMPONENT, f"the stream can't be read: {reason}")
        return self.backoff.next_s(refused=is_refused, retry_after_s=asked_s)

    async def _read(self, session: aiohttp.ClientSession, decoder: Decoder, inbox: Inbox) -> None:
        headers = {}
        if self.is_resumed:
            headers["Last-Event-ID"] = self.marks.last_event_id(
                self.settings.streams, rewind_ms=self.rewind_ms, started_ms=self.started_ms
            )
            # without rewinding nothing has to come again, so nothing can be missed
            self._missing = self.marks.must_come_again() if self.rewind_ms else {}
        async with asyncio.timeout(min(CONNECT_S, self.settings.silence_s)):
            response = await session.get(self.url, headers=headers, allow_redirects=False)
        async with response:
            _check(response)
            logger.info("connected to the stream", extra={"url": self.url, "resumed": self.is_resumed})
            self.is_resumed = True
            if not self._was_silent:
                self.health.ready(COMPONENT)
            while True:
                try:
                    async with asyncio.timeout(self.settings.silence_s):
                        chunk = await response.content.readany()
                except TimeoutError:
                    self._was_silent = True
                    raise
                if not chunk:
                    return
                frames = decoder.feed(chunk)
                if frames:
                    arrival = self._arrival(frames)
                    self._heard(arrival)
                    await inbox.put(arrival)

    def _heard(self, arrival: Arrival) -> None:
        """What is sent again after a silence, because we rewound, is no sign of life. An event that says it
        is from the future is from now: else nothing would be new until then.
        """
        newest_ms = min(max(told.upstream_ms for told in arrival.told), self.clock.now_ms())
        if newest_ms > self._newest_ms or not self._was_silent:
            self._newest_ms = max(newest_ms, self._newest_ms)
            self._was_silent = False
            self.health.ready(COMPONENT)

    def _arrival(self, frames: Iterable[Frame | FrameTooLarge]) -> Arrival:
        self._arrived += 1
        told: list[Told] = []
        rules = self.rules()
        for frame in frames:
            if isinstance(frame, FrameTooLarge):
                told.append(Told((), "frame_too_large", "unknown"))
                continue
            one = interpret(frame.data, rules)
            if self._missing:
                self._watch_for_gap(one)
            told.append(one)
            # each, not the last one only: ids step back, and a mark must lie behind all that was read
            if frame.last_id and not self.marks.advance_by_id(frame.last_id):
                ERRORS.labels("source", "id_unknown").inc()
        return Arrival(told, self.marks.as_dict(), self.marks.idle())

    def _watch_for_gap(self, told: Told) -> None:
        """We rewound, so each topic must first send something that we have already had. If it doesn't,
        upstream has lost it, and perhaps what followed: a hole that has to be told.
        """
        if not told.topic:  # an event that doesn't say its topic may be of any
            self._missing.clear()
            return
        by_ms = self._missing.pop(told.topic, None)
        if by_ms is None or told.upstream_ms <= by_ms:
            return
        SOURCE_GAPS.inc()
        logger.error(
            "upstream no longer has all that followed: a gap",
            extra={"topic": told.topic, "missing_s": (told.upstream_ms - by_ms) / 1_000},
        )


def _check(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status != 200:
        asked_s = retry_after_s(response.headers.get("Retry-After"), most_s=RETRY_AFTER_MOST_S)
        advice = {
            400: "; it doesn't know a stream of source.streams, or doesn't take our position",
            403: "; it refuses clients that don't name a contact: set source.contact",
            404: "; check source.url and source.streams",
            429: "; too many connections from here",
        }.get(status, "")
        raise UpstreamRefused(f"it answered {status}{advice}", status=status, retry_after_s=asked_s)
    if response.content_type != "text/event-stream":
        raise UpstreamRefused(f"it answered {response.content_type}, not text/event-stream", status=status)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UpstreamRefused("it answered compressed, which wasn't asked for", status=status)
