"""A rebuild's rules under every order of events: lanes and commands that sleep, die and overtake each other.

The log is a model here, of the crueller of the two engines: positions of a deleted topic linger, and what
forgets them at last forgets those of the topic that was made anew too. Each actor is a generator that may
sleep at every `yield`, for ever if need be; lanes and command decide by the project's own rules.
"""

import itertools
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final

import pytest

from streamer.route import rebuild
from streamer.route.rebuild import (
    NOTHING,
    Append,
    Delete,
    Done,
    Make,
    Mark,
    Phase,
    Seen,
    Start,
    first_step,
    lane_todo,
    needs_epoch,
    next_step,
)

PHASES: Final[tuple[Phase, ...]] = ("", "stop", "swap", "go")
PARTITIONS = 2
SINCE = 3
RUNS = 300
STEPS = 400
Actor = Generator[None, None, None]


class Lost(Exception):
    """Another worker runs this lane."""


class Missing(Exception):
    """There is no such topic."""


@dataclass
class World:
    rng: random.Random
    metas: list[Start | None] = field(default_factory=lambda: [None])
    articles: list[int] = field(default_factory=lambda: [10] * PARTITIONS)
    """How many there are in each partition; an article is its offset."""
    epoch: str = "1"
    made: int = 1
    records: list[list[int]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    positions: dict[int, tuple[int, Mark]] = field(default_factory=dict)
    lingering: bool = False
    fences: list[int] = field(default_factory=lambda: [0] * PARTITIONS)

    def commit(self, partition: int, fence: int, records: range, mark: Mark) -> None:
        if fence != self.fences[partition]:
            raise Lost
        if not self.epoch:
            raise Missing
        self.records[partition] += records
        self.positions[partition] = (records.stop, mark)

    def delete(self, epoch: str) -> None:
        if self.epoch == epoch:
            self.epoch = ""
            self.lingering = True
            self.records = [[] for _ in range(PARTITIONS)]

    def make(self) -> None:
        if not self.epoch:
            self.made += 1
            self.epoch = str(self.made)

    def forget(self) -> None:
        if self.lingering:
            self.lingering = False
            self.positions.clear()


def lane(world: World, partition: int) -> Actor:
    """As streamer.route.lane, one partner, one partition."""
    world.fences[partition] += 1
    fence = world.fences[partition]
    view = heeded = 0
    feed: tuple[int, Mark] | None = None
    parked: tuple[int, Mark] | None = None
    stopped = False
    while True:
        view = world.rng.randint(view, len(world.metas) - 1)
        if view != heeded:
            heeded, stopped, start = view, False, world.metas[view]
            if feed is not None and start is not None and start.rebuild not in ("", feed[1].rebuild):
                feed = None
        yield
        try:
            if feed is not None:
                found = range(feed[0], min(world.articles[partition], feed[0] + world.rng.randint(1, 3)))
                behind = feed[1].phase == "behind" and found.stop == world.articles[partition]
                mark = Mark(feed[1].rebuild, "met") if behind else feed[1]
                yield
                parked = feed
                feed = None
                world.commit(partition, fence, found, mark)
                feed, parked = (found.stop, mark), None
            elif not stopped:
                view = len(world.metas) - 1
                start = world.metas[view]
                yield
                position = world.positions.get(partition)
                yield
                epoch = "" if world.rng.random() < 0.1 else world.epoch  # a broker that has just begun
                todo = lane_todo(start, None if position is None else position[1], epoch)
                yield
                if todo == "wait":
                    stopped = True
                elif todo == "go on":
                    feed = position
                elif todo == "stop":
                    assert start is not None
                    at = position[0] if position is not None else world.articles[partition]
                    parked = (at, Mark(start.rebuild, "stopped"))
                    world.commit(partition, fence, range(at, at), parked[1])
                    stopped, parked = True, None
                elif todo == "begin":
                    which = "" if start is None else start.rebuild
                    if parked is not None and parked[1].phase == "stopped":
                        parked = (parked[0], NOTHING)
                    if parked is None or which not in ("", parked[1].rebuild):
                        at = world.articles[partition] if start is None else SINCE
                        parked = (at, Mark(which, "behind") if which else NOTHING)
                    world.commit(partition, fence, range(parked[0], parked[0]), parked[1])
                    feed, parked = parked, None
        except Missing:
            pass
        except Lost:
            return


def command(world: World) -> Actor:
    """As streamer.route.rebuilder."""
    mine: Start | None = None
    while True:
        start = world.metas[-1]
        yield
        epoch = world.epoch
        yield
        marks = {partition: mark for partition, (_, mark) in world.positions.items()}
        seen = Seen(start, epoch, marks, PARTITIONS)
        if mine is None and seen.is_unfinished:
            mine = start
        step = first_step(seen, 0) if mine is None else next_step(seen, mine)
        yield
        if isinstance(step, Done):
            assert not step.taken_back
            return
        if isinstance(step, Append):
            mine = step.start
            world.metas.append(mine)
        elif isinstance(step, Delete):
            world.delete(step.epoch)
        elif isinstance(step, Make):
            world.make()


def advance(actors: list[Actor], actor: Actor) -> bool:
    """False when it has ended."""
    try:
        next(actor)
    except StopIteration:
        actors.remove(actor)
        return False
    return True


def chaos(world: World) -> tuple[list[Actor], list[Actor]]:
    """Lanes that are taken over, commands that are killed and begun again; who is left at the end."""
    rng = world.rng
    lanes = [lane(world, partition) for partition in range(PARTITIONS)]
    commands: list[Actor] = []
    for _ in range(STEPS):
        deed = rng.random()
        if deed < 0.02:
            lanes.append(lane(world, rng.randrange(PARTITIONS)))  # the one before sleeps on, and wakes up
        elif deed < 0.04 and len(commands) < 3:
            commands.append(command(world))
        elif deed < 0.05 and commands:
            commands.remove(rng.choice(commands))
        elif deed < 0.07:
            world.articles[rng.randrange(PARTITIONS)] += 1
        elif deed < 0.10:
            world.forget()
        elif deed < 0.4 and commands:
            advance(commands, rng.choice(commands))
        else:
            advance(lanes, rng.choice(lanes))
    return lanes, commands


def settle(world: World, lanes: list[Actor], commands: list[Actor]) -> None:
    """Everybody is awake and nobody dies any more, until the commands have ended and all is routed."""
    for _ in range(3_000):
        for actor in list(commands):
            advance(commands, actor)
        for actor in list(lanes):
            advance(lanes, actor)
        world.forget()
        if not commands and all(
            world.positions.get(p, (0, NOTHING))[0] == world.articles[p] for p in range(PARTITIONS)
        ):
            return
    raise AssertionError(f"never done: {world}")


def run(world: World) -> None:
    lanes, commands = chaos(world)
    lanes += [lane(world, partition) for partition in range(PARTITIONS)]
    sleeping = commands if world.rng.random() < 0.5 else []
    settle(world, lanes, [command(world)])
    check(world)
    settle(world, lanes, sleeping)
    check(world)


def check(world: World) -> None:
    assert world.epoch != "1", "nothing was made anew"
    for partition in range(PARTITIONS):
        wanted = list(range(SINCE, world.articles[partition]))
        assert world.records[partition] == wanted, world


def test_no_order_of_events_makes_a_double_or_a_hole(rng: random.Random) -> None:
    """Whoever sleeps, dies or is overtaken, the feed made anew holds each article once, in order."""
    for _ in range(RUNS):
        run(World(random.Random(rng.random())))


def never_wait(seen: Seen, mine: Start) -> object:
    return rebuild.next_step(
        Seen(seen.start, seen.epoch, dict.fromkeys(range(PARTITIONS), of(seen)), 2), mine
    )


def of(seen: Seen) -> Mark:
    return Mark("" if seen.start is None else seen.start.rebuild, "stopped")


def never_forgotten(seen: Seen, mine: Start) -> object:
    step = rebuild.next_step(seen, mine)
    return Make() if getattr(step, "on", "") == "positions" else step


def at_once(start: Start | None, mark: Mark | None, epoch: str) -> str:
    todo = rebuild.lane_todo(start, mark, epoch)
    return "begin" if todo == "try again" else todo


def taken_for_stopped(start: Start | None, mark: Mark | None, epoch: str) -> str:
    todo = rebuild.lane_todo(start, mark, epoch)
    return "go on" if todo == "wait" and mark is not None else todo


def taken_for_gone(start: Start | None, mark: Mark | None, epoch: str) -> str:
    todo = rebuild.lane_todo(start, mark, epoch)
    return "wait" if todo == "try again" and not epoch else todo


@pytest.mark.parametrize(
    "broken",
    [
        {"next_step": never_wait},
        {"lane_todo": taken_for_stopped},
        {"lane_todo": taken_for_gone},
        {"next_step": never_forgotten, "lane_todo": at_once},
    ],
)
def test_the_model_finds_broken_rules(
    rng: random.Random, monkeypatch: pytest.MonkeyPatch, broken: Mapping[str, Callable[..., object]]
) -> None:
    """A command that waits for no lane, a lane that does not stay stopped, one that gives up where it can't
    see the topic, and a rebuild that begins before the old positions are forgotten, are each found out.
    """
    for rule, instead in broken.items():
        monkeypatch.setitem(globals(), rule, instead)
    with pytest.raises(AssertionError):
        for _ in range(RUNS):
            run(World(random.Random(rng.random())))


def test_a_topic_is_looked_for_only_where_it_has_a_say() -> None:
    """Of each record and mark there can be: what a lane does without the epoch it does with any."""
    starts = [None, *(Start(0, name, phase) for name in ("", "1") for phase in PHASES)]
    marks = [None, *(Mark(name, phase) for name in ("", "1", "2") for phase in ("stopped", "behind", "met"))]
    seen = set()
    for start, mark in itertools.product(starts, marks):
        todos = {lane_todo(start, mark, epoch) for epoch in ("", "1", "2")}
        assert len(todos) == 1 or needs_epoch(start, mark), (start, mark)
        seen.add(len(todos))
    assert len(seen) > 1
