"""Who is asked next: pure, with the time passed in.

`Scheduler` keeps what waits, a queue per lane (a wiki, asked one way), and hands out batches: with a
token free, the lane with the most waiting time goes next and takes all it has, up to a batch. So
batches grow by themselves when the budget is short, and latency is low when it isn't.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import Final, Generic, Literal, NamedTuple, Protocol, TypeVar, get_args

from streamer.origin.budget import Allowance
from streamer.origin.permits import Want
from streamer.origin.turns import BEHIND, LIVE, Turns, Wish

COALESCE_S: Final = 0.01
"""What arrives together travels together: a lane waits so long for company before it spends a token."""

By = Literal["revision", "title", "page", "log", "listing", "lists"]
WAYS: Final[tuple[By, ...]] = get_args(By)


class Lane(NamedTuple):
    """What may share a request. The server is part of it: a change names its own, and an invented pair
    must not travel with a real one.
    """

    wiki: str
    server_name: str
    by: By
    priority: int = LIVE
    """Of streamer.origin.turns."""


@dataclass(slots=True, eq=False)
class Item:
    """One thing that is asked for. `most`: in no larger a batch than this."""

    key: Hashable
    since_s: float
    most: int = 1_000_000
    failures: int = 0
    weight: int = 1
    """How many wait by it."""

    def join(self, other: "Item") -> None:
        """The same was asked for again while this was under way and has come back."""
        self.since_s = min(self.since_s, other.since_s)


ItemT = TypeVar("ItemT", bound=Item)


@dataclass(slots=True)
class Batch(Generic[ItemT]):
    lane: Lane
    items: list[ItemT]


class Gate(Protocol):
    """What a host's state allows (streamer.origin.breaker)."""

    def open_at_s(self, lane: Lane, now_s: float) -> float:
        """When the lane may be asked; `inf`: once a request to it has ended."""
        ...

    def batch(self, lane: Lane) -> int: ...

    def is_failing(self, server_name: str) -> bool:
        """Then one request at a time."""
        ...


@dataclass(slots=True)
class Scheduler(Generic[ItemT]):
    """Not bounded by itself: who adds, bounds."""

    budget: Allowance
    gate: Gate
    _lanes: dict[Lane, dict[Hashable, ItemT]] = field(default_factory=dict)
    """None is empty; the one that was served, or began to wait, longest ago comes first."""
    _turns: Turns = field(default_factory=Turns)

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def waiting(self, lane: Lane, key: Hashable) -> ItemT | None:
        return self._lanes.get(lane, {}).get(key)

    def items(self, lane: Lane) -> list[ItemT]:
        return list(self._lanes.get(lane, {}).values())

    def lanes(self) -> list[Lane]:
        return list(self._lanes)

    def add(self, lane: Lane, item: ItemT) -> None:
        """`item.key` must not be waiting already."""
        queue = self._lanes.setdefault(lane, {})
        assert item.key not in queue
        queue[item.key] = item

    def put_back(self, lane: Lane, items: Iterable[ItemT]) -> None:
        """What was taken and got no answer, to the head of its lane."""
        queue = self._lanes.pop(lane, {})
        back: dict[Hashable, ItemT] = {}
        for item in items:
            again = queue.pop(item.key, None)
            if again is not None:
                item.join(again)
            back[item.key] = item
        if back or queue:
            self._lanes[lane] = back | queue

    def drop(self, lane: Lane, item: ItemT) -> None:
        queue = self._lanes.get(lane)
        if queue is not None and queue.get(item.key) is item:
            del queue[item.key]
            if not queue:
                del self._lanes[lane]

    def next_batch(self, now_s: float) -> Batch[ItemT] | None:
        """Takes a batch out and starts its request in the budget; None: nothing may start now."""
        if not self._lanes or self.budget.live_at_s(now_s) > now_s:
            return None
        ready = [lane for lane in self._lanes if self._ready_at_s(lane, now_s) <= now_s]
        wishes = [self._wish(lane, now_s) for lane in ready]
        chosen = self._turns.choose(wishes, has_spare=self.budget.spare_at_s(now_s) <= now_s)
        if chosen is None:
            return None
        self.budget.start(now_s)
        return Batch(ready[chosen], self._take(ready[chosen]))

    def wake_at_s(self, now_s: float) -> float:
        """When `next_batch` may have something, if nothing is added and nothing ends until then."""
        live_s = behind_s = inf
        for lane in self._lanes:
            ready_s = self._ready_at_s(lane, now_s)
            if lane.priority == BEHIND:
                behind_s = min(behind_s, ready_s)
            else:
                live_s = min(live_s, ready_s)
        if behind_s < inf:
            behind_s = max(behind_s, self.budget.spare_at_s(now_s))
        return min(max(live_s, self.budget.live_at_s(now_s)), behind_s)

    def ready_at_s(self, now_s: float) -> float:
        """When another lane is ready, whatever the budget says."""
        later = (self._ready_at_s(lane, now_s) for lane in self._lanes)
        return min((at_s for at_s in later if at_s > now_s), default=inf)

    def backlog_s(self, now_s: float) -> float:
        """How long the oldest live thing has waited whose host may be asked now; the rest of lists is none,
        whose articles are here.
        """
        open_now = (
            lane
            for lane in self._lanes
            if lane.priority == LIVE and lane.by != "lists" and self.gate.open_at_s(lane, now_s) <= now_s
        )
        return max((now_s - self._oldest_s(lane) for lane in open_now), default=0.0)

    def wants(self, now_s: float, most: int) -> list[Want]:
        """The batches that are ready, best first, without taking any."""
        found: list[Want] = []
        for lane, queue in self._lanes.items():
            if self._ready_at_s(lane, now_s) > now_s:
                continue
            batches = 1 if self.gate.is_failing(lane.server_name) else most
            items, size = iter(queue.values()), self.gate.batch(lane)
            while batches and (batch := list(islice(items, size))):
                batches -= 1
                waited_s = sum((now_s - item.since_s) * item.weight for item in batch)
                waiting = sum(item.weight for item in batch)
                found.append(Want(lane.priority, waited_s, waiting, now_s - batch[0].since_s))
        return sorted(found, key=lambda want: (want.priority, -want.waited_s))[:most]

    def _ready_at_s(self, lane: Lane, now_s: float) -> float:
        full = len(self._lanes[lane]) >= self.gate.batch(lane)
        return max(self.gate.open_at_s(lane, now_s), now_s if full else self._oldest_s(lane) + COALESCE_S)

    def _oldest_s(self, lane: Lane) -> float:
        return next(iter(self._lanes[lane].values())).since_s

    def _wish(self, lane: Lane, now_s: float) -> Wish:
        """Of those that a batch would take: what waits beyond them gains nothing by this request."""
        batch = list(islice(self._lanes[lane].values(), self.gate.batch(lane)))
        waited_s = sum((now_s - item.since_s) * item.weight for item in batch)
        return Wish(lane.priority, waited_s, now_s - batch[0].since_s, sum(item.weight for item in batch))

    def _take(self, lane: Lane) -> list[ItemT]:
        queue = self._lanes.pop(lane)
        size = self.gate.batch(lane)
        taken: list[ItemT] = []
        for item in queue.values():
            if not taken:
                size = min(size, item.most)
            elif item.most < size:
                continue
            taken.append(item)
            if len(taken) >= size:
                break
        for item in taken:
            del queue[item.key]
        if queue:
            self._lanes[lane] = queue
        return taken
