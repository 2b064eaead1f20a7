"""One partner topic, read once for all its connections.

    log ──► Feed (one reader, an order over all partitions) ──► Window ──► connections at some index
     └────► Connection (a reader of its own, while it catches up) ─────────► joins at an index

The feed gives the records of all partitions one order, so that the vector after each record, which is
the event's id, is the same for every connection, and a frame is encoded once. A connection that is
elsewhere reads from the log up to exactly the vector in front of some index, and goes on from there.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec

from streamer.deliver.blocks import Blocks
from streamer.deliver.encode import Frame, frame_of, is_article, number_of, withheld
from streamer.deliver.position import Vector
from streamer.deliver.problems import busy
from streamer.deliver.projected import Projected
from streamer.deliver.retained import Budget, Window
from streamer.deliver.verdicts import Verdicts
from streamer.deliver.withdrawals import Withdrawals
from streamer.errors import LogError, OffsetOutOfRange, TopicMissing
from streamer.log.base import Log, Reader, Stored, TopicInfo, TopicPartition
from streamer.metrics import DELIVER_WITHHELD, ERRORS
from streamer.model import is_delete

READ_RECORDS: Final = 100
"""At a time: encoding so many articles of 17 KB keeps the loop for some 5 ms."""
READ_BYTES: Final = 1_048_576
RETRY_S: Final = 0.5
HOLES_S: Final = 1.0
"""Markers of transactions follow almost every commit: not each is worth waking all connections."""
OPEN_DEADLINE_S: Final = 5.0

logger = logging.getLogger(__name__)


class Follower(Protocol):
    """A connection, as its feed sees it."""

    def moved(self) -> None:
        """The feed has new frames, a new vector, or has ended."""
        ...

    def withdrawn(self) -> None:
        """A cut-off applies, and the window has not heeded it yet."""
        ...


class Judge:
    """Records of one partner → frames, or nothing where there is nothing (any more) to be shown."""

    def __init__(self, partner: str, withdrawals: Withdrawals) -> None:
        self.partner = partner
        self.withdrawals = withdrawals

    def frame(self, record: Stored, position: str) -> Frame | None:
        """`position`: the id after the record."""
        if not is_article(record):
            return None
        hidden = withheld(
            self.withdrawals.cutoffs.hidden(
                record.key, number_of(record, "rev"), number_of(record, "ce_sequence")
            ),
            is_delete=is_delete(record),
        )
        if "text" in hidden:
            DELIVER_WITHHELD.labels(self.partner, "withdrawn").inc()
            return None
        try:
            return frame_of(record, position, hidden)
        except (msgspec.DecodeError, UnicodeDecodeError):  # one broken record must not end every stream
            DELIVER_WITHHELD.labels(self.partner, "invalid").inc()
            ERRORS.labels("deliver", "value_invalid").inc()
            logger.exception(
                "record is no article, left out",
                extra={"topic": record.topic, "partition": record.partition, "offset": record.offset},
            )
            return None


class Feed:
    """`run` it; once `opened`, `vector` and `window` are in step: `vector` is what follows `window.end`."""

    def __init__(self, log: Log, info: TopicInfo, judge: Judge, budget: Budget) -> None:
        self.info = info
        self.judge = judge
        self.window = Window()
        self.vector = Vector(info.epoch, [0] * info.partitions)
        self.opened = asyncio.Event()
        self.ended = ""
        """Why nothing comes any more: the reason for `bye`."""
        self.followers: set[Follower] = set()
        self.verdicts = Verdicts()
        self.projected = Projected()
        self.blocks = Blocks()
        self._log = log
        self._budget = budget

    async def run(self) -> None:
        """Until cancelled, or until the topic is gone or retention has overtaken the feed itself."""
        self._budget.add(self.window)
        self.judge.withdrawals.subscribe(self._withdraw)
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
            self.judge.withdrawals.unsubscribe(self._withdraw)
            self._budget.remove(self.window)
            self.opened.set()
            self._wake()

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
                records = await reader.read(max_records=READ_RECORDS, max_bytes=READ_BYTES, wait_s=1.0)
                if records:
                    await self.judge.withdrawals.current()
                # from here to the wake-up without an await: window and vector move together
                self._publish(records)
                for tp in tps:
                    if reader.position(tp) > self.vector.offsets[tp.partition]:
                        self.vector.step(tp.partition, reader.position(tp))
                        untold_s = untold_s or now_s()
                if records or (untold_s and now_s() - untold_s >= HOLES_S):
                    self._wake()
                    untold_s = None
                    await asyncio.sleep(0)

    def _publish(self, records: Sequence[Stored]) -> None:
        for record in records:
            self.vector.step(record.partition, record.offset + 1)
            frame = self.judge.frame(record, self.vector.id())
            if frame is not None:
                self.window.append(frame)
        self._budget.enforce()

    def _withdraw(self, key: str) -> None:
        for follower in tuple(self.followers):
            follower.withdrawn()
        self.window.withdraw(key, self.judge.withdrawals.cutoffs)

    def _wake(self) -> None:
        for follower in tuple(self.followers):
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

    def __init__(self, log: Log, withdrawals: Withdrawals, budget: Budget, group: asyncio.TaskGroup) -> None:
        self._log = log
        self._withdrawals = withdrawals
        self._budget = budget
        self._group = group
        self._feeds: dict[TopicInfo, tuple[Feed, asyncio.Task[None]]] = {}
        self._holders: dict[TopicInfo, int] = {}

    @asynccontextmanager
    async def hold(self, partner: str, info: TopicInfo) -> AsyncIterator[Feed]:
        """The feed, running and open (or ended: see `ended`). Raises 503 where the log does not answer."""
        self._holders[info] = self._holders.get(info, 0) + 1
        try:
            if info not in self._feeds or self._feeds[info][0].ended:
                feed = Feed(self._log, info, Judge(partner, self._withdrawals), self._budget)
                task = self._group.create_task(feed.run(), name=f"feed-{partner}")
                self._feeds[info] = (feed, task)
            feed = self._feeds[info][0]
            try:
                async with asyncio.timeout(OPEN_DEADLINE_S):
                    await feed.opened.wait()
            except TimeoutError:
                raise busy(503, "log_unavailable", "the log does not answer at the moment") from None
            yield feed
        finally:
            self._holders[info] -= 1
            if not self._holders[info]:
                del self._holders[info]
                if info in self._feeds:
                    self._feeds.pop(info)[1].cancel()
