"""The budget holds in every window, batches keep their bounds, and nobody starves."""

import random
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.origin.breaker import Breakers
from streamer.origin.budget import BURST_PART, WINDOW_S, Budget
from streamer.origin.scheduler import COALESCE_S, Batch, Item, Lane, Scheduler
from streamer.origin.turns import BEHIND, LATE_S, TURN_EVERY


def lane(wiki: int) -> Lane:
    return Lane(f"w{wiki}", f"w{wiki}.example.org", "revision")


def listing(wiki: int) -> Lane:
    return Lane(f"w{wiki}", f"w{wiki}.example.org", "listing", BEHIND)


class World:
    """A scheduler, a clock and wikis that take their time: a pure simulation."""

    def __init__(self, budget: Budget, batch: int) -> None:
        self.scheduler: Scheduler[Item] = Scheduler(budget, Breakers(batch, random.Random(0)))
        self.now_s = 0.0
        self.flights: list[tuple[float, Batch[Item]]] = []
        self.requests: list[tuple[float, float, Batch[Item]]] = []
        """Start, end, and what was asked."""

    def run(
        self,
        arrivals: list[tuple[float, int]],
        latencies: list[float],
        until_s: float = inf,
        *,
        listed: int = 0,
    ) -> None:
        """`arrivals` are (second, wiki), in order. So many wikis are `listed` all the while, without end."""
        number = 0
        for wiki in range(listed):
            self.scheduler.add(listing(wiki), Item(-1 - wiki, 0.0))
        while self.now_s < until_s:
            while number < len(arrivals) and arrivals[number][0] <= self.now_s:
                at_s, wiki = arrivals[number]
                self.scheduler.add(lane(wiki), Item(number, at_s))
                number += 1
            for flight in [flight for flight in self.flights if flight[0] <= self.now_s]:
                self.flights.remove(flight)
                self.scheduler.budget.end(self.now_s)
                if flight[1].lane.by == "listing":
                    self.scheduler.add(flight[1].lane, Item(flight[1].items[0].key, self.now_s))
            while (batch := self.scheduler.next_batch(self.now_s)) is not None:
                end_s = self.now_s + latencies[len(self.requests) % len(latencies)]
                self.flights.append((end_s, batch))
                self.requests.append((self.now_s, end_s, batch))
            nexts = [end_s for end_s, _ in self.flights]
            nexts += [arrivals[number][0]] if number < len(arrivals) else []
            wake_at_s = self.scheduler.wake_at_s(self.now_s)
            nexts += [wake_at_s] if wake_at_s < inf else []
            if not nexts:
                assert not len(self.scheduler), "something waits and nothing will wake it"
                return
            later_s = min(nexts)
            assert later_s > self.now_s, "woken for nothing"
            self.now_s = later_s


arrivals_of = st.lists(
    st.tuples(st.floats(0, 200, allow_subnormal=False), st.integers(0, 6)), min_size=1, max_size=150
).map(sorted)


@given(
    arrivals_of,
    st.lists(st.floats(0.001, 20), min_size=1, max_size=8),
    st.integers(1, 30),
    st.integers(1, 4),
    st.integers(1, 5),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
    st.integers(0, 40),
)
@settings(max_examples=150, deadline=None)
def test_no_window_holds_more_than_the_budget(  # noqa: PLR0917 - what Hypothesis draws
    arrivals: list[tuple[float, int]],
    latencies: list[float],
    per_minute: int,
    concurrency: int,
    batch: int,
    delays: list[float],
    flood: int,
) -> None:
    """Wherever between its start and its end each request reached the wiki, no 60 s of the wiki's own
    counting hold more than the budget; no more than `concurrency` fly at once, and all is asked once.
    """
    arrivals = [(0.0, wiki) for wiki in range(10, 10 + flood)] + arrivals
    world = World(Budget(per_minute, concurrency), batch)
    world.run(arrivals, latencies)
    seen_s = sorted(
        start_s + (end_s - start_s) * delays[index % len(delays)]
        for index, (start_s, end_s, _) in enumerate(world.requests)
    )
    for index in range(len(seen_s) - per_minute):
        assert seen_s[index + per_minute] - seen_s[index] >= WINDOW_S - 1e-6
    for start_s, _, _ in world.requests:
        assert sum(s <= start_s < e for s, e, _ in world.requests) <= concurrency
    keys = [item.key for _, _, asked in world.requests for item in asked.items]
    assert sorted(map(str, keys)) == sorted(map(str, range(len(arrivals))))
    assert all(1 <= len(asked.items) <= batch for _, _, asked in world.requests)


@given(st.integers(1, 600), st.integers(1, 10), st.floats(0.01, 5))
@settings(max_examples=60, deadline=None)
def test_a_busy_budget_is_used_up(per_minute: int, concurrency: int, latency_s: float) -> None:
    """With always something to ask, as many requests start as budget and concurrency allow, less the
    time they are in flight: pacing costs nothing.
    """
    budget = Budget(per_minute, concurrency)
    now_s, ends, started = 0.0, list[float](), 0
    while now_s < 3 * WINDOW_S:
        for _ in [end_s for end_s in ends if end_s <= now_s]:
            budget.end(now_s)
        ends = [end_s for end_s in ends if end_s > now_s]
        if budget.free_at_s(now_s) <= now_s:
            budget.start(now_s)
            ends.append(now_s + latency_s)
            started += now_s >= WINDOW_S
        else:
            now_s = min([budget.free_at_s(now_s), *ends])
    possible = min(per_minute / (WINDOW_S + latency_s), concurrency / latency_s) * 2 * WINDOW_S
    assert started >= 0.95 * possible - concurrency - 2


@given(arrivals_of, st.integers(20, 600), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_nobody_starves(arrivals: list[tuple[float, int]], per_minute: int, batch: int) -> None:
    """However much other wikis have waiting, the first of a lane is asked within some grants per lane,
    and the n-th within n times that.
    """
    world = World(Budget(per_minute, 2), batch)
    flood = [(0.0, 0)] * 100
    everything = sorted(flood + arrivals)
    world.run(everything, [0.5])
    lanes = 1 + max(wiki for _, wiki in everything)
    for index, (start_s, _, asked) in enumerate(world.requests):
        for item in asked.items:
            before = sum(
                lane(wiki) == asked.lane and number < int(str(item.key))
                for number, (_, wiki) in enumerate(everything)
            )
            granted = sum(item.since_s + COALESCE_S < s < start_s for s, _, _ in world.requests[:index])
            until_late = (LATE_S + 1) * per_minute / WINDOW_S + per_minute // BURST_PART + 2
            assert granted <= until_late + TURN_EVERY * (lanes + 1) * (before // batch + 1)


def test_a_small_wiki_beside_a_flood() -> None:
    """One edit of a small wiki is asked within a few requests, though the flood is older and heavier."""
    world = World(Budget(60, 1), 50)
    flood = [(0.0, 0)] * 5_000
    world.run([*flood, (1.0, 1)], [0.5], until_s=120.0)
    small = next(start_s for start_s, _, asked in world.requests if asked.lane == lane(1))
    assert small < 1.0 + LATE_S + 2 * TURN_EVERY


changes_of = st.lists(
    st.tuples(st.floats(0.1, 90), st.integers(1, 40), st.integers(1, 4)), min_size=1, max_size=5
)


@given(
    st.integers(1, 40),
    st.integers(1, 4),
    changes_of,
    st.lists(st.floats(0.001, 20), min_size=1, max_size=8),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_a_change_of_the_budget_exceeds_neither(
    per_minute: int,
    concurrency: int,
    changes: list[tuple[float, int, int]],
    latencies: list[float],
    delays: list[float],
) -> None:
    """With always something to ask and the budget changed again and again: no 60 s of the wiki's counting
    hold more than what was allowed when the last of them started; in flight no more than then.
    """
    budget, now_s = Budget(per_minute, concurrency), 0.0
    limit, at_once = per_minute, concurrency
    flights: list[float] = []
    requests: list[tuple[float, float, int]] = []
    due: list[tuple[float, int, int]] = []
    at_s = 0.0
    for after_s, *to in changes:
        at_s += after_s
        due.append((at_s, *to))
    while now_s < at_s + 150:
        while due and due[0][0] <= now_s:
            _, limit, at_once = due.pop(0)
            budget.change(limit, at_once, now_s)
        for end_s in [end_s for end_s in flights if end_s <= now_s]:
            flights.remove(end_s)
            budget.end(now_s)
        if budget.free_at_s(now_s) <= now_s:
            budget.start(now_s)
            end_s = now_s + latencies[len(requests) % len(latencies)]
            seen_s = now_s + (end_s - now_s) * delays[len(requests) % len(delays)]
            flights.append(end_s)
            requests.append((now_s, seen_s, limit))
            assert len(flights) <= at_once
            continue
        now_s = min([budget.free_at_s(now_s), *flights, *(moment for moment, _, _ in due[:1]), now_s + 30])
    for number, (_, seen_s, allowed) in enumerate(requests):
        # of those that started before it, what any window may hold that holds it too
        others = sorted(other for _, other, _ in requests[:number] if abs(other - seen_s) < WINDOW_S)
        for first_s in [seen_s - WINDOW_S, *others]:
            window = [other for other in others if first_s <= other < first_s + WINDOW_S - 1e-6]
            if first_s <= seen_s < first_s + WINDOW_S - 1e-6:
                assert len(window) + 1 <= allowed
    assert requests[-1][0] >= at_s + 150 - WINDOW_S - 2 * max(latencies) - WINDOW_S / limit


def test_a_raised_budget_is_not_held_up_by_the_old_pace() -> None:
    """One a minute was spent in advance; with two hundred the next starts as that pace has it, not a minute
    later.
    """
    budget = Budget(1, 1)
    budget.start(0.0)
    budget.end(0.1)
    assert budget.free_at_s(0.2) > 59
    budget.change(200, 3, 0.2)
    assert budget.free_at_s(0.2) < 1


def test_a_cut_budget_counts_what_was_spent() -> None:
    """Forty were asked in this minute: under ten the next waits until nine of them are left in the window."""
    budget, now_s = Budget(40, 40), 0.0
    for number in range(40):
        now_s = max(now_s, budget.free_at_s(now_s))
        budget.start(now_s)
        budget.end(now_s + 0.01 * number / 40)
    budget.change(10, 3, now_s)
    ended = list(budget._ended_s)
    assert budget.free_at_s(now_s) == ended[30] + WINDOW_S


def lives(  # noqa: PLR0917 - what Hypothesis draws
    per_minute: int,
    concurrency: int,
    until_s: float,
    deaths_s: list[float],
    idle: list[float],
    latencies: list[float],
    seen: list[float],
) -> list[float]:
    """When the wiki sees the requests of a worker that is killed at `deaths_s` and started again at once,
    with always something to ask but for pauses of `idle` after every tenth request. What flies at a death
    comes to an end with it, or is seen up to a burst's time later.
    """
    found: list[float] = []
    now_s = 0.0
    for life, end_s in enumerate([*deaths_s, until_s]):
        budget = Budget(per_minute, concurrency)
        if life:
            budget.owe(now_s)
        flights: list[float] = []
        wants_s = now_s
        while now_s < end_s:
            for over_s in [over_s for over_s in flights if over_s <= now_s]:
                flights.remove(over_s)
                budget.end(now_s)
            if max(wants_s, budget.free_at_s(now_s)) <= now_s:
                budget.start(now_s)
                number = len(found)
                over_s = now_s + latencies[number % len(latencies)]
                flights.append(over_s)
                late_s = min(over_s, end_s + budget._burst * WINDOW_S / budget.limit)
                found.append(now_s + (late_s - now_s) * seen[number % len(seen)])
                if number % 10 == 9:
                    wants_s = now_s + idle[number // 10 % len(idle)]
            else:
                now_s = min([max(wants_s, budget.free_at_s(now_s)), *flights, end_s])
        now_s = end_s
    return found


@given(
    st.integers(1, 60),
    st.integers(1, 12),
    st.lists(st.floats(0.01, 200), max_size=8).map(sorted),
    st.lists(st.floats(0, 30), min_size=1, max_size=4),
    st.lists(st.floats(0.001, 20), min_size=1, max_size=8),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_all_lives_keep_one_budget_whenever_they_are_killed(  # noqa: PLR0917 - what Hypothesis draws
    per_minute: int,
    concurrency: int,
    deaths_s: list[float],
    idle: list[float],
    latencies: list[float],
    seen: list[float],
) -> None:
    """Killed and started anew at any instants, by itself or in a loop: no 60 s of the wiki's own counting
    hold more than the one budget.
    """
    seen_s = sorted(lives(per_minute, concurrency, 240.0, deaths_s, idle, latencies, seen))
    for index in range(len(seen_s) - per_minute):
        assert seen_s[index + per_minute] - seen_s[index] >= WINDOW_S - 1e-6


def test_a_start_after_another_life_waits_for_what_that_may_have_spent() -> None:
    """At 200 a minute and three at once some four seconds, whatever is reloaded meanwhile; then it goes on at
    the pace and without a burst.
    """
    budget = Budget(200, 3)
    budget.owe(100.0)
    assert 103 < budget.free_at_s(100.0) < 105
    budget.change(400, 3, 101.0)
    first_s = budget.free_at_s(101.0)
    assert 103 < first_s < 105
    budget.start(first_s)
    assert budget.free_at_s(first_s) == pytest.approx(first_s + 60 / 400)


def test_the_most_that_a_life_leaves_behind_is_paid_off() -> None:
    """What flew for long is seen only now, a whole burst follows, and the process dies; the next one has
    always something to ask. The 60 s that begin there hold the budget, and hardly less.
    """
    budget, seen_s = Budget(240, 3), [20.0] * 3
    for _ in range(3):
        budget.start(0.0)
    for _ in range(3):
        budget.end(20.0)
    while budget.free_at_s(20.0) <= 20.0:
        budget.start(20.0)
        budget.end(20.0)
        seen_s.append(20.0)
    assert len(seen_s) == 13
    budget = Budget(240, 3)
    budget.owe(20.0)
    now_s = budget.free_at_s(20.0)
    while now_s < 20.0 + WINDOW_S - 1e-6:
        budget.start(now_s)
        budget.end(now_s)
        seen_s.append(now_s)
        now_s = max(now_s, budget.free_at_s(now_s))
    assert 238 <= len(seen_s) <= 240


# ── what is behind ─────────────────────────────────────────────────────────────────────────────


def waits_s(world: World, arrivals: list[tuple[float, int]]) -> list[float]:
    """Of each live arrival until its answer, shortest first."""
    came_s = {number: at_s for number, (at_s, _) in enumerate(arrivals)}
    return sorted(
        end_s - came_s[int(str(item.key))]
        for _, end_s, batch in world.requests
        if batch.lane.by != "listing"
        for item in batch.items
    )


@pytest.mark.parametrize("per_s", [0.5, 2.0, 8.0, 19.0])
def test_listings_without_an_end_hardly_show_in_an_edits_wait(rng: random.Random, per_s: float) -> None:
    """Ten minutes of edits of 73 wikis, a few of them large, on 200 requests a minute, beside thirty that
    are listed without a pause: from the quiet to where live work takes the whole budget.
    """
    wikis = [int(72 * rng.random() ** 3) for _ in range(int(600 * per_s))]
    arrivals = sorted((rng.uniform(0, 600), wiki) for wiki in wikis)
    latencies = [rng.uniform(0.1, 0.6) for _ in range(997)]
    waited: list[list[float]] = []
    for listed in (0, 30):
        world = World(Budget(200, 3), 50)
        world.run(arrivals, latencies, 700.0, listed=listed)
        waited.append(waits_s(world, arrivals))
        assert len(waited[-1]) == len(arrivals)
        if listed:
            share = sum(batch.lane.by == "listing" for *_, batch in world.requests) / len(world.requests)
            assert share > 0.02, "they would starve"
        ended = [end_s for _, end_s, _ in world.requests]
        for start_s, _, _ in world.requests:
            counted = sum(start_s - WINDOW_S < at_s for at_s in ended if at_s <= start_s)
            assert counted <= 200
    without, beside = waited
    for part in (0.5, 0.99):
        at = int(len(without) * part)
        assert beside[at] <= 1.15 * without[at] + 0.6, (part, without[at], beside[at])
