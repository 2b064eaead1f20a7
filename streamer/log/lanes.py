"""A lane that fails starts anew, alone, for every engine."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from streamer import metrics
from streamer.errors import LaneLost, StreamerError

BACKOFF_S: Final = (0.1, 10.0)
"""Of a lane that fails again and again: first, and at most."""

TELL_EVERY_S: Final = 60.0
"""A lane that fails in the same way again and again says so this often; the counter has them all."""

logger = logging.getLogger(__name__)


@asynccontextmanager
async def counted(group: str) -> AsyncIterator[None]:
    """Around a lane's commit: how it ended. One that was cancelled may have passed."""
    try:
        yield
    except StreamerError as error:
        metrics.LOG_COMMITS.labels(group, error.code).inc()
        raise
    except asyncio.CancelledError:
        metrics.LOG_COMMITS.labels(group, "cancelled").inc()
        raise
    metrics.LOG_COMMITS.labels(group, "committed").inc()


async def keep_running(
    group: str, partition: int, attempt: Callable[[StreamerError | None], Awaitable[None]]
) -> None:
    """`attempt` until it returns. It is given the error that ended the one before (None at first), and is
    tried again after LaneLost and whatever is retriable, with a backoff; any other error goes up.
    """
    loop = asyncio.get_running_loop()
    backoff_s = BACKOFF_S[0]
    failed: StreamerError | None = None
    told, told_s, untold = "", 0.0, 0
    while True:
        began_s = loop.time()
        try:
            return await attempt(failed)
        except StreamerError as error:
            if not (isinstance(error, LaneLost) or error.retriable):
                raise
            failed = error
            metrics.LOG_LANE_RESTARTS.labels(group, error.code).inc()
            untold += 1
            if error.code != told or loop.time() - told_s >= TELL_EVERY_S:
                logger.warning(
                    "lane restarts",
                    extra={
                        "group": group,
                        "partition": partition,
                        "code": error.code,
                        "reason": str(error),
                        "times": untold,
                    },
                )
                told, told_s, untold = error.code, loop.time(), 0
        if loop.time() - began_s > 2 * BACKOFF_S[1]:
            backoff_s = BACKOFF_S[0]
        await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
        backoff_s = min(2 * backoff_s, BACKOFF_S[1])
