"""What was ever hidden of a revision by its cut-offs, all taken together.

Compaction keeps a key's newest cut-off alone. One that hides a comment must therefore say too that the text
was hidden before it: else who starts after that would show a withdrawn text, where it lies in the log still.
"""

from collections.abc import Iterable
from typing import Final

from streamer.cutoffs import NOTHING, withdrawal_of
from streamer.errors import OffsetOutOfRange
from streamer.log.base import Log, TopicPartition
from streamer.model import Hideable

_alike: Final[dict[frozenset[Hideable], frozenset[Hideable]]] = {}
"""There are seven: one object each, whatever the number of revisions."""


class Hides:
    """`read` it before a lane begins; what that lane commits is told by `add`. A page's cut-off hides
    everything as it is.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, frozenset[Hideable]] = {}
        self._read: dict[TopicPartition, int] = {}

    def of(self, key: str) -> frozenset[Hideable]:
        return self._by_key.get(key, NOTHING)

    def add(self, key: str, hides: Iterable[Hideable]) -> None:
        united = self.of(key).union(hides)
        self._by_key[key] = _alike.setdefault(united, united)

    async def read(self, log: Log, topic: str) -> None:
        """Up to the end as it is now, from where the last call has come to."""
        bounds = {
            TopicPartition(topic, partition): found
            for partition, found in enumerate(await log.all_bounds(topic))
        }
        starts = {tp: max(found.earliest, self._read.get(tp, 0)) for tp, found in bounds.items()}
        async with log.reader(starts) as reader:
            while any(reader.position(tp) < found.end for tp, found in bounds.items()):
                try:
                    records = await reader.read()
                except OffsetOutOfRange as error:  # what retention deleted hides nothing any more
                    reader.assign(TopicPartition(error.topic, error.partition), error.earliest)
                    continue
                for record in records:
                    withdrawal = withdrawal_of(record)
                    if withdrawal is not None and "/" in record.key:
                        self.add(record.key, withdrawal.hides)
            self._read = {tp: reader.position(tp) for tp in bounds}
