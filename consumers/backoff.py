"""How long to wait before the next try: twice as long each time, up to a minute, and never the same for two
readers that were cut together.
"""

import random
from dataclasses import dataclass
from typing import Final

LEAST_S: Final = 0.1
"""A server that says 0 is not asked as fast as a loop turns."""
MOST_S: Final = 60.0
ASKED_MOST_S: Final = 3_600.0
"""Longer than this no server means to send anybody away."""


@dataclass(slots=True)
class Backoff:
    first_s: float = 1.0
    most_s: float = MOST_S
    tries: int = 0
    """Since something last came."""

    def suggested(self, retry_s: float) -> None:
        """By the server: before the first try."""
        self.first_s = min(max(retry_s, LEAST_S), self.most_s)

    def reset(self) -> None:
        self.tries = 0

    def next_s(self, asked_s: float = 0.0) -> float:
        """At least what the server asked for, by `Retry-After`."""
        wait_s = min(self.most_s, self.first_s * 2.0 ** min(self.tries, 16))
        self.tries += 1
        wait_s *= random.uniform(1.0, 1.5)  # noqa: S311 - spreads load, keeps no secret
        return max(wait_s, min(asked_s, ASKED_MOST_S))
