"""What a keeper grants to whom, and what a process does with its permits."""

from collections.abc import Sequence
from math import inf

import msgspec
import pytest

from streamer.origin.budget import Budget
from streamer.origin.keeper import DEAD_S, SLACK_S, Keeper
from streamer.origin.permits import (
    ASK_GAP_S,
    BEAT_S,
    PERMIT_S,
    STALE_S,
    Ask,
    Done,
    Leaves,
    Permit,
    Purse,
    Refused,
    Succeeds,
    Want,
    decode,
)
from streamer.origin.turns import BEHIND, LATE_S, LIVE, REPLAY, TURN_EVERY

TIMEOUT_S = 30.0


class Log:
    """A keeper, and the offsets of what it writes."""

    def __init__(self, per_minute: int = 6000, concurrency: int = 100) -> None:
        self.keeper = Keeper(Budget(per_minute, concurrency), TIMEOUT_S)
        self.keeper.begin(-600.0)
        self.end = 0
        self.number = 0

    def ask(self, worker: str, wants: Sequence[Want], now_s: float, *, seen: int = -1, html: int = 0) -> None:
        self.number += 1
        self.end += 1
        self.keeper.read(Ask(worker, self.number, seen, TIMEOUT_S, tuple(wants), html), now_s)

    def grant(self, now_s: float) -> list[tuple[int, Permit | Done]]:
        """With the offset of each."""
        granted = self.keeper.grant(now_s)
        offsets = list(range(self.end, self.end + len(granted)))
        self.end += len(granted)
        self.keeper.written(offsets, now_s)
        return list(zip(offsets, granted, strict=True))

    def workers(self, now_s: float) -> list[str]:
        return [permit.worker for _, permit in self.grant(now_s) if isinstance(permit, Permit)]


def want(priority: int = LIVE, waited_s: float = 1.0, items: int = 1, age_s: float = 1.0) -> Want:
    return Want(priority, waited_s, items, age_s)


@pytest.mark.parametrize(("age_s", "turns"), [(1.0, 0), (LATE_S, 4)])
def test_who_waits_most_gets_the_next_permit_and_each_has_its_turn(age_s: float, turns: int) -> None:
    """One of a small backlog beside one of a large: within TURN_EVERY permits once it is late."""
    log = Log(per_minute=60_000, concurrency=1)
    served: list[str] = []
    for number in range(4 * TURN_EVERY):
        now_s = number / 100
        log.ask("large", [want(waited_s=1_000.0)] * 9, now_s, seen=log.end)
        log.ask("small", [want(waited_s=age_s, age_s=age_s)], now_s, seen=log.end)
        [(offset, permit)] = log.grant(now_s)
        assert isinstance(permit, Permit)
        served.append(permit.worker)
        log.keeper.read(Done(offset), now_s)
    assert served.count("small") == turns


def test_classes_go_first_whoever_has_them() -> None:
    """A live batch of one goes before a heavy replay of another, and that before what is listed."""
    log = Log(concurrency=1)
    log.ask("a", [want(REPLAY, 900.0, 50, 20.0)], 0.0)
    log.ask("b", [want(BEHIND, 9_000.0, 50, 20.0)], 0.0)
    log.ask("c", [want(LIVE)], 0.0)
    order = []
    for now_s in (0.0, 1.0, 2.0):
        [(offset, permit)] = log.grant(now_s)
        assert isinstance(permit, Permit)
        order.append(permit.worker)
        log.keeper.read(Done(offset), now_s + 0.5)
    assert order == ["c", "a", "b"]


def test_what_was_granted_and_not_yet_seen_is_not_granted_again() -> None:
    """An ask that crossed its permit asks for the rest alone."""
    log = Log()
    log.ask("a", [want(), want()], 0.0)
    granted = log.grant(0.0)
    assert len(granted) == 2
    log.ask("a", [want(), want(), want()], 0.1)
    assert len(log.grant(0.1)) == 1
    log.ask("a", [want()], 0.2, seen=log.end)
    assert len(log.grant(0.2)) == 1


def test_nobody_asks_for_the_dead() -> None:
    """What was asked STALE_S ago, and not again, is forgotten; so is what one wanted whose place is taken."""
    log = Log(concurrency=1)
    log.ask("a", [want(), want()], 0.0)
    [(offset, _)] = log.grant(0.0)
    log.keeper.read(Done(offset), STALE_S)
    assert log.grant(STALE_S) == []
    log.ask("a", [want()] * 3, 10.0, seen=log.end)
    assert len(log.grant(10.0)) == 1
    assert log.grant(10.1) == []
    log.keeper.read(Succeeds("b", "a"), 10.2)
    assert log.grant(10.2) == []
    assert "a" not in log.keeper._beyond
    log.ask("b", [want()], 10.3)
    assert log.grant(10.3) == [], "what the dead one sent may be seen yet"
    log.ask("b", [want()], 10.2 + DEAD_S)
    assert log.workers(10.2 + DEAD_S) == ["b"]


def test_who_has_left_gets_nothing_and_holds_nothing() -> None:
    """What it wanted is forgotten; what it has not seen is free at once, also what was being written."""
    log = Log(concurrency=2)
    log.ask("a", [want()] * 3, 0.0)
    (first, _), (second, _) = log.grant(0.0)
    assert first < second
    log.keeper.read(Leaves("a", first), 1.0)
    log.keeper.read(Done(first, used=False), 1.0)
    assert log.keeper.budget.in_flight == 0
    assert log.grant(1.0) == [(log.end - 1, Done(second))]
    log.ask("c", [want()], 1.5)
    [permit] = log.keeper.grant(1.5)
    log.keeper.read(Leaves("c", 0), 1.5)
    log.keeper.written([90], 1.6)
    assert log.keeper.wake_at_s(1.6) == 1.6
    assert log.keeper.grant(1.6) == [Done(90)]
    following = Keeper(Budget(200, 2), TIMEOUT_S)
    for offset, each in enumerate((permit, permit, Leaves("c", 0), permit)):
        following.restore(each, offset)
    following.begin(2.0)
    assert following.budget.in_flight == 2
    assert following.grant(2.0) == [Done(3)]
    assert following.grant(2.0 + DEAD_S) == [Done(0)]


def test_a_permit_without_an_end_is_held_until_its_time_and_the_next_keeper_is_told() -> None:
    """PERMIT_S, the time of a request, and a little; then it counts for another minute."""
    log = Log(concurrency=1)
    log.ask("a", [want()], 0.0)
    [(offset, _)] = log.grant(0.0)
    over_s = PERMIT_S + TIMEOUT_S + SLACK_S
    assert log.keeper.wake_at_s(1.0) == over_s
    log.ask("b", [want()], over_s - 0.1)
    assert log.grant(over_s - 0.1) == []
    granted = [each for _, each in log.grant(over_s)]
    assert Done(offset) in granted
    assert [each.worker for each in granted if isinstance(each, Permit)] == ["b"]
    assert log.keeper.budget.in_use(over_s + 59.0) == 2


def test_the_next_keeper_counts_what_is_out_and_pays_for_the_life_before() -> None:
    """What has ended or was given back is none of it; what is out holds its slot until it ends."""
    log = Log(200, concurrency=3)
    log.ask("a", [want()] * 3, 0.0)
    said = [*log.grant(0.0), (90, Done(1)), (91, Done(2, used=False))]
    following = Keeper(Budget(200, 3), TIMEOUT_S)
    for offset, each in said:
        following.restore(each, offset)
    following.begin(50.0)
    assert following.budget.in_flight == 1
    assert 53 < following.budget.free_at_s(50.0) < 56
    following.read(Done(3), 51.0)
    assert following.budget.in_flight == 0
    assert following.budget.in_use(51.0) == 1


def test_a_keeper_pays_for_a_life_before_it_that_left_no_trace() -> None:
    """A topic that is empty may have been made anew a second ago."""
    keeper = Keeper(Budget(200, 3), TIMEOUT_S)
    keeper.begin(0.0)
    keeper.read(Ask("a", 1, -1, TIMEOUT_S, (want(),)), 0.0)
    assert keeper.grant(0.0) == []
    assert 3 < keeper.wake_at_s(0.0) < 6


@pytest.mark.parametrize(
    ("of", "ago_s", "waits_s"),
    [((200, 3), 5.0, 60.0), ((20, 9), 5.0, 60.0), ((200, 3), 600.0, 21.0), ((20, 3), 5.0, 21.0)],
)
def test_the_minute_of_a_larger_budget_has_to_be_over(
    of: tuple[int, int], ago_s: float, waits_s: float
) -> None:
    """What the one before granted is known by its permits: after a cut it may hold more than this minute."""
    following = Keeper(Budget(20, 3), TIMEOUT_S)
    following.restore(Permit("a", 1, of=of), 0, ago_s)
    following.restore(Done(0), 1, ago_s)
    following.begin(0.0)
    assert following.budget.free_at_s(0.0) == waits_s
    [permit] = _granted(following, waits_s)
    assert permit.of == (20, 3)


def test_a_cut_soon_after_the_keeper_has_changed_waits_for_the_minute_too() -> None:
    """Nobody knows how much of the larger budget the one before has used in it."""
    following = Keeper(Budget(200, 3), TIMEOUT_S)
    following.begin(0.0)
    following.budget.change(20, 3, 30.0)
    assert following.budget.free_at_s(30.0) == 60.0
    following.budget.change(10, 3, 70.0)
    assert following.budget.free_at_s(70.0) < 90.0


def test_the_next_keeper_knows_of_refusals() -> None:
    """Their rest goes on from when they were said, and so does the halved rate."""
    refused = [Refused("en.wikipedia.org", 300.0), Refused("de.wikipedia.org", 300.0)]
    following = Keeper(Budget(200, 3), TIMEOUT_S)
    for offset, each in enumerate(refused):
        following.restore(each, offset, 20.0 - offset)
    following.begin(1_000.0)
    assert 100 <= following.budget.eased(1_000.0) < 110
    following.read(Ask("a", 1, 5, TIMEOUT_S, (want(),)), 1_010.0)
    assert following.grant(1_010.0) == []
    assert following.wake_at_s(1_010.0) == 1_000.0 - 19.0 + 300.0
    long_ago = Keeper(Budget(200, 3), TIMEOUT_S)
    for offset, each in enumerate(refused):
        long_ago.restore(each, offset, 1_000.0)
    long_ago.begin(1_000.0)
    assert len(_granted(long_ago, 1_010.0)) == 1
    assert long_ago.budget.eased(1_010.0) == 200


def _granted(keeper: Keeper, now_s: float) -> list[Permit]:
    keeper.read(Ask("a", 1, 5, TIMEOUT_S, (want(),)), now_s)
    return [each for each in keeper.grant(now_s) if isinstance(each, Permit)]


def test_html_is_granted_at_once_or_not_at_all() -> None:
    """Within its part: the second comes too early, and nobody waits for it."""
    log = Log(per_minute=60, concurrency=8)
    log.ask("a", [], 0.0, html=2)
    granted = [each for _, each in log.grant(0.0)]
    assert [each.html for each in granted if isinstance(each, Permit)] == [True]
    assert log.grant(30.0) == []
    log.ask("a", [], 30.0, seen=log.end, html=1)
    assert len(log.grant(30.0)) == 1


def test_refusals_seen_by_two_processes_rest_all_and_halve_the_rate() -> None:
    """One host's is that host's; a second's is ours."""
    log = Log(per_minute=100)
    log.keeper.read(Refused("en.wikipedia.org", 10.0), 0.0)
    log.ask("a", [want()], 0.0)
    assert log.workers(0.0) == ["a"]
    assert log.keeper.budget.eased(0.0) == 100
    log.keeper.read(Refused("de.wikipedia.org", 10.0), 1.0)
    assert log.keeper.budget.eased(1.0) == 50
    log.ask("a", [want()], 1.0, seen=log.end)
    assert log.grant(1.0) == []
    assert log.keeper.wake_at_s(1.0) == 11.0
    log.ask("a", [want()], 11.0, seen=log.end)
    assert log.workers(11.0) == ["a"]


@pytest.mark.parametrize(
    ("others", "seen_s", "eased"),
    [
        ((), 0.0, 50),
        (("wiki.example.org",), 0.0, 50),
        (("wiki.example.org", ""), 0.0, 100),
        (("en.wikipedia.org",), 0.0, 100),
        (("en.wikipedia.org",), -60.0, 50),
    ],
)
def test_a_host_speaks_for_all_where_no_process_asks_another(
    others: tuple[str, ...], seen_s: float, eased: int
) -> None:
    """As each has said in the last minute, "" where it can't tell; the next keeper knows of that too."""
    asked = [
        Ask(f"w{number}", 1, -1, TIMEOUT_S, (want(),), only_host=host) for number, host in enumerate(others)
    ]
    refused = Refused("wiki.example.org", 10.0, alone=True)
    log = Log(per_minute=100)
    following = Keeper(Budget(100, 100), TIMEOUT_S)
    for offset, each in enumerate(asked):
        log.keeper.read(each, seen_s)
        following.restore(each, offset, 1.0 - seen_s)
    log.keeper.read(refused, 0.0)
    assert log.keeper.budget.eased(0.0) == eased
    following.begin(1.0)
    following.read(refused, 1.0)
    assert following.budget.eased(1.0) == eased


# ── a process ──────────────────────────────────────────────────────────────────────────────────


def purse(*wants: Want) -> Purse:
    made = Purse("me", TIMEOUT_S)
    made.wants = lambda _: wants
    return made


def asks(made: Purse, now_s: float) -> Ask | None:
    return next((each for each in made.say(now_s) if isinstance(each, Ask)), None)


def test_what_waits_is_said_once_and_then_again_each_beat() -> None:
    """More than was said is said soon; nothing where nothing waits."""
    assert purse().say(0.0) == []
    assert purse().say_at_s(0.0) == inf
    made = purse(want())
    assert asks(made, 0.0) is not None
    assert made.say_at_s(0.0) == BEAT_S
    made.wants = lambda _: [want()] * 2
    assert asks(made, 0.0) is None
    assert made.say_at_s(0.0) == ASK_GAP_S
    assert asks(made, ASK_GAP_S) is not None
    assert asks(made, ASK_GAP_S + BEAT_S) is not None


def test_what_waits_is_looked_at_only_where_more_may_be_said() -> None:
    """However often something changes: it takes a look at all of it."""
    looks: list[float] = []

    def wants(now_s: float) -> list[Want]:
        looks.append(now_s)
        return [want()] * (1 if now_s < 3 * ASK_GAP_S else 2)

    made = purse()
    made.wants = wants
    for number in range(400):
        made.say(number / 2_000)
        made.say_at_s(number / 2_000)
    assert len(looks) <= 5
    assert looks[0] == 0.0
    assert made.read(Permit("me", 1), 1, 0.2) is not None
    assert made.read(Permit("me", 2), 2, 0.2) is not None
    made.say(0.2)
    assert len(looks) <= 6
    assert looks[-1] == 0.2, "all that was said is answered"


def test_the_only_host_is_said_with_what_is_asked() -> None:
    """As it is at that time."""
    made = purse(want())
    made.only_host = lambda now_s: f"at {now_s}"
    ask = asks(made, 7.0)
    assert ask
    assert ask.only_host == "at 7.0"


def test_a_permit_is_used_within_its_time_from_the_ask_it_answers() -> None:
    """By this process's own clock; else it is given back, as are those that nothing is ready for."""
    made = purse(want())
    ask = asks(made, 100.0)
    assert ask
    assert made.free_at_s(100.0) == inf
    assert made.read(Permit("me", ask.number), 7, 101.0) == 1.0
    assert made.read(Permit("another", ask.number), 8, 101.0) is None
    made.start(101.0)
    made.end(102.0)
    assert made.read(Permit("me", ask.number), 9, 104.9) is not None
    assert made.free_at_s(104.9) == 104.9
    assert made.free_at_s(100.0 + PERMIT_S) == inf
    assert made.read(Permit("me", ask.number), 10, 100.0 + PERMIT_S) is None
    assert made.read(Permit("me", 99), 11, 101.0) is None
    said = [each for each in made.say(106.0) if isinstance(each, Done)]
    assert said == [Done(7), Done(9, used=False), Done(10, used=False), Done(11, used=False)]


def test_a_permit_that_the_keeper_here_handed_over_is_not_used_twice() -> None:
    """It is read from the log too: before, after, or when this process has to read anew."""
    made = purse(want())
    ask = asks(made, 0.0)
    assert ask
    permit = Permit("me", ask.number)
    assert made.deliver(permit, 5, 0.1) is not None
    assert made.read(permit, 5, 0.2) is None
    assert made.read(permit, 6, 0.2) is not None
    assert made.deliver(permit, 6, 0.3) is None
    assert made.deliver(permit, 8, 0.3) is not None
    made.skip(7)
    assert made.read(permit, 8, 0.4) is None
    for _ in range(3):
        made.start(0.5)
    assert made.free_at_s(0.5) == inf


def test_of_permits_of_a_topic_that_was_made_anew_nothing_is_said() -> None:
    """Their offsets are those of others now: neither that they are over nor that they were seen, also where
    an append of that failed meanwhile. What flies by them goes on.
    """
    made = purse(*[want()] * 4)
    ask = asks(made, 0.0)
    assert ask
    made.deliver(Permit("me", ask.number), 999, 0.1)
    made.read(Permit("me", ask.number), 999, 0.1)
    for offset in (1_000, 1_001, 1_002):
        made.deliver(Permit("me", ask.number), offset, 0.1)
    made.start(0.1)
    made.start(0.1)
    made.end(0.2)
    failed = made.say(0.2)
    assert failed[0] == Done(999)
    made.start(0.2)
    made.end(0.3)
    made.lost()
    made.unsaid(failed)
    made.skip(-1)
    made.end(0.4)
    assert made.in_flight == 0
    assert made.free_at_s(0.4) == inf
    made.wants = lambda _: [want()] * 5
    [said] = made.say(0.4)
    assert isinstance(said, Ask)
    assert said.seen == -1
    assert made.read(Permit("me", said.number), 1_000, 0.5) is not None
    made.start(0.5)
    made.end(0.6)
    assert made.say(0.6)[0] == Done(1_000)


def test_a_longer_time_limit_is_not_for_permits_that_were_asked_with_the_shorter() -> None:
    """Their keeper would count them for too short a time."""
    made = purse(want())
    ask = asks(made, 0.0)
    assert ask
    made.read(Permit("me", ask.number), 1, 0.1)
    made.take(TIMEOUT_S + 10)
    assert made.free_at_s(0.2) == inf
    assert made.read(Permit("me", ask.number), 2, 0.2) is None
    later = asks(made, BEAT_S)
    assert later
    assert later.timeout_s == TIMEOUT_S + 10


def test_the_last_word_is_that_it_leaves_and_then_what_it_gives_back() -> None:
    """The other way round the keeper would grant it again."""
    made = purse(want(), want())
    ask = asks(made, 0.0)
    assert ask
    made.read(Permit("me", ask.number), 5, 0.1)
    made.deliver(Permit("me", ask.number), 6, 0.1)
    assert made.leave() == [Leaves("me", 6), Done(5, used=False), Done(6, used=False)]
    assert made.free_at_s(0.2) == inf


def test_what_could_not_be_said_is_said_again() -> None:
    """What has ended and what was refused; the rest is asked anew."""
    made = Purse("me", TIMEOUT_S, before="old")
    made.wants = lambda _: [want()]
    made.refused("en.wikipedia.org", 5.0, alone=False)
    said = made.say(0.0)
    made.unsaid(said)
    again = made.say(0.1)
    assert again[:2] == said[:2] == [Succeeds("me", "old"), Refused("en.wikipedia.org", 5.0)]
    assert isinstance(again[2], Ask)


@pytest.mark.parametrize("value", [None, b"", b"{", b"{}", b'{"type":"other"}', b"\xff"])
def test_what_can_not_be_read_is_nobodys(value: bytes | None) -> None:
    """Neither does it end the keeper."""
    assert decode(value) is None
    log = Log()
    log.keeper.read(decode(value), 0.0)
    assert log.grant(0.0) == []


def test_all_that_is_said_can_be_read() -> None:
    """As it was written."""
    for said in (
        Ask("a", 1, 2, 3.0, (want(),), 1),
        Permit("a", 1, html=True, timeout_s=3.0),
        Done(5, used=False),
        Refused("h", 1.0, alone=True),
        Succeeds("a", "b"),
        Leaves("a", 7),
    ):
        assert decode(msgspec.json.encode(said)) == said
