"""Where a stream stands, for who wants to know; streamer.deliver.figures says what each figure means."""

from dataclasses import dataclass

from streamer.deliver.figures import State
from streamer.deliver.negotiate import Encoding
from streamer.deliver.request import Format


@dataclass(frozen=True, slots=True)
class Standing:
    """As it was when it was asked."""

    format: Format
    encoding: Encoding
    since_ms: int
    position: str
    ends: tuple[int, ...]
    """What the feed has read to, per partition."""
    partitions: frozenset[int]
    lag_s: float | None
    state: State
