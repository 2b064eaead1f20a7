"""A partner's topic, which one that was added seconds ago may not have yet."""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from streamer.deliver.problems import busy
from streamer.log.base import Bounds, Log, TopicInfo
from streamer.log.seldom import Seldom
from streamer.metrics import ERRORS
from streamer.runtime import Runtime

WAIT_S: Final = 3.0
LOOK_S: Final = 0.1

logger = logging.getLogger(__name__)
_raised = Seldom()


async def topic_of(runtime: Runtime, partner: str) -> TopicInfo:
    """Raises 503 where it does not come."""
    loop = asyncio.get_running_loop()
    name = runtime.topics.of_partner(partner)
    deadline_s = loop.time() + WAIT_S
    while True:
        info = await runtime.log.topic(name)
        if info is not None:
            return as_made(info, runtime.settings.log.partitions)
        if loop.time() >= deadline_s:
            raise busy(503, "not_ready", "this feed is being made; come back in a moment")
        await asyncio.sleep(LOOK_S)


async def bounds_of(log: Log, info: TopicInfo) -> list[Bounds]:
    """Of the partitions that `info` tells, which may be fewer than the topic has by now."""
    return (await log.all_bounds(info.name))[: info.partitions]


def as_made(info: TopicInfo, partitions: int) -> TopicInfo:
    """Partitions that were added by hand hold nothing of ours: no role writes there. With them ids would name
    what never moves, and every part would be other partitions than before, half of the parts none that
    anything is in. So they are left out, and the operator is told.
    """
    if info.partitions <= partitions:
        return info
    ERRORS.labels("deliver", "partitions_raised").inc()
    if times := _raised.times(info.name):
        logger.error(
            "a topic has more partitions than log.partitions; what was added is neither written nor read:"
            " `streamer partner rebuild` makes the topic anew",
            extra={"topic": info.name, "partitions": info.partitions, "of": partitions, "times": times},
        )
    return limited_to(info, partitions)


def limited_to(info: TopicInfo, partitions: int) -> TopicInfo:
    """So many of them, and nobody is told."""
    return replace(info, partitions=min(info.partitions, partitions))
