"""How far each partner's readers are behind, and how far they may be: for the operator, who has to act before
a partner loses what it has yet to read.

    streams  every LOOK_S, from what this process knows
    topics   every TOPICS_S, asked of the log: where all partners' topics begin and end, and on Kafka where
             their own groups go on

The two wait for nobody but themselves, and nobody waits for them: what they can't tell has no sample.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, NoReturn

from streamer.deliver.feed import reading
from streamer.deliver.topic import limited_to
from streamer.errors import LogError
from streamer.log.base import Bounds, Extent, ReadingGroup, TopicInfo, TopicPartition
from streamer.log.seldom import Seldom
from streamer.metrics import ERRORS, PARTNER_BEHIND, PARTNER_RETAINED
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

LOOK_S: Final = 10.0
"""Prometheus asks every 15 s or so."""
TOPICS_S: Final = 60.0
"""At 1,000 partners a look at a cluster costs some 0.3 s, in pieces of milliseconds."""
TOPICS_DEADLINE_S: Final = 60.0
READ_S: Final = 5.0
"""For what the groups of one partner have to read next: where it takes longer there is no sample."""
KNOWN_S: Final = 600.0
"""Compaction takes the oldest record without a word: the topic begins where it did."""
HOUR_S: Final = 3600.0

Reader = Literal["stream", "group"]

logger = logging.getLogger(__name__)


class Oldest(NamedTuple):
    earliest: int
    appended_ms: int
    known_until_s: float


class Seen(NamedTuple):
    """A group, at the look before."""

    offsets: Mapping[int, int]
    alive_s: float
    """When it last had members, or had committed something."""


class Behind:
    """`run` it once. `unsent` tells, by partner with open streams, when that record was appended which its
    slowest stream has still to be sent; 0: none waits.
    """

    def __init__(
        self, runtime: Runtime, partners: PartnersWatch, unsent: Callable[[], Mapping[str, int]]
    ) -> None:
        self._runtime = runtime
        self._log = runtime.log
        self._partners = partners
        self._unsent = unsent
        self._oldest: dict[TopicPartition, Oldest] = {}
        """Of those that retention has taken something from."""
        self._ends: dict[TopicInfo, Sequence[Bounds]] = {}
        """At the look before."""
        self._seen: dict[str, Seen] = {}
        """By group."""
        self._told: dict[Reader, frozenset[str]] = {"stream": frozenset(), "group": frozenset()}
        """Partners with a sample."""
        self._told_retained: frozenset[str] = frozenset()
        self._failed = Seldom()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._often(self._look_at_streams, lambda: LOOK_S), name="behind-streams")
                tasks.create_task(self._often(self.look, lambda: TOPICS_S), name="behind-topics")
        finally:
            self._tell("stream", {})
            self._untell_topics()

    async def _often(self, look: Callable[[], Awaitable[None]], every_s: Callable[[], float]) -> NoReturn:
        while True:
            try:
                await look()
            except Exception:  # who observes must not end what is observed
                ERRORS.labels("deliver", "observer").inc()
                if times := self._failed.times(look.__name__):
                    logger.exception("how far partners are behind can't be told", extra={"times": times})
            await asyncio.sleep(every_s())

    # ── streams ────────────────────────────────────────────────────────────────────────────────

    async def _look_at_streams(self) -> None:
        unsent: Mapping[str, int] = {}
        try:
            unsent = self._unsent()
        finally:
            self._tell("stream", unsent)

    # ── topics ─────────────────────────────────────────────────────────────────────────────────

    async def look(self) -> None:
        """At all partners' topics, and at who reads them by Kafka."""
        try:
            async with asyncio.timeout(TOPICS_DEADLINE_S):
                extents = await self._extents()
                self._tell_retained(await self._retained_s(extents))
                groups = await self._log.readers(extents)
                alive = {name: self._alive(those) for name, those in groups.items()}
                self._tell("group", await self._unread(extents, alive))
        except (LogError, TimeoutError):
            self._untell_topics()
        except BaseException:
            self._untell_topics()
            raise
        else:
            self._ends = {extent.info: extent.bounds for extent in extents.values()}
            kept = {group for those in groups.values() for group in those}
            self._seen = {group: seen for group, seen in self._seen.items() if group in kept}

    async def _extents(self) -> dict[str, Extent]:
        """By partner; of the partitions that are written (see deliver.topic)."""
        topics = {self._runtime.topics.of_partner(name): name for name in self._partners.current}
        found = await self._log.extents(topics)
        partitions = self._runtime.settings.log.partitions
        return {
            topics[topic]: Extent(limited_to(extent.info, partitions), extent.bounds[:partitions])
            for topic, extent in found.items()
        }

    async def _retained_s(self, extents: Mapping[str, Extent]) -> dict[str, float]:
        """By partner, how far behind a reader may be and lose nothing. Compaction takes older versions after
        the history; a topic that retention has taken something from may reach back less far than that. One
        that it never did reaches back to where it began. One that holds nothing is left out.
        """
        now_s, now_ms = self._runtime.clock.monotonic_s(), self._runtime.clock.now_ms()
        history_s = self._runtime.settings.log.history_hours * HOUR_S
        moved = {
            TopicPartition(extent.info.name, partition): there.earliest
            for extent in extents.values()
            for partition, there in enumerate(extent.bounds)
            if 0 < there.earliest < there.end
        }
        self._oldest = {
            tp: oldest
            for tp, oldest in self._oldest.items()
            if moved.get(tp) == oldest.earliest and now_s < oldest.known_until_s
        }
        for tp, appended_ms in (await self._log.oldest_ms(moved.keys() - self._oldest.keys())).items():
            self._oldest[tp] = Oldest(moved[tp], appended_ms, now_s + KNOWN_S)
        retained: dict[str, float] = {}
        for name, (info, bounds) in extents.items():
            known = [self._oldest.get(TopicPartition(info.name, number)) for number in range(info.partitions)]
            ages_s = [max(0.0, (now_ms - oldest.appended_ms) / 1000) for oldest in known if oldest]
            if any(there.earliest < there.end for there in bounds):
                retained[name] = min(history_s, max(ages_s, default=history_s))
        return retained

    def _alive(self, groups: Mapping[str, ReadingGroup]) -> dict[str, ReadingGroup]:
        """Those that have members, or that have committed something since this process first saw them and not
        longer ago than the history: an abandoned one stays where it is for a month.
        """
        now_s = self._runtime.clock.monotonic_s()
        history_s = self._runtime.settings.log.history_hours * HOUR_S
        alive = {}
        for name, group in groups.items():
            before = self._seen.get(name, Seen(group.offsets, float("-inf")))
            is_moving = group.has_members or group.offsets != before.offsets
            self._seen[name] = Seen(group.offsets, now_s if is_moving else before.alive_s)
            if now_s - self._seen[name].alive_s <= history_s:
                alive[name] = group
        return alive

    async def _unread(
        self, extents: Mapping[str, Extent], groups: Mapping[str, Mapping[str, ReadingGroup]]
    ) -> dict[str, int]:
        """By partner that has such groups; 0: what waits is younger than the look before."""
        found: dict[str, int] = {}
        for name, those in groups.items():
            if not those:
                continue
            info, bounds = extents[name]
            unread = _unread_parts(info, bounds, self._ends.get(info, bounds), those)
            try:
                async with asyncio.timeout(READ_S):
                    appended_ms = await self._appended_ms(info, unread)
            except (LogError, TimeoutError):
                continue
            found[name] = min(appended_ms.values(), default=0)
        return found

    async def _appended_ms(
        self, info: TopicInfo, parts: Mapping[TopicPartition, Bounds]
    ) -> dict[TopicPartition, int]:
        """Of the first record in each of these parts of partitions; a part without records is left out."""
        found: dict[TopicPartition, int] = {}
        unread = {tp: part.earliest for tp, part in parts.items() if part.earliest < part.end}
        if not unread:
            return found
        async with reading(self._log, info, unread) as reader:
            while unread:
                for record in await reader.read(max_records=1, max_bytes=1):
                    tp = TopicPartition(record.topic, record.partition)
                    found.setdefault(tp, record.timestamp_ms)
                for tp in [tp for tp in unread if tp in found or reader.position(tp) >= parts[tp].end]:
                    del unread[tp]
                    reader.drop(tp)
        return found

    # ── samples ────────────────────────────────────────────────────────────────────────────────

    def _tell(self, reader: Reader, unread_ms: Mapping[str, int]) -> None:
        now_ms = self._runtime.clock.now_ms()
        for name in self._told[reader] - unread_ms.keys():
            PARTNER_BEHIND.remove(name, reader)
        for name, appended_ms in unread_ms.items():
            behind_ms = max(0, now_ms - appended_ms) if appended_ms else 0
            PARTNER_BEHIND.labels(name, reader).set(behind_ms / 1000)
        self._told[reader] = frozenset(unread_ms)

    def _tell_retained(self, retained_s: Mapping[str, float]) -> None:
        for name in self._told_retained - retained_s.keys():
            PARTNER_RETAINED.remove(name)
        for name, seconds in retained_s.items():
            PARTNER_RETAINED.labels(name).set(seconds)
        self._told_retained = frozenset(retained_s)

    def _untell_topics(self) -> None:
        self._tell("group", {})
        self._tell_retained({})


def _unread_parts(
    info: TopicInfo,
    bounds: Sequence[Bounds],
    before: Sequence[Bounds],
    groups: Mapping[str, ReadingGroup],
) -> dict[TopicPartition, Bounds]:
    """What the slowest of the groups has yet to read, where that is older than the look before."""
    unread: dict[TopicPartition, Bounds] = {}
    for group in groups.values():
        for partition, offset in group.offsets.items():
            if partition < len(bounds) and offset < before[partition].end:
                tp = TopicPartition(info.name, partition)
                earliest, end = bounds[partition]
                start = min(max(offset, earliest), unread[tp].earliest if tp in unread else end)
                unread[tp] = Bounds(start, end)
    return unread
