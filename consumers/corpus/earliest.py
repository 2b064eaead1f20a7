"""From when on a feed still tells all: the latest of its partitions' earliest events.

A feed that is begun before its earliest event begins there, by SSE and on Kafka alike; so its first events
say it. A partition where nothing comes for a while is a quiet one, and says nothing: who lists changes up to
this time lists an hour more (consumers.corpus.gap).
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from consumers.event import Feed

LONG_AGO: Final = datetime(2001, 1, 15, tzinfo=UTC)
"""Wikipedia's first day."""
SAMPLE_S: Final = 20.0
SAMPLE_EVENTS: Final = 2_000
"""Of each feed."""


async def earliest(feeds: Sequence[Feed], *, sample_s: float = SAMPLE_S) -> datetime | None:
    """Of feeds that were begun LONG_AGO; None where there was no event. Raises FeedError."""
    first: dict[tuple[str, int], datetime] = {}
    async with asyncio.TaskGroup() as group:
        for feed in feeds:
            group.create_task(_sampled(feed, first, sample_s))
    return max(first.values(), default=None)


async def _sampled(feed: Feed, first: dict[tuple[str, int], datetime], sample_s: float) -> None:
    seen = 0
    batches = feed.batches(None)
    try:
        async with asyncio.timeout(sample_s):
            async for batch in batches:
                for article in batch.events:
                    place = feed.name, article.event.partition or 0
                    first.setdefault(place, datetime.fromisoformat(article.event.date_published))
                seen += len(batch.events)
                if seen >= SAMPLE_EVENTS:
                    return
    except TimeoutError:
        return
