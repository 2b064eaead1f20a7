"""What was ever hidden of a revision by its cut-offs, and below which sequence.

Compaction keeps a key's newest cut-off alone. One that hides a comment must therefore say too that the text
was hidden before it: else who starts after that would show a withdrawn text, where it lies in the log still.
Each part has its own sequence: a text that was published again since is served without the comment.
"""

from collections.abc import Mapping

from streamer.cutoffs import Cutoffs, parts_of, withdrawal_of
from streamer.errors import OffsetOutOfRange
from streamer.log.base import Log, TopicPartition
from streamer.model import Hideable


class Hides:
    """`read` it before a lane begins; what that lane commits is told by `add`. A page's cut-off hides
    everything as it is.
    """

    def __init__(self) -> None:
        self._of_revisions = Cutoffs()
        self._read: dict[TopicPartition, int] = {}

    def of(self, key: str) -> dict[Hideable, int]:
        return self._of_revisions.below(key)

    def add(self, key: str, below: Mapping[Hideable, int]) -> None:
        self._of_revisions.put(key, below)

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
                        self.add(record.key, parts_of(withdrawal))
            self._read = {tp: reader.position(tp) for tp in bounds}
