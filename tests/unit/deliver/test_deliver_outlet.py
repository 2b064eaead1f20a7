"""Which frames of an attached client are still leaving, at each chunk that a write hands over."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from streamer.clock import Clock
from streamer.cutoffs import Cutoffs
from streamer.deliver.encode import Frame
from streamer.deliver.gzipped import block
from streamer.deliver.negotiate import Encoding
from streamer.deliver.outlet import CHUNK_BYTES, Outlet
from streamer.deliver.pace import Pace
from streamer.deliver.rendering import Part
from streamer.model import Hideable

SMALL, LARGE, LAST = 20, 2 * CHUNK_BYTES, 100


class Response:
    """aiohttp's, with somebody who looks on once it has a chunk."""

    def __init__(self) -> None:
        self.look: Callable[[], None] = lambda: None

    async def write(self, _data: bytes) -> None:
        self.look()


class Transport:
    """With so many bytes that the kernel has not taken yet."""

    waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting


def apart(frames: Sequence[Frame], *, packed: bool = False) -> list[Part]:
    """Each frame as a part of its own, as a channel has it."""
    return [Part([one], one.sse, block(one.sse) if packed else None) for one in frames]


def together(frames: Sequence[Frame]) -> list[Part]:
    """All in one part, as who catches up in gzip gets them."""
    return [Part(list(frames), b"".join(one.sse for one in frames))]


async def leaving(
    parts: Sequence[Part],
    *,
    waiting: Sequence[int] = (),
    encoding: Encoding = "identity",
    hides: Hideable = "text",
) -> list[set[int]]:
    """The pages of which bytes are still here, at each chunk, and at the end: once for each of `waiting`."""
    response: Any = Response()
    transport: Any = Transport()
    clock = Clock()
    pace = Pace(0, clock)
    outlet = Outlet(
        response,
        transport,
        "sse",
        partner="acme",
        heartbeat_s=15.0,
        clock=clock,
        pace=pace,
        encoding=encoding,
    )
    seen: list[set[int]] = []

    def look() -> None:
        seen.append({page for page in range(1, 5) if outlet.is_leaving(hiding(page, hides))})

    response.look = look
    transport.waiting = waiting[0] if waiting else 0
    await outlet.write(parts, "")
    for transport.waiting in waiting or (0,):
        look()
    return seen


def hiding(page: int, hides: Hideable) -> Cutoffs:
    cutoffs = Cutoffs()
    cutoffs.add(f"enwiki:{page}", 11, (hides,))
    return cutoffs


def frames_of(rng: random.Random, *sizes: int, hidden: frozenset[Hideable] = frozenset()) -> list[Frame]:
    """Pages 1, 2, … of these sizes, which gzip makes no smaller."""
    return [
        Frame(f"enwiki:{page}", 5, 10, 0, 0, b"id: \ndata: " + rng.randbytes(size - 11), 11, hidden)
        for page, size in enumerate(sizes, 1)
    ]


async def test_what_was_handed_over_is_not_recalled(rng: random.Random) -> None:
    """The first frame is out with the first chunk, the others with the last."""
    assert await leaving(apart(frames_of(rng, SMALL, LARGE, LAST))) == [{2, 3}, {2, 3}, set(), set()]
    assert await leaving(apart(frames_of(rng, LARGE, LARGE))) == [{1, 2}, {2}, {2}, set(), set()]


async def test_what_fits_in_a_chunk_is_out_at_once(rng: random.Random) -> None:
    """There is nothing to be recalled of it."""
    assert await leaving(apart(frames_of(rng, SMALL, LAST))) == [set(), set()]


async def test_what_the_kernel_has_not_taken_is_recalled(rng: random.Random) -> None:
    """However small it is: a client that takes nothing would get it minutes later. It is looked at in the
    write, and then as the buffer empties.
    """
    parts = apart(frames_of(rng, SMALL, LAST, LAST))
    whole = SMALL + 2 * LAST
    waiting = (whole, LAST + 1, LAST, 1, 0)
    assert await leaving(parts, waiting=waiting) == [{1, 2, 3}, {1, 2, 3}, {2, 3}, {3}, {3}, set()]


async def test_in_gzip_too(rng: random.Random) -> None:
    """Each frame is its shared block; where a connection catches up, all are in one, which has no borders."""
    frames = frames_of(rng, SMALL, LARGE, LAST)
    packed = apart(frames, packed=True)
    assert await leaving(packed, encoding="gzip") == [{2, 3}, {2, 3}, set(), set()]
    assert await leaving(together(frames), encoding="gzip") == [{1, 2, 3}, {1, 2, 3}, set(), set()]


async def test_a_frame_that_holds_no_more_of_it_goes_on(rng: random.Random) -> None:
    """What was taken out when the frame was made is not in its bytes."""
    without = apart(frames_of(rng, LARGE, hidden=frozenset({"comment"})))
    assert await leaving(without, hides="comment") == [set(), set(), set()]
    assert await leaving(without, hides="editor") == [{1}, set(), set()]
