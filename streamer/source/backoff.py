"""How long to wait before the next attempt: decorrelated jitter, so that clients cut together do not
come back together.
"""

from random import Random
from typing import Final

CAP_S: Final = 60.0
REFUSED_CAP_S: Final = 300.0
"""After a 4xx nothing gets better by itself, except a quota."""
REFUSED_BASE_S: Final = 15.0


class Backoff:
    def __init__(self, *, base_s: float = 1.0, random: Random | None = None) -> None:
        self._base_s = base_s
        self._random = random or Random()  # noqa: S311 - spreads load, keeps no secret
        self._last_s = 0.0

    def suggested(self, retry_ms: int | None) -> None:
        """The server's own `retry:`."""
        if retry_ms is not None:
            self._base_s = min(max(retry_ms / 1_000, 0.01), CAP_S)

    def reset(self) -> None:
        self._last_s = 0.0

    def next_s(self, *, refused: bool = False, retry_after_s: float | None = None) -> float:
        """The first wait after a good connection is short: upstream cuts every 15 minutes."""
        base_s = max(self._base_s, REFUSED_BASE_S) if refused else self._base_s
        cap_s = REFUSED_CAP_S if refused else CAP_S
        if self._last_s == 0 and not refused:
            wait_s = self._random.uniform(base_s / 10, base_s)
        else:
            wait_s = min(cap_s, self._random.uniform(base_s, max(base_s, self._last_s * 3)))
        self._last_s = max(wait_s, base_s)
        if retry_after_s is not None:
            wait_s = max(wait_s, retry_after_s)
        return wait_s
