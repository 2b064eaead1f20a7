"""A whole topic followed in memory: cut-offs, signals, meta."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, NoReturn

from streamer.errors import LogError, OffsetOutOfRange
from streamer.log.base import Log, Reader, Stored, TopicPartition
from streamer.log.rounds import Rounds
from streamer.log.seldom import Seldom
from streamer.log.waiting import Condition
from streamer.metrics import ERRORS

READ_S: Final = 0.25
STALE_S: Final = 1.0
"""A table at the end of its topic has that confirmed every READ_S; this much later it counts as behind."""
RETRY_S: Final = 0.25

logger = logging.getLogger(__name__)


class Table:
    """`load`, then `run` in the caller's task group. `apply` gets each record, tombstones and ticks too,
    in the order of its partition, and perhaps again after a restart of `run`: it must be idempotent.
    """

    def __init__(self, log: Log, topic: str, apply: Callable[[Stored], object]) -> None:
        self._log = log
        self._topic = topic
        self._apply = apply
        self._applied: dict[TopicPartition, int] = {}
        self._moved = Condition()
        self._behind = True
        self._at_end_s = time.monotonic()
        self._seldom = Seldom()
        self._rounds = Rounds(self._ends)
        """Who follows many topics asks this for each of them."""

    @property
    def lag_s(self) -> float:
        """How long it has been behind; 0.0 at the end."""
        since_s = time.monotonic() - self._at_end_s
        return since_s if self._behind or since_s > STALE_S else 0.0

    async def load(self) -> None:
        """Everything up to the end as it is now; a log that can't be read for a while is waited for.
        Raises TopicMissing.
        """
        while True:
            try:
                return await self._load()
            except LogError as error:
                await self._wait_for_it(error)

    async def _load(self) -> None:
        bounds = {
            TopicPartition(self._topic, partition): found
            for partition, found in enumerate(await self._log.all_bounds(self._topic))
        }
        self._applied = {tp: found.earliest for tp, found in bounds.items()}
        ends = {tp: found.end for tp, found in bounds.items()}
        async with self._log.reader(self._applied) as reader:
            while not self._reached(ends):
                await self._step(reader, READ_S)
        self._at_end_s = time.monotonic()
        self._behind = False

    async def run(self) -> None:
        """For ever; a log that can't be read for a while is waited for, and meanwhile this is behind.
        Raises TopicMissing when the topic is deleted.
        """
        while True:
            try:
                async with self._log.reader(self._applied) as reader:
                    await self._follow(reader)
            except LogError as error:
                await self._wait_for_it(error)

    async def _wait_for_it(self, error: LogError) -> None:
        if not error.retriable:
            raise error
        ERRORS.labels("log", error.code).inc()
        if times := self._seldom.times(error.code):
            logger.warning(
                "a table can't be read",
                extra={"topic": self._topic, "code": error.code, "reason": str(error), "times": times},
            )
        self._behind = True
        await asyncio.sleep(RETRY_S)

    async def _follow(self, reader: Reader) -> NoReturn:
        while True:
            began_s = time.monotonic()
            if await self._step(reader, 0.0 if self._behind else READ_S):
                self._behind = True
            else:
                self._at_end_s = began_s  # what a read that was held up found is no newer than that
                self._behind = False

    async def catch_up(self) -> None:
        """Returns once all that was appended before this call is applied; `run` must be running."""
        ends = await self._rounds.answer()
        while not self._reached(ends):
            await self._moved.wait()

    async def _ends(self) -> dict[TopicPartition, int]:
        bounds = await self._log.all_bounds(self._topic)
        return {tp: bounds[tp.partition].end for tp in self._applied}

    def _reached(self, ends: dict[TopicPartition, int]) -> bool:
        return all(self._applied[tp] >= end for tp, end in ends.items())

    async def _step(self, reader: Reader, wait_s: float) -> bool:
        """True when there were records."""
        try:
            records = await reader.read(wait_s=wait_s)
        except OffsetOutOfRange as error:  # retention was faster: what is left is all there is to know
            reader.assign(TopicPartition(error.topic, error.partition), error.earliest)
            return True
        for record in records:
            self._apply(record)
        for tp in self._applied:
            self._applied[tp] = reader.position(tp)
        self._moved.notify()
        return bool(records)
