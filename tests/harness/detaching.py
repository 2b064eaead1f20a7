"""Streams of clients as they leave aiohttp, and the ways in which they don't."""

import asyncio
from typing import Final, Literal

import pytest

from streamer.deliver.detached import Detached
from streamer.deliver.hub import Hub

Way = Literal["detached", "attached", "elsewhere"]
WAYS: Final[tuple[Way, ...]] = ("detached", "attached", "elsewhere")
"""By the hub; by aiohttp, as over TLS in this process; by aiohttp on a system without memfd."""


def goes(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    """All streams, from now on."""
    monkeypatch.setattr("streamer.deliver.articles.CAN_DETACH", way == "detached")
    monkeypatch.setattr("streamer.deliver.framelog.HAS_MEMFD", way != "elsewhere")


class Adopted:
    """All that a hub took over, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.streams: list[Detached] = []
        adopt = Hub.adopt

        def noted(hub: Hub, stream: Detached) -> None:
            self.streams.append(stream)
            adopt(hub, stream)

        monkeypatch.setattr(Hub, "adopt", noted)

    async def reach(self, count: int) -> None:
        """Waits until so many were detached."""
        async with asyncio.timeout(30):
            while len(self.streams) < count:
                await asyncio.sleep(0.005)
