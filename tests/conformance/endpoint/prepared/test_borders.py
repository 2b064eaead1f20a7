"""Resume at every event border: exactly what followed, byte for byte."""

import asyncio
import random

import pytest

from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.borders import Whole, resume, resume_all
from tests.conformance.endpoint.lines import vector
from tests.conformance.endpoint.reading import EVER, FORMATS, Format, read
from tests.conformance.endpoint.service import Prepared

EVENTS = 1_000
PARTITIONS = 10
EVERY = {"local": 1, "kafka": 10}
"""Which borders are tried in each run; in a soak all of them on both."""


async def filled(prepared: Prepared, count: int = EVENTS) -> Whole:
    for first in range(0, count, 100):
        await prepared.write(
            Varied(page=page, text=f"\u00e9 {page}") for page in range(first, min(first + 100, count))
        )
    return Whole(await read(prepared.endpoint, count, query={"since": EVER}), PARTITIONS)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("amount", ["some", pytest.param("all", marks=pytest.mark.soak)])
async def test_every_border(prepared: Prepared, fmt: Format, amount: str) -> None:
    """After each of 1,000 events, as a client of this format resumes there."""
    whole = await filled(prepared)
    every = EVERY[prepared.engine] if amount == "some" else 1
    borders = range(0, EVENTS + 1, every)
    assert await resume_all(prepared.endpoint, fmt, whole, borders) == len(borders)


@pytest.mark.parametrize("fmt", FORMATS)
async def test_all_names_of_a_border(prepared: Prepared, fmt: Format, rng: random.Random) -> None:
    """By header, query and body, as an id, as KafkaSSE's array and as offsets: the same bytes, up to the
    silence that follows them; and in gzip.
    """
    count = 200
    whole = await filled(prepared, count)
    borders = [1, count - 1, count, *rng.sample(range(2, count - 1), 3)]
    async with asyncio.TaskGroup() as group:
        for after in borders:
            for n, (_, how) in enumerate(whole.ways(after, prepared.topic)):
                headers = {**how.get("headers", {}), **({"Accept-Encoding": "gzip"} if n % 2 else {})}
                how = {**how, "headers": headers}
                group.create_task(resume(prepared.endpoint, fmt, whole, after, to_silence=True, **how))


async def test_ids_of_a_log_without_holes_move_by_one(prepared: Prepared) -> None:
    """Each by exactly its event: its own partition to offset + 1, no other at all."""
    whole = await filled(prepared, 200)
    before = dict.fromkeys(range(PARTITIONS), 0)
    for item in whole.items:
        partition, offset = item.place
        assert offset == before[partition]
        before[partition] = offset + 1
        assert vector(item.id) == before
