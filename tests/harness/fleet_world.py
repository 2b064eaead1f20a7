"""A fleet, its log and its wikis in simulated time: who is slow, stopped, killed or replaced is drawn.

The parts are the real ones (Scheduler, Purse, Keeper, Budget); the log is a list whose records take time
to be written and to be read, in order for each reader. Each process has a clock of its own.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from streamer.origin.breaker import Breakers
from streamer.origin.budget import Budget
from streamer.origin.keeper import DEAD_S, Keeper
from streamer.origin.permits import WANTS_MOST, Ask, Permit, Purse, Said
from streamer.origin.scheduler import Item, Lane, Scheduler

SESSION_S = (8.0, 12.0)
"""From a keeper's death to the next one."""


@dataclass
class Ways:
    """How long things take: seconds, from and to."""

    append_s: tuple[float, float] = (0.005, 0.05)
    read_s: tuple[float, float] = (0.002, 0.03)
    commit_s: tuple[float, float] = (0.01, 0.06)
    answer_s: tuple[float, float] = (0.1, 0.8)
    timeout_s: float = 30.0
    lost_part: float = 0.0
    """Of appends, whose end is unknown."""


@dataclass
class Flight:
    start_s: float
    seen_s: float
    end_s: float


@dataclass
class World:
    rng: random.Random
    per_minute: int
    concurrency: int
    ways: Ways = field(default_factory=Ways)
    make_keeper: Callable[[Budget, float], Keeper] = Keeper
    now_s: float = 0.0
    records: list[Said] = field(default_factory=list)
    flights: list[Flight] = field(default_factory=list)
    processes: list["Process"] = field(default_factory=list)
    keeping: "Keeping | None" = None
    keeper_lives: int = 0

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._readers: list[Reader] = []

    # ── time ──

    def at(self, at_s: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._events, (max(at_s, self.now_s), next(self._numbers), act))

    def after(self, span: tuple[float, float], act: Callable[[], object]) -> None:
        self.at(self.now_s + self.rng.uniform(*span), act)

    def run(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, act = heapq.heappop(self._events)
            act()
        self.now_s = until_s

    # ── the log ──

    def append(self, said: Sequence[Said]) -> list[int]:
        offsets = []
        for each in said:
            offsets.append(len(self.records))
            self.records.append(each)
        for reader in self._readers:
            reader.wake()
        return offsets

    def reader(self, take: Callable[[Said, int], None], is_on: Callable[[], bool], start: int) -> None:
        self._readers.append(Reader(self, take, is_on, start))
        self._readers[-1].wake()

    # ── who is there ──

    def join(self, backlog: int = 0, before: str = "") -> "Process":
        """`before`: the dead one whose place it takes."""
        process = Process(self, f"p{next(self._numbers)}", backlog, before)
        self.processes.append(process)
        if self.keeping is None:
            self.hand_over(process)
        return process

    def hand_over(self, process: "Process") -> None:
        """The lane is this process's from now on, whatever another still believes."""
        self.keeper_lives += 1
        self.keeping = Keeping(self, process)

    def kill(self, process: "Process") -> None:
        process.die()
        self.processes.remove(process)
        if self.keeping and self.keeping.process is process:
            self.keeping.is_over = True
            self.after(SESSION_S, self._elect)

    def leave(self, process: "Process") -> None:
        """As when it drains: the lane of a keeper is free at once."""
        process.leave()
        self.processes.remove(process)
        if self.keeping and self.keeping.process is process:
            self.keeping.is_over = True
            self.after((0.05, 1.0), self._elect)

    def _elect(self) -> None:
        if self.keeping and not self.keeping.is_over and self.keeping.process.is_alive:
            return
        if self.processes:
            self.hand_over(self.rng.choice(self.processes))
        else:
            self.keeping = None

    # ── what is measured at the wiki ──

    def most_in(self, span_s: float) -> int:
        seen = sorted(flight.seen_s for flight in self.flights if flight.seen_s <= self.now_s)
        most, first = 0, 0
        for last, at_s in enumerate(seen):
            while at_s - seen[first] >= span_s - 1e-6:
                first += 1
            most = max(most, last - first + 1)
        return most

    def most_at_once(self) -> int:
        steps = [(flight.start_s, 1) for flight in self.flights]
        steps += [(flight.end_s, -1) for flight in self.flights]
        return max(itertools.accumulate(step for _, step in sorted(steps)), default=0)

    def started_in(self, from_s: float, until_s: float) -> int:
        return sum(from_s <= flight.start_s < until_s for flight in self.flights)


class Reader:
    """Gets each record some time after it was written, in order."""

    def __init__(
        self, world: World, take: Callable[[Said, int], None], is_on: Callable[[], bool], next_: int
    ) -> None:
        self._world, self._take, self._is_on, self._next = world, take, is_on, next_
        self._is_reading = False

    def wake(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._world.after(self._world.ways.read_s, self._read)

    def _read(self) -> None:
        self._is_reading = False
        until = len(self._world.records)
        while self._next < until and self._is_on():
            self._next += 1
            self._take(self._world.records[self._next - 1], self._next - 1)


class Process:
    """One that runs enrich. `backlog`: so many things wait for it always; `want` adds some."""

    def __init__(self, world: World, name: str, backlog: int, before: str) -> None:
        self.world, self.name, self.backlog = world, name, backlog
        self.is_alive = True
        self.stopped_until_s = 0.0
        self.clock_s = world.rng.uniform(-1e5, 1e5)
        self.purse = Purse(name, world.ways.timeout_s, before)
        self.scheduler: Scheduler[Item] = Scheduler(self.purse, Breakers(1, random.Random(0)))
        self.purse.wants = lambda now_s: self.scheduler.wants(now_s, WANTS_MOST)
        self.purse.skip(len(world.records) - 1)
        self._speaking = False
        self._said_at_s = -inf
        self._pumping_at_s = inf
        self._keys = itertools.count()
        self._flying: list[Flight] = []
        world.reader(self._read, lambda: self.is_alive, len(world.records))
        self.pump()

    def now_s(self) -> float:
        return self.world.now_s + self.clock_s

    def want(self, wiki: int = 0) -> None:
        lane = Lane(f"w{wiki}", f"{self.name}.w{wiki}", "revision")
        self.scheduler.add(lane, Item(next(self._keys), self.now_s()))
        self.pump()

    def die(self) -> None:
        self.is_alive = False
        for flight in self._flying:
            flight.end_s = min(flight.end_s, self.world.now_s)
            flight.seen_s = min(flight.seen_s, self.world.now_s + self.world.rng.uniform(0, DEAD_S))

    def leave(self) -> None:
        """What flies is cancelled, nothing is asked any more; its last word comes after the one before."""
        if self._later(self.leave):
            return
        for flight in self._flying:
            flight.end_s = min(flight.end_s, self.world.now_s)
            flight.seen_s = min(flight.seen_s, self.world.now_s)
            self.purse.end(self.now_s())
        said = self.purse.leave()
        last_s = max(self._said_at_s, self.world.now_s) + self.world.rng.uniform(*self.world.ways.append_s)
        self.world.at(last_s, lambda: self.world.append(said))
        self.is_alive = False

    def stop(self, span_s: float) -> None:
        """As by a signal: it goes on later, and does then what was due."""
        self.stopped_until_s = self.world.now_s + span_s

    def _later(self, act: Callable[[], object]) -> bool:
        if self.is_alive and self.world.now_s < self.stopped_until_s:
            self.world.at(self.stopped_until_s, act)
            return True
        return not self.is_alive

    def _read(self, said: Said, offset: int) -> None:
        if self._later(lambda: self._read(said, offset)):
            return
        if self.purse.read(said, offset, self.now_s()) is not None:
            self.pump()
        elif isinstance(said, Permit):
            self._speak()

    def pump(self) -> None:
        if self._later(self.pump):
            return
        while len(self.scheduler) < self.backlog:
            lane = Lane("big", f"{self.name}.big", "revision")
            self.scheduler.add(lane, Item(next(self._keys), self.now_s()))
        while (batch := self.scheduler.next_batch(self.now_s())) is not None:
            self._fly(batch)
        self.purse.give_back()
        self._speak()
        wake_s = min(self.scheduler.wake_at_s(self.now_s()), self.scheduler.ready_at_s(self.now_s()))
        self._wake(wake_s - self.clock_s)

    def _wake(self, at_s: float) -> None:
        """By the earliest of the reasons."""
        if at_s < inf and at_s < self._pumping_at_s:
            self._pumping_at_s = at_s
            self.world.at(at_s + 1e-6, self._woken)

    def _woken(self) -> None:
        self._pumping_at_s = inf
        self.pump()

    def _fly(self, _batch: Any) -> None:
        world = self.world
        took_s = min(world.rng.uniform(*world.ways.answer_s), world.ways.timeout_s)
        flight = Flight(world.now_s, world.now_s + world.rng.random() * took_s, world.now_s + took_s)
        world.flights.append(flight)
        self._flying.append(flight)
        world.at(flight.end_s, lambda: self._land(flight))

    def _land(self, flight: Flight) -> None:
        if self._later(lambda: self._land(flight)):
            return
        self._flying.remove(flight)
        self.purse.end(self.now_s())
        self.pump()

    def _speak(self) -> None:
        if self._speaking or self._later(self._speak):
            return
        said = self.purse.say(self.now_s())
        if said:
            self._speaking = True
            self._said_at_s = self.world.now_s + self.world.rng.uniform(*self.world.ways.append_s)
            self.world.at(self._said_at_s, lambda: self._said(said))
            return
        at_s = self.purse.say_at_s(self.now_s()) - self.clock_s
        if at_s < inf:
            self._wake(at_s)

    def _said(self, said: list[Said]) -> None:
        self._speaking = False
        keeping = self.world.keeping
        if keeping and keeping.process is self and keeping.hear(said):
            said = [each for each in said if not isinstance(each, Ask)]
        if self.world.rng.random() < self.world.ways.lost_part:
            if self.world.rng.random() < 0.5:
                self.world.append(said)
            self.purse.unsaid(said)
        else:
            self.world.append(said)  # of a process that dies meanwhile, too
        self._speak()


class Keeping:
    """A keeper's life in a process."""

    def __init__(self, world: World, process: Process) -> None:
        self.world, self.process = world, process
        self.is_over = False
        budget = Budget(world.per_minute, world.concurrency)
        self.keeper = world.make_keeper(budget, world.ways.timeout_s)
        self._is_writing = self._has_begun = False
        self._waking_at_s = inf
        self._until = len(world.records)
        world.after((0.01, 0.5), self._begin)

    def _begin(self) -> None:
        for offset in range(self._until):
            self.keeper.restore(self.world.records[offset], offset)
        self.keeper.begin(self.process.now_s())
        self._has_begun = True
        self.world.reader(self._read, lambda: not self.is_over, self._until)
        self._grant()

    def hear(self, said: Sequence[Said]) -> bool:
        if not self._has_begun or self.is_over or not self.process.is_alive:
            return False
        for each in said:
            self.keeper.read(each, self.process.now_s())
        self.world.at(self.world.now_s, self._grant)
        return True

    def _read(self, said: Said, offset: int) -> None:
        if self._later(lambda: self._read(said, offset)):
            return
        self.keeper.read(said, self.process.now_s())
        self._grant()

    def _later(self, act: Callable[[], object]) -> bool:
        if self.process.world.now_s < self.process.stopped_until_s:
            self.world.at(self.process.stopped_until_s, act)
            return True
        return self.is_over or not self.process.is_alive

    def _grant(self) -> None:
        if self._is_writing or not self._has_begun or self._later(self._grant):
            return
        said = self.keeper.grant(self.process.now_s())
        if said:
            self._is_writing = True
            self.world.after(self.world.ways.commit_s, lambda: self._commit(said))
            return
        at_s = self.keeper.wake_at_s(self.process.now_s()) - self.process.clock_s
        assert at_s > self.world.now_s - 1e-3, "it would spin"
        if at_s < self._waking_at_s:
            self._waking_at_s = at_s
            self.world.at(at_s + 1e-6, self._woken)

    def _woken(self) -> None:
        self._waking_at_s = inf
        self._grant()

    def _commit(self, said: Sequence[Said]) -> None:
        """What the log does, whether the process is there or not; it hears of it later."""
        if self.world.keeping is not self:
            self.is_over = True  # fenced
            return
        offsets = self.world.append(said)
        self.world.after((0.001, 0.02), lambda: self._written(said, offsets))

    def _written(self, said: Sequence[Said], offsets: list[int]) -> None:
        if self._later(lambda: self._written(said, offsets)):
            return
        self._is_writing = False
        self.keeper.written(offsets, self.process.now_s())
        for each, offset in zip(said, offsets, strict=True):
            if isinstance(each, Permit) and each.worker == self.process.name:
                self.process.purse.deliver(each, offset, self.process.now_s())
        self.process.pump()
        self._grant()
