"""Part p of 0 to 9 is a tenth of a feed's partitions, so that readers can share a feed between them. A page
is always in the same one.
"""

from itertools import pairwise
from typing import Final, NamedTuple, Self

PARTS: Final = 10


class Parts(NamedTuple):
    """From the first to the last, both of them too."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @property
    def is_all(self) -> bool:
        return self == ALL

    def split(self, count: int) -> list[Self]:
        """Into so many ranges, as equal as can be; fewer where there are not that many parts."""
        size = self.last - self.first + 1
        count = min(count, size)
        borders = [self.first + size * number // count for number in range(count + 1)]
        return [type(self)(begin, end - 1) for begin, end in pairwise(borders)]

    def of(self, partitions: int) -> range:
        """The partitions that they are, of so many."""
        return range(self.first * partitions // PARTS, (self.last + 1) * partitions // PARTS)


ALL: Final = Parts(0, PARTS - 1)
