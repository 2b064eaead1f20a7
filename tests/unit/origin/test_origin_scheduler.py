"""Who is asked next, and with whom."""

import random
from math import inf

from streamer.origin.breaker import Breakers
from streamer.origin.budget import WINDOW_S, Budget
from streamer.origin.scheduler import COALESCE_S, Item, Lane, Scheduler
from streamer.origin.turns import BEHIND, BEHIND_EVERY, BEHIND_S, REPLAY

EN = Lane("enwiki", "en.wikipedia.org", "revision")
DE = Lane("dewiki", "de.wikipedia.org", "revision")


def scheduler(per_minute: int = 200, concurrency: int = 3, batch: int = 50) -> Scheduler[Item]:
    return Scheduler(Budget(per_minute, concurrency), Breakers(batch, random.Random(0)))


def test_the_longest_waiting_time_goes_first_and_takes_all() -> None:
    """Three that wait 4 s weigh more than one that waits 10."""
    waiting = scheduler()
    waiting.add(EN, Item(1, 0.0))
    for key in (2, 3, 4):
        waiting.add(DE, Item(key, 6.0))
    batch = waiting.next_batch(10.0)
    assert batch is not None
    assert (batch.lane, [item.key for item in batch.items]) == (DE, [2, 3, 4])


def test_what_arrives_together_travels_together() -> None:
    """A lone item waits some milliseconds for company; a full batch does not."""
    waiting = scheduler(batch=2)
    waiting.add(EN, Item(1, 5.0))
    assert waiting.next_batch(5.0) is None
    assert waiting.wake_at_s(5.0) == 5.0 + COALESCE_S
    waiting.add(EN, Item(2, 5.0))
    batch = waiting.next_batch(5.0)
    assert batch is not None
    assert len(batch.items) == 2


def test_what_comes_back_goes_first_and_joins_its_twin() -> None:
    """A thing that is put back while it was asked for again stays one thing, with the older age."""
    waiting = scheduler()
    old, twin, other = Item(1, 0.0), Item(1, 3.0), Item(2, 1.0)
    waiting.add(EN, other)
    waiting.add(EN, twin)
    waiting.put_back(EN, [old])
    assert waiting.items(EN) == [old, other]
    assert old.since_s == 0.0


def test_the_rest_of_lists_is_no_backlog_and_goes_alone() -> None:
    """Its articles are here. It waits for no company, and none of its kind rides along."""
    waiting = scheduler()
    lists = EN._replace(by="lists")
    waiting.put_back(lists, [Item("a", 0.0, most=1, weight=2), Item("b", 0.0, most=1, weight=30)])
    assert waiting.backlog_s(100.0) == 0.0
    waiting.add(DE, Item(1, 94.0))
    assert waiting.backlog_s(100.0) == 6.0
    assert [(want.items, want.waited_s) for want in waiting.wants(100.0, 3)] == [
        (30, 3_000.0),
        (2, 200.0),
        (1, 6.0),
    ]
    taken = [waiting.next_batch(100.0) for _ in range(3)]
    assert [len(batch.items) for batch in taken if batch] == [1, 1, 1]


def test_small_company_is_kept() -> None:
    """An item that may be in a batch of two at most isn't taken into a larger one."""
    waiting = scheduler()
    waiting.add(EN, Item(1, 0.0))
    waiting.add(EN, Item(2, 0.0, most=2))
    waiting.add(EN, Item(3, 0.0))
    first, second = waiting.next_batch(1.0), waiting.next_batch(1.0)
    assert first is not None
    assert second is not None
    assert [[item.key for item in batch.items] for batch in (first, second)] == [[1, 3], [2]]


def test_a_dropped_item_is_not_asked() -> None:
    """Whoever gave up costs nothing."""
    waiting = scheduler()
    item = Item(1, 0.0)
    waiting.add(EN, item)
    waiting.drop(EN, item)
    assert waiting.next_batch(1.0) is None
    assert not waiting.lanes()


def test_a_request_counts_until_a_minute_after_its_end() -> None:
    """The wiki may have counted it at its very end."""
    budget = Budget(1, 1)
    budget.start(0.0)
    assert budget.free_at_s(100.0) == float("inf")
    budget.end(30.0)
    assert budget.free_at_s(31.0) == 30.0 + WINDOW_S
    assert budget.free_at_s(90.0) == 90.0
    assert budget.in_use(90.0) == 0


def test_a_failing_host_is_asked_alone_and_ever_less() -> None:
    """After a failure one request at a time, after a pause that doubles up to a minute; others go on."""
    breakers = Breakers(50, random.Random(0))
    pauses = []
    now_s = 0.0
    for _ in range(12):
        breakers.failed(EN.server_name, now_s, None)
        pauses.append(breakers.open_at_s(EN, now_s) - now_s)
        now_s += 100.0
    assert pauses[0] <= 1.0
    assert 30.0 <= max(pauses) <= 60.0
    assert breakers.open_at_s(DE, now_s) == now_s
    breakers.started(EN.server_name, now_s)
    assert breakers.open_at_s(EN, now_s) == float("inf")
    breakers.ended(EN.server_name)
    breakers.answered(EN.server_name)
    assert breakers.open_count == 0


def test_two_hosts_that_refuse_mean_us() -> None:
    """One "too many requests" rests that host; a second host's rests all."""
    breakers = Breakers(50, random.Random(0))
    fr = Lane("frwiki", "fr.wikipedia.org", "revision")
    breakers.limited(EN.server_name, 0.0, 30.0)
    assert breakers.open_at_s(EN, 1.0) == 30.0
    assert breakers.open_at_s(fr, 1.0) == 1.0
    breakers.limited(DE.server_name, 1.0, 25.0)
    assert breakers.open_at_s(fr, 2.0) == 25.0


def test_who_has_asked_one_host_alone_for_a_minute_asks_no_other() -> None:
    """A process that has just started, or was asked for another's page a moment ago, can't tell."""
    breakers = Breakers(50, random.Random(0))
    assert breakers.only_host(0.0) == ""
    for now_s in (0.0, 30.0, 59.0):
        breakers.started(EN.server_name, now_s)
        assert breakers.only_host(now_s) == ""
    assert breakers.only_host(60.0) == EN.server_name
    breakers.started(DE.server_name, 70.0)
    breakers.started(EN.server_name, 71.0)
    assert breakers.only_host(130.0) == ""
    assert breakers.only_host(131.0) == EN.server_name


def test_invented_hosts_do_not_fill_the_memory() -> None:
    """Names come from events; what is remembered of them is bounded."""
    breakers = Breakers(50, random.Random(0))
    for number in range(10_000):
        breakers.failed(f"x{number}.wikipedia.org", float(number), None)
    assert breakers.open_count <= 4096
    assert len(breakers._hosts) <= 4096


LISTED = Lane("enwiki", "en.wikipedia.org", "listing", BEHIND)


def test_what_is_behind_goes_when_nothing_live_is_ready() -> None:
    """However long it has waited: an edit that came this instant goes before it. One of it a request."""
    waiting = scheduler()
    waiting.add(LISTED, Item("a", 0.0))
    waiting.add(LISTED, Item("b", 0.0))
    waiting.add(DE, Item(1, 50.0))
    taken = [waiting.next_batch(now_s) for now_s in (50.1, 51.1, 52.1)]
    assert [batch and (batch.lane.by, len(batch.items)) for batch in taken] == [
        ("revision", 1),
        ("listing", 1),
        None,
    ]
    assert waiting.wake_at_s(52.1) == inf, "until one of the two ends: a slot stays free"
    waiting.budget.end(52.2)
    assert waiting.next_batch(52.2) is not None


def test_what_is_behind_leaves_a_burst_and_a_quarter_of_the_minute() -> None:
    """Of 200 a minute it takes 150 at the most, each when the whole burst is there; what comes then finds the
    burst.
    """
    waiting = scheduler(concurrency=10)
    now_s, taken = 0.0, 0
    while now_s < 60.0:
        if not waiting.items(LISTED):
            waiting.add(LISTED, Item(now_s, now_s - 1))
        if waiting.next_batch(now_s) is None:
            wake_s = waiting.wake_at_s(now_s)
            assert wake_s > now_s, "it would spin"
            now_s = wake_s
            continue
        taken += 1
        waiting.budget.end(now_s)
    assert taken == 150
    for number in range(10):
        waiting.add(Lane(f"w{number}", "h", "revision"), Item(1, now_s - 1))
        batch = waiting.next_batch(now_s)
        assert batch is not None
        assert batch.lane.by == "revision"


def test_what_is_behind_is_not_kept_for_ever() -> None:
    """Where live work uses up the budget, one request in BEHIND_EVERY is for what has waited a minute."""
    waiting = scheduler(per_minute=60_000, concurrency=1_000)
    waiting.add(LISTED, Item("a", 0.0))
    taken: list[str] = []
    for number in range(3 * BEHIND_EVERY):
        now_s = number / 1_000 + (BEHIND_S / 2 if number < BEHIND_EVERY else 2 * BEHIND_S)
        waiting.add(DE, Item(number, now_s - 1))
        batch = waiting.next_batch(now_s)
        assert batch is not None
        waiting.budget.end(now_s)
        taken.append(batch.lane.by)
        if batch.lane.by == "listing":
            waiting.add(LISTED, Item("b", 0.0))
    assert [number + 1 for number, by in enumerate(taken) if by == "listing"] == [
        2 * BEHIND_EVERY,
        3 * BEHIND_EVERY,
    ]


def test_replays_go_behind_live_work_and_before_what_is_listed() -> None:
    """Whatever has waited longest; and a class that others always keep out is served now and then."""
    waiting = scheduler(per_minute=60_000, concurrency=1_000)
    replayed = Lane("enwiki", "en.wikipedia.org", "page", REPLAY)
    waiting.add(DE, Item(0, 9.0))
    waiting.add(replayed, Item("r", 5.0))
    waiting.add(LISTED, Item("l", 0.0))
    order = [batch.lane for now_s in (10.0, 11.0, 12.0) if (batch := waiting.next_batch(now_s))]
    assert order == [DE, replayed, LISTED]
    served = []
    for number in range(4 * BEHIND_EVERY):
        now_s = 100.0 + number / 1_000
        for lane in (DE, replayed, LISTED):
            if not waiting.items(lane):
                waiting.add(lane, Item("x", 0.0))
        batch = waiting.next_batch(now_s)
        assert batch is not None
        waiting.budget.end(now_s)
        served.append(batch.lane)
    assert [served.count(lane) for lane in (replayed, LISTED)] == [4, 4]
