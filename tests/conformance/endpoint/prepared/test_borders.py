"""Resume at every event border: exactly what followed, byte for byte."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.borders import Whole, resume, resume_all
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
