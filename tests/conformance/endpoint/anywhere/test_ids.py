"""Ids: what they say, and that they can be sent back as they came."""

import random

from tests.conformance.endpoint.lines import epoch, vector
from tests.conformance.endpoint.reading import EVER, by_partition, positions, read, streaming, upto
from tests.conformance.endpoint.wire import Endpoint

SOME = 40


async def test_each_id_moves_exactly_by_its_event(endpoint: Endpoint) -> None:
    """It names the event's own partition with its offset + 1; no partition ever goes back, and another one
    moves only over what is no event (the next test would find what is skipped).
    """
    items = await read(endpoint, SOME, query={"since": EVER})
    assert len({epoch(item.id) for item in items}) == 1
    before: dict[int, int] | None = None
    for item in items:
        partition, offset = item.place
        now = vector(item.id)
        assert now[partition] == offset + 1
        if before is not None:
            assert now.keys() == before.keys(), "an id names other partitions than the one before"
            assert now[partition] > before[partition]
            assert all(now[p] >= before[p] for p in now), "an id went back"
        before = now


async def test_no_position_is_ahead_of_its_events(endpoint: Endpoint) -> None:
    """Whatever stands before a position in its partition has been sent by then: as NDJSON, which has no ids,
    reads the same stretch.
    """
    items = await read(endpoint, SOME, query={"since": EVER})
    end = vector(items[-1].id)
    async with streaming(endpoint, "ndjson", query={"since": EVER}) as stream:
        lines = await stream.articles(2 * SOME)
    wanted = by_partition(items)
    for partition, got in by_partition(line for line in lines if line.place[1] < end[line.place[0]]).items():
        assert got == wanted.get(partition, [])[: len(got)]


async def test_an_id_sent_back_gives_what_followed_it(endpoint: Endpoint, rng: random.Random) -> None:
    """At five borders of the feed's beginning, by the header as it came: the rest, and nothing else."""
    items = await read(endpoint, SOME, query={"since": EVER})
    end = vector(items[-1].id)
    for border in sorted(rng.sample(range(1, SOME), 5)):
        async with streaming(endpoint, headers={"Last-Event-ID": items[border - 1].id}) as stream:
            rest = await upto(stream, end)
        assert by_partition(rest) == by_partition(items[border:]), border


async def test_last_plus_one_is_the_same_border(endpoint: Endpoint, rng: random.Random) -> None:
    """What NDJSON clients send as `offsets` after so many articles, an SSE client gets as much for."""
    items = await read(endpoint, SOME, query={"since": EVER})
    border = rng.randrange(1, SOME)
    end = vector(items[-1].id)
    here = vector(items[border - 1].id)
    async with streaming(endpoint, query={"offsets": positions(here)}) as stream:
        rest = await upto(stream, end)
    assert by_partition(rest) == by_partition(items[border:])
    count = SOME - border
    lines = await read(endpoint, count, "ndjson", query={"offsets": positions(here)})
    wanted = by_partition(items[border:])
    for partition, got in by_partition(lines).items():
        both = min(len(got), len(wanted.get(partition, [])))
        assert got[:both] == wanted.get(partition, [])[:both]
