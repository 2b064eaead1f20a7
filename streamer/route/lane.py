"""One partition of the articles, for all partners.

    front    the partners that are furthest ahead; they share a pass (read, judge, commit)
    behind   the others, in cohorts of the same position: new with a past, made anew (route.rebuild), or
             back from being parked.
             They take turns, one pass at a time, and get no more time than the front had, unless the
             front has nothing to do. A cohort reads up to the position of the next one and joins it.
    settling what those hold who settle (route.settling): it is released in passes of its own, which take
             turns like those behind

What is in memory is bounded by PASS_BYTES and COMMIT_BYTES a lane (route.passes), whatever the number of
partners, and by what settles.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from streamer.accounts import GROUP
from streamer.errors import OffsetOutOfRange
from streamer.log.base import Lane, Log, Reader, TopicPartition
from streamer.metrics import LAG, ROUTE_BEHIND
from streamer.route.feed import Feed
from streamer.route.intake import Intake
from streamer.route.outbox import Outbox
from streamer.route.passes import Passes
from streamer.route.settling import Settling
from streamer.route.shared import Shared

IDLE_S: Final = 0.25
"""How long a lane waits for records before it looks for other partners, parked ones and a drain."""


class RouteLane:
    def __init__(self, shared: Shared, lane: Lane) -> None:
        self._shared = shared
        self._log: Log = shared.runtime.log
        self._lane = lane
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._parking = shared.roster.parking
        self._outbox = Outbox(shared, lane)
        self._intake = Intake(shared, lane, self._outbox)
        self._passes = Passes(shared, lane, self._outbox, self._intake)
        self._settling = Settling(shared, lane, self._outbox, self._passes)
        self._owed_s = 0.0
        """Time that those behind took and the front has not had yet."""

    async def start(self) -> None:
        """Takes up the partners in force; where each one starts is durable when this returns."""
        await self._intake.refresh()

    async def run(self) -> None:
        anywhere = {self._tp: 0}
        try:
            await self._run(anywhere)
        finally:
            self._outbox.silence()

    async def _run(self, anywhere: Mapping[TopicPartition, int]) -> None:
        async with (
            self._log.reader(anywhere) as front_reader,
            self._log.reader(anywhere) as behind_reader,
            self._settling as settling,
        ):
            while not self._shared.runtime.draining.is_set():
                if self._intake.is_stale():
                    await self._intake.refresh()
                if not self._outbox.feeds:
                    self._lag_of_nobody()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(IDLE_S):
                            await self._intake.changed()
                    continue
                settling.refresh()
                front, behind = self._cohorts()
                is_busy = bool(behind) or settling.is_busy()
                had = await self._front_pass(front_reader, front, wait_s=0.0 if is_busy else IDLE_S)
                if behind and (not had or self._owed_s <= 0):
                    await self._behind_pass(behind_reader, behind)
                if settling.is_busy() and (not had or self._owed_s <= 0):
                    began_s = time.monotonic()
                    await settling.step()
                    self._owed_s += time.monotonic() - began_s
                await self._outbox.tick()
                await self._outbox.tell_holes()
                if had or behind:
                    self._gauge()

    # ── passes ─────────────────────────────────────────────────────────────────────────────────

    def _cohorts(self) -> tuple[list[Feed], list[Feed]]:
        """Those in front, and those behind whose turn it is; of all who may read on."""
        feeds = [feed for feed in self._outbox.feeds.values() if self._settling.may_read(feed)]
        ahead = max((feed.next for feed in feeds), default=0)
        front = [feed for feed in feeds if feed.next == ahead]
        others = [feed for feed in feeds if feed.next < ahead]
        if not others:
            return front, []
        at = min(others, key=lambda feed: feed.served).next
        return front, [feed for feed in others if feed.next == at]

    async def _front_pass(self, reader: Reader, feeds: list[Feed], *, wait_s: float) -> bool:
        """False when there was nothing to do."""
        if not feeds:  # all wait for what they hold
            await asyncio.sleep(wait_s)
            return False
        asked_ms = self._shared.horizon.now_ms()
        had = await self._pass(reader, feeds, None, wait_s, is_front=True)
        if not had and reader.position(self._tp) == feeds[0].next:
            self._settling.saw_end(feeds, asked_ms)
            await self._intake.say_met(feeds)
        LAG.at(GROUP, *self._tp, feeds[0].next)
        return had

    async def _behind_pass(self, reader: Reader, feeds: list[Feed]) -> None:
        began_s = time.monotonic()
        self._outbox.turn += 1
        ahead = [feed.next for feed in self._outbox.feeds.values() if feed.next > feeds[0].next]
        limit = min(ahead, default=None)  # none where the front has just been parked
        await self._pass(reader, feeds, limit, 0.0)
        for feed in feeds:
            feed.served = self._outbox.turn
        self._owed_s += time.monotonic() - began_s

    async def _pass(
        self, reader: Reader, feeds: list[Feed], limit: int | None, wait_s: float, *, is_front: bool = False
    ) -> bool:
        """False when nothing was there."""
        try:
            records, following = await self._passes.read(
                reader, feeds[0].next, limit, count=len(feeds), wait_s=wait_s
            )
        except OffsetOutOfRange as error:
            await self._passes.expire(feeds, error)
            return False
        began_s = time.monotonic()
        await self._passes.route(feeds, records, following)
        if is_front:
            self._owed_s = max(0.0, self._owed_s - (time.monotonic() - began_s))
        return bool(records)

    # ── metrics ────────────────────────────────────────────────────────────────────────────────

    def _lag_of_nobody(self) -> None:
        """Where all are parked the lag is that of the furthest; where there is none, it is nobody's."""
        stood = self._parking.stood(self._lane.partition).values()
        if stood:
            LAG.at(GROUP, *self._tp, max(feed.next for feed in stood))
        else:
            LAG.leave(GROUP, self._lane.partition)

    def _gauge(self) -> None:
        if not self._outbox.feeds:
            return
        ahead = max(feed.next for feed in self._outbox.feeds.values())
        partition = str(self._lane.partition)
        for name, feed in self._outbox.feeds.items():
            behind = ahead - feed.next
            if behind != feed.shown_behind:
                feed.shown_behind = behind
                ROUTE_BEHIND.labels(name, partition).set(behind)
