"""A batch of frames as the channels of its feed want them: each form is made once, whoever shares it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from streamer.deliver.encode import Frame
from streamer.deliver.filters import Filters
from streamer.deliver.gzipped import Block, block
from streamer.deliver.wanted import Wanted
from streamer.metrics import ERRORS
from streamer.projection import Projection

JOINED_BYTES: Final = 16_384
"""Smaller frames of a batch share a chunk, and a block of gzip, up to this."""


@dataclass(slots=True)
class Part:
    """What goes out as one. `data` before gzip; `block` where it is packed."""

    frames: list[Frame]
    """As the feed made them, in order: what cut-offs look at."""
    data: bytes
    block: Block | None = None


class Rendering:
    """Of one batch."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames
        self._passing: dict[bytes, list[bool]] = {}
        self._shown: dict[tuple[bytes, int], Frame | None] = {}
        self._blocks: dict[bytes, Block] = {}

    def parts(self, wanted: Wanted) -> list[Part]:
        """In order; none where nothing of the batch is wanted."""
        if len(self.frames) == 1 and wanted.takes_all:
            frame = self.frames[0]
            whole = frame.sse if wanted.format == "sse" else frame.ndjson()
            return [self._part([frame], [whole], wanted)]
        parts: list[Part] = []
        frames: list[Frame] = []
        pieces: list[bytes] = []
        size = 0
        is_sse = wanted.format == "sse"
        for number, shown in self._chosen(wanted):
            piece = shown.sse if is_sse else shown.ndjson()
            frames.append(self.frames[number])
            pieces.append(piece)
            size += len(piece)
            if size >= JOINED_BYTES:
                parts.append(self._part(frames, pieces, wanted))
                frames, pieces, size = [], [], 0
        if frames:
            parts.append(self._part(frames, pieces, wanted))
        return parts

    def _part(self, frames: list[Frame], pieces: list[bytes], wanted: Wanted) -> Part:
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if wanted.encoding != "gzip":
            return Part(frames, data)
        packed = self._blocks.get(data)
        if packed is None:
            packed = self._blocks[data] = block(data)
        return Part(frames, data, packed)

    def _chosen(self, wanted: Wanted) -> list[tuple[int, Frame]]:
        chosen: list[tuple[int, Frame]] = []
        passing = self._verdicts(wanted.filters) if wanted.filters is not None else None
        for number, frame in enumerate(self.frames):
            if frame.partition not in wanted.partitions or (passing is not None and not passing[number]):
                continue
            shown = frame if wanted.projection is None else self._projected(number, wanted.projection)
            if shown is not None:
                chosen.append((number, shown))
        return chosen

    def _verdicts(self, filters: Filters) -> list[bool]:
        found = self._passing.get(filters.digest)
        if found is None:
            found = self._passing[filters.digest] = [passes(frame, filters) for frame in self.frames]
        return found

    def _projected(self, number: int, projection: Projection) -> Frame | None:
        key = projection.digest, number
        if key not in self._shown:
            self._shown[key] = project(self.frames[number], projection)
        return self._shown[key]


def passes(frame: Frame, filters: Filters) -> bool:
    try:
        return filters.match(frame.data(), is_delete=frame.is_delete)
    except (msgspec.DecodeError, UnicodeDecodeError):  # it was taken apart before, so far as it can be
        _broken(frame)
        return False


def project(frame: Frame, projection: Projection) -> Frame | None:
    """The same event with other data. None where the data, deeper than a frame's making looks, are no JSON:
    one broken record must not end the streams of all that ask for a part of it.
    """
    try:
        data = projection.apply(frame.data())
    except (msgspec.DecodeError, UnicodeDecodeError):
        _broken(frame)
        return None
    return frame.carrying(data)


def _broken(frame: Frame) -> None:
    if not frame.is_broken:
        ERRORS.labels("deliver", "value_invalid").inc()
    frame.is_broken = True
