"""What is finished of a lane, until its commit; and where the lane stands.

One commit at a time, without waiting for a fuller one: what finishes during one commit is the next. On any
error the lane is started anew from its committed position, so nothing here is put back.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from streamer.accounts import ENRICH_GROUP
from streamer.enrich.commit import Batch, Item, Memory
from streamer.enrich.outcome import Answered, Work
from streamer.errors import LaneLost, LogError
from streamer.faultpoints import Point, reached
from streamer.health import Health
from streamer.log.base import Lane, TopicPartition
from streamer.log.position import Position, Progress
from streamer.metrics import COMMITTED, LAG, QUEUE_DEPTH, discarded, sent
from streamer.model import DEFERRED
from streamer.runtime import Runtime, article_spec
from streamer.ticks import Ticks
from streamer.tracing import Tracing

GROUP: Final = ENRICH_GROUP
LOG_COMPONENT: Final = "enrich_log"
IDLE_COMMIT_S: Final = 5.0
"""Hints alone move the position so often, that retention can follow and a restart reads little."""


class LaneState(Struct, frozen=True):
    """In the position."""

    last: int = 0
    """The highest sequence given."""
    counts: dict[str, int] = {}
    epoch: str = ""
    """Of the topic whose offsets the position names."""
    replayed: int = 0
    """How many of the admitted were replays of dead letters, or repairs: the source did not admit these."""

    @classmethod
    def of(cls, position: Position) -> "LaneState":
        return msgspec.convert(position.state, cls)


def export(partition: int, state: LaneState) -> None:
    COMMITTED.set(GROUP, "", partition, state.counts)
    COMMITTED.set("replay", "", partition, {"admitted": state.replayed})


class Refusals:
    """Lanes of this process whose last commit the log has refused. Ready once there is none: what others
    commit does not bring theirs out.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._lanes: set[int] = set()

    def refused(self, partition: int, error: LogError) -> None:
        self._lanes.add(partition)
        self._health.unready(LOG_COMPONENT, f"the log takes no commit: {error.code}")

    def taken(self, partition: int) -> None:
        self._lanes.discard(partition)
        if not self._lanes:
            self._health.ready(LOG_COMPONENT)

    def forget(self) -> None:
        """Other lanes are this process's now; one whose commit still fails says it again."""
        self._lanes.clear()
        self._health.forget(LOG_COMPONENT)


class Outbox:
    """`put` what is finished while `run` commits it; after `close`, `run` returns once all is committed."""

    def __init__(
        self,
        lane: Lane,
        runtime: Runtime,
        memory: Memory,
        partitions: int,
        *,
        position: Position,
        progress: Progress,
        refusals: Refusals,
        on_committed: Callable[[Sequence[Work]], None],
    ) -> None:
        """`progress` is shared with who reads: he takes offsets, this finishes them."""
        self._lane = lane
        self._runtime = runtime
        self._memory = memory
        self._partitions = partitions
        self._committed = position
        self._state = LaneState.of(position)
        self._progress = progress
        self._refusals = refusals
        self._on_committed = on_committed
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._finished: deque[Item] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._articles = runtime.topics.articles
        self._ticks = Ticks(article_spec(runtime.settings, self._articles))
        self._ticks.assume(
            (TopicPartition(self._articles, number) for number in range(partitions)), self._now_s()
        )
        self._export()

    def put(self, item: Item) -> None:
        """Bounded by what may be open at all (streamer.enrich.lane)."""
        self._finished.append(item)
        self._wake.set()

    def close(self) -> None:
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        while not self._closing or self._finished:
            idle = False
            try:
                async with asyncio.timeout(IDLE_COMMIT_S):
                    await self._wake.wait()
            except TimeoutError:
                idle = True
            self._wake.clear()
            while self._finished:
                await self._commit()
            has_moved = self._progress.position({}).next != self._committed.next
            if (has_moved and (idle or self._closing)) or self._ticks.due(self._now_s()):
                await self._commit()

    async def _commit(self) -> None:
        tracing = self._runtime.tracing
        began_ns = tracing.now_ns() if tracing is not None else 0
        batch = Batch(
            self._memory,
            self._runtime.topics,
            self._partitions,
            last_sequence=self._state.last,
            counts=self._state.counts,
            replayed=self._state.replayed,
            now_us=self._runtime.clock.now_us(),
        )
        while self._finished and not batch.is_full:
            batch.add(self._finished.popleft())
        state = LaneState(batch.last_sequence, batch.counts, self._state.epoch, batch.replayed)
        position = self._progress.position(msgspec.structs.asdict(state), without=batch.offsets)
        records = [*batch.records, *self._ticks.due(self._now_s())]
        try:
            reached(Point.ENRICH_COMMITTING)
            await self._lane.commit(records, {self._tp: position})
            reached(Point.ENRICH_COMMITTED)
        except LaneLost:
            raise  # another process commits
        except LogError as error:
            self._refusals.refused(self._tp.partition, error)
            raise
        self._refusals.taken(self._tp.partition)
        if batch.has_early_cutoff:
            reached(Point.ENRICH_CUT_OFF_EARLY)
        for offset in batch.offsets:
            self._progress.finish(offset)
        self._ticks.committed((record for record in records if record.topic == self._articles), self._now_s())
        self._committed = position
        _count(self._state.counts, batch)
        self._state = state
        if tracing is not None:
            _trace(tracing, batch.works, began_ns)
        self._on_committed(batch.works)
        self._export()
        QUEUE_DEPTH.labels(f"enrich_finished_{self._tp.partition}").set(len(self._finished))
        batch.committed()

    def _now_s(self) -> float:
        return self._runtime.clock.monotonic_s()

    def _export(self) -> None:
        LAG.at(GROUP, *self._tp, self._committed.next)
        export(self._tp.partition, self._state)


def _trace(tracing: Tracing, works: Sequence[Work], began_ns: int) -> None:
    """Those that were sampled, committed just now."""
    for work in works:
        if work.journey is not None:
            found = work.outcome.found if isinstance(work.outcome, Answered) else None
            tracing.enriched(work.change, work.journey, found.revision.size if found else 0, began_ns)


def _count(before: Mapping[str, int], batch: Batch) -> None:
    """What a commit adds to the outcomes. What is deferred is no loss: it replays by itself."""
    added = {outcome: count - before.get(outcome, 0) for outcome, count in batch.counts.items()}
    deferred = batch.errors.count(DEFERRED)
    sent("enrich", added["published"])
    discarded("enrich", "gone", added["gone"])
    discarded("enrich", "superseded", added["superseded"])
    discarded("enrich", "deferred", deferred)
    discarded("enrich", "deadletter", added["deadletter"] - deferred)
