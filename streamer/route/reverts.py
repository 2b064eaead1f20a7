"""Which revisions the wiki itself says were reverted (`wiki.signals.v1`), and up to when that is known.

A signal has the partition of its page, so a lane follows one partition of them. Enrich writes it as soon as
it has read the hint, whatever the articles of the page wait for; so it may come long before the revision's
article, but not before enrich has read so far. Hence the horizon: nothing settles in a time of which enrich
has not read all changes yet, of all partitions, since changes are parted by wiki and articles by page. A
source that stands still can't be told from a quiet wiki; that is for its own alarm.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final, NoReturn

import msgspec

from streamer.accounts import ENRICH_GROUP, GROUP
from streamer.clock import Steady
from streamer.errors import LogError, OffsetOutOfRange
from streamer.log.base import Log, Reader, Stored, TopicPartition
from streamer.log.position import Position
from streamer.log.seldom import Seldom
from streamer.metrics import ERRORS, ROUTE_HORIZON_AGE
from streamer.model import Signal, is_tick
from streamer.runtime import Runtime

SIGNAL_LEAD_MS: Final = 3_600_000
"""So much earlier than its article a signal may have come: enrich reads thousands of changes ahead of what
the budget lets it ask for."""
FORGET_EVERY: Final = 256
MARGIN_MS: Final = 60_000
"""So much more is kept: to read again what was forgotten a moment ago would be dear."""
STEP_READS: Final = 4
"""So many at a time: who begins in the past has days of signals to read, and a lane has other partners."""
MOST_TOLD: Final = 200_000
"""Remembered by one lane, at some 380 bytes each; with more the oldest go."""
LOOK_S: Final = 1.0
"""Between two questions how far enrich is."""
MOST_SAMPLES: Final = 600
"""With more, every other one goes: the horizon then moves in longer steps."""

logger = logging.getLogger(__name__)

_signals: Final = msgspec.json.Decoder(Signal)


class Told:
    """The reverts that were told, by page key. Pure."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        self._order: deque[tuple[int, str, tuple[int, int]]] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def take(self, record: Stored) -> None:
        """Raises msgspec.DecodeError, and ValidationError, where it holds no signal."""
        if record.value is None or is_tick(record):
            return
        signal = _signals.decode(record.value)
        if not signal.reverted:
            return
        ends = min(signal.reverted), max(signal.reverted)
        ranges = self._ranges.setdefault(record.key, [])
        if ends not in ranges:
            ranges.append(ends)
            self._order.append((record.timestamp_ms, record.key, ends))

    def is_reverted(self, key: str, revision: int) -> bool:
        """`key` of an article's record."""
        ranges = self._ranges.get(key.partition("/")[0])
        return ranges is not None and any(low <= revision <= high for low, high in ranges)

    def forget(self, before_ms: int) -> None:
        """What was told before that."""
        while self._order and self._order[0][0] < before_ms:
            self.forget_oldest()

    def forget_oldest(self) -> None:
        _, key, ends = self._order.popleft()
        ranges = self._ranges[key]
        ranges.remove(ends)
        if not ranges:
            del self._ranges[key]


class Reverts:
    """One lane's; close it. It reads only where somebody settles."""

    def __init__(self, log: Log, tp: TopicPartition) -> None:
        self._log = log
        self._tp = tp
        self._stack = AsyncExitStack()
        self._reader: Reader | None = None
        self._since_ms = 0
        self._forgotten = 0
        self.told = Told()

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def catch_up(self, article_ms: int) -> bool:
        """Whether all is known that was told before this call and may be about an article of that time or a
        later one; False: not yet, call again. Raises LogError.
        """
        since_ms = max(0, article_ms - SIGNAL_LEAD_MS)
        if self._reader is None:
            self._since_ms = since_ms
            start = await self._log.offset_at(self._tp, since_ms)
            self._reader = await self._stack.enter_async_context(self._log.reader({self._tp: start}))
        elif since_ms < self._since_ms:  # somebody begins in the past
            self._since_ms = since_ms
            self.told = Told()
            self._reader.assign(self._tp, await self._log.offset_at(self._tp, since_ms))
        end = (await self._log.bounds(self._tp)).end
        for _ in range(STEP_READS):
            if self._reader.position(self._tp) >= end:
                break
            try:
                records = await self._reader.read(wait_s=0.0)
            except OffsetOutOfRange as error:
                self._reader.assign(self._tp, error.earliest)
                continue
            if not records:
                return True
            for record in records:
                self._take(record)
        return self._reader.position(self._tp) >= end

    def _take(self, record: Stored) -> None:
        try:
            self.told.take(record)
        except (msgspec.DecodeError, ValueError):
            ERRORS.labels(GROUP, "signal_invalid").inc()
        if len(self.told) > MOST_TOLD:
            self.told.forget_oldest()
            ERRORS.labels(GROUP, "reverts_forgotten").inc()

    def forget(self, article_ms: int) -> None:
        """No article from before that will be asked about; cheap to say often."""
        self._forgotten += 1
        since_ms = article_ms - SIGNAL_LEAD_MS - MARGIN_MS
        if self._forgotten % FORGET_EVERY == 0 and since_ms > self._since_ms:
            self._since_ms = since_ms
            self.told.forget(since_ms)


class Horizon:
    """Up to when all reverts are told: enrich has read, and committed, every change of before. One a process;
    `run` it. It moves a few seconds behind the present where little happens.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.now_ms: Final = Steady(runtime.clock).now_ms
        """What settles ages by this."""
        self._samples: deque[tuple[int, tuple[int, ...]]] = deque()
        """When the changes ended where."""
        self._seldom = Seldom()
        self.wanted = asyncio.Event()
        """Somebody settles; until then nothing is asked."""
        self.ms = 0
        self._asked_ms = 0
        """When it began to ask, while it knows nothing."""

    async def run(self) -> NoReturn:
        """For ever; where the log does not tell, it stays where it is, and so does what settles."""
        await self.wanted.wait()
        while True:
            try:
                await self.look()
            except LogError as error:
                tell_unknown(error, self._seldom)
            ROUTE_HORIZON_AGE.set((self.now_ms() - (self.ms or self._asked_ms)) / 1000)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Raises LogError."""
        now_ms = self.now_ms()
        if now_ms < self.ms or (self._samples and now_ms < self._samples[-1][0]):
            self._samples.clear()  # the clock has stepped back: what was known by it says nothing any more
            self.ms = self._asked_ms = 0
        self._asked_ms = self._asked_ms or now_ms
        topic = self._runtime.topics.changes
        bounds = await self._runtime.log.all_bounds(topic)
        committed = await self._runtime.log.committed(ENRICH_GROUP)
        read = [_read_to(committed, TopicPartition(topic, number)) for number in range(len(bounds))]
        self._samples.append((now_ms, tuple(end for _, end in bounds)))
        while self._samples and all(map(int.__ge__, read, self._samples[0][1])):
            self.ms = max(self.ms, self._samples.popleft()[0])
        if len(self._samples) > MOST_SAMPLES:
            self._samples = deque(list(self._samples)[::2])


def tell_unknown(error: LogError, seldom: Seldom) -> None:
    """The alarm that nothing settles."""
    ERRORS.labels(GROUP, "reverts_unknown").inc()
    if times := seldom.times(error.code):
        logger.error(
            "what was reverted can't be found out: nothing settles, partners without settle go on",
            extra={"code": error.code, "reason": str(error), "times": times},
        )


def _read_to(committed: Mapping[TopicPartition, Position], tp: TopicPartition) -> int:
    position = committed.get(tp)
    if position is None:
        return 0
    return max(position.next, position.done[-1][1] if position.done else 0)
