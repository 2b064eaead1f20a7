"""HTML has a share of the budget: never more, and what is asked beside it waits no longer than for that."""

import random
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.origin.breaker import Breakers
from streamer.origin.budget import WINDOW_S, Budget
from streamer.origin.scheduler import Batch, Item, Lane, Scheduler


class World:
    """A scheduler, wikis that take their time, and a partner that wants the HTML of all that is answered."""

    def __init__(self, budget: Budget, batch: int) -> None:
        self.budget = budget
        self.scheduler: Scheduler[Item] = Scheduler(budget, Breakers(batch, random.Random(0)))
        self.requests: list[tuple[float, float, bool]] = []
        """Start, end, whether for HTML."""
        self.waited_s: list[float] = []
        self.without = 0

    def run(self, arrivals: list[tuple[float, int]], latencies: list[float], html_s: list[float]) -> None:
        """`arrivals` are (second, wiki), in order; a request for HTML takes `html_s`, none are wanted where
        that is empty.
        """
        flights: list[tuple[float, Batch[Item] | None]] = []
        now_s, number = 0.0, 0
        while True:
            while number < len(arrivals) and arrivals[number][0] <= now_s:
                at_s, wiki = arrivals[number]
                self.scheduler.add(Lane(f"w{wiki}", f"w{wiki}", "revision"), Item(number, at_s))
                number += 1
            for flight in [flight for flight in flights if flight[0] <= now_s]:
                flights.remove(flight)
                batch = flight[1]
                self.budget.end(now_s, html=batch is None)
                for item in batch.items if batch else ():
                    self.waited_s.append(now_s - item.since_s)
                    flights += self._html(now_s, html_s)
            while (batch := self.scheduler.next_batch(now_s)) is not None:
                end_s = now_s + latencies[len(self.requests) % len(latencies)]
                flights.append((end_s, batch))
                self.requests.append((now_s, end_s, False))
            nexts = [end_s for end_s, _ in flights]
            nexts += [arrivals[number][0]] if number < len(arrivals) else []
            wake_at_s = self.scheduler.wake_at_s(now_s)
            nexts += [wake_at_s] if wake_at_s < inf else []
            if not nexts:
                return
            now_s = min(nexts)

    def _html(self, now_s: float, html_s: list[float]) -> list[tuple[float, Batch[Item] | None]]:
        if not html_s or self.budget.html_at_s(now_s) > now_s:
            self.without += 1
            if html_s:
                self.budget.keep_for_html(now_s)
            return []
        self.budget.start(now_s, html=True)
        end_s = now_s + html_s[len(self.requests) % len(html_s)]
        self.requests.append((now_s, end_s, True))
        return [(end_s, None)]

    @property
    def html(self) -> int:
        return sum(is_html for _, _, is_html in self.requests)


def most_in_a_minute(seen_s: list[float]) -> int:
    seen_s = sorted(seen_s)
    most = first = 0
    for last, at_s in enumerate(seen_s):
        while at_s - seen_s[first] >= WINDOW_S - 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(
    st.lists(st.tuples(st.floats(0, 200, allow_subnormal=False), st.integers(0, 6)), max_size=120).map(
        sorted
    ),
    st.lists(st.floats(0.001, 20), min_size=1, max_size=5),
    st.lists(st.floats(0.001, 15), min_size=1, max_size=5),
    st.integers(1, 60),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_no_minute_holds_more_than_the_budget_nor_more_html_than_its_share(  # noqa: PLR0917 - what Hypothesis draws
    arrivals: list[tuple[float, int]],
    latencies: list[float],
    html_s: list[float],
    per_minute: int,
    concurrency: int,
    part: float,
    seen: list[float],
) -> None:
    """Wherever between its start and its end each request reached the wiki: of both together, and of HTML
    alone; of what flies at once the same.
    """
    world = World(Budget(per_minute, concurrency, part), 5)
    world.run(arrivals, latencies, html_s)
    reached_s = [
        (start_s + (end_s - start_s) * seen[number % len(seen)], is_html)
        for number, (start_s, end_s, is_html) in enumerate(world.requests)
    ]
    of_html = max(1, int(per_minute * part)) if part else 0
    assert most_in_a_minute([at_s for at_s, _ in reached_s]) <= per_minute
    assert most_in_a_minute([at_s for at_s, is_html in reached_s if is_html]) <= of_html
    for at_s, _, _ in world.requests:
        flying = [is_html for start_s, end_s, is_html in world.requests if start_s <= at_s < end_s]
        assert len(flying) <= concurrency
        assert sum(flying) <= (max(1, int(concurrency * part)) if part else 0)
    assert len(world.waited_s) == len(arrivals), "an edit has to come out, with HTML or without"
    assert world.html + world.without == len(arrivals)


def invented(rng: random.Random, per_s: float, for_s: float) -> list[tuple[float, int]]:
    """Edits of 73 wikis, a few of which have most."""
    return sorted((rng.uniform(0, for_s), int(72 * rng.random() ** 3)) for _ in range(int(for_s * per_s)))


@pytest.mark.parametrize("per_s", [0.5, 2.0, 19.0])
def test_edits_wait_no_longer_than_for_a_share(rng: random.Random, per_s: float) -> None:
    """Five minutes at 200 a minute and three at once, half a second each; HTML of all of them is wanted and
    takes 0.6 s, at times 15 s. Some of it is had, also where the edits could use all of the budget.
    """
    arrivals = invented(rng, per_s, 300.0)
    html_s = [min(15.0, max(0.3, rng.lognormvariate(-0.5, 0.6))) for _ in range(997)] + [15.0] * 3
    waited: list[list[float]] = []
    for wanted in ([], html_s):
        world = World(Budget(200, 3), 50)
        world.run(arrivals, [0.5], wanted)
        waited.append(sorted(world.waited_s))
        assert bool(world.html) == bool(wanted)
        minutes = most_in_a_minute([at_s for at_s, _, is_html in world.requests if is_html])
        assert minutes <= 50
        assert not wanted or world.html > min(0.2 * len(arrivals), 5 * 20), "it has its place"
    without, beside = waited
    for share in (0.5, 0.99):
        at = int(len(without) * share)
        assert beside[at] <= 1.35 * without[at] + 0.6, (share, without[at], beside[at])
