"""What was told already, for as long as upstream may tell it again.

Upstream tells twice after every resume, since we rewind. What it may repeat of a topic is bounded by
time (`Marks.horizon_ms`), so this is too. For a restart the position keeps, per partition of the changes
topic, the offset of the oldest record that may be told again: reading from there to the end restores
this set exactly, whatever odd times the events themselves carry.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from streamer.errors import OffsetOutOfRange
from streamer.faultpoints import Point, reached
from streamer.log.base import Log, Stored, TopicPartition
from streamer.source.marks import Marks

LIMIT: Final = 500_000
"""Beyond it the oldest are forgotten: some hours of all wikis, 100 MB. A guard, not a plan."""


class _Entry(NamedTuple):
    identifier: str
    mark_ms: int
    """The topic's mark when it was told: not the event's own time, which may be weeks off."""
    offset: int


class Seen:
    def __init__(self, partitions: int, *, limit: int = LIMIT) -> None:
        self._identifiers: set[str] = set()
        self._queues: dict[tuple[str, int], deque[_Entry]] = {}
        self._ends = [0] * partitions
        self._limit = limit

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._identifiers

    @property
    def partitions(self) -> int:
        return len(self._ends)

    def __len__(self) -> int:
        return len(self._identifiers)

    def add(self, identifier: str, topic: str, mark_ms: int, partition: int, offset: int) -> None:
        """Once it is committed. Per topic and partition in ascending order of offset."""
        self._identifiers.add(identifier)
        self._queues.setdefault((topic, partition), deque()).append(_Entry(identifier, mark_ms, offset))
        self._ends[partition] = max(self._ends[partition], offset + 1)

    def reached(self, partition: int, end: int) -> None:
        """Nothing below `end` but what was added."""
        self._ends[partition] = max(self._ends[partition], end)

    def forget(self, marks: Marks, rewind_ms: int) -> None:
        """Whatever can't come again."""
        for (topic, partition), queue in list(self._queues.items()):
            horizon_ms = marks.horizon_ms(topic, rewind_ms)
            while queue and queue[0].mark_ms < horizon_ms:
                self._identifiers.discard(queue.popleft().identifier)
            if not queue:
                del self._queues[topic, partition]
        while len(self._identifiers) > self._limit:
            queue = max(self._queues.values(), key=len)
            self._identifiers.discard(queue.popleft().identifier)

    def floors(self) -> tuple[int, ...]:
        """Per partition: what lies below need not be read again."""
        floors = list(self._ends)
        for (_, partition), queue in self._queues.items():
            floors[partition] = min(floors[partition], queue[0].offset)
        return tuple(floors)


async def restore(log: Log, topic: str, floors: Sequence[int], marks: Marks, rewind_ms: int) -> Seen:
    """Reads the changes topic from `floors` to its end as of now (the lane's owner alone appends
    what counts here; repairs by others carry no upstream topic and are passed over). What `marks` say
    can't come again is forgotten as it is read: a quiet topic's floor may lie millions of records back.
    """
    bounds = await log.all_bounds(topic)
    seen = Seen(len(bounds))
    ends: dict[TopicPartition, int] = {}
    starts: dict[TopicPartition, int] = {}
    for partition, (earliest, end) in enumerate(bounds):
        tp = TopicPartition(topic, partition)
        seen.reached(partition, end)
        start = max(floors[partition] if partition < len(floors) else earliest, earliest)
        if start < end:
            starts[tp], ends[tp] = start, end
    async with log.reader(starts) as reader:
        while any(reader.position(tp) < end for tp, end in ends.items()):
            try:
                records = await reader.read(max_records=2_000)
            except OffsetOutOfRange as error:  # retention was quicker; beside it the others go on
                reader.assign(TopicPartition(error.topic, error.partition), error.earliest)
                continue
            for stored in records:
                if stored.offset < ends[TopicPartition(stored.topic, stored.partition)]:
                    _remember(seen, stored)
            reached(Point.SOURCE_READING_BACK)
            seen.forget(marks, rewind_ms)
    return seen


def _remember(seen: Seen, stored: Stored) -> None:
    headers = dict(stored.headers)
    identifier = headers.get("ce_id", b"").decode()
    upstream_topic = headers.get("topic")
    if identifier and upstream_topic is not None:
        mark_ms = int(headers.get("mark_ms", b"0"))
        seen.add(identifier, upstream_topic.decode(), mark_ms, stored.partition, stored.offset)
