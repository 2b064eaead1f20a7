"""Which partitions wait for a tick: what was overwritten there must leave the disk though nothing follows.

An engine that keeps records in segments (Kafka) compacts only segments that have ended, and one ends only
when something is appended later than `segment.ms` after its first record. So whatever a lane has appended
waits for an append that is later by that much: the lane's own next one, or, where the lane was quiet for so
long, a tick. One is enough, since it ends the segment of all that stood before it, and a tick waits for none.
A partition that is busy needs none: of its appends one is late enough.

Each lane goes by what it appended itself. Another lane's appends to the same partition may have made its tick
needless, which costs nothing.
"""

from collections.abc import Iterable
from typing import Final

from streamer.log.base import Record, TopicPartition, TopicSpec
from streamer.model import TICK_KEY

QUIET_SEGMENTS: Final = 1.25
"""A tick by a clock that is behind is late enough all the same."""
TICKS_AT_ONCE: Final = 100
"""After a start each partner's partition waits: that many in a commit, the rest in the next."""
HEADERS: Final = (("ce_type", b"wiki.tick"),)


class Ticks:
    """Told of what was committed, says which ticks are due; holds a number for each partition that waits."""

    def __init__(self, spec: TopicSpec) -> None:
        """`spec` is that of each topic that it is told of."""
        self._quiet_s = QUIET_SEGMENTS * spec.segment_ms / 1000
        self._since_s: dict[TopicPartition, float] = {}
        """In the order of the times."""

    def assume(self, tps: Iterable[TopicPartition], now_s: float) -> None:
        """Something may have been appended before: by whoever ran the lane until now."""
        for tp in tps:
            self._since_s.pop(tp, None)
            self._since_s[tp] = now_s

    def committed(self, records: Iterable[Record], now_s: float) -> None:
        appended = set()
        for record in records:
            tp = TopicPartition(record.topic, record.partition)
            if record.key == TICK_KEY:
                self._since_s.pop(tp, None)
            else:
                appended.add(tp)
        self.assume(appended, now_s)

    def forget(self, tp: TopicPartition) -> None:
        self._since_s.pop(tp, None)

    def due(self, now_s: float) -> list[Record]:
        """To be committed now; they are due until they are."""
        found: list[Record] = []
        for tp, since_s in self._since_s.items():
            if since_s + self._quiet_s > now_s or len(found) == TICKS_AT_ONCE:
                break
            found.append(Record(*tp, TICK_KEY, b"{}", HEADERS))
        return found
