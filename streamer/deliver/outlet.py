"""The way to one client: whole events out, heartbeats between them, and an end that is unmistakable.

A stream ends on an event border with `bye` where the client still takes bytes; where it does not, the
connection is reset, so that it sees an error and not a clean end: in gzip, without the trailer too. A write
that the client does not take has a deadline, and while it waits nothing else is encoded for it. Articles wait
for their turn by the partner's bytes per second, on an event border; what must be said does not.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from streamer.clock import Clock
from streamer.cutoffs import Cutoffs
from streamer.deliver.channel import newly_hidden
from streamer.deliver.encode import HEARTBEAT, NDJSON_HEARTBEAT, PREAMBLE, bye, control, cursor
from streamer.deliver.gzipped import HEADER, Member, block
from streamer.deliver.negotiate import Encoding
from streamer.deliver.pace import Pace, Place
from streamer.deliver.rendering import Part
from streamer.deliver.request import Format
from streamer.deliver.sockets import detached, reset
from streamer.faultpoints import Point, is_armed, reached
from streamer.metrics import DELIVER_BYTES, DELIVER_EVENTS

CHUNK_BYTES: Final = 65_536
"""Frames are joined up to this, larger ones are written in pieces of it: aiohttp waits for the client
after each so many bytes."""
WRITE_DEADLINE_S: Final = 60.0
"""A client that takes nothing for so long is gone."""
CURSOR_S: Final = 4.0
"""A position that moves without articles is told within 5 s."""
LINGER_S: Final = 5.0
"""For `bye` and what was written before it to leave."""
FLUSH_POLL_S: Final = 0.02


class Ended(Exception):
    """The stream is over. `reason` is said in `bye`, but for RESETS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Leaving = tuple[int, Part]
"""Where it ends in the stream."""
RESETS: Final = frozenset({"stalled", "failed", "withdrawn"})


class Outlet:
    """`writing` is True while a write waits for the client. ConnectionError: the client is gone."""

    def __init__(
        self,
        response: web.StreamResponse,
        transport: asyncio.Transport,
        fmt: Format,
        *,
        partner: str,
        heartbeat_s: float,
        clock: Clock,
        pace: Pace,
        encoding: Encoding = "identity",
    ) -> None:
        self.writing = False
        self.over = False
        self._response = response
        self._transport = transport
        self._sse = fmt == "sse"
        self._member = Member() if encoding == "gzip" else None
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._pace = pace
        self._place: Place | None = None
        """In the queue of the partner's connections."""
        self._interrupted = ""
        self.told = ""
        """The position that the client knows."""
        self._leaving: deque[Leaving] = deque()
        """Parts that the kernel may not have to their last byte."""
        self._handed = 0
        """How many bytes of the stream the transport has got."""
        self._told_at_s = 0.0
        self._wrote_at_s = 0.0
        self._events = DELIVER_EVENTS.labels(partner, fmt)
        self._bytes = DELIVER_BYTES.labels(partner)

    async def begin(self) -> None:
        """Sends the headers too."""
        head = HEADER if self._member is not None else b""
        await self._write(head + self._packed(PREAMBLE if self._sse else NDJSON_HEARTBEAT))

    @property
    def is_paced(self) -> bool:
        return self._pace.is_limited

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[int]:
        """Waits until this partner's bytes per second allow a write, of so many bytes or of one event, with
        heartbeats meanwhile. Choose what to write only then: some may be withdrawn by now.
        """
        with self._pace.queued() as place:
            self._place = place
            try:
                while not place.granted:
                    if self._interrupted:
                        raise Ended(self._interrupted)
                    await self.keep_alive("")
                    await place.wait(self._wrote_at_s + self._heartbeat_s - self._clock.monotonic_s())
                yield place.advance
            finally:
                self._place = None

    def interrupt(self, reason: str) -> None:
        """Waits for no turn any more."""
        self._interrupted = reason
        if self._place is not None:
            self._place.woken.set()

    async def write(self, parts: Sequence[Part], position: str) -> None:
        """Articles, none or more; `position`: the id behind them."""
        if not parts:
            return
        pieces: list[bytes] = []
        end = self._handed
        for part in parts:
            if self._member is not None:
                pieces.append(self._member.add(part.block if part.block is not None else block(part.data)))
            else:
                pieces.append(part.data)
            end += len(pieces[-1])
            self._leaving.append((end, part))
        data = b"".join(pieces)
        if is_armed(Point.DELIVER_WRITE_MIDDLE):
            cut = len(data) - len(pieces[-1]) // 2
            await self._write(data[:cut])
            await self._flush()
            reached(Point.DELIVER_WRITE_MIDDLE)
            data = data[cut:]
        await self._write(data)
        self._let_go()
        reached(Point.DELIVER_WRITTEN)
        self._events.inc(sum(len(part.frames) for part in parts))
        self.tell(position)

    def is_leaving(self, cutoffs: Cutoffs) -> bool:
        """Whether a frame holds what has been withdrawn since it was made, and is not with the kernel to its
        last byte. Over TLS, with the encryption.
        """
        self._let_go()
        return any(newly_hidden(frame, cutoffs) for _, part in self._leaving for frame in part.frames)

    def _let_go(self) -> None:
        """What has left this process nobody has to recall."""
        left = self._handed - self._transport.get_write_buffer_size()
        while self._leaving and self._leaving[0][0] <= left:
            self._leaving.popleft()

    async def tell_cursor(self, position: str) -> None:
        """Now, where what was written last said another one: the channel's own cursors are for who knows."""
        if self._wants_cursor(position):
            await self._write(self._packed(cursor(position)))
            self.tell(position)

    async def keep_alive(self, position: str) -> None:
        """A cursor or a heartbeat, where one is due."""
        now_s = self._clock.monotonic_s()
        if position and self._wants_cursor(position) and now_s >= self._told_at_s + CURSOR_S:
            await self._write(self._packed(cursor(position)))
            self.tell(position)
        elif now_s >= self._wrote_at_s + self._heartbeat_s:
            await self._write(self._packed(HEARTBEAT if self._sse else NDJSON_HEARTBEAT))

    def due_s(self, position: str) -> float:
        """When `keep_alive` has something to say next, by the monotonic clock."""
        due_s = self._wrote_at_s + self._heartbeat_s
        return min(due_s, self._told_at_s + CURSOR_S) if self._wants_cursor(position) else due_s

    def _wants_cursor(self, position: str) -> bool:
        return self._sse and position != self.told

    def tell(self, position: str) -> None:
        """The client knows this position, or asked from there."""
        self.told = position
        self._told_at_s = self._clock.monotonic_s()

    async def say_gap(self, reason: str, position: str) -> None:
        """What could not be resumed; `position` is where the stream goes on, as an id."""
        await self._write(self._packed(control("gap", {"reason": reason, "position": position}, position)))
        self.tell(position)

    async def say_bye(self, reason: str) -> None:
        """Waits until the last bytes have left: the end is a clean one or a reset, nothing between."""
        if reason in RESETS:
            self.reset()
            return
        try:
            async with asyncio.timeout(LINGER_S):
                end = self._packed(bye(reason, self.told)) if self._sse else b""
                if self._member is not None:
                    end += self._member.end()
                await self._write(end)
                await self._flush()
        except (ConnectionError, TimeoutError, Ended):
            self.reset()

    async def _flush(self) -> None:
        """Returns once the socket has taken all that was written; over TLS all but what the loop holds for it
        below the encryption, which a close still sends.
        """
        while self._transport.get_write_buffer_size():  # noqa: ASYNC110 - a transport has no event for it
            await asyncio.sleep(FLUSH_POLL_S)

    def reset(self) -> None:
        """Nothing once the stream is over: the socket may be another's by then."""
        if not self.over:
            reset(self._transport)

    async def handed_over(self) -> None:
        """Returns once the kernel has all that was written. Raises Ended where the client doesn't take it."""
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await asyncio.sleep(0)  # uvloop writes at the end of a turn, and tells of nothing until then
                await self._flush()
        except TimeoutError:
            raise Ended("stalled") from None

    def detach(self) -> tuple[int, Member | None]:
        """The socket's descriptor, and what its gzip stream was told so far: once all was `handed_over`. The
        transport is ended, and nothing can be written here any more.
        """
        if self._transport.is_closing():
            raise ConnectionResetError("the client has left")
        fd = detached(self._transport)
        self.over = True
        return fd, self._member

    def _packed(self, data: bytes) -> bytes:
        """As it goes out: to be written, in this order."""
        return data if self._member is None else self._member.add(block(data))

    async def _write(self, data: bytes) -> None:
        """Whole events. Raises Ended when the client takes nothing."""
        self._pace.spend(len(data), self._place)
        self.writing = True
        try:
            for at in range(0, len(data), CHUNK_BYTES):
                chunk = data[at : at + CHUNK_BYTES]
                self._handed += len(chunk)
                async with asyncio.timeout(WRITE_DEADLINE_S):
                    await self._response.write(chunk)
        except TimeoutError:
            raise Ended("stalled") from None
        finally:
            self.writing = False
        self._bytes.inc(len(data))
        self._wrote_at_s = self._clock.monotonic_s()
        await asyncio.sleep(0)  # a client that takes all at once must not keep the loop
