"""Frames as a request's `fields` want them: each made once for all live connections that ask the same."""

from typing import Final

import msgspec

from streamer.deliver.encode import Frame
from streamer.deliver.kept import Kept
from streamer.metrics import ERRORS
from streamer.projection import Projection

KEPT_BYTES: Final = 1_048_576
"""A feed's."""
OVERHEAD_BYTES: Final = 500
"""Of a frame and its place, beside its data."""


class Projected:
    """The newest ones of a feed."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self.kept: Kept[tuple[bytes, int], Frame | None] = Kept(kept_bytes, _size)
        """By serial: a frame that lost its comment meanwhile is another one. By the selection's digest, so
        that nothing of a client is kept.
        """

    def of(self, frame: Frame, projection: Projection) -> Frame | None:
        return self.kept.of((projection.digest, frame.serial), lambda: project(frame, projection))


def project(frame: Frame, projection: Projection) -> Frame | None:
    """The same event with other data. None where the data, deeper than a frame's making looks, are no JSON:
    one broken record must not end the streams of all that ask for a part of it.
    """
    try:
        data = projection.apply(frame.data())
    except (msgspec.DecodeError, UnicodeDecodeError):
        ERRORS.labels("deliver", "value_invalid").inc()
        return None
    return frame.carrying(data)


def _size(frame: Frame | None) -> int:
    return OVERHEAD_BYTES + (len(frame.sse) if frame is not None else 0)
