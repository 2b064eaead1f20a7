"""What a lane commits, and for whom: the feeds of the partners that it routes, each with its position.

One commit is one step for all who have a part in it. Whoever the log names as the reason why it takes none is
parked (streamer.route.parking), and the others are committed without it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Final

from streamer.accounts import COUNTED, GROUP
from streamer.errors import ConfigError, InputLost, TopicError
from streamer.faultpoints import Point, reached
from streamer.log.base import Lane, TopicPartition
from streamer.metrics import COMMITTED, ROUTE_BEHIND, ROUTE_SETTLING, discarded, sent
from streamer.route.feed import Draft, Feed, Routing
from streamer.route.shared import Shared
from streamer.runtime import article_spec
from streamer.ticks import Ticks

OUTCOMES: Final = {outcome: itemgetter(outcome) for outcome in COUNTED}
"""For thousands of partners in each pass."""
IDLE_COMMIT_S: Final = 5.0
"""Of a lane that reads nothing but holes, as the ends of transactions are."""


class Outbox:
    def __init__(self, shared: Shared, lane: Lane) -> None:
        self._shared = shared
        self._roster = shared.roster
        self._parking = shared.roster.parking
        self._lane = lane
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._ticks = Ticks(article_spec(shared.runtime.settings, lane.topic))
        self.feeds: dict[str, Feed] = {}
        self.epoch = ""
        """Of the articles: positions say of which making of their topic they are."""
        self._committed_s = self._now_s()
        self.turn = 0
        """Of those behind."""

    async def commit(self, drafts: Sequence[Draft], following: int | None) -> list[Draft]:
        """All of them in one step; returns those that were taken. Whose topic the log names as the reason why
        it takes none is parked, and the others are committed without it, here or once the lane has started
        anew. `following` None: where each stands.
        """
        parked = self._parking.parked(self._lane.partition)
        drafts = [draft for draft in drafts if draft.feed.routing.name not in parked or draft.is_stop]
        if not drafts:
            return []
        records = [record for draft in drafts for record in draft.records]
        ends = [draft.feed.next if following is None else following for draft in drafts]
        positions = {
            self.place(draft.feed.routing): draft.feed.position(
                self._tp.topic, self.epoch, end, draft.counts, draft.hold
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
            named = [draft for draft in drafts if draft.feed.routing.topic in error.topics]
            if not named:
                raise
            for draft in named:
                self.park(draft.feed.routing, error, feed=draft.feed, owes=draft.has_articles)
            await self._lane.commit([], {})  # raises where the refusal has cost us the lane
            rest = [draft for draft in drafts if draft.feed.routing.topic not in error.topics]
            return await self.commit(rest, following)
        self._committed_s = self._now_s()
        self._ticks.committed(records, self._now_s())
        _count(drafts)
        for draft, end in zip(drafts, ends, strict=True):
            draft.feed.committed(end, draft.counts, draft.hold)
            self._parking.written(draft.feed.routing.name, self._lane.partition)
            self._count(draft.feed)
        return list(drafts)

    async def tick(self) -> None:
        """Commits the ticks that are due (streamer.ticks)."""
        due = self._ticks.due(self._now_s())
        if not due:
            return
        feeds = {self.place(feed.routing): feed for feed in self.feeds.values()}
        drafts: list[Draft] = []
        for tick in due:
            place = TopicPartition(tick.topic, tick.partition)
            if place in feeds:
                draft = Draft.of(feeds[place])
                draft.records.append(tick)
                drafts.append(draft)
            else:  # parked, or gone; when it is taken up again one is assumed to be due
                self._ticks.forget(place)
        await self.commit(drafts, None)

    async def tell_holes(self) -> None:
        """Commits where those stand who passed nothing but holes for a while. Retention would overtake a
        position that stays before them, and count what was never there as expired.
        """
        if self._now_s() - self._committed_s >= IDLE_COMMIT_S:
            await self.commit([Draft.of(feed) for feed in self.feeds.values() if feed.has_moved], None)

    def join(self, feed: Feed) -> None:
        """The lane routes it from now on."""
        name = feed.routing.name
        feed.served = self.turn
        feed.shown_behind = None  # the gauge went when it was parked
        feed.ahead = None  # what was remembered while others had it is not its own any more
        self.feeds[name] = feed
        self._ticks.assume([self.place(feed.routing)], self._now_s())
        self._roster.established(name)
        self._parking.joined(name, self._lane.partition)
        self._count(feed)

    def park(
        self,
        routing: Routing,
        error: ConfigError | InputLost | TopicError,
        *,
        feed: Feed | None = None,
        owes: bool = False,
        is_new: bool = False,
    ) -> None:
        """See Parking.park."""
        self.drop(routing.name)
        if routing.name in self._roster.routings():  # it may have been taken out meanwhile
            self._parking.park(routing, self._lane.partition, error, feed=feed, owes=owes, is_new=is_new)

    def drop(self, name: str) -> None:
        """The lane does not route it any more."""
        self.feeds.pop(name, None)
        for gauge in (ROUTE_BEHIND, ROUTE_SETTLING):
            with suppress(KeyError):
                gauge.remove(name, str(self._lane.partition))

    def silence(self) -> None:
        """The lane ends: what it said of partners is for the next one to say."""
        for name in list(self.feeds):
            self.drop(name)

    def _count(self, feed: Feed) -> None:
        if feed.routing.name in self._roster.routings():  # it may have been taken out meanwhile
            COMMITTED.set(GROUP, feed.routing.name, self._lane.partition, feed.counts)

    def place(self, routing: Routing) -> TopicPartition:
        return TopicPartition(routing.topic, self._lane.partition)

    def _now_s(self) -> float:
        return self._shared.runtime.clock.monotonic_s()


def _count(drafts: Sequence[Draft]) -> None:
    """What they add to the outcomes of their feeds, which have yet to be told that they were committed."""
    after = [draft.counts for draft in drafts]
    before = [draft.feed.counts for draft in drafts]
    for outcome, of in OUTCOMES.items():
        count = sum(map(of, after)) - sum(map(of, before))
        if outcome == "published":
            sent(GROUP, count)
        else:
            discarded(GROUP, outcome, count)
    discarded(GROUP, "invalid", sum(map(_invalid, after)) - sum(map(_invalid, before)))


def _invalid(counts: Mapping[str, int]) -> int:
    """Which few have at all."""
    return counts.get("invalid", 0) if len(counts) > len(COUNTED) else 0
