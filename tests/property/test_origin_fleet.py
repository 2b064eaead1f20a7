"""The processes of a fleet keep one budget, whatever joins, leaves, is stopped or killed; and they use it."""

import random
from itertools import pairwise

import pytest
from harness.fleet_world import Ways, World

from streamer.origin.budget import WINDOW_S
from streamer.origin.keeper import Keeper
from streamer.origin.permits import Said

ROUNDS = 12
SPAN_S = 240.0


def harmed(rng: random.Random, world: World, until_s: float = SPAN_S) -> World:
    """Processes join, are stopped and killed, the keeper too, and the lane moves while its keeper lives."""
    for _ in range(rng.randint(1, 4)):
        world.join(rng.choice([0, 0, 5, 50]))
    world.processes[0].backlog = 50

    def harm() -> None:
        kind = rng.choice(["join", "kill", "keeper", "leave", "move", "stop", "want", "want"])
        there = world.processes
        if kind == "join" or not there:
            if len(there) < 6:
                world.join(rng.choice([0, 5, 50]))
        elif kind == "kill" or (kind == "keeper" and world.keeping and world.keeping.process in there):
            gone = world.keeping.process if kind == "keeper" and world.keeping else rng.choice(there)
            world.kill(gone)
            world.join(50, before=rng.choice(["", gone.name]))
        elif kind == "leave":
            world.leave(rng.choice(there))
        elif kind == "move":
            world.hand_over(rng.choice(there))
        elif kind == "stop":
            rng.choice(there).stop(rng.uniform(0.5, 40))
        else:
            for wiki in range(rng.randint(1, 30)):
                rng.choice(there).want(wiki)
        world.after((0.5, 30.0), harm)

    world.after((1.0, 30.0), harm)
    world.run(until_s)
    return world


def drawn(rng: random.Random, make_keeper: type[Keeper] = Keeper) -> World:
    ways = Ways(
        append_s=(0.005, rng.choice([0.05, 0.5, 6.0])),
        read_s=(0.002, rng.choice([0.03, 0.5, 6.0])),
        commit_s=(0.01, rng.choice([0.06, 0.5, 3.0])),
        answer_s=(0.05, rng.choice([0.8, 5.0, 40.0])),
        timeout_s=rng.choice([10.0, 30.0]),
        lost_part=rng.choice([0.0, 0.2]),
    )
    return World(rng, rng.randint(1, 120), rng.randint(1, 6), ways, make_keeper)


def judge(world: World) -> None:
    assert world.most_in(WINDOW_S) <= world.per_minute
    assert world.most_at_once() <= world.concurrency


def test_no_window_holds_more_than_the_budget_whatever_happens(rng: random.Random) -> None:
    """As measured at the wikis, wherever between its start and its end each request is seen there; nor do
    more fly at once. With records late by seconds, appends whose end is unknown, and clocks of any offset.
    """
    asked = 0
    for _ in range(ROUNDS):
        seed = rng.randrange(10**9)
        world = harmed(random.Random(seed), drawn(random.Random(seed)))
        judge(world)
        asked += len(world.flights)
    assert asked > 20 * ROUNDS


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_no_window_holds_more_than_the_budget_in_a_thousand_fleets(rng: random.Random) -> None:
    """The same, for longer."""
    for _ in range(1_000):
        seed = rng.randrange(10**9)
        world = harmed(random.Random(seed), drawn(random.Random(seed)))
        assert (world.most_in(WINDOW_S) <= world.per_minute, seed) == (True, seed)
        assert (world.most_at_once() <= world.concurrency, seed) == (True, seed)


class Forgetful(Keeper):
    """It does not read back what the one before it has granted."""

    def restore(self, said: Said | None, offset: int, ago_s: float = 0.0) -> None:
        pass


def test_a_keeper_that_forgets_what_is_out_would_exceed_it(rng: random.Random) -> None:
    """So the simulation can tell: more fly at once where keepers follow each other and answers take long."""
    for _ in range(20):
        seed = rng.randrange(10**9)
        world = drawn(random.Random(seed), Forgetful)
        world.ways.answer_s = (5.0, 20.0)
        harmed(random.Random(seed), world)
        if world.most_at_once() > world.concurrency or world.most_in(WINDOW_S) > world.per_minute:
            return
    pytest.fail("no harm was seen")


@pytest.mark.parametrize("others", [0, 4])
def test_one_with_all_the_backlog_uses_all_the_budget(rng: random.Random, others: int) -> None:
    """95 % of it in each minute after the first, beside processes that ask for something now and then."""
    world = World(rng, 200, 3)
    for _ in range(others):
        idle = world.join()
        for second in range(0, 300, 10):
            world.at(second + rng.random(), idle.want)
    world.join(50)
    world.run(300.0)
    judge(world)
    for minute in range(1, 5):
        assert world.started_in(60.0 * minute, 60.0 * (minute + 1)) >= 190


def test_backlogs_everywhere_share_the_budget(rng: random.Random) -> None:
    """All of it is used, and each of those who always have as much waiting gets a part."""
    world = World(rng, 200, 3)
    there = [world.join(50) for _ in range(4)]
    world.run(300.0)
    judge(world)
    assert world.started_in(60.0, 300.0) >= 0.95 * 4 * 200
    parts = [process.purse.granted for process in there]
    assert min(parts) >= 0.5 * max(parts), parts


def test_one_that_is_killed_stops_nobody(rng: random.Random) -> None:
    """Another that waits has a slot all the time, though nobody hears of what the dead one had."""
    world = World(rng, 200, 3)
    world.ways.answer_s = (0.5, 1.0)
    there = [world.join(0), world.join(50), world.join(50)]
    for at_s in range(20, 200, 40):
        world.at(at_s, lambda: world.kill(there[1]))
        world.at(at_s + 0.01, lambda: there.__setitem__(1, world.join(50)))
    world.run(220.0)
    judge(world)
    starts = sorted(flight.start_s for flight in world.flights)
    assert max(later_s - at_s for at_s, later_s in pairwise(starts)) < 5.0


def test_after_a_keepers_death_the_budget_is_used_again(rng: random.Random) -> None:
    """Once another has its lane: then the pace goes on, less what the death may have left in flight, and from
    a minute after the death on 95 % of it are used.
    """
    world = World(rng, 200, 3)
    there = [world.join(50) for _ in range(3)]
    assert world.keeping
    assert world.keeping.process is there[0]
    world.run(100.0)
    world.kill(there[0])
    world.run(300.0)
    judge(world)
    again_s = min(flight.start_s for flight in world.flights if flight.start_s > 104.0)
    assert again_s < 100.0 + 12.0 + 6.0
    assert world.started_in(160.0, 300.0) >= 0.95 * 200 * 140 / 60


@pytest.mark.parametrize("who", [0, 1], ids=["the keeper", "another"])
def test_one_that_leaves_with_a_backlog_stops_nobody(rng: random.Random, who: int) -> None:
    """What it had is used by others at once; of a keeper once another has its lane and has paid."""
    world = World(rng, 200, 3)
    there = [world.join(50) for _ in range(3)]
    world.run(100.0)
    world.leave(there[who])
    world.run(220.0)
    judge(world)
    starts = sorted(flight.start_s for flight in world.flights if 99.0 < flight.start_s < 115.0)
    assert max(later_s - at_s for at_s, later_s in pairwise(starts)) < (8.0, 1.5)[who]
    assert world.started_in(100.0, 160.0) >= (170, 190)[who]
    assert world.started_in(160.0, 220.0) >= 0.95 * 200


def test_a_stopped_keeper_that_goes_on_grants_nothing(rng: random.Random) -> None:
    """Its lane went to another meanwhile: what it grants is refused, and it is the keeper no more."""
    world = World(rng, 200, 3)
    first, second = world.join(50), world.join(50)
    world.run(30.0)
    old = world.keeping
    assert old
    first.stop(40.0)
    world.run(40.0)
    world.hand_over(second)
    world.run(150.0)
    judge(world)
    assert old.is_over
