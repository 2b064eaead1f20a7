"""Resume at every event border: exactly what followed, byte for byte."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.borders import Whole, resume, resume_all
from tests.conformance.endpoint.lines import vector
from tests.conformance.endpoint.reading import EVER, FORMATS, Format, read, streaming
from tests.conformance.endpoint.service import Prepared

EVENTS = 1_000
PARTITIONS = 10
EVERY = {"local": 4, "kafka": 10}
"""Which borders are tried in each run, from a random one on: in some runs, all of them."""


async def filled(prepared: Prepared, count: int = EVENTS) -> Whole:
    for first in range(0, count, 100):
        await prepared.write(
            Varied(page=page, text=f"\u00e9 {page}") for page in range(first, min(first + 100, count))
        )
    return Whole(await read(prepared.endpoint, count, query={"since": EVER}), PARTITIONS)


@asynccontextmanager
async def followed(prepared: Prepared) -> AsyncIterator[None]:
    """Another client is there, and takes nothing: the server has live frames that a join could repeat."""
    async with streaming(prepared.endpoint) as other:
        await other.begun()
        yield


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("amount", ["some", pytest.param("all", marks=pytest.mark.soak)])
async def test_every_border(prepared: Prepared, fmt: Format, amount: str, rng: random.Random) -> None:
    """After each fourth of 1,000 events (on Kafka each tenth), as a client of this format resumes there. Each
    tenth resume is read to the end, the others begin as they should; in a soak all are, at all borders.
    """
    every, to_the_end_every = (EVERY[prepared.engine], 10) if amount == "some" else (1, 1)
    borders = range(rng.randrange(every), EVENTS + 1, every)
    async with followed(prepared):
        whole = await filled(prepared)
        assert await resume_all(
            prepared.endpoint, fmt, whole, borders, to_the_end_every=to_the_end_every
        ) == len(borders)


async def all_names_of(prepared: Prepared, fmt: Format, borders: list[int], count: int = 200) -> None:
    """Every other way is asked for in gzip."""
    async with followed(prepared), asyncio.TaskGroup() as group:
        whole = await filled(prepared, count)
        for after in borders:
            for n, (_, how) in enumerate(whole.ways(after, prepared.topic)):
                accepted = {"Accept-Encoding": "gzip" if n % 2 else "identity"}
                asked = {**how, "headers": {**how.get("headers", {}), **accepted}}
                group.create_task(resume(prepared.endpoint, fmt, whole, after, to_silence=True, **asked))


@pytest.mark.parametrize("fmt", FORMATS)
async def test_all_names_of_a_border(prepared: Prepared, fmt: Format, rng: random.Random) -> None:
    """By header, query and body, as an id, as KafkaSSE's array and as offsets: the same bytes, up to the
    silence that follows them; and in gzip.
    """
    await all_names_of(prepared, fmt, [1, 200, rng.randrange(2, 200)])


async def test_ids_of_a_log_without_holes_move_by_one(prepared: Prepared) -> None:
    """Each by exactly its event: its own partition to offset + 1, no other at all."""
    whole = await filled(prepared, 200)
    before = dict.fromkeys(range(PARTITIONS), 0)
    for item in whole.items:
        partition, offset = item.place
        assert offset == before[partition]
        before[partition] = offset + 1
        assert vector(item.id) == before
