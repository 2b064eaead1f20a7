"""What a distinct feed consists of: those who want the same share one, in the same bytes."""

from dataclasses import dataclass
from functools import cached_property

from streamer.deliver.filters import Filters
from streamer.deliver.negotiate import Encoding
from streamer.deliver.request import Ask, Format
from streamer.projection import Projection

Key = tuple[frozenset[int], bytes, bytes, Format, Encoding]


@dataclass(frozen=True)
class Wanted:
    """Which articles, what of them, and how written."""

    partitions: frozenset[int]
    filters: Filters | None
    projection: Projection | None
    format: Format
    encoding: Encoding

    takes_all: bool = False
    """Every article, as it is; what is wanted says the same."""

    @cached_property
    def key(self) -> Key:
        """Equal for equal wishes however they were spelt. Digests, so that nothing of a client is kept."""
        return (
            self.partitions,
            self.filters.digest if self.filters is not None else b"",
            self.projection.digest if self.projection is not None else b"",
            self.format,
            self.encoding,
        )


def wanted_of(ask: Ask, partitions: int) -> Wanted:
    """`partitions`: how many the feed has."""
    return Wanted(
        ask.partitions,
        ask.filters,
        ask.projection,
        ask.format,
        ask.encoding,
        takes_all=ask.filters is None and ask.projection is None and len(ask.partitions) == partitions,
    )
