"""From when on a feed still tells all: the latest of its partitions' earliest events.

A feed that is begun before its earliest event begins there, by SSE and on Kafka alike; so its first events
say it. One at offset 0 was never preceded by another: its partition was quiet until then and has lost nothing
since the topic had its first event. A partition where nothing comes for a while is a quiet one, and says
nothing: who lists changes up to this time lists an hour more (consumers.corpus.gap).
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from consumers.event import Feed

LONG_AGO: Final = datetime(2001, 1, 15, tzinfo=UTC)
"""Wikipedia's first day."""
SAMPLE_S: Final = 20.0
QUIET_S: Final = 4.0
"""Without a partition that was not seen yet, once there was one."""
SAMPLE_EVENTS: Final = 2_000
"""Of each feed."""


async def earliest(
    feeds: Sequence[Feed], *, sample_s: float = SAMPLE_S, quiet_s: float = QUIET_S
) -> datetime | None:
    """Of feeds that were begun LONG_AGO; None where there was no event. Raises FeedError."""
    sampled = await asyncio.gather(*(_sampled(feed, sample_s, quiet_s) for feed in feeds))
    found = [each for first in sampled for each in first.values()]
    made = min((moment for moment, _ in found), default=None)
    return max((moment for moment, offset in found if offset != 0), default=made)


async def _sampled(feed: Feed, sample_s: float, quiet_s: float) -> dict[int, tuple[datetime, int | None]]:
    """By partition: when, and at which offset."""
    first: dict[int, tuple[datetime, int | None]] = {}
    seen = 0
    loop = asyncio.get_running_loop()
    try:
        async with (
            asyncio.timeout(sample_s) as deadline,
            aclosing(feed.batches(None)) as batches,
        ):
            async for batch in batches:
                known = len(first)
                for article in batch.events:
                    moment = datetime.fromisoformat(article.event.date_published)
                    first.setdefault(article.event.partition or 0, (moment, article.event.offset))
                seen += len(batch.events)
                if seen >= SAMPLE_EVENTS:
                    break
                if len(first) > known:
                    deadline.reschedule(loop.time() + quiet_s)
    except TimeoutError:
        pass
    return first
