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
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from streamer.cutoffs import Cutoffs
from streamer.errors import (
    ConfigError,
    InputLost,
    LogUnavailable,
    OffsetOutOfRange,
    TopicError,
    TopicMissing,
    TopicRefused,
)
from streamer.faultpoints import Point, reached
from streamer.log.base import Lane, Log, Reader, Stored, TopicPartition
from streamer.log.position import Position
from streamer.log.table import Table
from streamer.lost import Input, skip
from streamer.metrics import COMMITTED, ERRORS, LAG, ROUTE_BEHIND, ROUTE_PASS
from streamer.model import is_tick
from streamer.route.feed import Article, Draft, Feed, Routing, counts_of, epoch_of
from streamer.route.rebuild import NOTHING, Mark, Start, Todo, lane_todo, mark_of
from streamer.route.roster import Roster
from streamer.route.starts import GROUP, Starts
from streamer.runtime import Runtime, article_spec
from streamer.ticks import Ticks

IDLE_S: Final = 0.25
"""How long a lane waits for records before it looks for other partners, parked ones and a drain."""
TABLE_S: Final = 30.0
"""Cut-offs that can't be read for so long: the lane restarts, and says so."""
PASS_RECORDS: Final = 500
PASS_JUDGEMENTS: Final = 10_000
"""Records times partners of a pass: some 50 ms of one core at most, so that other lanes get their turn."""
PASS_BYTES: Final = 8_388_608
COMMIT_BYTES: Final = 33_554_432
"""A pass that makes more commits in several parts."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the lanes of a process have in common."""

    runtime: Runtime
    roster: Roster
    cutoffs: Cutoffs
    withdrawals: Table
    starts: Starts
    meta: Table


class RouteLane:
    def __init__(self, shared: Shared, lane: Lane) -> None:
        self._shared = shared
        self._roster = shared.roster
        self._parking = shared.roster.parking
        self._log: Log = shared.runtime.log
        self._lane = lane
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._feeds: dict[str, Feed] = {}
        self._stopped: set[str] = set()
        """Their feeds are being made anew, and it is not their turn yet."""
        self._epoch = ""
        """Of the articles."""
        self._ticks = Ticks(article_spec(shared.runtime.settings, lane.topic))
        self._generation = 0
        self._starts_generation = 0
        self._turn = 0
        self._owed_s = 0.0
        """Time that those behind took and the front has not had yet."""

    async def start(self) -> None:
        """Takes up the partners in force; where each one starts is durable when this returns."""
        await self._refresh()

    async def run(self) -> None:
        anywhere = {self._tp: 0}
        async with self._log.reader(anywhere) as front_reader, self._log.reader(anywhere) as behind_reader:
            while not self._shared.runtime.draining.is_set():
                if self._is_stale():
                    await self._refresh()
                if not self._feeds:
                    await self._wait_for_partners()
                    continue
                front, behind = self._cohorts()
                had = await self._front_pass(front_reader, front, wait_s=0.0 if behind else IDLE_S)
                if not had and front_reader.position(self._tp) == front[0].next:
                    await self._say_met(front)
                LAG.at(GROUP, *self._tp, front[0].next)
                if behind and (not had or self._owed_s <= 0):
                    await self._behind_pass(behind_reader, behind)
                await self._tick()

    # ── partners ───────────────────────────────────────────────────────────────────────────────

    def _is_stale(self) -> bool:
        """Whether other rules are in force than this lane has, or somebody was parked or waits to join."""
        if self._generation != self._roster.generation:
            return True
        if self._starts_generation != self._shared.starts.generation:
            return True
        parked = self._parking.parked(self._lane.partition)
        waiting = self._roster.routings().keys() - self._feeds.keys() - self._stopped - parked
        return bool(waiting or parked & self._feeds.keys())

    async def _wait_for_partners(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                await self._roster.changed(self._generation)

    async def _refresh(self) -> None:
        """Makes the feeds those of the partners in force, without the parked; takes up who is new or back."""
        self._generation = self._roster.generation
        self._heed_rebuilds()
        routings = dict(self._roster.routings())
        self._stopped &= routings.keys()
        for name in self._feeds.keys() - routings.keys():
            self._drop(name)
            COMMITTED.forget(GROUP, name)
        parked = self._parking.parked(self._lane.partition)
        for name in parked & self._feeds.keys():
            self._parking.leave(self._feeds[name], self._lane.partition)
            self._drop(name)
        new: list[Routing] = []
        for name, routing in routings.items():
            if name in self._feeds:
                self._feeds[name].routing = routing
            elif name not in parked | self._stopped:
                new.append(routing)
        if new:
            await self._take_up(new)

    def _heed_rebuilds(self) -> None:
        """Lets go of the feeds whose partners' record is of a rebuild that they are not of: what becomes of
        them is decided anew, from what is committed.
        """
        starts = self._shared.starts
        if self._starts_generation == starts.generation:
            return
        self._starts_generation = starts.generation
        self._stopped.clear()
        self._parking.try_soon({name for name in self._roster.routings() if starts.is_rebuilt(name)})
        for name, feed in list(self._feeds.items()):
            start = starts.of(name)
            if start is not None and start.rebuild not in ("", feed.mark.rebuild):
                self._drop(name)

    async def _take_up(self, new: Sequence[Routing]) -> None:
        await self._caught_up(self._shared.meta)  # before the positions, which may be of what it says
        new, positions = await self._positions(new)
        there = await self._input(positions)
        starting: list[Draft] = []
        for routing in new:
            position = positions.get(self._place(routing))
            start = self._shared.starts.of(routing.name)
            try:
                todo = await self._todo(routing, start, position)
                if todo == "go on":
                    assert position is not None
                    await self._roster.ready_topic(routing, is_new=False)
                    self._join(await self._aimed(Feed.restore(routing, self._standing(position, there))))
                elif todo == "wait":
                    self._stopped.add(routing.name)
                elif todo == "stop":
                    starting.append(Draft.of(await self._stopped_feed(routing, start, position)))
                elif todo == "try again":
                    self._park(
                        routing,
                        TopicMissing(f"{routing.topic}: positions of the one before linger", routing.topic),
                    )
                else:
                    is_new = self._may_make(routing)
                    await self._roster.ready_topic(routing, is_new=is_new)
                    starting.append(Draft.of(await self._new_feed(routing, start)))
            except (ConfigError, InputLost, TopicError) as error:
                if isinstance(error, TopicError) and routing.topic not in error.topics:
                    raise
                self._park(routing, error, is_new=position is None and self._may_make(routing))
        for draft in await self._commit(starting, None):
            if draft.feed.mark.phase == "stopped":
                self._stop(draft.feed)
            else:
                self._join(draft.feed)

    async def _positions(
        self, new: Sequence[Routing]
    ) -> tuple[Sequence[Routing], dict[TopicPartition, Position]]:
        """Without those whose positions are refused, who are parked."""
        while True:
            try:
                return new, await self._lane.positions(self._place(routing) for routing in new)
            except TopicRefused as error:
                refused = [routing for routing in new if routing.topic in error.topics]
                if not refused:
                    raise
                for routing in refused:
                    self._park(routing, error, is_new=self._may_make(routing))  # it may be new
                new = [routing for routing in new if routing.topic not in error.topics]

    def _may_make(self, routing: Routing) -> bool:
        """A topic that is made anew is made by who rebuilds."""
        return not self._shared.starts.is_rebuilt(routing.name)

    async def _input(self, positions: Mapping[TopicPartition, Position]) -> Input:
        """The articles as they are. Raises InputLost where all who begin speak of another making of their
        topic; one alone, who was away when that happened, is parked. What retention took is counted later, by
        partner.
        """
        there = await Input.of(self._log, self._tp)
        self._epoch = there.epoch
        lost = [there.beyond(position.next, epoch_of(position)) for position in positions.values()]
        if lost and lost[0] and all(lost) and not self._feeds and self._stops:
            raise lost[0]
        return there

    def _standing(self, position: Position, there: Input) -> Position:
        """Where the partner goes on. Raises InputLost."""
        lost = there.beyond(position.next, epoch_of(position))
        if lost is None:
            return position
        skip(self._shared.runtime, GROUP, self._lane.partition, lost)
        return Position(there.earliest, (), position.state)

    @property
    def _stops(self) -> bool:
        return self._shared.runtime.settings.log.lost == "stop"

    async def _todo(self, routing: Routing, start: Start | None, position: Position | None) -> Todo:
        mark = None if position is None else mark_of(position.state)
        if start is None or not start.rebuild:
            return lane_todo(start, mark, "")
        info = await self._log.topic(routing.topic)
        return lane_todo(start, mark, "" if info is None else info.epoch)

    async def _new_feed(self, routing: Routing, start: Start | None) -> Feed:
        """Of a partner without a position, or whose topic was made anew."""
        rebuild = "" if start is None else start.rebuild
        parked = self._parking.stood(self._lane.partition).get(routing.name)
        if parked is not None and rebuild in ("", parked.mark.rebuild):
            return replace(parked, routing=routing)
        mark = Mark(rebuild, "behind") if rebuild else NOTHING
        since_ms = self._roster.since_ms(routing.name) if start is None else start.since_ms
        feed = Feed(routing, await self._log.offset_at(self._tp, since_ms), counts_of({}), mark)
        return await self._aimed(feed)

    async def _aimed(self, feed: Feed) -> Feed:
        if feed.mark.phase == "behind":
            feed.until = (await self._log.bounds(self._tp)).end
        return feed

    async def _stopped_feed(self, routing: Routing, start: Start | None, position: Position | None) -> Feed:
        """Where it stands it goes on, should the rebuild be taken back."""
        assert start is not None
        if position is None:
            feed = await self._new_feed(routing, None)
        else:
            feed = Feed.restore(routing, position)
        return replace(feed, mark=Mark(start.rebuild, "stopped"))

    def _stop(self, feed: Feed) -> None:
        name = feed.routing.name
        self._stopped.add(name)
        self._roster.established(name)
        self._parking.joined(name, self._lane.partition)
        logger.info(
            "feed stopped, to be made anew", extra={"partner": name, "partition": self._lane.partition}
        )

    async def _say_met(self, feeds: Iterable[Feed]) -> None:
        """Nothing is left to be read: who is made anew has met those who are live."""
        met = [feed for feed in feeds if feed.mark.phase == "behind"]
        for feed in met:
            feed.until = min(feed.until, feed.next)
        await self._commit([Draft.of(feed) for feed in met], None)

    def _join(self, feed: Feed) -> None:
        name = feed.routing.name
        feed.served = self._turn
        self._feeds[name] = feed
        self._ticks.assume([self._place(feed.routing)], self._now_s())
        self._roster.established(name)
        self._parking.joined(name, self._lane.partition)
        COMMITTED.set(GROUP, name, self._lane.partition, feed.counts)

    def _park(
        self,
        routing: Routing,
        error: ConfigError | InputLost | TopicError,
        *,
        feed: Feed | None = None,
        is_new: bool = False,
    ) -> None:
        self._drop(routing.name)
        if routing.name in self._roster.routings():  # it may have been taken out meanwhile
            self._parking.park(routing, self._lane.partition, error, feed=feed, is_new=is_new)

    def _drop(self, name: str) -> None:
        self._feeds.pop(name, None)
        with suppress(KeyError):
            ROUTE_BEHIND.remove(name, str(self._lane.partition))

    def _place(self, routing: Routing) -> TopicPartition:
        return TopicPartition(routing.topic, self._lane.partition)

    # ── passes ─────────────────────────────────────────────────────────────────────────────────

    def _cohorts(self) -> tuple[list[Feed], list[Feed]]:
        """Those in front, and those behind whose turn it is."""
        ahead = max(feed.next for feed in self._feeds.values())
        front = [feed for feed in self._feeds.values() if feed.next == ahead]
        others = [feed for feed in self._feeds.values() if feed.next < ahead]
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
        self._turn += 1
        ahead = [feed.next for feed in self._feeds.values() if feed.next > feeds[0].next]
        limit = min(ahead, default=None)  # none where the front has just been parked
        await self._route(feeds, *await self._read(reader, feeds, limit, 0.0))
        for feed in feeds:
            feed.served = self._turn
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
                feed.next = max(feed.next, following)  # holes only: the next commit says it
            return
        reached(Point.ROUTE_READ)
        began_s = time.monotonic()
        await self._caught_up(self._shared.withdrawals)
        if self._generation != self._roster.generation:
            return
        articles = self._articles(records)
        drafts: list[Draft] = []
        for feed in feeds:
            draft = Draft.of(feed)
            for stored, article in zip(records, articles, strict=True):
                draft.take(stored, article)
            drafts.append(draft)
            if sum(draft.size for draft in drafts) >= COMMIT_BYTES:
                await self._commit(drafts, following)
                drafts = []
                for article in filter(None, articles):
                    article.forget()
                if self._generation != self._roster.generation:  # while the commit was waited for
                    return
        await self._commit(drafts, following)
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
        await self._commit(drafts, error.earliest)

    # ── commits ────────────────────────────────────────────────────────────────────────────────

    async def _commit(self, drafts: Sequence[Draft], following: int | None) -> list[Draft]:
        """All of them in one step; returns those that were taken. Whose topic the log names as the reason why
        it takes none is parked, and the others are committed without it, here or once the lane has started
        anew. `following` None: where each stands.
        """
        parked = self._parking.parked(self._lane.partition)
        drafts = [draft for draft in drafts if draft.feed.routing.name not in parked]
        if not drafts:
            return []
        records = [record for draft in drafts for record in draft.records]
        ends = [draft.feed.next if following is None else following for draft in drafts]
        positions = {
            self._place(draft.feed.routing): draft.feed.position(
                self._tp.topic, self._epoch, end, draft.counts
            )
            for draft, end in zip(drafts, ends, strict=True)
        }
        try:
            if records:
                reached(Point.ROUTE_COMMITTING)
            await self._lane.commit(records, positions)
            if records:
                reached(Point.ROUTE_COMMITTED)
        except TopicError as error:
            named = [draft.feed for draft in drafts if draft.feed.routing.topic in error.topics]
            if not named:
                raise
            for feed in named:
                self._park(feed.routing, error, feed=feed)
            await self._lane.commit([], {})  # raises where the refusal has cost us the lane
            rest = [draft for draft in drafts if draft.feed.routing.topic not in error.topics]
            return await self._commit(rest, following)
        self._ticks.committed(records, self._now_s())
        for draft, end in zip(drafts, ends, strict=True):
            draft.feed.committed(end, draft.counts)
            self._parking.written(draft.feed.routing.name, self._lane.partition)
            COMMITTED.set(GROUP, draft.feed.routing.name, self._lane.partition, draft.counts)
        return list(drafts)

    async def _tick(self) -> None:
        due = self._ticks.due(self._now_s())
        if not due:
            return
        feeds = {self._place(feed.routing): feed for feed in self._feeds.values()}
        drafts: list[Draft] = []
        for tick in due:
            place = TopicPartition(tick.topic, tick.partition)
            if place in feeds:
                draft = Draft.of(feeds[place])
                draft.records.append(tick)
                drafts.append(draft)
            else:  # parked, or gone; when it is taken up again one is assumed to be due
                self._ticks.forget(place)
        await self._commit(drafts, None)

    def _now_s(self) -> float:
        return self._shared.runtime.clock.monotonic_s()

    async def _caught_up(self, table: Table) -> None:
        try:
            async with asyncio.timeout(TABLE_S):
                await table.catch_up()
        except TimeoutError:
            raise LogUnavailable(f"a table could not be read to its end within {TABLE_S:.0f} s") from None

    def _gauge(self) -> None:
        if not self._feeds:
            return
        ahead = max(feed.next for feed in self._feeds.values())
        for name, feed in self._feeds.items():
            ROUTE_BEHIND.labels(name, str(self._lane.partition)).set(ahead - feed.next)
