"""One client's stream: its beginning, what it missed, then live; and every way in which it can end.

    preamble ─► (gap) ─► catch-up from the log ─► join at an entry of the channel ─► detached, to the hub
                              ▲                              │                 └──► or live here
                              └── the entry fell out ────────┘

Live here is who can't be detached (streamer.deliver.hub): by TLS in this process, HTTP/1.0, or a limit of
bytes per second. What a connection holds is bounded: one chunk, one read of catch-up, and the buffers of its
socket.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final, NoReturn

from streamer.clock import Clock
from streamer.deliver.auth import Identity
from streamer.deliver.channel import Channel, Entry
from streamer.deliver.detached import Detached
from streamer.deliver.encode import Frame, first_ages_s
from streamer.deliver.feed import Feed, reading
from streamer.deliver.figures import State
from streamer.deliver.outlet import LINGER_S, Ended, Outlet
from streamer.deliver.pace import TURN_BYTES
from streamer.deliver.position import Vector
from streamer.deliver.rendering import Part, passes, project
from streamer.deliver.request import Ask, Format
from streamer.deliver.standing import Standing
from streamer.deliver.start import Beginning
from streamer.errors import LogError, OffsetOutOfRange, TopicMissing
from streamer.faultpoints import Point, reached
from streamer.groups import alone_by_name
from streamer.log.base import Log, Reader, Stored, TopicPartition
from streamer.metrics import EDIT_TO_DELIVERY, ERRORS, discarded, received, sent

REPLAY_RECORDS: Final = 100
REPLAY_BYTES: Final = 262_144
REACH_DEADLINE_S: Final = 10.0
"""How long the feed may take to reach what the log already has."""
CUTOFFS_S: Final = 1.0
"""Cut-offs that take longer to read are behind: the stream pauses, and says that it lives."""
PAUSE_S: Final = 0.1
RETRY_S: Final = 0.5

logger = logging.getLogger(__name__)


class Connection:
    """`run` it once the response is prepared. `cut` ends it from outside."""

    def __init__(
        self,
        *,
        log: Log,
        feed: Feed,
        channel: Channel,
        ask: Ask,
        identity: Identity,
        outlet: Outlet,
        clock: Clock,
        can_detach: bool = False,
    ) -> None:
        self.identity = identity
        self.detached: Detached | None = None
        """What the stream goes on as, once `run` has returned; None where it is over."""
        self._can_detach = can_detach
        self._log = log
        self._feed = feed
        self._channel = channel
        self._ask = ask
        self._outlet = outlet
        self._clock = clock
        self._wake = asyncio.Event()
        self._cut = ""
        self._number: int | None = None
        """Of the channel's next entry; None while catching up."""
        self._since_ms = clock.now_ms()
        self._appended_ms = 0
        """Of the newest article that was taken; 0: none yet."""
        self._freshness = EDIT_TO_DELIVERY.labels(identity.partner.name)

    # ── from outside ───────────────────────────────────────────────────────────────────────────

    def moved(self) -> None:
        self._wake.set()
        if self._feed.ended:
            self._outlet.interrupt(self._feed.ended)
        if self._number is not None and self._number < self._channel.first:
            self.cut("slow", patience_s=0.0)

    def withdrawn(self) -> None:
        """A frame that waits for its client here would go out whenever that takes it: a reset ends it."""
        if self._outlet.is_leaving(self._feed.judge.withdrawals.cutoffs):
            self._cut = self._cut or "withdrawn"
            self._wake.set()
            self._outlet.interrupt(self._cut)
            self.reset()

    def cut(self, reason: str, *, patience_s: float) -> None:
        """Ends on the next event border; where the client takes no bytes, by a reset after `patience_s`."""
        if self._cut:
            return
        self._cut = reason
        self._wake.set()
        self._outlet.interrupt(reason)
        if self._outlet.writing and patience_s == 0:
            self.reset()
        else:
            asyncio.get_running_loop().call_later(patience_s or LINGER_S, self.reset)

    def reset(self) -> None:
        """The hard stop: the client sees an error."""
        self._outlet.reset()

    def standing(self) -> Standing:
        """As it is now."""
        has_all, appended_ms = self._has_all, self._next_ms
        lag_s = max(0, self._clock.now_ms() - appended_ms) / 1000 if appended_ms else None
        return Standing(
            format=self._ask.format,
            encoding=self._ask.encoding,
            since_ms=self._since_ms,
            position=self._feed.vector.id() if has_all else self._outlet.told,
            ends=tuple(self._feed.vector.offsets),
            partitions=self._ask.partitions,
            lag_s=0.0 if has_all else lag_s,
            state=self._state(),
        )

    @property
    def _has_all(self) -> bool:
        return self._number == self._channel.next and not self._outlet.writing

    @property
    def _next_ms(self) -> int:
        """When the article was appended that comes next, or, of a replay, that was read last; 0: unknown."""
        channel, number = self._channel, self._number
        if number is not None and channel.first <= number < channel.next:
            return channel.appended_ms_at(number) or self._appended_ms
        return self._appended_ms

    @property
    def unsent_ms(self) -> int:
        """The same; 0 where none waits, too."""
        return 0 if self._has_all else self._next_ms

    def _state(self) -> State:
        if self._feed.judge.withdrawals.behind:
            return "paused"
        return "catching-up" if self._number is None else "live"

    # ── the stream ─────────────────────────────────────────────────────────────────────────────

    @property
    def format(self) -> Format:
        return self._ask.format

    @property
    def reason(self) -> str:
        """Why it ended: "client" where the client left."""
        return self._cut or "client"

    async def run(self, beginning: Beginning) -> None:
        """Returns when the stream is over, or `detached`; cancelled where the client has left."""
        self._channel.followers.add(self)
        try:
            await self._stream(beginning)
        except Ended as ended:
            self._cut = ended.reason
            await self._outlet.say_bye(ended.reason)
        except ConnectionError:
            return
        except Exception:  # the border: a mistake of ours ends this stream alone, and not as if it were over
            self._cut = "failed"
            ERRORS.labels("deliver", "internal").inc()
            logger.exception("stream failed", extra={"partner": self.identity.partner.name})
            self.reset()
        finally:
            self._outlet.over = True
            self._channel.followers.discard(self)

    async def _stream(self, beginning: Beginning) -> None:
        # before the first byte: what is appended once the client has seen `:ok` is not before it
        vector = Vector(
            self._feed.info.epoch,
            [
                live if offset is None else offset
                for offset, live in zip(beginning.offsets, self._feed.vector.offsets, strict=True)
            ],
        )
        self._outlet.tell(vector.id())
        await self._outlet.begin()
        if beginning.gap:
            await self._outlet.say_gap(beginning.gap, vector.id())
        while True:
            number = await self._catch_up(vector)
            if not self._can_detach or self._outlet.is_paced:  # its limits may be others by now
                self._number = number
                await self._live()
            await self._outlet.tell_cursor(vector.id())
            await self._outlet.handed_over()
            self._check()
            # else what follows is gone while the client took its time, or it has limits by now
            if number >= self._channel.first and not self._outlet.is_paced:
                break
        # from here on without an await: the end of the transport cancels this task
        fd, member = self._outlet.detach()
        at = self._channel.offset_of(number)
        self.detached = Detached(
            fd, self._channel, at, identity=self.identity, since_ms=self._since_ms, member=member
        )

    def _check(self) -> None:
        """On an event border."""
        if self._cut:
            raise Ended(self._cut)
        if self._feed.ended:
            raise Ended(self._feed.ended)

    # ── what it missed ─────────────────────────────────────────────────────────────────────────

    async def _catch_up(self, vector: Vector) -> int:
        """Reads from the log until the connection stands exactly at an entry of its channel: its number."""
        channel = self._channel
        while True:
            await self._reached(vector.offsets)
            number, target = channel.next, tuple(self._feed.vector.offsets)
            try:
                await self._replay(vector, target)
            except OffsetOutOfRange as error:  # retention overtook this reader
                await self._overtaken(vector, error)
                continue
            except TopicMissing:
                raise Ended("expired") from None
            except LogError as error:
                ERRORS.labels("deliver", error.code).inc()
                self._check()
                await self._outlet.keep_alive(vector.id())
                await asyncio.sleep(RETRY_S)
                continue
            if number >= channel.first:
                return number

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
        info = self._feed.info
        todo = {
            TopicPartition(info.name, p): offset
            for p, offset in enumerate(vector.offsets)
            if offset < target[p] and p in self._ask.partitions
        }
        async with reading(self._log, info, todo) as reader:
            while todo:
                self._check()
                records = await reader.read(
                    max_records=REPLAY_RECORDS, max_bytes=REPLAY_BYTES, wait_s=RETRY_S
                )
                reached(Point.DELIVER_CATCHING_UP)
                await self._judgeable()
                await self._write_records(records, vector, target)
                self._advance(reader, todo, vector, target)
                await self._outlet.keep_alive(vector.id())
                await asyncio.sleep(0)  # where nothing passes, nothing else may wait
        for p, offset in enumerate(target):  # partitions that are not asked for
            if vector.offsets[p] < offset:
                vector.step(p, offset)

    async def _judgeable(self) -> None:
        """Waits for the cut-offs before what was read, with heartbeats where they are long in coming."""
        with alone_by_name():
            async with asyncio.TaskGroup() as group:
                current = group.create_task(self._feed.judge.withdrawals.current())
                while not (await asyncio.wait({current}, timeout=CUTOFFS_S))[0]:
                    self._check()
                    await self._outlet.keep_alive("")

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
        pending = deque(record for record in records if record.offset < target[record.partition])
        while pending:
            self._check()
            await self._unpaused()
            async with self._outlet.turn() as most_bytes:
                if not self._cut and not self._feed.judge.withdrawals.behind:
                    frames = self._judged(pending, vector, most_bytes)
                    await self._outlet.write(self._parts(frames), frames[-1].position() if frames else "")

    def _judged(self, pending: deque[Stored], vector: Vector, most_bytes: int) -> list[Frame]:
        """The next chunk's frames; takes their records, and those that give none, from the left."""
        frames: list[Frame] = []
        size = made = lost = 0
        withheld_before = self._feed.judge.withheld
        while pending and size < most_bytes:
            record = pending.popleft()
            vector.step(record.partition, record.offset + 1)
            self._appended_ms = record.timestamp_ms
            frame = self._feed.judge.frame(record, vector.id())
            if frame is None:
                continue
            made += 1
            if self._ask.filters is not None and not passes(frame, self._ask.filters):
                lost += frame.is_broken
                continue
            shown = frame if self._ask.projection is None else project(frame, self._ask.projection)
            if shown is not None:
                frames.append(shown)
                size += len(shown.sse)
            else:
                lost += frame.is_broken
        received("deliver", made + self._feed.judge.withheld - withheld_before)
        discarded("deliver", "invalid", lost)
        discarded("deliver", "filtered", made - len(frames) - lost)
        sent("deliver", len(frames))
        return frames

    def _parts(self, frames: list[Frame]) -> list[Part]:
        """As they go out: packed, all make one block."""
        is_sse = self._ask.format == "sse"
        parts = [Part([frame], frame.sse if is_sse else frame.ndjson()) for frame in frames]
        if self._ask.encoding == "gzip" and parts:
            return [Part(frames, b"".join(part.data for part in parts))]
        return parts

    async def _unpaused(self) -> None:
        while self._feed.judge.withdrawals.behind:
            self._check()
            await self._pause()

    async def _overtaken(self, vector: Vector, error: OffsetOutOfRange) -> None:
        if not self._ask.continue_on_gap:
            raise Ended("slow")  # resuming by its id it is told what is gone
        vector.step(error.partition, error.earliest)
        await self._outlet.say_gap("expired", vector.id())

    # ── live ───────────────────────────────────────────────────────────────────────────────────

    async def _live(self) -> NoReturn:
        channel = self._channel
        while True:
            self._check()
            assert self._number is not None
            if self._number < channel.first:
                raise Ended("slow")
            self._wake.clear()
            if self._feed.judge.withdrawals.behind:
                await self._pause()
            elif self._number == channel.next:
                await self._idle()
            elif not channel.entry(self._number).frames:
                self._number += 1  # heartbeats and cursors are said here by the connection's own clock
            elif self._outlet.is_paced:
                async with self._outlet.turn() as most_bytes:
                    await self._write_next(most_bytes)
            else:  # thousands at once where TLS is done here
                await self._write_next(TURN_BYTES)

    async def _write_next(self, most_bytes: int) -> None:
        """Nothing, where the turn was so long in coming that it has to be judged anew."""
        channel = self._channel
        assert self._number is not None
        if self._cut or self._number < channel.first or self._feed.judge.withdrawals.behind:
            return
        parts: list[Part] = []
        position = ""
        size = 0
        while self._number < channel.next and size < most_bytes:
            entry = channel.entry(self._number)
            self._number += 1
            if entry.frames:
                self._observe(entry)
                is_gzip = self._ask.encoding == "gzip"
                part = Part(
                    entry.frames, channel.payload(entry), channel.block_of(entry) if is_gzip else None
                )
                parts.append(part)
                position = entry.position
                size += len(part.data)
        await self._outlet.write(parts, position)

    def _observe(self, entry: Entry) -> None:
        self._appended_ms = entry.appended_ms
        for age_s in first_ages_s(entry.frames, self._clock.now_ms()):
            self._freshness.observe(age_s)

    async def _idle(self) -> None:
        """Waits for the feed, and meanwhile says what there is to be said without articles."""
        position = self._feed.vector.id()
        await self._outlet.keep_alive(position)
        if self._wake.is_set():
            return
        await self._sleep(self._outlet.due_s(position) - self._clock.monotonic_s())

    async def _pause(self) -> None:
        """The cut-offs are behind: nothing but heartbeats until they have caught up."""
        await self._outlet.keep_alive("")
        await asyncio.sleep(PAUSE_S)

    async def _sleep(self, for_s: float) -> None:
        try:
            async with asyncio.timeout(max(for_s, 0.0)):
                await self._wake.wait()
        except TimeoutError:
            pass
