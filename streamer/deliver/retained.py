"""What all channels of a process may hold together for clients that are a little behind.

A channel loses its beginning: a client stands at a place in it, and is overtaken once that is gone. So memory
is the configuration's business and not the clients'; where it is short, the largest channel gives first.
"""

import heapq
from typing import Final

from streamer.deliver.channel import Channel, Held
from streamer.metrics import DELIVER_RETAINED_BYTES

SLACK: Final = 0.9


class Budget:
    """The bytes that all channels together may hold. The newest entry of each is always kept."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held = Held()
        """By the channels that were added: each tells it what it holds."""
        self._channels: dict[Channel, None] = {}

    def change(self, limit_bytes: int) -> set[Channel]:
        """In force at once: what is over it goes now. Those that gave."""
        self.limit_bytes = limit_bytes
        return self.enforce()

    def add(self, channel: Channel) -> None:
        self._channels[channel] = None
        self.held.bytes += channel.bytes
        channel.held = self.held

    def remove(self, channel: Channel) -> None:
        """For good: once it is closed, and holds nothing."""
        del self._channels[channel]
        DELIVER_RETAINED_BYTES.set(self.held.bytes)

    def enforce(self) -> set[Channel]:
        """Those that gave."""
        gave: set[Channel] = set()
        while self.held.bytes > self.limit_bytes:
            # one frame of 16 MB is not given up, and must not keep the other channels from giving
            giving = (channel for channel in self._channels if len(channel) > 1)
            found = heapq.nlargest(2, giving, key=_bytes)
            if not found:
                break
            # with some slack, so that not each of many that are as large gives one entry in turn
            largest, least = found[0], SLACK * found[-1].bytes if len(found) > 1 else 0
            while len(largest) > 1 and largest.bytes >= least and self.held.bytes > self.limit_bytes:
                largest.evict()
            gave.add(largest)
        DELIVER_RETAINED_BYTES.set(self.held.bytes)
        return gave


def _bytes(channel: Channel) -> int:
    return channel.bytes
