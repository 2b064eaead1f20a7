"""Turns at a partner's bytes per second, by a clock of the test's own."""

import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest

from streamer.clock import Clock
from streamer.deliver.pace import LEAST_WAIT_S, TURN_BYTES, TURNS_PER_S, Pace, Paces

KB = 1_000


class Time:
    """A clock, and the timers that are set by it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.clock = Clock(monotonic_s=lambda: self.now_s)
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> "Timer":
        assert delay_s >= LEAST_WAIT_S
        timer = Timer(call)
        heapq.heappush(self._timers, (self.now_s + delay_s, next(self._order), timer))
        return timer

    def pass_until(self, at_s: float) -> None:
        while self._timers and self._timers[0][0] <= at_s:
            due_s, _, timer = heapq.heappop(self._timers)
            self.now_s = max(self.now_s, due_s)
            if not timer.cancelled:
                timer.call()
        self.now_s = at_s

    @property
    def waiting(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self._timers)


class Timer:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Time]:
    made = Time()
    # in that module alone: loops of other tests may be running in other threads
    monkeypatch.setattr("streamer.deliver.pace.asyncio", SimpleNamespace(get_running_loop=lambda: made))
    yield made
    assert not made.waiting  # a queue that is empty wakes nobody


class Writer:
    """A connection with events of these sizes to write, whenever its turn comes."""

    def __init__(self, pace: Pace, stack: ExitStack, sizes: Callable[[], int]) -> None:
        self.written = 0
        self._pace = pace
        self._stack = stack.enter_context(ExitStack())
        self._sizes = sizes
        self._place = self._stack.enter_context(pace.queued())

    def write(self) -> bool:
        """One turn, if it has come: whole events up to its advance, at least one."""
        if not self._place.granted:
            return False
        wanted, size = self._place.advance, 0
        while size < wanted:
            size += self._sizes()
        self._pace.spend(size, self._place)
        self.written += size
        self._stack.close()
        self._place = self._stack.enter_context(self._pace.queued())
        return True


def run(time: Time, writers: list[Writer], for_s: float) -> None:
    """As the loop does, who was woken first writes first."""
    end_s = time.now_s + for_s
    while time.now_s < end_s:
        time.pass_until(time.now_s + 0.01)
        while writers and writers[0].write():
            writers.append(writers.pop(0))


def test_the_rate_is_kept_and_used(time: Time, rng: random.Random) -> None:
    """Never more than a second's worth and an event of each beyond it, nor less; shared alike by all that
    have as much to say, whatever the rate and the sizes of events.
    """
    for _ in range(10):
        rate, largest = rng.choice([10, 100, 1_000, 10_000]) * KB, rng.choice([1, 20, 300]) * KB
        pace, began_s = Pace(rate, time.clock), time.now_s
        sizes = partial(rng.randrange, 1, largest)
        with ExitStack() as stack:
            writers = [Writer(pace, stack, sizes) for _ in range(rng.randrange(1, 6))]
            run(time, writers, 20.0)
            for_s = time.now_s - began_s
            total = sum(writer.written for writer in writers)
            turn = min(TURN_BYTES, rate // TURNS_PER_S) + largest * len(writers)
            assert rate * for_s - turn <= total <= rate * (for_s + 1) + turn
            for writer in writers:
                assert abs(writer.written - total / len(writers)) <= 6 * turn + total / 20


def test_one_that_has_little_to_say_is_not_starved(time: Time) -> None:
    """Four that catch up, and a live one with an event at times: it waits for a turn of each, no longer."""
    pace = Pace(100 * KB, time.clock)
    with ExitStack() as stack:
        greedy = [Writer(pace, stack, lambda: 2 * KB) for _ in range(4)]
        run(time, greedy, 5.0)
        for _ in range(20):
            with pace.queued() as place:
                began_s = time.now_s
                while not place.granted:
                    run(time, greedy, 0.01)
                assert time.now_s - began_s <= 5 * 15 * KB / (100 * KB)
                pace.spend(KB, place)
            run(time, greedy, 0.3)


def test_an_event_larger_than_all_leaves_a_debt(time: Time) -> None:
    """It goes out whole, then nothing for as long as it is worth; what is said between turns counts too."""
    pace = Pace(10 * KB, time.clock)
    with pace.queued() as place:
        assert place.granted
        pace.spend(100 * KB, place)
    pace.spend(10 * KB)
    with pace.queued() as place:
        time.pass_until(time.now_s + 10.0)
        assert not place.granted
        time.pass_until(time.now_s + 0.2)
        assert place.granted


def test_a_seconds_worth_goes_out_at_once(time: Time) -> None:
    """After a pause of any length; no more than that."""
    pace = Pace(80 * KB, time.clock)
    for pause_s in (0.0, 1.0, 3_600.0):
        time.pass_until(time.now_s + pause_s)
        with ExitStack() as stack:
            turns = [stack.enter_context(pace.queued()) for _ in range(9)]
            assert [turn.granted for turn in turns] == [True] * 8 + [False]
            for turn in turns[:8]:
                pace.spend(10 * KB, turn)


def test_a_turn_that_is_not_used_costs_nothing(time: Time) -> None:
    """Its advance goes back, however often; who leaves the queue is not waited for."""
    pace = Pace(10 * KB, time.clock)
    for _ in range(100):
        with pace.queued() as place:
            assert place.granted
    pace.spend(10 * KB)
    with pace.queued() as first, pace.queued() as second:
        assert not first.granted
        assert not second.granted
        with pace.queued() as third:
            pass
        time.pass_until(time.now_s + 0.25)
        assert first.granted
        assert second.granted
        assert not third.granted


def test_another_limit_is_in_force_for_those_who_wait(time: Time) -> None:
    """Taken away, or set anew; and a partner that comes back finds what it left."""
    paces = Paces(time.clock)
    pace = paces.of("acme", 10)
    pace.spend(100 * KB)
    assert paces.of("acme", 10) is pace
    with pace.queued() as place:
        time.pass_until(time.now_s + 60)
        assert not place.granted
        paces.change({"acme": 0, "globex": 5})
        assert place.granted
        assert place.advance == TURN_BYTES
    paces.change({"acme": 8 * KB})
    with pace.queued() as place:
        assert place.granted
        assert place.advance == KB
    paces.change({})
    assert paces.of("acme", 10) is not pace
