"""How far each partner's slowest stream is behind, and how far back its topic reaches: for the operator, who
has to act before retention takes what a partner has yet to read.

Looked at seldom, for all streams of a channel together. The log is asked one question a partner; the oldest
record is read where the topic begins elsewhere than before, or was not looked at for long.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from streamer.deliver.feed import reading
from streamer.deliver.topic import as_made, bounds_of
from streamer.errors import LogError
from streamer.log.base import Bounds, TopicInfo, TopicPartition
from streamer.metrics import PARTNER_BEHIND, PARTNER_RETAINED
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

LOOK_S: Final = 10.0
"""Prometheus asks every 15 s or so."""
READ_S: Final = 5.0
"""For one partner's topic: who takes longer has no sample until the next look."""
KNOWN_S: Final = 600.0
"""Compaction takes the oldest record without a word: the topic begins where it did."""
STREAM: Final = "stream"


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
        self._partners = partners
        self._unsent = unsent
        self._oldest: dict[tuple[TopicInfo, int], Oldest] = {}
        """By topic and partition."""
        self._told: set[str] = set()
        """Partners with a sample of their streams."""

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self.tell_streams()
                await self.tell_topics()
                await asyncio.sleep(LOOK_S)
        finally:
            for name in self._told:
                PARTNER_BEHIND.remove(name, STREAM)

    def tell_streams(self) -> None:
        now_ms = self._runtime.clock.now_ms()
        unsent = self._unsent()
        for name in self._told - unsent.keys():
            PARTNER_BEHIND.remove(name, STREAM)
        for name, appended_ms in unsent.items():
            behind_ms = max(0, now_ms - appended_ms) if appended_ms else 0
            PARTNER_BEHIND.labels(name, STREAM).set(behind_ms / 1000)
        self._told = set(unsent)

    async def tell_topics(self) -> None:
        partners = tuple(self._partners.current)
        infos: set[TopicInfo] = set()
        for name in partners:
            oldest_ms = 0
            with suppress(LogError, TimeoutError):
                async with asyncio.timeout(READ_S):
                    info = await self._runtime.log.topic(self._runtime.topics.of_partner(name))
                    if info is not None:
                        info = as_made(info, self._runtime.settings.log.partitions)
                        infos.add(info)
                        oldest_ms = await self._oldest_ms(info)
            if oldest_ms:
                PARTNER_RETAINED.labels(name).set((self._runtime.clock.now_ms() - oldest_ms) / 1000)
            else:
                with suppress(KeyError):
                    PARTNER_RETAINED.remove(name)
        self._oldest = {key: oldest for key, oldest in self._oldest.items() if key[0] in infos}

    async def _oldest_ms(self, info: TopicInfo) -> int:
        """0: it holds nothing."""
        now_s = self._runtime.clock.monotonic_s()
        there: list[Oldest] = []
        unknown: dict[TopicPartition, Bounds] = {}
        for partition, (earliest, end) in enumerate(await bounds_of(self._runtime.log, info)):
            if earliest >= end:
                continue
            known = self._oldest.get((info, partition))
            if known is not None and known.earliest == earliest and now_s < known.known_until_s:
                there.append(known)
            else:
                unknown[TopicPartition(info.name, partition)] = Bounds(earliest, end)
        if unknown:
            there += await self._read(info, unknown, now_s + KNOWN_S)
        return min((oldest.appended_ms for oldest in there), default=0)

    async def _read(
        self, info: TopicInfo, unknown: Mapping[TopicPartition, Bounds], until_s: float
    ) -> list[Oldest]:
        found: list[Oldest] = []
        unread = set(unknown)
        starts = {tp: bounds.earliest for tp, bounds in unknown.items()}
        async with reading(self._runtime.log, info, starts) as reader:
            while unread:
                for record in await reader.read(max_records=1, max_bytes=1):
                    tp = TopicPartition(record.topic, record.partition)
                    if tp in unread:
                        oldest = Oldest(starts[tp], record.timestamp_ms, until_s)
                        self._oldest[info, tp.partition] = oldest
                        found.append(oldest)
                        unread.remove(tp)
                        reader.drop(tp)
                for tp in [tp for tp in unread if reader.position(tp) >= unknown[tp].end]:  # holes alone
                    unread.remove(tp)
                    reader.drop(tp)
        return found
