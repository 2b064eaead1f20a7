"""The retained windows: the newest frames of each feed, for readers that are a little behind.

A window is an array that loses its beginning: a reader holds an index, and is overtaken once the frame
at its index is gone. All windows of a process share one budget of bytes, so that memory is the
configuration's business and not the clients'; where it is short, the largest window gives first.
"""

from collections import deque
from typing import Final

from streamer.cutoffs import Cutoffs
from streamer.deliver.encode import Frame, hidden_in, strip
from streamer.metrics import DELIVER_RETAINED_BYTES

FRAME_OVERHEAD_BYTES: Final = 600
"""What Python keeps of a frame beside its bytes (measured with tracemalloc, rounded up)."""


class Window:
    """Frames `first` up to but not including `end`. The newest one is always kept."""

    def __init__(self) -> None:
        self.first = 0
        self.end = 0
        self.bytes = 0
        self._frames: dict[int, Frame] = {}
        self._by_page: dict[str, deque[int]] = {}

    def __len__(self) -> int:
        return self.end - self.first

    def __getitem__(self, index: int) -> Frame:
        return self._frames[index]

    def append(self, frame: Frame) -> None:
        self._frames[self.end] = frame
        self._by_page.setdefault(_page(frame.key), deque()).append(self.end)
        self.end += 1
        self.bytes += _cost(frame)

    def evict(self) -> None:
        frame = self._frames.pop(self.first)
        page = _page(frame.key)
        indices = self._by_page[page]
        indices.popleft()
        if not indices:
            del self._by_page[page]
        self.first += 1
        self.bytes -= _cost(frame)

    def withdraw(self, key: str, cutoffs: Cutoffs) -> None:
        """Judges the retained frames of a page anew, after a cut-off with this key arrived."""
        for index in self._by_page.get(_page(key), ()):
            frame = self._frames[index]
            hidden = hidden_in(frame, cutoffs)
            if hidden - frame.hidden:
                self.bytes -= _cost(frame)
                strip(frame, hidden)
                self.bytes += _cost(frame)


class Budget:
    """The bytes that all windows together may hold."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._windows: list[Window] = []

    def change(self, limit_bytes: int) -> None:
        """In force at once: what is over it goes now."""
        self.limit_bytes = limit_bytes
        self.enforce()

    def add(self, window: Window) -> None:
        self._windows.append(window)

    def remove(self, window: Window) -> None:
        self._windows.remove(window)
        DELIVER_RETAINED_BYTES.set(self.held_bytes())

    def held_bytes(self) -> int:
        return sum(window.bytes for window in self._windows)

    def enforce(self) -> None:
        held = self.held_bytes()
        while held > self.limit_bytes:
            # one frame of 16 MB is not given up, and must not keep the other windows from giving
            giving = (window for window in self._windows if len(window) > 1)
            largest = max(giving, key=lambda window: window.bytes, default=None)
            if largest is None:
                break
            held -= largest.bytes
            largest.evict()
            held += largest.bytes
        DELIVER_RETAINED_BYTES.set(held)


def _cost(frame: Frame) -> int:
    return len(frame.sse) + FRAME_OVERHEAD_BYTES


def _page(key: str) -> str:
    return key.partition("/")[0]
