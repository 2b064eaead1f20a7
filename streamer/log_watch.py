"""Whether the log can be read and written, asked of the log itself: what a role notices, it notices only when
it has something to do.

Read: how far the topics of this process's roles reach. On a cluster each partition's leader has to say so,
for one broker that knows all topics may be what is left of it. Written: an append of nothing. In a file it is
a commit, with the flush of the disk. A cluster would not notice; there it tells whether the lanes of this
process could begin, for which the cluster writes, and a role whose commits fail after that says so itself.
"""

import asyncio
import logging
from collections.abc import Collection
from typing import Final, NoReturn

from streamer.errors import LogError
from streamer.metrics import ERRORS
from streamer.runtime import Runtime

COMPONENT: Final = "log"
LOOK_S: Final = 1.0
WRITE_S: Final = 5.0
"""A commit without records costs a flush of the disk; while the log fails it is tried at every look."""
DEADLINE_S: Final = 3.0
"""A disk that hangs gives no error."""

logger = logging.getLogger(__name__)


class LogWatch:
    """`run` it beside the roles. With what it notices, `/readyz` is false LOOK_S + DEADLINE_S after the log
    can no longer be read, WRITE_S + DEADLINE_S after it takes no more, and true again LOOK_S after it does.
    """

    def __init__(self, runtime: Runtime, *, reads: Collection[str], writes: bool) -> None:
        """`reads`: topics that this process may ask about. `writes`: whether it has roles that write."""
        self._runtime = runtime
        self._reads = reads
        self._writes = writes
        self._written_s = -WRITE_S
        self._said = ""

    async def run(self) -> NoReturn:
        while True:
            self._say(await self._problem())
            await asyncio.sleep(LOOK_S)

    async def _problem(self) -> str:
        """Empty where there is none."""
        log, clock = self._runtime.log, self._runtime.clock
        doing = "be read"
        try:
            async with asyncio.timeout(DEADLINE_S):
                for topic in self._reads:
                    await log.all_bounds(topic)
            if self._writes and (self._said or clock.monotonic_s() - self._written_s >= WRITE_S):
                doing = "be written"
                async with asyncio.timeout(DEADLINE_S):
                    await log.append([])
                self._written_s = clock.monotonic_s()
        except LogError as error:
            ERRORS.labels("log", error.code).inc()
            return f"the log cannot {doing}: {error.code}"
        except TimeoutError:
            ERRORS.labels("log", "timeout").inc()
            return f"the log cannot {doing}: no answer within {DEADLINE_S:g} s"
        return ""

    def _say(self, problem: str) -> None:
        health = self._runtime.health
        if problem:
            health.unready(COMPONENT, problem)
        else:
            health.ready(COMPONENT)
        if problem != self._said:
            if problem:
                logger.error("the log fails", extra={"reason": problem})
            else:
                logger.info("the log works again")
        self._said = problem
