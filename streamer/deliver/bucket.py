"""A token bucket: so many a second, and what was not used of a while at once."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    """Starts full. `tokens` is of the last call's time; below 0 once more was taken than there was."""

    capacity: float
    rate: float
    """Tokens per second."""
    at_s: float
    """By a monotonic clock."""
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.capacity

    def refill(self, now_s: float) -> float:
        """The tokens there are."""
        self.tokens = min(self.capacity, self.tokens + max(0.0, now_s - self.at_s) * self.rate)
        self.at_s = max(self.at_s, now_s)
        return self.tokens

    def resize(self, capacity: float, rate: float, now_s: float) -> None:
        """Another limit from now on; what was taken before stays taken."""
        taken = self.capacity - self.refill(now_s)
        self.capacity, self.rate = capacity, rate
        self.tokens = capacity - min(taken, capacity)

    def wait_s(self, tokens: float) -> float:
        """Until there are so many (never more than the capacity); 0.0 where there are."""
        return max(0.0, (min(tokens, self.capacity) - self.tokens) / self.rate)
