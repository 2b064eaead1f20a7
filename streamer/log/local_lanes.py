"""Lanes of the local log: all partitions of a group are one process's, under one epoch."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from streamer.errors import LaneLost, StreamerError
from streamer.faultpoints import Point, reached
from streamer.groups import alone_by_name
from streamer.log.base import LaneMain, Record, TopicPartition
from streamer.log.lanes import counted, keep_running
from streamer.log.local_writer import Claim, Transaction, Work, Writer
from streamer.log.position import Position


class Store(Protocol):
    """What a lane needs of its log."""

    async def commit_as(
        self, records: Sequence[Record], positions: Mapping[TopicPartition, Position], claim: Claim | None
    ) -> list[int]: ...
    async def committed(self, group: str) -> dict[TopicPartition, Position]: ...


class LocalLane:
    def __init__(self, store: Store, claim: Claim, topic: str, partition: int) -> None:
        self._store = store
        self._claim = claim
        self._topic = topic
        self._partition = partition
        self._closed = False

    @property
    def group(self) -> str:
        return self._claim.group

    @property
    def topic(self) -> str:
        return self._topic

    @property
    def partition(self) -> int:
        return self._partition

    async def positions(self, wanted: Iterable[TopicPartition]) -> dict[TopicPartition, Position]:
        committed = await self._store.committed(self.group)
        return {tp: committed[tp] for tp in wanted if tp in committed}

    async def commit(
        self, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        async with counted(self.group):
            if self._closed:
                raise LaneLost(f"{self.group}: the lane of {self.topic}/{self.partition} has ended")
            return await self._store.commit_as(records, positions, self._claim)

    def close(self) -> None:
        """What still holds the lane can't commit any more."""
        self._closed = True


async def run_lanes(
    store: Store,
    writer: Writer,
    group: str,
    topic: str,
    *,
    partitions: Iterable[int],
    run: LaneMain,
    draining: asyncio.Event | None = None,
) -> None:
    """The caller holds the group's lock file."""
    claims, partitions = _Claims(group, writer), list(partitions)

    async def claim(_: StreamerError | None) -> None:
        await claims.renew(claims.current)

    # what ails the disk in the instant of the start ends no role either
    await keep_running(group, min(partitions, default=0), claim, draining)
    if not claims.current.epoch:
        return
    reached(Point.LOG_CLAIMED)
    with alone_by_name():
        async with asyncio.TaskGroup() as lanes:
            for partition in partitions:
                attempts = _Attempts(store, claims, topic, partition, run)
                lane = keep_running(group, partition, attempts, draining)
                lanes.create_task(lane, name=f"{group}-{partition}")


class _Attempts:
    """One lane, as often as it takes."""

    def __init__(self, store: Store, claims: "_Claims", topic: str, partition: int, run: LaneMain) -> None:
        self._store = store
        self._claims = claims
        self._topic = topic
        self._partition = partition
        self._run = run
        self._claim = claims.current
        self._lost: Claim | None = None

    async def __call__(self, failed: StreamerError | None) -> None:
        if isinstance(failed, LaneLost):
            self._lost = self._claim
        if self._lost is not None:
            await self._claims.renew(self._lost)
            self._lost = None
        elif failed is not None:
            await self._claims.settle()
        self._claim = self._claims.current
        lane = LocalLane(self._store, self._claim, self._topic, self._partition)
        try:
            await self._run(lane)
        finally:
            lane.close()


class _Claims:
    """The epoch under which this process runs a group; raised once for all lanes that lost it together."""

    def __init__(self, group: str, writer: Writer) -> None:
        self.group = group
        self.current = Claim(group, 0)
        self._writer = writer
        self._renewing = asyncio.Lock()

    async def renew(self, lost: Claim) -> None:
        async with self._renewing:
            if lost == self.current:
                epoch = await self._writer.do(claim_work(self.group), aside=True)
                self.current = Claim(self.group, epoch)

    async def settle(self) -> None:
        """Returns once every commit that was on its way is decided. The lane that gave one up would
        otherwise start from a position that the commit then overtakes, and do its records again.
        """
        await self._writer.do(lambda _: None)


def claim_work(group: str) -> Work[int]:
    """Raises the group's epoch, and gives it."""

    def work(transaction: Transaction) -> int:
        row = transaction.connection.execute(
            "INSERT INTO claims VALUES (?, 1)"
            " ON CONFLICT (grp) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
            (group,),
        ).fetchone()
        epoch: int = row[0]
        return epoch

    return work
