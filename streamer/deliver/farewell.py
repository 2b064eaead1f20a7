"""When each open stream is told `bye` at a drain.

Who is told comes back three seconds later, to the processes that stay: all at once would be a storm of logins
and catch-ups there. So they are told one by one, at an even pace:

    0                        SPREAD             PATIENCE        of drain_s
    ├─ `bye` to one after the other ─┤── the last take theirs ──┤ who has not is reset

and never more slowly than `EASY_PER_S`, so that a process with few streams is gone in a moment.
"""

import asyncio
import logging
import random
from collections.abc import Iterator
from typing import Final

from streamer.deliver.articles import Articles

SPREAD: Final = 0.6
PATIENCE: Final = 0.8
"""The role is cut off at 0.9 (streamer.pipeline). A client that reads slowly has what lies between the two to
take what is already under way to it."""
EASY_PER_S: Final = 20.0
"""Streams that come back at this pace are no load: no need to spread them further."""

logger = logging.getLogger(__name__)


def moments(count: int, spread_s: float, rng: random.Random) -> Iterator[float]:
    """When each of `count` streams is told, in seconds from now, in order: one in each of as many equal
    slots, at any moment of it. So at most two more than the pace allows are told within any span.
    """
    slot_s = min(spread_s / count, 1 / EASY_PER_S) if count else 0.0
    for number in range(count):
        yield (number + rng.random()) * slot_s


async def farewell(articles: Articles, drain_s: float) -> None:
    """Returns once no stream is open, or when the patience is over. Nobody may come in meanwhile."""
    time = asyncio.get_running_loop().time
    began_s = time()
    end_s = began_s + PATIENCE * drain_s
    rng = random.Random()  # noqa: S311 - a pace is no secret
    streams = articles.streams()
    rng.shuffle(streams)  # a partner's should not all be told together
    logger.info("saying bye", extra={"streams": len(streams)})
    try:
        async with asyncio.timeout_at(end_s):
            for stream, moment_s in zip(streams, moments(len(streams), SPREAD * drain_s, rng), strict=True):
                if (wait_s := began_s + moment_s - time()) > 0:
                    await asyncio.sleep(wait_s)
                if not articles.open:  # all have left by themselves
                    return
                articles.end(stream, "drain", patience_s=max(0.0, end_s - time()))
            while articles.open:
                await articles.left.wait()
    except TimeoutError:
        logger.warning("streams were reset at the drain", extra={"streams": articles.open})
