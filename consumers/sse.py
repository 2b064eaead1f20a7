"""The feed by server-sent events.

sseclient-py reads the events, and what it leaves to its user is done around it: it never sees the event that
a break cut short (`framing`), comments keep a silent stream alive (`connection`), what breaks is mended here.
A thread reads, since sseclient-py blocks; the loop takes what it read (`handover`).

    connection ─► framing ─► sseclient ─► decoded ─► handover ═► batches ─► whoever applies them
    └──────────────────────── a thread ───────────────────┘      └──────── the loop ───────┘

A position is the id of the last event that was handed out; before the first, `since:` and a time.
"""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import sseclient
from msgspec import Struct

from consumers.backoff import Backoff
from consumers.connection import BROKEN, SILENCE_S, Connection, Expired, Unavailable
from consumers.errors import BadEvent, FeedError, FeedRefused, PositionLost, UsageError
from consumers.event import TIME, Article, Batch, decoded
from consumers.framing import BLANK, Framing
from consumers.handover import Closed, Handover
from consumers.parts import ALL, Parts

logger = logging.getLogger(__name__)

END_S: Final = 1.0
"""So long a thread has to end; then it is left behind, to find out by itself that nobody takes any more."""
REASON_CHARS: Final = 40
_ID: Final = re.compile(r"[ -~]+", re.ASCII)
"""What can be sent back in a header."""


class _Said(Struct, frozen=True):
    reason: str = ""


class Bye(Exception):
    """The service ends the stream, and says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Block:
    """What one read completed."""

    events: list[Article] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    position: str = ""
    size: int = 0


class Again(NamedTuple):
    """Why another connection is made, how long the service wants to be left alone, and where to begin if not
    at the position.
    """

    why: str
    asked_s: float = 0.0
    position: str = ""


@dataclass(slots=True)
class SseFeed:
    """`key` is asked for it at each connection. `wikis`: these only, where there are any."""

    name: str
    url: str
    key: Callable[[], str] = field(repr=False)
    parts: Parts = ALL
    wikis: Sequence[str] = ()
    since: datetime | None = None
    """Where it begins without a position; None: with what comes now."""
    goes_on: bool = False
    """With what the feed still holds, where that does not follow the position: else that is PositionLost."""
    ca_file: Path | None = None
    silence_s: float = SILENCE_S
    backoff: Backoff = field(default_factory=Backoff)
    connections: int = 0
    """That were tried so far."""
    _was_open: bool = False

    async def batches(self, position: str | None) -> AsyncGenerator[Batch, None]:
        """See Feed. The first batch may be empty: its position says when a feed began that had none."""
        if position is None and self.since is not None:
            position = TIME + self.since.isoformat().replace("+00:00", "Z")
            yield Batch((), position)
        while True:
            key = self._key()
            if not key:
                await self._wait(Again("the key can't be read"))
                continue
            connection = self._connection(key, position)
            handover = Handover(position or "")
            self._start(connection, handover)
            again = Again("the stream ended")
            try:
                while batch := await handover.take():
                    position = batch.position
                    if not position.startswith(TIME):
                        self.backoff.reset()
                    yield batch
            except (FeedError, Bye, *BROKEN) as error:
                again = self._judged(error, key)
            finally:
                await _end(connection, handover)
            position = again.position or position
            await self._wait(again)

    def _key(self) -> str:
        """Empty where it can't be read once it could, and a stream was open by it: it's being rewritten."""
        try:
            return self.key()
        except UsageError:
            if not self._was_open:
                raise
            return ""

    async def _wait(self, again: Again) -> None:
        wait_s = self.backoff.next_s(again.asked_s)
        told = {"feed": self.name, "reason": again.why, "wait_s": round(wait_s, 3)}
        logger.info("the feed is read again soon", extra=told)
        await asyncio.sleep(wait_s)

    def _judged(self, error: Exception, key: str) -> Again:
        """What waiting mends; raises the rest."""
        if isinstance(error, Unavailable):
            return Again(str(error), error.asked_s)
        if isinstance(error, Bye):
            if error.reason == "expired" and self._key() == key:
                raise FeedRefused("the service says that the key has expired: ask for another one")
            return Again(f"the service said `{error.reason}`")
        if isinstance(error, Expired) and self.goes_on and _ID.fullmatch(error.earliest):
            self._lost()
            return Again(str(error), position=error.earliest)
        if isinstance(error, FeedError):
            raise error
        return Again(type(error).__name__)

    def _lost(self) -> None:
        logger.warning("the feed no longer holds what followed the position", extra={"feed": self.name})

    def _connection(self, key: str, position: str | None) -> Connection:
        parameters: dict[str, str] = {}
        last_id = ""
        if position and position.startswith(TIME):
            parameters["since"] = position.removeprefix(TIME)
        elif position:
            last_id = position
        if not self.parts.is_all:
            parameters["parts"] = ",".join(map(str, range(self.parts.first, self.parts.last + 1)))
        if self.wikis:
            wanted = [{"field": "is_part_of.identifier", "value": list(self.wikis)}]
            parameters["filters"] = msgspec.json.encode(wanted).decode()
        if self.goes_on:
            parameters["on_gap"] = "continue"
        return Connection(self.url, key, parameters, last_id, self.ca_file, self.silence_s)

    # ── the thread ─────────────────────────────────────────────────────────────────────────────

    def _start(self, connection: Connection, handover: Handover) -> None:
        """Not the loop's own threads: there are few of these, and this one stays."""
        self.connections += 1
        threading.Thread(target=self._read, args=(connection, handover), name=self.name, daemon=True).start()

    def _read(self, connection: Connection, handover: Handover) -> None:
        """One connection, to its end."""
        try:
            with connection:
                self._was_open = True
                if not (connection.last_id or "since" in connection.parameters):
                    handover.put(Batch((), TIME + connection.date))
                framing = Framing()
                for chunk in connection.chunks():
                    if events := framing.whole(chunk):
                        self._pass_on(events, handover)
        except Closed:
            handover.end(None)
        except BaseException as error:  # noqa: BLE001 - raised again by `take`
            handover.end(error)
        else:
            handover.end(None)

    def _pass_on(self, events: bytes, handover: Handover) -> None:
        """Each by itself: sseclient-py ends at a byte that is not UTF-8."""
        block = Block()
        try:
            for one in events.split(BLANK):
                try:
                    for event in sseclient.SSEClient(iter([one])).events():
                        self._dispatch(event, block)
                except UnicodeDecodeError:
                    block.bad.append("an event of the feed is not UTF-8")
        finally:
            handover.put(Batch(block.events, block.position, block.size, block.bad))

    def _dispatch(self, event: sseclient.Event, block: Block) -> None:
        if event.retry and event.retry.isascii() and event.retry.isdecimal():
            self.backoff.suggested(int(event.retry[:9]) / 1_000)
        if event.event == "gap":
            if not self.goes_on:
                raise PositionLost(f"the feed no longer holds what follows the position ({_reason(event)})")
            self._lost()
        if event.id and _ID.fullmatch(event.id):
            block.position = event.id
        if event.event == "message":
            value = event.data.encode()
            try:
                block.events.append(decoded(value))
            except BadEvent as error:  # whoever applies the rest decides whether to go on
                block.bad.append(str(error))
            block.size += len(value)
        elif event.event == "bye":
            raise Bye(_reason(event))


def _reason(event: sseclient.Event) -> str:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(event.data, type=_Said).reason[:REASON_CHARS]
    return ""


async def _end(connection: Connection, handover: Handover) -> None:
    handover.close()
    connection.abort()
    with suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await handover.ended()
