"""A partner's topic, which one that was added seconds ago may not have yet."""

import asyncio
from typing import Final

from streamer.deliver.problems import busy
from streamer.log.base import TopicInfo
from streamer.runtime import Runtime

WAIT_S: Final = 3.0
LOOK_S: Final = 0.1


async def topic_of(runtime: Runtime, partner: str) -> TopicInfo:
    """Raises 503 where it does not come."""
    loop = asyncio.get_running_loop()
    name = runtime.topics.of_partner(partner)
    deadline_s = loop.time() + WAIT_S
    while True:
        info = await runtime.log.topic(name)
        if info is not None:
            return info
        if loop.time() >= deadline_s:
            raise busy(503, "not_ready", "this feed is being made; come back in a moment")
        await asyncio.sleep(LOOK_S)
