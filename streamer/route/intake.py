"""Who is in a lane: the partners in force, less those who are parked, or stopped to be made anew.

Where each one goes on is what is committed; where nothing is, its recorded beginning (route.starts) or now.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from streamer.accounts import GROUP, counts_of, seen_by
from streamer.errors import ConfigError, InputLost, TopicError, TopicMissing, TopicRefused
from streamer.log.base import Lane, Log, TopicPartition
from streamer.log.position import Position
from streamer.lost import Input, skip
from streamer.route.feed import Draft, Feed, Routing, epoch_of
from streamer.route.outbox import Outbox
from streamer.route.rebuild import NOTHING, Mark, Start, Todo, lane_todo, mark_of, needs_epoch
from streamer.route.shared import Shared, caught_up

logger = logging.getLogger(__name__)


class Intake:
    def __init__(self, shared: Shared, lane: Lane, outbox: Outbox) -> None:
        self._shared = shared
        self._roster = shared.roster
        self._parking = shared.roster.parking
        self._log: Log = shared.runtime.log
        self._lane = lane
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._outbox = outbox
        self._stopped: set[str] = set()
        """Their feeds are being made anew, and it is not their turn yet."""
        self._unruled: set[str] = set()
        """Of those: whose new rules this process has yet to read."""
        self._generation = 0
        self._starts_generation = 0

    def is_overtaken(self) -> bool:
        """Other rules are in force than those of the feeds."""
        return self._generation != self._roster.generation

    async def changed(self) -> None:
        """Returns once that is so."""
        await self._roster.changed(self._generation)

    def is_stale(self) -> bool:
        """Whether other rules are in force than this lane has, or somebody was parked or waits to join."""
        if self.is_overtaken():
            return True
        if self._starts_generation != self._shared.starts.generation:
            return True
        parked = self._parking.parked(self._lane.partition)
        waiting = self._roster.routings().keys() - self._outbox.feeds.keys() - self._stopped - parked
        return bool(waiting or parked & self._outbox.feeds.keys())

    async def refresh(self) -> None:
        """Makes the feeds those of the partners in force, without the parked; takes up who is new or back."""
        if self.is_overtaken():
            self._stopped -= self._unruled
            self._unruled.clear()
        self._generation = self._roster.generation
        concerned = self._heed_rebuilds()
        routings = dict(self._roster.routings())
        self._stopped &= routings.keys()
        for name in self._outbox.feeds.keys() - routings.keys():
            self._outbox.drop(name)
        parked = self._parking.parked(self._lane.partition)
        for name in parked & self._outbox.feeds.keys():
            self._parking.leave(self._outbox.feeds[name], self._lane.partition)
            self._outbox.drop(name)
        new: list[Routing] = []
        for name, routing in routings.items():
            if name in self._outbox.feeds:
                self._outbox.feeds[name].routing = routing
            elif name not in parked | self._stopped or name in concerned:
                new.append(routing)
        if new:
            await self._take_up(new)

    async def say_met(self, feeds: Iterable[Feed]) -> None:
        """Nothing is left to be read: who is made anew has met those who are live."""
        met = [feed for feed in feeds if feed.mark.phase == "behind" and not feed.owes]
        for feed in met:
            feed.until = min(feed.until, feed.next)
        await self._outbox.commit([Draft.of(feed) for feed in met], None)

    def _heed_rebuilds(self) -> set[str]:
        """Lets go of the feeds whose partners' record is of a rebuild that they are not of: what becomes of
        them is decided anew, from what is committed. Returns whom to look at though they are parked.
        """
        starts = self._shared.starts
        if self._starts_generation == starts.generation:
            return set()
        self._starts_generation = starts.generation
        self._stopped.clear()
        self._unruled.clear()
        rebuilt = {name for name in self._roster.routings() if starts.is_rebuilt(name)}
        self._parking.try_soon(rebuilt)
        for name, feed in list(self._outbox.feeds.items()):
            start = starts.of(name)
            if start is not None and start.rebuild not in ("", feed.mark.rebuild):
                self._outbox.drop(name)
        return rebuilt

    async def _take_up(self, new: Sequence[Routing]) -> None:
        await caught_up(self._shared.meta)  # before the positions, which may be of what it says
        new, positions = await self._positions(new)
        there = await self._input(positions)
        starting: list[Draft] = []
        for routing in new:
            position = positions.get(self._outbox.place(routing))
            try:
                drafts = await self._admitted(routing, position, there)
            except (ConfigError, InputLost, TopicError) as error:
                if isinstance(error, TopicError) and routing.topic not in error.topics:
                    raise
                self._outbox.park(routing, error, is_new=position is None and self._may_make(routing))
            else:
                starting += drafts
        for draft in await self._outbox.commit(starting, None):
            if draft.feed.mark.phase == "stopped":
                self._stop(draft.feed)
            else:
                self._outbox.join(draft.feed)

    async def _admitted(self, routing: Routing, position: Position | None, there: Input) -> list[Draft]:
        """What is to be committed before it is routed, or left alone. One that is parked can be stopped to be
        made anew, or wait for that, and no more.
        """
        start = self._shared.starts.of(routing.name)
        todo = await self._todo(routing, start, position)
        if todo == "wait":
            self._stopped.add(routing.name)
        elif todo == "stop":
            return await self._stop_drafts(routing, start, position)
        elif routing.name in self._parking.parked(self._lane.partition):
            pass
        elif todo == "go on":
            assert position is not None
            await self._roster.ready_topic(routing, is_new=False)
            self._outbox.join(await self._aimed(Feed.restore(routing, self._standing(position, there))))
        elif todo == "try again":
            said = f"{routing.topic}: it can't be seen, or positions of the one before linger"
            self._outbox.park(routing, TopicMissing(said, routing.topic))
        elif start is not None and start.rules not in ("", routing.rules):
            self._await_rules(routing.name)
        else:
            await self._roster.ready_topic(routing, is_new=self._may_make(routing))
            return [Draft.of(await self._new_feed(routing, start))]
        return []

    async def _positions(
        self, new: Sequence[Routing]
    ) -> tuple[Sequence[Routing], dict[TopicPartition, Position]]:
        """Without those whose positions are refused, who are parked."""
        while True:
            try:
                return new, await self._lane.positions(self._outbox.place(routing) for routing in new)
            except TopicRefused as error:
                refused = [routing for routing in new if routing.topic in error.topics]
                if not refused:
                    raise
                for routing in refused:
                    self._outbox.park(routing, error, is_new=self._may_make(routing))  # it may be new
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
        self._outbox.epoch = there.epoch
        lost = [there.beyond(seen_by(position), epoch_of(position)) for position in positions.values()]
        if lost and lost[0] and all(lost) and not self._outbox.feeds and self._stops:
            raise lost[0]
        return there

    def _standing(self, position: Position, there: Input) -> Position:
        """Where the partner goes on. Raises InputLost."""
        lost = there.beyond(seen_by(position), epoch_of(position))
        if lost is None:
            return position
        skip(self._shared.runtime, GROUP, self._lane.partition, lost)
        state = {name: part for name, part in position.state.items() if name != "seen"}
        return Position(there.earliest, (), state)

    @property
    def _stops(self) -> bool:
        return self._shared.runtime.settings.log.lost == "stop"

    async def _todo(self, routing: Routing, start: Start | None, position: Position | None) -> Todo:
        mark = None if position is None else mark_of(position.state)
        if not needs_epoch(start, mark):
            return lane_todo(start, mark, "")
        info = await self._log.topic(routing.topic)
        return lane_todo(start, mark, "" if info is None else info.epoch)

    async def _new_feed(self, routing: Routing, start: Start | None) -> Feed:
        """Of a partner without a position, or whose topic was made anew."""
        rebuild = "" if start is None else start.rebuild
        parked = self._parking.stood(self._lane.partition).get(routing.name)
        if parked is not None:
            # one that was stopped for this rebuild has nothing in it; for none, it goes on as any other
            mark = NOTHING if parked.mark.phase == "stopped" else parked.mark
            if rebuild in ("", mark.rebuild):
                return replace(parked, routing=routing, mark=mark)
        mark = Mark(rebuild, "behind") if rebuild else NOTHING
        since_ms = self._roster.since_ms(routing.name) if start is None else start.since_ms
        feed = Feed(routing, await self._log.offset_at(self._tp, since_ms), counts_of({}), mark)
        return await self._aimed(feed)

    async def _aimed(self, feed: Feed) -> Feed:
        if feed.mark.phase == "behind":
            feed.until = (await self._log.bounds(self._tp)).end
        return feed

    async def _stop_drafts(
        self, routing: Routing, start: Start | None, position: Position | None
    ) -> list[Draft]:
        """Where it stands it goes on, should the rebuild be taken back."""
        assert start is not None
        if not self._parking.can_stop(routing.name, self._lane.partition, start.rebuild):
            return []
        if position is None:
            feed = await self._new_feed(routing, None)
        else:
            feed = replace(Feed.restore(routing, position), epoch=epoch_of(position))
        return [Draft.of(replace(feed, mark=Mark(start.rebuild, "stopped")))]

    def _await_rules(self, name: str) -> None:
        """Those of the feed that is replaced may tell more than the new ones allow."""
        self._stopped.add(name)
        self._unruled.add(name)
        logger.warning(
            "feed is to be made anew by other rules than are in force here; it waits for the partners file to"
            " say the same here as where `streamer partner rebuild` runs, or for that to be run again",
            extra={"partner": name, "partition": self._lane.partition},
        )

    def _stop(self, feed: Feed) -> None:
        name = feed.routing.name
        self._stopped.add(name)
        self._roster.established(name)
        self._parking.joined(name, self._lane.partition)
        logger.info(
            "feed stopped, to be made anew", extra={"partner": name, "partition": self._lane.partition}
        )
