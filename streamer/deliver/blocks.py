"""Frames as gzip blocks: each made once for all live connections of one format."""

from typing import Final

from streamer.deliver.encode import Frame
from streamer.deliver.gzipped import Block, block
from streamer.deliver.kept import Kept

KEPT_BYTES: Final = 2_097_152
"""A feed's: what one read of the feed comes to in both formats, twice."""


class Blocks:
    """The newest ones of a feed."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self.kept: Kept[tuple[int, bool], Block] = Kept(kept_bytes, lambda one: len(one.packed))
        """By serial: a frame that lost its comment meanwhile is another one."""

    def of(self, frame: Frame, *, sse: bool) -> Block:
        return self.kept.of((frame.serial, sse), lambda: block(frame.sse if sse else frame.ndjson()))
