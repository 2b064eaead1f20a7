"""One partner topic, read once for all its clients.

    log ──► Feed (one reader, an order over all partitions) ──► Channels ──► clients, each somewhere in one
     └────► Connection (a reader of its own, while it catches up) ──────────► joins at a number

The feed gives the records of all partitions one order, so that the vector after each record, which is
the event's id, is the same for every client, and a frame is made once. Clients that want the same of it share
a channel, made when the first of them comes and dropped when the last has left. One that is elsewhere reads
from the log up to exactly the vector in front of some entry, and goes on from there.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Final

import msgspec

from streamer.deliver.channel import Channel, newly_hidden
from streamer.deliver.encode import Frame, facts_of, frame_of, hidden_in, is_article, withheld
from streamer.deliver.framelog import frame_log
from streamer.deliver.hub import Hub
from streamer.deliver.position import Vector
from streamer.deliver.problems import busy
from streamer.deliver.rendering import Rendering
from streamer.deliver.retained import Budget
from streamer.deliver.wanted import Key, Wanted
from streamer.deliver.withdrawals import Withdrawals
from streamer.errors import LogError, OffsetOutOfRange, TopicMissing
from streamer.log.base import Log, Reader, Stored, TopicInfo, TopicPartition
from streamer.metrics import (
    DELIVER_CHANNELS,
    DELIVER_WITHHELD,
    ERRORS,
    WITHHELD_REASONS,
    discarded,
    received,
    sent,
)
from streamer.tracing import Tracing

READ_RECORDS: Final = 100
"""At a time: encoding so many articles of 17 KB keeps the loop for some 5 ms."""
READ_BYTES: Final = 1_048_576
LEAST_READ_BYTES: Final = 65_536
"""What is read at a time lies in each of the feed's channels before it is sent: with many, less is read."""
RETRY_S: Final = 0.5
HOLES_S: Final = 1.0
"""Markers of transactions follow almost every commit: not each is worth waking all connections."""
OPEN_DEADLINE_S: Final = 5.0
SILENT_S: Final = 5.0
"""A read takes a second where there is nothing: after this the log does not answer."""

logger = logging.getLogger(__name__)


class Judge:
    """Records of one partner → frames, or nothing where there is nothing (any more) to be shown."""

    def __init__(self, partner: str, withdrawals: Withdrawals, tracing: Tracing | None = None) -> None:
        self.partner = partner
        self.withdrawals = withdrawals
        self._tracing = tracing
        for reason in WITHHELD_REASONS:
            DELIVER_WITHHELD.labels(partner, reason)  # 0 before the first: so that it is seen as an increase
        self.withheld = 0
        """How many articles were given no frame."""

    def frame(self, record: Stored, position: str) -> Frame | None:
        """`position`: the id after the record."""
        if not is_article(record):
            return None
        facts = facts_of(record)
        hidden = self.withdrawals.cutoffs.hidden(record.key, facts.revision, facts.sequence)
        if hidden:
            hidden = withheld(hidden, is_delete=facts.is_delete)
        if "text" in hidden:
            self._withhold("withdrawn")
            return None
        try:
            frame = frame_of(record, position, hidden, facts)
        except (msgspec.DecodeError, UnicodeDecodeError):  # one broken record must not end every stream
            self._withhold("invalid")
            ERRORS.labels("deliver", "value_invalid").inc()
            logger.exception(
                "record is no article, left out",
                extra={"topic": record.topic, "partition": record.partition, "offset": record.offset},
            )
            return None
        if self._tracing is not None:
            frame.delivery = self._tracing.delivery(self.partner, record)
        return frame

    def _withhold(self, reason: str) -> None:
        self.withheld += 1
        DELIVER_WITHHELD.labels(self.partner, reason).inc()
        discarded("deliver", reason)


class Feed:
    """`run` it; once `opened`, `vector` and the channels are in step: `vector` is what follows their ends."""

    def __init__(self, log: Log, info: TopicInfo, judge: Judge, budget: Budget, hub: Hub) -> None:
        self.info = info
        self.judge = judge
        self.vector = Vector(info.epoch, [0] * info.partitions)
        self.opened = asyncio.Event()
        self.ended = ""
        """Why nothing comes any more: the reason for `bye`."""
        self.channels: dict[Key, Channel] = {}
        self._in_hand_ms = 0
        """When the first record was appended that was read and is in no channel yet; 0: there is none."""
        self._newest_ms = 0
        """Of what the last read has found; 0: there was nothing."""
        self._read_s = inf
        """When the last read was answered, or the first one asked."""
        self._log = log
        self._budget = budget
        self._hub = hub

    def unsent_ms(self, now_ms: int) -> int:
        """When the record was appended that the channels have still to be given, as far as the feed can tell:
        the one that waits for the cut-offs; while it reads a backlog, the newest that it has read; where the
        log does not answer, since when. 0: they have all.
        """
        if self._in_hand_ms:
            return self._in_hand_ms
        silent_s = asyncio.get_running_loop().time() - self._read_s
        if silent_s > SILENT_S and not self.ended:
            return now_ms - int(silent_s * 1000)
        return self._newest_ms if now_ms - self._newest_ms > SILENT_S * 1000 else 0

    def channel(self, wanted: Wanted) -> Channel:
        """Of all who want the same."""
        channel = self.channels.get(wanted.key)
        if channel is None:
            channel = Channel(self.judge.partner, wanted, self.vector, frame_log())
            self.channels[wanted.key] = channel
            self._budget.add(channel)
        return channel

    def drop(self, channel: Channel) -> None:
        """Nobody follows it."""
        del self.channels[channel.wanted.key]
        self._heedless()
        channel.close()
        self._budget.remove(channel)

    async def run(self) -> None:
        """Until cancelled, or until the topic is gone or retention has overtaken the feed itself."""
        self.judge.withdrawals.subscribe(self._withdraw)
        self._read_s = asyncio.get_running_loop().time()
        try:
            while not self.ended:
                try:
                    await self._follow()
                except TopicMissing:
                    self.ended = "expired"
                except OffsetOutOfRange:
                    self.ended = "slow"
                except LogError as error:
                    ERRORS.labels("deliver", error.code).inc()
                    logger.warning("feed waits for the log", extra={"code": error.code})
                    await asyncio.sleep(RETRY_S)
        finally:
            self.ended = self.ended or "drain"
            self._heedless()
            self.opened.set()
            for channel in tuple(self.channels.values()):
                self._hub.ended(channel, self.ended)
            self._wake()

    def _heedless(self) -> None:
        """Cut-offs matter to the last client, which takes its time to go."""
        if self.ended and not self.channels:
            self.judge.withdrawals.unsubscribe(self._withdraw)

    async def _follow(self) -> None:
        tps = [TopicPartition(self.info.name, p) for p in range(self.info.partitions)]
        if not self.opened.is_set():
            for tp in tps:
                self.vector.step(tp.partition, (await self._log.bounds(tp)).end)
            self.opened.set()
        starts = dict(zip(tps, self.vector.offsets, strict=True))
        untold_s: float | None = None  # since when the vector moved over holes that nobody was told of
        now_s = asyncio.get_running_loop().time
        async with reading(self._log, self.info, starts) as reader:
            while True:
                most_bytes = max(LEAST_READ_BYTES, READ_BYTES // max(1, len(self.channels)))
                records = await reader.read(max_records=READ_RECORDS, max_bytes=most_bytes, wait_s=1.0)
                self._read_s = now_s()
                self._in_hand_ms = records[0].timestamp_ms if records else 0
                self._newest_ms = records[-1].timestamp_ms if records else 0
                if records:
                    await self.judge.withdrawals.current()
                # from here to the round without an await: channels and vector move together
                touched = self._publish(records)
                self._in_hand_ms = 0
                if self._over_holes(reader, tps):
                    untold_s = untold_s or now_s()
                if records or (untold_s and now_s() - untold_s >= HOLES_S):
                    self._wake()
                    untold_s = None
                    await self._send(touched)

    def _over_holes(self, reader: Reader, tps: Sequence[TopicPartition]) -> bool:
        moved = False
        for tp in tps:
            position = reader.position(tp)
            if position > self.vector.offsets[tp.partition]:
                self.vector.step(tp.partition, position)
                moved = True
        return moved

    def _publish(self, records: Sequence[Stored]) -> list[Channel]:
        """Those that have something new."""
        before = self.vector.id() if records else ""
        withheld_before = self.judge.withheld
        frames = []
        for record in records:
            self.vector.step(record.partition, record.offset + 1)
            frame = self.judge.frame(record, self.vector.id())
            if frame is not None:
                frames.append(frame)
        received("deliver", len(frames) + self.judge.withheld - withheld_before)
        if not frames:
            return []
        rendering = Rendering(frames)
        touched = []
        taken: set[int] = set()
        for channel in self.channels.values():
            if parts := rendering.parts(channel.wanted):
                channel.take(parts, before)
                touched.append(channel)
                if len(taken) < len(frames):
                    taken.update(id(frame) for part in parts for frame in part.frames)
        sent("deliver", len(taken))
        lost = sum(frame.is_broken and id(frame) not in taken for frame in frames)
        discarded("deliver", "invalid", lost)
        discarded("deliver", "filtered", len(frames) - len(taken) - lost)
        for frame in frames:
            frame.sse = b""
        return touched

    async def _send(self, touched: Sequence[Channel]) -> None:
        """What is new, to all that keep up; then what is too much goes."""
        for channel in touched:
            await self._hub.round(channel)
        overtaken(self._hub, self._budget.enforce())
        await asyncio.sleep(0)  # a log that has more at once must not keep the loop

    def _withdraw(self, key: str) -> None:
        cutoffs = self.judge.withdrawals.cutoffs
        frames: list[Frame] = []
        for channel in tuple(self.channels.values()):
            for follower in tuple(channel.followers):
                follower.withdrawn()
            reached = channel.reached(key, cutoffs)
            self._hub.withdrawn(channel, reached)
            if channel.wanted.key in self.channels:  # its last client may have been reset just now
                frames += [
                    frame for entry in reached for frame in entry.frames if newly_hidden(frame, cutoffs)
                ]
                channel.withdraw(key, cutoffs)
        for frame in frames:  # which channels share
            frame.hidden |= hidden_in(frame, cutoffs)

    def _wake(self) -> None:
        for channel in self.channels.values():
            for follower in tuple(channel.followers):
                follower.moved()


def overtaken(hub: Hub, channels: Iterable[Channel]) -> None:
    """Those of whose clients some may stand before what is retained by now."""
    for channel in channels:
        hub.overtaken(channel)
        for follower in tuple(channel.followers):
            follower.moved()


@asynccontextmanager
async def reading(log: Log, info: TopicInfo, starts: Mapping[TopicPartition, int]) -> AsyncIterator[Reader]:
    """A reader of this making of the topic: offsets mean nothing in another one of the same name, and a
    reader that is opened anew would not notice. Raises TopicMissing.
    """
    async with log.reader(starts) as reader:
        found = await log.topic(info.name)  # which may have more partitions by now: see deliver.topic
        if found is None or found.epoch != info.epoch:
            raise TopicMissing(f"the topic {info.name} is gone or was made anew")
        yield reader


class Feeds:
    """The feeds of a process: each is read while somebody is connected to it. `group` owns their tasks."""

    def __init__(
        self,
        log: Log,
        withdrawals: Withdrawals,
        budget: Budget,
        hub: Hub,
        group: asyncio.TaskGroup,
        *,
        max_channels: Callable[[], int],
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._log = log
        self._withdrawals = withdrawals
        self._budget = budget
        self._hub = hub
        self._group = group
        self._max_channels = max_channels
        self._feeds: dict[TopicInfo, tuple[Feed, asyncio.Task[None]]] = {}
        self._holders: dict[Feed, int] = {}
        self._followed: dict[Channel, tuple[Feed, int]] = {}

    def retain(self, limit_bytes: int) -> None:
        """So much, from now on."""
        overtaken(self._hub, self._budget.change(limit_bytes))

    @property
    def is_paused(self) -> bool:
        """Nothing is sent until the cut-offs are known in time."""
        return self._withdrawals.behind

    def unsent_ms(self, now_ms: int) -> Iterator[tuple[str, int]]:
        """By feed its partner, and what Feed.unsent_ms says."""
        for feed, _ in self._feeds.values():
            yield feed.judge.partner, feed.unsent_ms(now_ms)

    @asynccontextmanager
    async def hold(self, partner: str, info: TopicInfo) -> AsyncIterator[Feed]:
        """The feed, running and open (or ended: see `ended`). Raises 503 where the log does not answer."""
        if info not in self._feeds or self._feeds[info][0].ended:
            judge = Judge(partner, self._withdrawals, self._tracing)
            feed = Feed(self._log, info, judge, self._budget, self._hub)
            task = self._group.create_task(feed.run(), name=f"feed-{partner}")
            self._feeds[info] = (feed, task)
        feed = self._feeds[info][0]
        self._holders[feed] = self._holders.get(feed, 0) + 1
        try:
            try:
                async with asyncio.timeout(OPEN_DEADLINE_S):
                    await feed.opened.wait()
            except TimeoutError:
                raise busy(503, "log_unavailable", "the log does not answer at the moment") from None
            yield feed
        finally:
            self._release(feed)

    def follow(self, feed: Feed, wanted: Wanted, *, most: int) -> Channel:
        """To be left by `leave`. `most`: so many channels a partner may have, 0 for any number. Raises 429
        and 503 where there are too many.
        """
        if wanted.key not in feed.channels:
            if most and len(feed.channels) >= most:
                raise busy(
                    429,
                    "too_many_feeds",
                    f"{most} different combinations of filters, fields, parts, format and encoding at a time"
                    " are allowed",
                )
            if len(self._followed) >= self._max_channels():
                raise busy(503, "full", "this server has all the distinct feeds it takes")
        channel = feed.channel(wanted)
        _, followers = self._followed.get(channel, (feed, 0))
        self._followed[channel] = feed, followers + 1
        self._holders[feed] = self._holders.get(feed, 0) + 1
        DELIVER_CHANNELS.set(len(self._followed))
        return channel

    def leave(self, channel: Channel) -> None:
        feed, followers = self._followed[channel]
        if followers > 1:
            self._followed[channel] = feed, followers - 1
        else:
            del self._followed[channel]
            feed.drop(channel)
            DELIVER_CHANNELS.set(len(self._followed))
        self._release(feed)

    def _release(self, feed: Feed) -> None:
        self._holders[feed] -= 1
        if self._holders[feed]:
            return
        del self._holders[feed]
        held = self._feeds.get(feed.info)
        if held is not None and held[0] is feed:
            del self._feeds[feed.info]
            held[1].cancel()
