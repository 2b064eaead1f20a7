"""One partition of the articles, for all partners.

    front    the partners that are furthest ahead; they share a pass (read, judge, commit)
    behind   the others, in cohorts of the same position: new with a past, made anew (route.rebuild), or
             back from being parked.
             They take turns, one pass at a time, and get no more time than the front had, unless the
             front has nothing to do. A cohort reads up to the position of the next one and joins it.

A pass holds the records of all its partners and their positions in one commit; where that would be
too much memory, in several, each whole for its partners. What is in memory is bounded by PASS_BYTES
and COMMIT_BYTES a lane, whatever the number of partners.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from streamer.accounts import GROUP
from streamer.errors import OffsetOutOfRange
from streamer.faultpoints import Point, reached
from streamer.log.base import Lane, Log, Reader, Stored, TopicPartition
from streamer.metrics import ERRORS, LAG, ROUTE_BEHIND, ROUTE_PASS
from streamer.model import is_tick
from streamer.route.feed import Article, Draft, Feed
from streamer.route.intake import Intake
from streamer.route.outbox import Outbox
from streamer.route.shared import Shared, caught_up

IDLE_S: Final = 0.25
"""How long a lane waits for records before it looks for other partners, parked ones and a drain."""
PASS_RECORDS: Final = 500
PASS_JUDGEMENTS: Final = 10_000
"""Records times partners of a pass: some 50 ms of one core at most, so that other lanes get their turn."""
PASS_BYTES: Final = 8_388_608
COMMIT_BYTES: Final = 33_554_432
"""A pass that makes more commits in several parts."""

logger = logging.getLogger(__name__)


class RouteLane:
    def __init__(self, shared: Shared, lane: Lane) -> None:
        self._shared = shared
        self._log: Log = shared.runtime.log
        self._lane = lane
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._parking = shared.roster.parking
        self._outbox = Outbox(shared, lane)
        self._intake = Intake(shared, lane, self._outbox)
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
        async with self._log.reader(anywhere) as front_reader, self._log.reader(anywhere) as behind_reader:
            while not self._shared.runtime.draining.is_set():
                if self._intake.is_stale():
                    await self._intake.refresh()
                if not self._outbox.feeds:
                    self._lag_of_nobody()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(IDLE_S):
                            await self._intake.changed()
                    continue
                front, behind = self._cohorts()
                had = await self._front_pass(front_reader, front, wait_s=0.0 if behind else IDLE_S)
                if not had and front_reader.position(self._tp) == front[0].next:
                    await self._intake.say_met(front)
                LAG.at(GROUP, *self._tp, front[0].next)
                if behind and (not had or self._owed_s <= 0):
                    await self._behind_pass(behind_reader, behind)
                await self._outbox.tick()
                await self._outbox.tell_holes()

    # ── passes ─────────────────────────────────────────────────────────────────────────────────

    def _cohorts(self) -> tuple[list[Feed], list[Feed]]:
        """Those in front, and those behind whose turn it is."""
        ahead = max(feed.next for feed in self._outbox.feeds.values())
        front = [feed for feed in self._outbox.feeds.values() if feed.next == ahead]
        others = [feed for feed in self._outbox.feeds.values() if feed.next < ahead]
        if not others:
            return front, []
        at = min(others, key=lambda feed: feed.served).next
        return front, [feed for feed in others if feed.next == at]

    async def _front_pass(self, reader: Reader, feeds: list[Feed], *, wait_s: float) -> bool:
        """False when there was nothing to do."""
        read = await self._read(reader, feeds, None, wait_s)
        began_s = time.monotonic()
        await self._route(feeds, *read)
        self._owed_s = max(0.0, self._owed_s - (time.monotonic() - began_s))
        return bool(read[0])

    async def _behind_pass(self, reader: Reader, feeds: list[Feed]) -> None:
        began_s = time.monotonic()
        self._outbox.turn += 1
        ahead = [feed.next for feed in self._outbox.feeds.values() if feed.next > feeds[0].next]
        limit = min(ahead, default=None)  # none where the front has just been parked
        await self._route(feeds, *await self._read(reader, feeds, limit, 0.0))
        for feed in feeds:
            feed.served = self._outbox.turn
        self._owed_s += time.monotonic() - began_s

    async def _read(
        self, reader: Reader, feeds: list[Feed], limit: int | None, wait_s: float
    ) -> tuple[list[Stored], int]:
        """What stands before `limit`, and the offset behind it."""
        at = feeds[0].next
        if reader.position(self._tp) != at:  # a seek may cost what was read ahead
            reader.assign(self._tp, at)
        count = len(feeds)
        try:
            records = await reader.read(
                max_records=max(20, min(PASS_RECORDS, PASS_JUDGEMENTS // count)),
                max_bytes=max(PASS_BYTES // count, 262_144),
                wait_s=wait_s,
            )
        except OffsetOutOfRange as error:
            await self._expire(feeds, error)
            return [], error.earliest
        following = reader.position(self._tp)
        if limit is not None and following >= limit:
            records = [stored for stored in records if stored.offset < limit]
            following = limit
        return records, following

    async def _route(self, feeds: list[Feed], records: list[Stored], following: int) -> None:
        """Judges and commits. Does nothing where the rules have changed: it is read again under the new."""
        if not records:
            for feed in feeds:
                feed.move_to(max(feed.next, following))
            return
        reached(Point.ROUTE_READ)
        began_s = time.monotonic()
        await caught_up(self._shared.withdrawals)
        if self._intake.is_overtaken():
            return
        articles = self._articles(records)
        drafts: list[Draft] = []
        for feed in feeds:
            draft = Draft.of(feed)
            for stored, article in zip(records, articles, strict=True):
                draft.take(stored, article)
            drafts.append(draft)
            if sum(draft.size for draft in drafts) >= COMMIT_BYTES:
                await self._outbox.commit(drafts, following)
                drafts = []
                for article in filter(None, articles):
                    article.forget()
                if self._intake.is_overtaken():  # while the commit was waited for
                    return
        await self._outbox.commit(drafts, following)
        self._gauge()
        ROUTE_PASS.observe(time.monotonic() - began_s)

    def _articles(self, records: Iterable[Stored]) -> list[Article | None]:
        """None for what is none: ticks, tombstones, and values that no article stands in (an alarm)."""
        articles: list[Article | None] = []
        for stored in records:
            article = None
            if stored.value is not None and not is_tick(stored):
                try:
                    article = Article(stored, self._shared.cutoffs)
                except (msgspec.DecodeError, ValueError):
                    ERRORS.labels(GROUP, "record_invalid").inc()
                    logger.error(  # noqa: TRY400 - the decoder's words may quote the text
                        "a record holds no article and is left out",
                        extra={"topic": stored.topic, "partition": stored.partition, "offset": stored.offset},
                    )
            articles.append(article)
        return articles

    async def _expire(self, feeds: list[Feed], error: OffsetOutOfRange) -> None:
        """Retention was faster than these partners: what they lost is counted, and they go on behind it."""
        lost = error.earliest - error.offset
        drafts = []
        for feed in feeds:
            draft = Draft.of(feed)
            draft.counts["expired"] += lost
            drafts.append(draft)
            logger.error(
                "articles expired before they were routed",
                extra={"partner": feed.routing.name, "partition": self._lane.partition, "offsets": lost},
            )
        ERRORS.labels(GROUP, error.code).inc()
        await self._outbox.commit(drafts, error.earliest)

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
        for name, feed in self._outbox.feeds.items():
            ROUTE_BEHIND.labels(name, str(self._lane.partition)).set(ahead - feed.next)
