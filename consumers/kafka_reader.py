"""Reading a topic's partitions from offsets of our own, until something breaks.

aiokafka mends what it can by itself, and says nothing of what it can't: so every CHECK_S the topic is looked
at, and whether we stand still where there is something to read. Whatever is wrong ends this reader, and the
next one begins at the last position.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from msgspec import Struct

from consumers.errors import PositionLost
from consumers.kafka_topic import BROKEN, END_S, NONE, Access, Topic, asked, within

CHECK_S: Final = 15.0
START_S: Final = 20.0
POLL_MS: Final = 1_000
POLL_S: Final = 15.0
"""For a poll that does not end by itself."""
MAX_RECORDS: Final = 1_000
FETCH_BYTES: Final = 16_777_216


class Position(Struct, frozen=True):
    """As JSON."""

    topic_id: str
    offsets: dict[int, int]
    """Partition → the next offset."""


class Stuck(Exception):
    """There is something to read, and nothing comes."""


class Beyond(Exception):
    """Positions lie behind the end of their partitions, as while a broker catches up after its start."""


@dataclass(slots=True)
class TopicReader:
    access: Access
    topic: str
    check_s: float = CHECK_S
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    """The next ones."""
    _consumer: Any = None
    _found: Topic = NONE
    _checked_s: float = 0.0
    _has_come: bool = True
    """Whether anything has, since it was last checked."""

    async def __aenter__(self) -> Self:
        """Raises FeedRefused, and BROKEN."""
        self._found = await asked(self.access, self.topic)
        self._checked_s = time.monotonic()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=list(self.access.bootstrap),
            client_id="corpus",
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_bytes=FETCH_BYTES,
            **self.access.options(),
        )
        try:
            await within(START_S, self._consumer.start())
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        """Whatever it raises; while a broker is down it may never end, or end itself halfway, and keep its
        client.
        """
        with suppress(*BROKEN):
            await within(END_S, self._consumer.stop())
        with suppress(*BROKEN):
            await within(END_S, self._consumer._client.close())  # noqa: SLF001 - twice does no harm

    @property
    def partitions(self) -> int:
        return self._found.partitions

    @property
    def position(self) -> Position:
        offsets = {tp.partition: offset for tp, offset in sorted(self.offsets.items())}
        return Position(self._found.id, offsets)

    # ── where it begins ────────────────────────────────────────────────────────────────────────

    async def begin_at(self, numbers: Iterable[int], position: Position, *, goes_on: bool) -> bool:
        """False: something that followed the position is lost, and it begins at the earliest there. Raises
        PositionLost in place of that unless `goes_on`; Beyond.

        A partition that the position does not name begins at its earliest.
        """
        tps = self._of(numbers)
        earliest = await within(START_S, self._consumer.beginning_offsets(tps)) if tps else {}
        ends = await within(START_S, self._consumer.end_offsets(tps)) if tps else {}
        is_same = position.topic_id == self._found.id
        wanted = position.offsets if is_same else {}
        self.offsets = {tp: wanted.get(tp.partition, earliest[tp]) for tp in tps}
        if beyond := [tp.partition for tp in tps if self.offsets[tp] > max(ends[tp], earliest[tp])]:
            raise Beyond(f"partitions {beyond} end before the position")
        expired = [tp for tp in tps if self.offsets[tp] < earliest[tp]]
        if not goes_on and not is_same:
            raise PositionLost(f"the topic {self.topic} was made anew since this position")
        if not goes_on and expired:
            raise PositionLost(f"the topic {self.topic} no longer holds what follows this position")
        self._start(self.offsets | {tp: earliest[tp] for tp in expired})
        return is_same and not expired

    async def begin_since(self, numbers: Iterable[int], since_ms: int | None) -> None:
        """With what was appended from then on (Unix, ms), or from now on."""
        tps = self._of(numbers)
        # the ends first: what is appended after them is neither older nor passed over
        offsets = await within(START_S, self._consumer.end_offsets(tps)) if tps else {}
        if since_ms is not None and tps:
            times = await within(START_S, self._consumer.offsets_for_times(dict.fromkeys(tps, since_ms)))
            offsets |= {tp: found.offset for tp, found in times.items() if found is not None}
        self._start(offsets)

    def _of(self, numbers: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self.topic, number) for number in numbers]

    def _start(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.offsets = dict(offsets)
        if not offsets:
            return  # it would read all topics' metadata
        self._consumer.assign(list(offsets))
        for tp, offset in offsets.items():
            self._consumer.seek(tp, offset)

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    async def read(self) -> list[ConsumerRecord[bytes, bytes]]:
        """What is there, in the order of each partition, as soon as there is something; none after a second.
        `position` is behind it. Raises FeedRefused, PositionLost, Stuck, and BROKEN.
        """
        await self._check()
        if not self.offsets:
            await asyncio.sleep(POLL_MS / 1_000)
            return []
        polling = self._consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
        found: Mapping[TopicPartition, list[Any]] = await within(POLL_S, polling)
        # also behind what is never handed out, as the marks of transactions: retention takes them as well
        for tp in self.offsets:
            self.offsets[tp] = await within(POLL_S, self._consumer.position(tp))
        self._has_come = self._has_come or bool(found)
        return [record for records in found.values() for record in records]

    async def _check(self) -> None:
        if time.monotonic() - self._checked_s < self.check_s:
            return
        found = await asked(self.access, self.topic)
        if found.id != self._found.id:
            raise PositionLost(f"the topic {self.topic} was made anew while it was read")
        if found.partitions != self._found.partitions:
            raise Stuck("the topic has other partitions now")
        if not self._has_come and self.offsets:
            ends = await within(START_S, self._consumer.end_offsets(list(self.offsets)))
            if [tp for tp, end in ends.items() if await self._consumer.position(tp) < end]:
                raise Stuck("records are there, and none comes")
        self._has_come = False
        self._checked_s = time.monotonic()
