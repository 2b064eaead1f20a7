"""Frames as a request's `fields` want them: each made once for all live connections that ask the same."""

from typing import Final

from streamer.deliver.encode import Frame
from streamer.deliver.kept import Kept
from streamer.projection import Projection

KEPT_BYTES: Final = 1_048_576
"""A feed's."""


class Projected:
    """The newest ones of a feed."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self.kept: Kept[tuple[Projection, int], Frame] = Kept(kept_bytes, lambda frame: len(frame.sse))
        """By serial: a frame that lost its comment meanwhile is another one."""

    def of(self, frame: Frame, projection: Projection) -> Frame:
        return self.kept.of((projection, frame.serial), lambda: project(frame, projection))


def project(frame: Frame, projection: Projection) -> Frame:
    """The same event with other data."""
    data = projection.apply(frame.data())
    return frame.carrying(data)
