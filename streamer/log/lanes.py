"""A lane that fails starts anew, alone, for every engine."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from streamer import metrics
from streamer.errors import (
    LaneLost,
    LogFull,
    LogTimeout,
    LogUnavailable,
    RecordTooLarge,
    StreamerError,
    TopicMissing,
    TopicRefused,
)
from streamer.log.seldom import Seldom

BACKOFF_S: Final = (0.1, 10.0)
"""Of a lane that fails again and again: first, and at most."""
LOG_CODES: Final = (
    LaneLost.code, LogFull.code, LogTimeout.code, LogUnavailable.code, RecordTooLarge.code, TopicMissing.code,
    TopicRefused.code,
)  # fmt: skip
"""Of a commit that fails."""

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
    group: str,
    partition: int,
    attempt: Callable[[StreamerError | None], Awaitable[None]],
    draining: asyncio.Event | None = None,
) -> None:
    """`attempt` until it returns. It is given the error that ended the one before (None at first), and is
    tried again after LaneLost and whatever is retriable, with a backoff, as long as nothing is draining: what
    failed then goes on from its position in another process. Any other error goes up.
    """
    for code in LOG_CODES:  # 0 before the first: so that it is seen as an increase
        metrics.LOG_COMMITS.labels(group, code)
        metrics.LOG_LANE_RESTARTS.labels(group, code)
    loop = asyncio.get_running_loop()
    backoff_s = BACKOFF_S[0]
    failed: StreamerError | None = None
    seldom = Seldom()
    while True:
        began_s = loop.time()
        try:
            return await attempt(failed)
        except StreamerError as error:
            if not (isinstance(error, LaneLost) or error.retriable):
                raise
            failed = error
            metrics.LOG_LANE_RESTARTS.labels(group, error.code).inc()
            if times := seldom.times(error.code):
                logger.warning(
                    "lane restarts",
                    extra={
                        "group": group,
                        "partition": partition,
                        "code": error.code,
                        "reason": str(error),
                        "times": times,
                    },
                )
        if loop.time() - began_s > 2 * BACKOFF_S[1]:
            backoff_s = BACKOFF_S[0]
        pause_s = backoff_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
        if await _is_drained(draining, pause_s):
            return None
        backoff_s = min(2 * backoff_s, BACKOFF_S[1])


async def _is_drained(draining: asyncio.Event | None, within_s: float) -> bool:
    if draining is None:
        await asyncio.sleep(within_s)
        return False
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await draining.wait()
    return draining.is_set()
