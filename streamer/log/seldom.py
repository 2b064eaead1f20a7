"""What fails in the same way again and again is told seldom; the counters have it all."""

import time
from typing import Final

TELL_EVERY_S: Final = 60.0


class Seldom:
    """Of one thing that may fail."""

    def __init__(self) -> None:
        self._told = ""
        self._told_s = 0.0
        self._untold = 0

    def times(self, code: str) -> int:
        """It failed with `code`. How often it did since that was told last; 0: it is not to be told now."""
        self._untold += 1
        now_s = time.monotonic()
        if code == self._told and now_s - self._told_s < TELL_EVERY_S:
            return 0
        times, self._untold = self._untold, 0
        self._told, self._told_s = code, now_s
        return times
