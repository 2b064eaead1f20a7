"""What following recent changes costs in requests and in waiting, simulated in simulated time."""

import json
import random
from math import inf
from pathlib import Path

import pytest

from streamer.origin.breaker import Breakers
from streamer.origin.budget import Budget
from streamer.origin.scheduler import Batch, Item, Lane, Scheduler


def simulate(
    wikis: list[str], *, edits_per_s: float, requests_per_minute: int, for_s: float = 420.0
) -> tuple[float, float, float]:
    """`wikis`: of each edit of a recorded mix. Three at once, half a second each, every request counted; the
    first two minutes are warm-up. The staleness's median and 99th percentile, and requests per edit.
    """
    rng = random.Random(7)
    scheduler: Scheduler[Item] = Scheduler(Budget(requests_per_minute, 3), Breakers(50, rng))
    flights: list[tuple[float, Batch[Item]]] = []
    stale_s: list[float] = []
    requests = edits = 0
    now_s, next_s = 0.0, 0.0
    while now_s < for_s:
        while next_s <= now_s:
            wiki = rng.choice(wikis)
            scheduler.add(Lane(wiki, wiki, "revision"), Item(edits, next_s))
            edits += 1
            next_s += rng.expovariate(edits_per_s)
        for flight in [flight for flight in flights if flight[0] <= now_s]:
            flights.remove(flight)
            scheduler.budget.end(now_s)
            stale_s += [now_s - item.since_s for item in flight[1].items if item.since_s > 120.0]
        while (batch := scheduler.next_batch(now_s)) is not None:
            requests += 1
            flights.append((now_s + 0.5, batch))
        wake_at_s = scheduler.wake_at_s(now_s)
        now_s = min([next_s, *(end_s for end_s, _ in flights), *([wake_at_s] if wake_at_s < inf else [])])
    stale_s.sort()
    return stale_s[len(stale_s) // 2], stale_s[len(stale_s) * 99 // 100], requests / edits


def test_an_invented_mix_stays_fresh() -> None:
    """73 wikis, a few with most of the edits, 19 a second, 200 requests a minute."""
    mix = [f"w{n}" for n in range(1, 74) for _ in range(1 + int(700 / n**1.4))]
    median_s, p99_s, per_edit = simulate(mix, edits_per_s=19, requests_per_minute=200)
    assert median_s <= 5.0
    assert p99_s <= 22.0
    assert per_edit < 0.19


@pytest.mark.parametrize(
    ("edits_per_s", "requests_per_minute", "p99_most_s"),
    [(19, 200, 22.0), (30, 200, 35.0), (50, 200, 35.0), (19, 100, 60.0)],
)
def test_the_recorded_mix_stays_fresh(
    shared_data: Path, edits_per_s: float, requests_per_minute: int, p99_most_s: float
) -> None:
    """The recording's 73 wikis at live rates, within the budget of an identified client; and with half
    of it.
    """
    mix = []
    for line in (shared_data / "recentchange-2021.sse").read_text().splitlines():
        if line.startswith("data:"):
            event = json.loads(line[5:])
            if event.get("type") in {"edit", "new"}:
                mix.append(event["wiki"])
    median_s, p99_s, _ = simulate(mix, edits_per_s=edits_per_s, requests_per_minute=requests_per_minute)
    assert p99_s <= p99_most_s
    if (edits_per_s, requests_per_minute) == (19, 200):
        assert median_s <= 2.5
