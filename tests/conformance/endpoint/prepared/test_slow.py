"""A reader that stops costs the others nothing, is cut so that it sees it, and resumes exactly."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamer.config import DeliverSettings
from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.reading import (
    FORMATS,
    Format,
    by_partition,
    positions,
    read,
    streaming,
    together,
)
from tests.conformance.endpoint.service import Prepared

if TYPE_CHECKING:
    from tests.conformance.endpoint.lines import Item

TEXT = "x" * 20_000
ROUNDS = 30
A_ROUND = 10
"""6 MB in all, more than the buffers on the way and twelve times the retained window."""


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_reader_that_stops(prepared: Prepared, fmt: Format) -> None:
    """It falls behind the retained window: a reset inside an event or a `bye: slow`; another reader has had
    every round in the meantime, and the slow one resumes where it was without hole or double.
    """
    settings = DeliverSettings(retained_mb=0.5, heartbeat_s=0.3)
    async with prepared.another_server(settings) as server, asyncio.timeout(60):
        async with (
            streaming(server.endpoint, fmt, receive_buffer=4_096) as slow,
            streaming(server.endpoint, fmt) as fast,
        ):
            await together(slow.beat(), fast.beat())
            everything: list[Item] = []
            had: list[Item] = []
            for number in range(ROUNDS):
                await prepared.write(Varied(number * A_ROUND + n, text=TEXT) for n in range(A_ROUND))
                everything += await fast.articles(A_ROUND, within_s=30)
                if number == 0:
                    had += await slow.articles(A_ROUND)
            had += await slow.end()
        if had[-1].name == "bye":
            assert had[-1].object == {"reason": "slow"}
        else:
            assert slow.torn, "a clean end that says nothing"
        articles = [item for item in had if item.name == "message"]
        assert len(articles) < len(everything)
        position: dict[str, dict[str, str]]
        if fmt == "sse":
            position = {"headers": {"Last-Event-ID": articles[-1].id}}
        else:
            offsets = dict.fromkeys(range(10), 0)
            offsets.update((partition, offset + 1) for partition, offset in (item.place for item in articles))
            position = {"query": {"offsets": positions(offsets)}}
        rest = await read(server.endpoint, len(everything) - len(articles), fmt, **position)
    assert by_partition(articles + rest) == by_partition(everything)
