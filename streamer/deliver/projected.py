"""Frames as a request's `fields` want them: each made once for all live connections that ask the same."""

from collections import OrderedDict
from typing import Final

from streamer.deliver.encode import Frame
from streamer.projection import Projection

KEPT_BYTES: Final = 1_048_576
"""A feed's. Live connections come for a frame within milliseconds; who comes later has it made again."""


class Projected:
    """The newest ones of a feed."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._made: OrderedDict[tuple[Projection, bytes], Frame] = OrderedDict()
        """By the bytes that they were made from: a frame that lost its comment meanwhile is another one."""

    def of(self, frame: Frame, projection: Projection) -> Frame:
        key = projection, frame.sse
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = project(frame, projection)
            self._bytes += len(frame.sse) + len(made.sse)
            while self._bytes > self._kept_bytes and len(self._made) > 1:
                (_, before), dropped = self._made.popitem(last=False)
                self._bytes -= len(before) + len(dropped.sse)
        return made


def project(frame: Frame, projection: Projection) -> Frame:
    """The same event with other data."""
    data = projection.apply(frame.data())
    return frame.carrying(data)
