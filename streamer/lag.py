"""How far the lanes of this process are behind the ends of their inputs, for `streamer_log_lag_offsets`.

The lanes tell where they stand (`LAG.at`); the ends are asked for here, of all partitions of a topic at
once, and seldom.
"""

import asyncio
from typing import Final, NoReturn

from streamer.errors import LogError
from streamer.log.base import Log
from streamer.metrics import LAG

LOOK_S: Final = 10.0
"""Prometheus asks every 15 s or so; a cluster answers one question for all partitions of a broker."""


async def watch_lag(log: Log) -> NoReturn:
    """Until cancelled. A log that doesn't answer leaves no samples: what was true a while ago is not told."""
    while True:
        for topic in LAG.topics():
            try:
                bounds = await log.all_bounds(topic)
            except LogError:
                LAG.unknown(topic)
            else:
                LAG.reach(topic, [end for _, end in bounds])
        await asyncio.sleep(LOOK_S)
