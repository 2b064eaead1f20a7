"""Figures that are measured in turn: the ratio of each pair, and of these the median and the range.

Machines drift and have other things to do; who is measured right after another one meets about the same
machine, so that a ratio holds where its parts do not.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class AllVoid(Exception):
    """No round counts; the text says what was wrong with each."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Of some figures, in the order in which they were measured."""

    figures: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    def __str__(self) -> str:
        low, high = min(self.figures), max(self.figures)
        return short(self.median) if low == high else f"{short(self.median)} ({short(low)} to {short(high)})"

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"median": self.median}


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Pair by pair. Raises ValueError where there is none, or where one has no partner."""
    if not above:
        raise ValueError("no pair was measured")
    return Spread(tuple(a / b for a, b in zip(above, below, strict=True)))


def short(value: float) -> str:
    """Three digits, as far as they say something: 0.251, 4.13, 17.2, 360."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    return f"{value:.0f}" if magnitude >= 100 else f"{value:.3g}"


def orders(names: Sequence[str], rounds: int) -> Iterator[tuple[str, ...]]:
    """Who is measured when: forth and back, so that a drift hits nobody more than another."""
    for number in range(rounds):
        yield tuple(names) if number % 2 == 0 else tuple(reversed(names))


@dataclass(frozen=True, slots=True)
class Rounds(Generic[T]):
    """`counted`: rounds in which every figure counts, each by name. `void`: of the rest, what was wrong."""

    counted: tuple[Mapping[str, T], ...]
    void: tuple[str, ...] = ()

    def figures(self, name: str, of: Callable[[T], float]) -> list[float]:
        return [of(one[name]) for one in self.counted]


def in_turn(
    measures: Mapping[str, Callable[[], T]],
    rounds: int,
    *,
    void: Callable[[T], str] = lambda _: "",
    spare: int = 2,
) -> Rounds[T]:
    """`rounds` that count; for those that are void up to `spare` more are measured. `void` says why a figure
    does not count, or "". Raises AllVoid.
    """
    counted: list[Mapping[str, T]] = []
    wrong: list[str] = []
    for order in orders(tuple(measures), rounds + spare):
        one = {name: measures[name]() for name in order}
        problems = [f"{name}: {problem}" for name, figure in one.items() if (problem := void(figure))]
        wrong += problems
        if not problems:
            counted.append(one)
        if len(counted) == rounds:
            break
    if not counted:
        raise AllVoid("; ".join(wrong))
    return Rounds(tuple(counted), tuple(wrong))
