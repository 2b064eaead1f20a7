"""The processes that run enrich on one cluster share one budget: its topic, and the lane of its keeper.

    Origin ──► Purse ──► say ──► the budget's topic ──► Keeper (in whichever process has the lane)
                 ▲                      │    ▲                │
                 └─────── follow ◄──────┘    └── its commits ─┘

Nobody uses a permit before it stands in the log, the keeper's own process neither (which asks in memory):
what has the lane's fence behind it is true, whoever was stopped for however long. Without the log, or
without a keeper, no permit comes and no wiki is asked. On the local log one process runs enrich, and none of
this is there.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Final, NoReturn, Self

import msgspec

from streamer.enrich.succession import succession
from streamer.errors import LogError, LogUnavailable, OffsetOutOfRange, TopicMissing
from streamer.groups import cause
from streamer.health import NO_TOPIC
from streamer.log.base import Lane, Reader, Record, TopicPartition
from streamer.metrics import (
    ORIGIN_BUDGET,
    ORIGIN_BUDGET_USED,
    ORIGIN_KEEPER,
    ORIGIN_PERMIT_SECONDS,
    ORIGIN_PERMITS,
)
from streamer.origin.budget import Budget
from streamer.origin.keeper import Keeper
from streamer.origin.permits import Ask, Permit, Purse, Said, decode
from streamer.runtime import Runtime

GROUP: Final = "budget"
COMPONENT: Final = "budget"
"""In `/readyz`, while there is something wrong with it."""
READ_S: Final = 1.0
AGAIN_S: Final = 0.5
"""After the log has failed."""
LAST_WORD_S: Final = 2.0
LOOK_S: Final = 1.0
"""The settings may have changed, and the metrics are told so often."""

logger = logging.getLogger(__name__)


class Fleet:
    """`run` beside the lanes of enrich, in a process whose origin has this purse."""

    def __init__(self, runtime: Runtime, purse: Purse) -> None:
        self._runtime = runtime
        self.purse = purse
        self._tp = TopicPartition(runtime.topics.budget, 0)
        self._keeping: _Keeping | None = None
        """While this process is the keeper."""
        self._placed = asyncio.Event()
        """Set once it is known from where this process reads: what is granted before it is not for it."""

    @classmethod
    @contextmanager
    def of(cls, runtime: Runtime) -> Iterator[Self | None]:
        """None on the local log, where this process has the whole budget. To be left when nothing is asked
        any more: then the next process here may say that this one is over.
        """
        settings = runtime.settings
        if settings.log.kind == "local":
            yield None
            return
        with succession(f"{settings.log.prefix}-{GROUP}") as (own, before):
            yield cls(runtime, Purse(own, settings.mediawiki.timeout_s, before))

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(), name="budget follows")
                tasks.create_task(self._speak(), name="budget asks")
                tasks.create_task(self._keep(), name="budget keeper")
        except BaseExceptionGroup as group:
            raise cause(group) from group

    async def last_word(self) -> None:
        """When nothing is asked any more: what this process had is free at once, not after its time."""
        try:
            async with asyncio.timeout(LAST_WORD_S):
                await self._append(self.purse.leave())
        except (TimeoutError, LogError):
            logger.info("what was asked last is counted until its time is over")

    # ── a process ──────────────────────────────────────────────────────────────────────────────

    async def _follow(self) -> NoReturn:
        start: int | None = None
        while True:
            try:
                if start is None:
                    start = (await self._runtime.log.bounds(self._tp)).end
                    self.purse.skip(start - 1)
                    self._placed.set()
                async with self._runtime.log.reader({self._tp: start}) as reader:
                    while True:
                        await self._take(reader)
                        self._runtime.health.forget(COMPONENT)
                        start = reader.position(self._tp)
            except (OffsetOutOfRange, TopicMissing):
                start = None
                self.purse.lost()
            except LogError as error:
                logger.warning("the budget can't be followed, no wiki is asked", extra={"code": error.code})
                self._runtime.health.unready(COMPONENT, f"it can't be read ({error.code}): no wiki is asked")
            await asyncio.sleep(AGAIN_S)

    async def _take(self, reader: Reader) -> None:
        for record in await reader.read(wait_s=READ_S):
            returned = self.purse.returned
            self._came(self.purse.read(decode(record.value), record.offset, self._now_s()))
            ORIGIN_PERMITS.labels("late").inc(self.purse.returned - returned)

    def _came(self, took_s: float | None) -> None:
        if took_s is not None:
            ORIGIN_PERMIT_SECONDS.observe(took_s)
            self.purse.came()

    def _deliver(self, granted: Sequence[Said], offsets: Sequence[int]) -> None:
        for said, offset in zip(granted, offsets, strict=True):
            if isinstance(said, Permit) and said.worker == self.purse.worker:
                self._came(self.purse.deliver(said, offset, self._now_s()))

    async def _speak(self) -> NoReturn:
        await self._placed.wait()
        while True:
            self.purse.changed.clear()
            said = self.purse.say(self._now_s())
            if said:
                if self._keeping:
                    self._keeping.hear(said)
                    said = [each for each in said if not isinstance(each, Ask)]
                try:
                    await self._append(said)
                except LogError as error:
                    logger.warning("the budget can't be asked for", extra={"code": error.code})
                    self.purse.unsaid(said)
                    await asyncio.sleep(AGAIN_S)
                continue
            wait_s = self.purse.say_at_s(self._now_s()) - self._now_s()
            try:
                async with asyncio.timeout(None if wait_s == inf else max(0.0, wait_s)):
                    await self.purse.changed.wait()
            except TimeoutError:
                pass

    async def _append(self, said: Sequence[Said]) -> None:
        if said:
            await self._runtime.log.append([self._record(each) for each in said])

    def _record(self, said: Said) -> Record:
        return Record(self._tp.topic, self._tp.partition, self.purse.worker, msgspec.json.encode(said))

    def _now_s(self) -> float:
        return self._runtime.clock.monotonic_s()

    # ── the keeper ─────────────────────────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        def held(lanes: frozenset[int] | None) -> None:
            if lanes is None:
                self._runtime.health.unready(COMPONENT, NO_TOPIC)

        async def run(lane: Lane) -> None:
            try:
                await self._run_lane(lane)
            except (OffsetOutOfRange, TopicMissing) as error:
                # it stood still for longer than the topic is kept, or the topic was made anew
                raise LogUnavailable(str(error)) from error

        await self._runtime.log.run_lanes(GROUP, self._tp.topic, run, partitions=[0], held=held)

    async def _run_lane(self, lane: Lane) -> None:
        """As the keeper, until the lane goes elsewhere. Raises what ended it."""
        settings = self._runtime.settings
        budget = Budget(
            settings.requests_per_minute, settings.mediawiki.concurrency, settings.mediawiki.html_share
        )
        keeper = Keeper(budget, settings.mediawiki.timeout_s)
        there = await self._runtime.log.bounds(self._tp)
        async with self._runtime.log.reader({self._tp: there.earliest}) as reader:
            # the lane's fence came first: whatever was granted before stands before this end
            while reader.position(self._tp) < there.end:
                for record in await reader.read(wait_s=READ_S):
                    ago_s = (self._runtime.clock.now_ms() - record.timestamp_ms) / 1000
                    keeper.restore(decode(record.value), record.offset, ago_s)
            keeper.begin(self._now_s())
            logger.info("keeps the budget", extra={"requests_per_minute": budget.limit})
            ORIGIN_KEEPER.set(1)
            try:
                self._keeping = _Keeping(
                    self._runtime, self._tp, lane, keeper=keeper, reader=reader, deliver=self._deliver
                )
                await self._keeping.run()
            finally:
                self._keeping = None
                for gauge in (ORIGIN_KEEPER, ORIGIN_BUDGET, ORIGIN_BUDGET_USED):
                    gauge.set(0)


class _Keeping:
    def __init__(
        self,
        runtime: Runtime,
        tp: TopicPartition,
        lane: Lane,
        *,
        keeper: Keeper,
        reader: Reader,
        deliver: Callable[[Sequence[Said], Sequence[int]], None],
    ) -> None:
        self._runtime = runtime
        self._clock = runtime.clock
        self._tp = tp
        self._lane = lane
        self._keeper = keeper
        self._reader = reader
        self._deliver = deliver
        self._news = asyncio.Event()

    def hear(self, said: Iterable[Said]) -> None:
        """From the same process, which appends all but its Ask too: the next keeper must know of the rest."""
        for each in said:
            self._keeper.read(each, self._clock.monotonic_s())
        self._news.set()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(), name="budget reads")
                tasks.create_task(self._grant(), name="budget grants")
        except BaseExceptionGroup as group:
            raise cause(group) from group

    async def _read(self) -> NoReturn:
        while True:
            for record in await self._reader.read(wait_s=READ_S):
                self._keeper.read(decode(record.value), self._clock.monotonic_s())
                self._news.set()

    async def _grant(self) -> NoReturn:
        budget = self._keeper.budget
        while True:
            self._news.clear()
            self._heed_settings()
            granted = self._keeper.grant(self._clock.monotonic_s())
            if granted:
                offsets = await self._lane.commit(list(self._records(granted)), {})
                self._keeper.written(offsets, self._clock.monotonic_s())
                self._deliver(granted, offsets)
                ORIGIN_PERMITS.labels("granted").inc(sum(isinstance(each, Permit) for each in granted))
            now_s = self._clock.monotonic_s()
            ORIGIN_BUDGET.set(budget.eased(now_s))
            ORIGIN_BUDGET_USED.set(budget.in_use(now_s))
            try:
                async with asyncio.timeout(min(LOOK_S, max(0.0, self._keeper.wake_at_s(now_s) - now_s))):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _records(self, granted: Iterable[Said]) -> Iterable[Record]:
        for said in granted:
            yield Record(self._tp.topic, self._tp.partition, GROUP, msgspec.json.encode(said))

    def _heed_settings(self) -> None:
        settings, budget = self._runtime.settings, self._keeper.budget
        wanted = settings.requests_per_minute, settings.mediawiki.concurrency
        budget.html_part = settings.mediawiki.html_share
        if wanted != (budget.limit, budget.concurrency):
            budget.change(*wanted, self._clock.monotonic_s())
