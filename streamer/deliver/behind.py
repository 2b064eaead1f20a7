"""How far each partner's readers are behind, and how far back its topic reaches: for the operator, who has to
act before retention takes what a partner has yet to read.

Looked at seldom. Streams are asked by channel; of a topic the log is asked where it begins and ends, and of a
partner's own groups on Kafka where they go on. Records are read for their age alone: the oldest one where a
topic begins elsewhere than before, or was not looked at for long, and the next one of a group that has not
reached by now what was there at the look before.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Final, Literal, NamedTuple

from streamer.deliver.feed import reading
from streamer.deliver.topic import as_made, bounds_of
from streamer.errors import LogError
from streamer.log.base import Bounds, TopicInfo, TopicPartition
from streamer.metrics import PARTNER_BEHIND, PARTNER_RETAINED
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

LOOK_S: Final = 10.0
"""Prometheus asks every 15 s or so."""
TOPICS_EVERY: Final = 3
"""So many looks at the streams for one at the topics, which costs a cluster some questions a partner."""
READ_S: Final = 5.0
"""For one partner's topic, and for its groups: who takes longer has no sample until the next look."""
KNOWN_S: Final = 600.0
"""Compaction takes the oldest record without a word: the topic begins where it did."""

Reader = Literal["stream", "group"]


class Oldest(NamedTuple):
    earliest: int
    appended_ms: int
    known_until_s: float


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
        self._oldest: dict[TopicInfo, dict[int, Oldest]] = {}
        """By topic and partition."""
        self._ends: dict[TopicInfo, list[Bounds]] = {}
        """Of the look before."""
        self._told: dict[Reader, frozenset[str]] = {"stream": frozenset(), "group": frozenset()}
        """Partners with a sample."""
        self._told_retained: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            for number in count():
                self._tell("stream", self._unsent())
                if number % TOPICS_EVERY == 0:
                    await self.look()
                await asyncio.sleep(LOOK_S)
        finally:
            self._tell("stream", {})
            self._tell("group", {})
            self._tell_retained({})

    async def look(self) -> None:
        """At all partners' topics, and at who reads them by Kafka."""
        names = tuple(self._partners.current)
        infos: set[TopicInfo] = set()
        of_groups: dict[str, int] = {}
        retained: dict[str, int] = {}
        for name in names:
            oldest_ms = 0
            with suppress(LogError, TimeoutError):
                async with asyncio.timeout(READ_S):
                    found = await self._log.topic(self._runtime.topics.of_partner(name))
                    if found is not None:
                        info = as_made(found, self._runtime.settings.log.partitions)
                        infos.add(info)
                        bounds = await bounds_of(self._log, info)
                        oldest_ms = await self._oldest_ms(info, bounds)
                        unread_ms = await self._unread_ms(
                            info, bounds, await self._log.readers(info.name, f"{name}.")
                        )
                        if unread_ms is not None:
                            of_groups[name] = unread_ms
            if oldest_ms:
                retained[name] = oldest_ms
        self._tell("group", of_groups)
        self._tell_retained(retained)
        for known in (self._oldest, self._ends):
            for gone in known.keys() - infos:
                del known[gone]

    def _tell(self, reader: Reader, unread_ms: Mapping[str, int]) -> None:
        now_ms = self._runtime.clock.now_ms()
        for name in self._told[reader] - unread_ms.keys():
            PARTNER_BEHIND.remove(name, reader)
        for name, appended_ms in unread_ms.items():
            behind_ms = max(0, now_ms - appended_ms) if appended_ms else 0
            PARTNER_BEHIND.labels(name, reader).set(behind_ms / 1000)
        self._told[reader] = frozenset(unread_ms)

    def _tell_retained(self, oldest_ms: Mapping[str, int]) -> None:
        now_ms = self._runtime.clock.now_ms()
        for name in self._told_retained - oldest_ms.keys():
            PARTNER_RETAINED.remove(name)
        for name, appended_ms in oldest_ms.items():
            PARTNER_RETAINED.labels(name).set((now_ms - appended_ms) / 1000)
        self._told_retained = frozenset(oldest_ms)

    async def _oldest_ms(self, info: TopicInfo, bounds: Sequence[Bounds]) -> int:
        """0: it holds nothing."""
        now_s = self._runtime.clock.monotonic_s()
        known = self._oldest.setdefault(info, {})
        unknown: dict[TopicPartition, Bounds] = {}
        for partition, there in enumerate(bounds):
            oldest = known.get(partition)
            is_known = (
                oldest is not None and oldest.earliest == there.earliest and now_s < oldest.known_until_s
            )
            if not is_known:
                known.pop(partition, None)
                unknown[TopicPartition(info.name, partition)] = there
        for tp, appended_ms in (await self._appended_ms(info, unknown)).items():
            known[tp.partition] = Oldest(unknown[tp].earliest, appended_ms, now_s + KNOWN_S)
        return min((oldest.appended_ms for oldest in known.values()), default=0)

    async def _unread_ms(
        self, info: TopicInfo, bounds: Sequence[Bounds], groups: Mapping[str, Mapping[int, int]]
    ) -> int | None:
        """When the record was appended that comes next for the slowest group; 0: what waits is younger than
        the look before; None: there is no group.
        """
        before = self._ends.get(info, bounds)
        self._ends[info] = list(bounds)
        if not groups:
            return None
        unread: dict[TopicPartition, Bounds] = {}
        for offsets in groups.values():
            for partition, offset in offsets.items():
                if partition < len(bounds) and offset < before[partition].end:
                    tp = TopicPartition(info.name, partition)
                    earliest, end = bounds[partition]
                    start = min(max(offset, earliest), unread[tp].earliest if tp in unread else end)
                    unread[tp] = Bounds(start, end)
        return min((await self._appended_ms(info, unread)).values(), default=0)

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
