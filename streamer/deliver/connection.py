"""One client's stream: its beginning, what it missed, then live; and every way in which it can end.

    preamble ─► (gap) ─► catch-up from the log ─► join at an index of the feed's window ─► live
                              ▲                              │
                              └── the index fell out ────────┘

A stream ends on an event border with `bye` where the client still takes bytes; where it does not, the
connection is reset, so that it sees an error and not a clean end. What a connection holds is bounded:
one chunk, one read of catch-up, and the socket's buffers; a write that the client does not take has a
deadline, and while it waits nothing else is encoded for it.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from streamer.deliver.auth import Identity
from streamer.deliver.encode import (
    HEARTBEAT,
    NDJSON_HEARTBEAT,
    PREAMBLE,
    Frame,
    bye,
    control,
    cursor,
)
from streamer.deliver.feed import Feed
from streamer.deliver.position import Vector
from streamer.deliver.request import Ask
from streamer.deliver.start import Beginning, Gap
from streamer.errors import LogError, OffsetOutOfRange, TopicMissing
from streamer.log.base import Log, Reader, Stored, TopicPartition
from streamer.metrics import DELIVER_BYTES, DELIVER_EVENTS, EDIT_TO_DELIVERY, ERRORS
from streamer.runtime import Clock

CHUNK_BYTES: Final = 65_536
"""Frames are joined up to this, larger ones are written in pieces of it: aiohttp waits for the client
after each so many bytes."""
REPLAY_RECORDS: Final = 100
REPLAY_BYTES: Final = 262_144
WRITE_DEADLINE_S: Final = 60.0
"""A client that takes nothing for so long is gone."""
CURSOR_S: Final = 4.0
"""A position that moves without articles is told within 5 s."""
REACH_DEADLINE_S: Final = 10.0
"""How long the feed may take to reach what the log already has."""
PAUSE_S: Final = 0.1
RETRY_S: Final = 0.5

logger = logging.getLogger(__name__)


class Ended(Exception):
    """The stream is over. `reason` is said in `bye`; "stalled" and "failed" are resets."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


LINGER_S: Final = 5.0
"""After `bye`, for a client that does not take the last bytes."""
RESETS: Final = frozenset({"stalled", "failed"})


class Connection:
    """`run` it once the response is prepared. `cut` ends it from outside."""

    def __init__(
        self,
        *,
        log: Log,
        feed: Feed,
        ask: Ask,
        identity: Identity,
        response: web.StreamResponse,
        transport: asyncio.Transport | None,
        heartbeat_s: float,
        clock: Clock,
    ) -> None:
        self.identity = identity
        self._log = log
        self._feed = feed
        self._ask = ask
        self._sse = ask.format == "sse"
        self._response = response
        self._transport = transport
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._wake = asyncio.Event()
        self._cut = ""
        self._writing = False
        self._index: int | None = None
        """Of the next frame in the feed's window; None while catching up."""
        self._told = ""
        """The position that the client knows."""
        self._told_at_s = 0.0
        self._wrote_at_s = 0.0
        partner = identity.partner.name
        self._events = DELIVER_EVENTS.labels(partner, ask.format)
        self._bytes = DELIVER_BYTES.labels(partner)
        self._freshness = EDIT_TO_DELIVERY.labels(partner)

    # ── from outside ───────────────────────────────────────────────────────────────────────────

    def moved(self) -> None:
        self._wake.set()
        if self._index is not None and self._index < self._feed.window.first:
            self.cut("slow", patience_s=0.0)

    def cut(self, reason: str, *, patience_s: float) -> None:
        """Ends on the next event border; where the client takes no bytes, by a reset after `patience_s`."""
        if self._cut:
            return
        self._cut = reason
        self._wake.set()
        if self._writing and patience_s == 0:
            self._reset()
        else:
            asyncio.get_running_loop().call_later(patience_s or LINGER_S, self._reset)

    def _reset(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # ── the stream ─────────────────────────────────────────────────────────────────────────────

    @property
    def reason(self) -> str:
        """Why it ended: "client" where the client left."""
        return self._cut or "client"

    async def run(self, beginning: Beginning) -> None:
        """Returns when the stream is over; cancelled where the client has left."""
        self._feed.followers.add(self)
        try:
            await self._stream(beginning)
        except Ended as ended:
            self._cut = ended.reason
            await self._say_bye(ended.reason)
        except ConnectionError:
            return
        finally:
            self._feed.followers.discard(self)

    async def _stream(self, beginning: Beginning) -> None:
        await self._write(PREAMBLE if self._sse else NDJSON_HEARTBEAT)
        vector = Vector(
            self._feed.info.epoch,
            [
                live if offset is None else offset
                for offset, live in zip(beginning.offsets, self._feed.vector.offsets, strict=True)
            ],
        )
        self._tell(vector.id())
        if beginning.gap is not None:
            await self._say_gap(beginning.gap)
        await self._catch_up(vector)
        await self._live()

    async def _say_bye(self, reason: str) -> None:
        if reason in RESETS:
            self._reset()
            return
        asyncio.get_running_loop().call_later(LINGER_S, self._reset)
        try:
            if self._sse:
                await self._write(bye(reason))
        except (ConnectionError, Ended):
            self._reset()

    async def _say_gap(self, gap: Gap) -> None:
        await self._write(control("gap", {"reason": gap.reason, "position": gap.position}, gap.position))
        self._tell(gap.position)

    def _check(self) -> None:
        """On an event border."""
        if self._cut:
            raise Ended(self._cut)
        if self._feed.ended:
            raise Ended(self._feed.ended)

    # ── what it missed ─────────────────────────────────────────────────────────────────────────

    async def _catch_up(self, vector: Vector) -> None:
        """Reads from the log until the connection stands exactly at an index of the window."""
        window = self._feed.window
        while True:
            await self._reached(vector.offsets)
            index, target = window.end, tuple(self._feed.vector.offsets)
            try:
                await self._replay(vector, target)
            except OffsetOutOfRange as error:  # retention overtook this reader
                await self._overtaken(vector, error)
                continue
            except TopicMissing:
                raise Ended("expired") from None
            except LogError as error:
                ERRORS.labels("deliver", error.code).inc()
                await asyncio.sleep(RETRY_S)
                continue
            if index >= window.first:
                self._index = index
                return

    async def _reached(self, offsets: Sequence[int]) -> None:
        """Waits until the feed has passed `offsets`: they may come from a process that was faster."""
        try:
            async with asyncio.timeout(REACH_DEADLINE_S):
                while not self._feed.vector.reaches(offsets):
                    self._check()
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            logger.warning("feed does not reach the log's end", extra={"topic": self._feed.info.name})
            raise Ended("failed") from None

    async def _replay(self, vector: Vector, target: Sequence[int]) -> None:
        """Writes what lies between `vector` and `target`; `vector` equals it afterwards."""
        topic = self._feed.info.name
        todo = {
            TopicPartition(topic, p): offset
            for p, offset in enumerate(vector.offsets)
            if offset < target[p] and p in self._ask.partitions
        }
        async with self._log.reader(todo) as reader:
            while todo:
                self._check()
                records = await reader.read(
                    max_records=REPLAY_RECORDS, max_bytes=REPLAY_BYTES, wait_s=RETRY_S
                )
                await self._feed.judge.withdrawals.current()
                await self._write_records(records, vector, target)
                self._advance(reader, todo, vector, target)
                await self._keep_alive(vector.id())
        for p, offset in enumerate(target):  # partitions that are not asked for
            if vector.offsets[p] < offset:
                vector.step(p, offset)

    @staticmethod
    def _advance(
        reader: Reader, todo: dict[TopicPartition, int], vector: Vector, target: Sequence[int]
    ) -> None:
        """Over holes, and past what is done."""
        for tp in tuple(todo):
            position = min(reader.position(tp), target[tp.partition])
            if position > vector.offsets[tp.partition]:
                vector.step(tp.partition, position)
            if position >= target[tp.partition]:
                reader.drop(tp)
                del todo[tp]

    async def _write_records(self, records: Sequence[Stored], vector: Vector, target: Sequence[int]) -> None:
        """Each record is judged just before its chunk is written: a batch may take a slow client minutes."""
        frames: list[Frame] = []
        size = 0
        for record in records:
            if record.offset >= target[record.partition]:
                continue
            vector.step(record.partition, record.offset + 1)
            frame = self._feed.judge.frame(record, vector.id())
            if frame is None:
                continue
            frames.append(frame)
            size += len(frame.sse)
            if size >= CHUNK_BYTES:
                await self._write_frames(frames)
                frames, size = [], 0
                self._check()
                await self._unpaused()
        await self._write_frames(frames)

    async def _unpaused(self) -> None:
        while self._feed.judge.withdrawals.behind:
            self._check()
            await self._pause()

    async def _overtaken(self, vector: Vector, error: OffsetOutOfRange) -> None:
        if not (self._ask.continue_on_gap and self._sse):
            raise Ended("slow")  # resuming by its id it is told what is gone
        vector.step(error.partition, error.earliest)
        await self._say_gap(Gap("expired", vector.id()))

    # ── live ───────────────────────────────────────────────────────────────────────────────────

    async def _live(self) -> None:
        window = self._feed.window
        while True:
            self._check()
            assert self._index is not None
            if self._index < window.first:
                raise Ended("slow")
            self._wake.clear()
            if self._feed.judge.withdrawals.behind:
                await self._pause()
                continue
            frames = self._take()
            if frames:
                self._observe(frames)
                await self._write_frames(frames)
            elif self._index == window.end:
                await self._idle()

    def _take(self) -> list[Frame]:
        """The next chunk's frames; moves the index past them, and past what this client doesn't get."""
        assert self._index is not None
        window, wanted = self._feed.window, self._ask.partitions
        frames: list[Frame] = []
        size = 0
        while self._index < window.end and size < CHUNK_BYTES:
            frame = window[self._index]
            self._index += 1
            if frame.sse and frame.partition in wanted:
                frames.append(frame)
                size += len(frame.sse)
        return frames

    def _observe(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if not frame.delivered:
                frame.delivered = True
                if frame.edited_ms:
                    self._freshness.observe(max(0, self._clock.now_ms() - frame.edited_ms) / 1000)

    async def _idle(self) -> None:
        """Waits for the feed, and meanwhile says what there is to be said without articles."""
        position = self._feed.vector.id()
        await self._keep_alive(position)
        if self._wake.is_set():
            return
        due_s = self._wrote_at_s + self._heartbeat_s
        if self._sse and position != self._told:
            due_s = min(due_s, self._told_at_s + CURSOR_S)
        await self._sleep(due_s - self._clock.monotonic_s())

    async def _pause(self) -> None:
        """The cut-offs are behind: nothing but heartbeats until they have caught up."""
        await self._keep_alive("")
        await asyncio.sleep(PAUSE_S)

    async def _sleep(self, for_s: float) -> None:
        try:
            async with asyncio.timeout(max(for_s, 0.0)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _keep_alive(self, position: str) -> None:
        """A cursor or a heartbeat, where one is due."""
        now_s = self._clock.monotonic_s()
        if self._sse and position and position != self._told and now_s >= self._told_at_s + CURSOR_S:
            await self._write(cursor(position))
            self._tell(position)
        elif now_s >= self._wrote_at_s + self._heartbeat_s:
            await self._write(HEARTBEAT if self._sse else NDJSON_HEARTBEAT)

    # ── writing ────────────────────────────────────────────────────────────────────────────────

    async def _write_frames(self, frames: Sequence[Frame]) -> None:
        if not frames:
            return
        position = frames[-1].position()
        await self._write(b"".join([frame.sse if self._sse else frame.ndjson() for frame in frames]))
        self._events.inc(len(frames))
        self._tell(position)

    async def _write(self, data: bytes) -> None:
        """Whole events. Raises ConnectionError when the client is gone, Ended when it takes nothing."""
        self._writing = True
        try:
            for at in range(0, len(data), CHUNK_BYTES):
                async with asyncio.timeout(WRITE_DEADLINE_S):
                    await self._response.write(data[at : at + CHUNK_BYTES])
        except TimeoutError:
            raise Ended("stalled") from None
        finally:
            self._writing = False
        self._bytes.inc(len(data))
        self._wrote_at_s = self._clock.monotonic_s()
        await asyncio.sleep(0)  # a client that takes all at once must not keep the loop

    def _tell(self, position: str) -> None:
        self._told = position
        self._told_at_s = self._clock.monotonic_s()
