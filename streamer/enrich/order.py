"""In what order changes may be finished: per title as the events gave it, whatever is answered first.

A change stands in the queue of each of its titles (a move in two) and is released when it is done and
at the head of all of them. So one slow page holds its own titles and nothing else, and what is read
later about a title never comes out earlier.
"""

from collections import deque
from collections.abc import Iterable, Iterator

Title = tuple[str, str]
"""Wiki and title."""


class Order:
    """`enter` tickets in the order of reading, mark them `done` in any; `done` says what may go now."""

    def __init__(self) -> None:
        self._queues: dict[Title, deque[int]] = {}
        self._titles: dict[int, tuple[Title, ...]] = {}
        self._done: set[int] = set()

    def __len__(self) -> int:
        """Tickets that entered and were not released."""
        return len(self._titles)

    def enter(self, ticket: int, titles: Iterable[Title]) -> None:
        """A ticket is any number that is not in already; without titles it waits for nobody."""
        if ticket in self._titles:
            raise ValueError(f"ticket {ticket} is in already")
        unique = tuple(dict.fromkeys(titles))
        self._titles[ticket] = unique
        for title in unique:
            self._queues.setdefault(title, deque()).append(ticket)

    def is_waited_for(self, ticket: int) -> bool:
        """Whether nothing of its titles was read before it and is still in."""
        return ticket in self._titles and self._heads_all(ticket)

    def queues(self) -> Iterator[tuple[int, ...]]:
        """The tickets of each title that has several, in their order."""
        return (tuple(queue) for queue in self._queues.values() if len(queue) > 1)

    def done(self, ticket: int) -> list[int]:
        """The tickets that this releases, in an order that keeps each title's."""
        if ticket not in self._titles or ticket in self._done:
            raise ValueError(f"ticket {ticket} is not in, or done already")
        self._done.add(ticket)
        released: list[int] = []
        candidates = deque([ticket])
        while candidates:
            candidate = candidates.popleft()
            if candidate not in self._done or not self._heads_all(candidate):
                continue
            released.append(candidate)
            self._done.discard(candidate)
            for title in self._titles.pop(candidate):
                queue = self._queues[title]
                queue.popleft()
                if queue:
                    candidates.append(queue[0])
                else:
                    del self._queues[title]
        return released

    def _heads_all(self, ticket: int) -> bool:
        return all(self._queues[title][0] == ticket for title in self._titles[ticket])
