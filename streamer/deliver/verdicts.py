"""Which frames a request's `filters` let pass: judged once for all live connections that ask the same."""

from typing import Final

import msgspec

from streamer.deliver.encode import Frame
from streamer.deliver.filters import Filters
from streamer.deliver.kept import Kept

KEPT: Final = 10_000
"""A feed's; some 200 bytes each."""


class Verdicts:
    """The newest ones of a feed."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept: Kept[tuple[bytes, int], bool] = Kept(kept, lambda _: 1)
        """By the filters' digest, so that nothing of a client is kept, and by serial: a frame that lost its
        comment meanwhile is judged anew, by what is left of it.
        """

    def of(self, frame: Frame, filters: Filters) -> bool:
        return self.kept.of((filters.digest, frame.serial), lambda: passes(frame, filters))


def passes(frame: Frame, filters: Filters) -> bool:
    try:
        return filters.match(frame.data(), is_delete=frame.is_delete)
    except (msgspec.DecodeError, UnicodeDecodeError):  # it was taken apart before, so far as it can be
        return False
