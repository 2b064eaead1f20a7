"""A lane whose input is no longer what its position speaks of: it stops, alone and aloud.

    position below the earliest   retention was quicker than whoever should have read it
    position beyond the end       the topic has lost its tail, or was made anew
    another epoch                 the topic was made anew; while the lane runs, deleted too

To go on would be to lose changes in silence. So the lane keeps its partition and does nothing, `/readyz` and
`streamer_lane_stopped` say so, and the other lanes of the process go on. Going on is the operator's wish:
`log.lost = "skip"` and a restart. Then the lane begins at the earliest, and counts what it left out.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from streamer.errors import InputLost, LogError, LogUnavailable, OffsetOutOfRange, TopicMissing
from streamer.log.base import Lane, LaneMain, Log, TopicPartition
from streamer.metrics import ERRORS, LAG, LANE_LOST_OFFSETS, LANE_STOPPED
from streamer.runtime import Runtime

AGAIN_S: Final = 1.0
"""A lane that retention has overtaken starts anew so much later, and finds out at its start."""
GONE_S: Final = 5.0
"""A topic that is missing for so long was deleted: a broker that has just begun knows none for a moment."""

logger = logging.getLogger(__name__)


class InputDeleted(InputLost):
    """The topic is not there."""


@dataclass(frozen=True, slots=True)
class Input:
    """A partition as it is now."""

    tp: TopicPartition
    epoch: str
    earliest: int
    end: int

    @classmethod
    async def of(cls, log: Log, tp: TopicPartition) -> Self:
        info = await log.topic(tp.topic)
        if info is None:
            raise TopicMissing(f"there is no topic {tp.topic}", tp.topic)
        return cls(tp, info.epoch, *await log.bounds(tp))

    def beyond(self, following: int, epoch: str) -> InputLost | None:
        """Whether a position is of another making of the topic. `epoch` "": it does not say of which."""
        if epoch and epoch != self.epoch:
            return self._lost(following, f"the topic was made anew, the position is of its epoch {epoch}")
        if following > self.end:
            return self._lost(following, f"beyond the end {self.end}: the topic was cut off or made anew")
        return None

    def before(self, following: int) -> InputLost | None:
        """Whether retention has deleted what should be read next."""
        if following >= self.earliest:
            return None
        return self._lost(following, "offsets between them were deleted before they were read")

    def _lost(self, following: int, why: str) -> InputLost:
        where = f"{self.tp.topic}/{self.tp.partition}"
        return InputLost(f"{where}: committed offset {following}, earliest {self.earliest}: {why}")


def skip(runtime: Runtime, role: str, partition: int, lost: InputLost, offsets: int = 0) -> None:
    """What was lost is counted, and the caller goes on without it. Raises it where that is not wished for.
    `offsets`: how many there were, where that is known.
    """
    if runtime.settings.log.lost == "stop":
        raise lost
    ERRORS.labels(role, lost.code).inc()
    LANE_LOST_OFFSETS.labels(role, str(partition)).inc(offsets)
    logger.error(
        "a lane goes on without what it lost",
        extra={"role": role, "partition": partition, "lost_offsets": offsets, "reason": str(lost)},
    )


class Stops:
    """The lanes of one role in this process: which have stopped, and why."""

    def __init__(self, runtime: Runtime, role: str) -> None:
        self._runtime = runtime
        self._role = role
        self._component = f"{role}_input"
        self._epoch = ""
        """Of the input when the first lane started: positions in a deleted topic are forgotten with it, and a
        lane that is started anew would take its successor for it."""
        self._reasons: dict[int, str] = {}

    def around(self, run: LaneMain) -> LaneMain:
        """`run`, which may raise InputLost; what becomes of its input while it runs is noticed here."""

        async def main(lane: Lane) -> None:
            stopped = LANE_STOPPED.labels(self._role, str(lane.partition))
            LANE_LOST_OFFSETS.labels(self._role, str(lane.partition))  # 0 before the first
            stopped.set(0)
            try:
                while not self._runtime.draining.is_set():
                    try:
                        return await self._checked(lane, run)
                    except InputLost as lost:
                        stopped.set(1)
                        LAG.leave(self._role, lane.partition)  # its position says nothing of this topic
                        await self._stop(lane, lost)
                        stopped.set(0)
            finally:
                stopped.set(0)

        return main

    async def _checked(self, lane: Lane, run: LaneMain) -> None:
        while True:
            await self._same(lane)
            try:
                return await run(lane)
            except TopicMissing as error:
                await self._same(lane)
                if error.topics and lane.topic not in error.topics:
                    raise
                raise LogUnavailable(str(error)) from error  # it is there again
            except OffsetOutOfRange as error:
                if error.topic != lane.topic:
                    raise
                logger.warning("retention overtook a lane", extra={"role": self._role, "reason": str(error)})
            await asyncio.sleep(AGAIN_S)

    async def _same(self, lane: Lane) -> None:
        info = await self._runtime.log.topic(lane.topic)
        missing_s = 0.0
        while info is None and missing_s < GONE_S:
            await asyncio.sleep(AGAIN_S)
            missing_s += AGAIN_S
            info = await self._runtime.log.topic(lane.topic)
        if info is None:
            raise InputDeleted(f"{lane.topic}/{lane.partition}: the topic was deleted while it was read")
        self._epoch = self._epoch or info.epoch
        if info.epoch != self._epoch:
            raise InputLost(
                f"{lane.topic}/{lane.partition}: the topic was made anew while it was read;"
                " a restart begins at its earliest"
            )

    async def _stop(self, lane: Lane, lost: InputLost) -> None:
        """Until draining; or until a topic that seemed deleted is back, which a deleted one never is."""
        ERRORS.labels(self._role, lost.code).inc()
        logger.error(
            "a lane stops: its input is lost",
            extra={"role": self._role, "partition": lane.partition, "reason": str(lost)},
        )
        self._reasons[lane.partition] = str(lost)
        self._tell()
        try:
            if isinstance(lost, InputDeleted):
                await self._until_back(lane)
            else:
                await self._runtime.draining.wait()
        finally:
            del self._reasons[lane.partition]
            self._tell()

    async def _until_back(self, lane: Lane) -> None:
        while not self._runtime.draining.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(GONE_S):
                    await self._runtime.draining.wait()
            with suppress(LogError):
                info = await self._runtime.log.topic(lane.topic)
                if info is not None and self._epoch in ("", info.epoch):
                    return

    def _tell(self) -> None:
        if self._reasons:
            self._runtime.health.unready(self._component, "; ".join(self._reasons.values()))
        else:
            self._runtime.health.ready(self._component)
