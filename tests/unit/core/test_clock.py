"""The steady clock."""

from streamer.clock import CATCH_UP, Clock, Steady


class Hands:
    """Both clocks, moved by the test."""

    def __init__(self) -> None:
        self.wall_ms = 1_000_000
        self.passed_s = 5.0
        self.clock = Clock(now_ms=lambda: self.wall_ms, monotonic_s=lambda: self.passed_s)

    def passes(self, ms: int) -> None:
        self.wall_ms += ms
        self.passed_s += ms / 1000


def test_steady_follows_the_wall_clock() -> None:
    """However finely it is asked."""
    hands = Hands()
    steady = Steady(hands.clock)
    for ms in (0, 1, 1, 1, 700, 86_400_000):
        hands.passes(ms)
        assert steady.now_ms() == hands.wall_ms


def test_a_step_forward_is_caught_up_with_slowly() -> None:
    """Of an hour's step a minute later a minute is made good, an hour later all."""
    hands = Hands()
    steady = Steady(hands.clock)
    hands.wall_ms += 3_600_000
    assert steady.now_ms() == 1_000_000
    hands.passes(60_000)
    assert steady.now_ms() == 1_000_000 + CATCH_UP * 60_000
    hands.passes(3_600_000)
    assert steady.now_ms() == hands.wall_ms


def test_a_step_back_is_followed_at_once() -> None:
    """It is never before the wall clock, whatever that did."""
    hands = Hands()
    steady = Steady(hands.clock)
    hands.passes(10_000)
    hands.wall_ms -= 60_000
    assert steady.now_ms() == hands.wall_ms
    hands.passes(1_000)
    assert steady.now_ms() == hands.wall_ms
