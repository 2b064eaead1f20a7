"""What was made for one live connection and is kept a moment for the others that come for the same.

They come within milliseconds; who comes later has it made again. So a small bound is enough, and what is
made for clients costs memory that the clients have no say in.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The newest values whose sizes, by `size_of`, are `limit` together; at least one."""

    def __init__(self, limit: int, size_of: Callable[[V], int]) -> None:
        self.size = 0
        self._limit = limit
        self._size_of = size_of
        self._made: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._made)

    def of(self, key: K, make: Callable[[], V]) -> V:
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = make()
            self.size += self._size_of(made)
            while self.size > self._limit and len(self._made) > 1:
                self.size -= self._size_of(self._made.popitem(last=False)[1])
        return made
