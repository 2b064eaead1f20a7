"""Which process runs which lanes: a consumer group, used for nothing but that.

The group never fetches and never commits; its listeners only start and cancel tasks. Safety is not
its business (a producer's epoch is what fences), so a lane that stays here goes on while the group
rebalances, and one whose partition went elsewhere is cancelled when that is known. Members are static
(an instance id per slot of this host): a process that is killed and started again gets its partitions
back at once, without moving anybody else's.
"""

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition

from streamer import metrics
from streamer.errors import LogBusy, LogUnavailable, StreamerError
from streamer.groups import alone_by_name
from streamer.log.base import LanesHeld
from streamer.log.claims import locked
from streamer.log.kafka_client import LIBRARY_ERRORS, Access, ended, is_broken, named, within
from streamer.log.lanes import keep_running

SESSION_MS: Final = 8_000
"""A process that is dead for so long loses its partitions to the others."""
HEARTBEAT_MS: Final = 1_000
REBALANCE_MS: Final = 10_000
START_S: Final = 20.0
STOP_S: Final = 5.0
POLL_MS: Final = 500
FOREVER_MS: Final = 2**31 - 1
SLOTS: Final = 1_000
UNTOLD: Final = frozenset({-1}), True
MEMBER: Final = -1
"""Where a log line names a partition: it is the member of the group that starts anew, not a lane."""

LaneTask = Callable[[int], Coroutine[Any, Any, None]]


class Membership(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """`run` it once. `settled` is clear while partitions are handed out anew."""

    def __init__(
        self,
        access: Access,
        group: str,
        group_id: str,
        topic: str,
        wanted: Iterable[int],
        *,
        held: LanesHeld | None = None,
    ) -> None:
        self._access = access
        self._group = group
        self._group_id = group_id
        self._topic = topic
        self._wanted = frozenset(wanted)
        self._held = held
        self.settled = asyncio.Event()
        self._assigned: frozenset[int] = frozenset()
        self._is_known = True
        """Whether this member knows the topic; one that assigns the lanes and does not assigns none."""
        self._changed = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None

    # ── what the group calls ───────────────────────────────────────────────────────────────────

    def on_partitions_revoked(self, _revoked: Iterable[KafkaPartition]) -> None:
        self.settled.clear()

    def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        assert self._consumer is not None
        partitions = list(assigned)
        # a place to stand, and no fetching there: this consumer reads nothing
        for tp in partitions:
            self._consumer.seek(tp, 0)
        self._consumer.pause(*partitions)
        self._assigned = self._wanted & {tp.partition for tp in partitions}
        self._look(self._consumer)
        metrics.LOG_REBALANCES.labels(self._group).inc()
        self.settled.set()
        self._changed.set()

    # ── lanes ──────────────────────────────────────────────────────────────────────────────────

    async def run(self, lane: LaneTask, draining: asyncio.Event | None) -> None:
        """`lane(partition)` for each partition that this process gets; returns once those it has have all
        returned, or, while draining, when it has none.
        """
        with _slot(self._group_id) as instance_id, alone_by_name():
            async with asyncio.TaskGroup() as tasks:
                # the lanes run on while the group can't be reached
                stay = keep_running(self._group_id, MEMBER, lambda failed: self._member(instance_id, failed))
                member = tasks.create_task(stay, name=f"{self._group_id}-member")
                if draining is not None:
                    waiting = tasks.create_task(self._wake(draining), name=f"{self._group_id}-drain")
                await self._follow(tasks, lane, draining)
                member.cancel()
                if draining is not None:
                    waiting.cancel()

    async def _wake(self, draining: asyncio.Event) -> None:
        await draining.wait()
        self._changed.set()

    async def _follow(self, tasks: asyncio.TaskGroup, lane: LaneTask, draining: asyncio.Event | None) -> None:
        running: dict[int, asyncio.Task[None]] = {}
        leaving: set[int] = set()
        done: set[int] = set()
        told = UNTOLD
        while True:
            self._changed.clear()
            for partition in list(running):
                if running[partition].done():
                    del running[partition]
                    if partition in leaving:
                        leaving.discard(partition)
                        metrics.COMMITTED.leave(self._group, partition)  # groups are named as roles
                        metrics.LAG.leave(self._group, partition)
                        told = UNTOLD
                elif partition not in self._assigned | leaving:
                    leaving.add(partition)
                    running[partition].cancel()  # it is in `running` until it has ended: never two at once
            done &= self._assigned
            if draining is not None and draining.is_set() and not running:
                return
            if told != (self._assigned, self._is_known) and self.settled.is_set():
                told = self._assigned, self._is_known
                self._tell(*told)
            for partition in self._assigned - running.keys() - done:
                running[partition] = tasks.create_task(
                    self._lane(lane, partition, done), name=f"{self._group_id}-{partition}"
                )
            if done and done == self._assigned and self.settled.is_set() and not running:
                return
            await self._changed.wait()

    def _tell(self, assigned: frozenset[int], is_known: bool) -> None:
        metrics.LOG_LANES.labels(self._group).set(len(assigned))
        if self._held is not None:
            self._held(assigned if is_known else None)

    async def _lane(self, lane: LaneTask, partition: int, done: set[int]) -> None:
        try:
            await lane(partition)
            done.add(partition)
        finally:
            self._changed.set()

    # ── the member ─────────────────────────────────────────────────────────────────────────────

    async def _member(self, instance_id: str, failed: StreamerError | None) -> None:
        if failed is not None:
            metrics.LOG_CLIENTS_REPLACED.labels("member").inc()
        self._consumer = consumer = AIOKafkaConsumer(
            group_id=self._group_id,
            group_instance_id=instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            max_poll_interval_ms=FOREVER_MS,
            **self._access.options,
        )
        try:
            await within(START_S, consumer.start(), f"group {self._group_id}")
            consumer.subscribe([self._topic], listener=self)
            while not is_broken(consumer._client):  # noqa: SLF001
                await consumer.getmany(timeout_ms=POLL_MS)  # gives nothing; raises what went wrong
                self._look(consumer)
            raise LogUnavailable(f"group {self._group_id}: the client has broken down")
        except LIBRARY_ERRORS as error:
            raise named(error, f"group {self._group_id}") from error
        finally:
            await ended(_stopped(consumer), STOP_S)

    def _look(self, consumer: AIOKafkaConsumer) -> None:
        """A topic that could not be seen at a rebalance is asked for again at once, not at the client's next
        look: with the answer comes the next rebalance.
        """
        is_known = bool(consumer.assignment() or consumer.partitions_for_topic(self._topic))
        if not is_known:
            consumer._client.force_metadata_update()  # noqa: SLF001
        if is_known != self._is_known:
            self._is_known = is_known
            self._changed.set()


async def _stopped(consumer: AIOKafkaConsumer) -> None:
    """`stop()` alone waits for what the group is being asked, and a broker that hangs never answers. There is
    nothing to say on leaving: a static member just comes again, or its session ends.
    """
    if consumer._coordinator is not None:  # noqa: SLF001
        coordination = consumer._coordinator._coordination_task  # noqa: SLF001
        coordination.cancel()
        await asyncio.wait({coordination})
    await consumer._client.close()  # noqa: SLF001
    await consumer.stop()


@contextmanager
def _slot(group_id: str) -> Iterator[str]:
    """A name in the group that this process has alone on its host, and gets again after a restart."""
    host = socket.gethostname()
    folder = Path(tempfile.gettempdir()) / f"streamer-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as held:
        for slot in range(SLOTS):
            try:
                held.enter_context(locked(folder / f"{group_id}.{slot}.lock"))
            except LogBusy:
                continue
            yield f"{host}-{slot}"
            return
    raise LogBusy(f"{SLOTS} processes of the group {group_id} run on this host: stop some")
