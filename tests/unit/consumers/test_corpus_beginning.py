"""Between what was listed and what the feed tells nothing is lost in silence, whatever retention takes."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumers.corpus import gap
from consumers.corpus.beginning import begun, forgotten, reaches_back, whole_since
from consumers.corpus.follow import Follower
from consumers.corpus.progress import Closing, closing_name, fact, known, whole_name
from consumers.corpus.state import State
from consumers.errors import PositionLost
from consumers.event import TIME, Article, Batch, Happened, Namespace, Project

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def article(number: int, when: datetime, wiki: str) -> Article:
    at = when.isoformat()
    happened = Happened(f"e{number}", "update", "edit", int(when.timestamp() * 1e6), at, at, partition=0)
    return Article(f"Page {number}", number, "https://x.example", Namespace(0), Project(wiki), happened)


@dataclass
class Topic:
    """What a service keeps: it begins in silence at its earliest for a time, and says so for a position."""

    told: list[tuple[datetime, Article]] = field(default_factory=list)
    lost: int = 0

    def tell(self, when: datetime, wiki: str = "enwiki") -> None:
        self.told.append((when, article(len(self.told) + 1, when, wiki)))

    def retain(self, since: datetime) -> None:
        self.lost = max(self.lost, sum(when < since for when, _ in self.told))

    def opened(self, since: datetime) -> Sequence["Reader"]:
        return [Reader(self, since)]


@dataclass
class Reader:
    """Ends where there is no more, so that nobody waits. A quiet one has a time for a position, as by SSE."""

    topic: Topic
    since: datetime
    name: str = "sse:0-9"

    async def batches(self, position: str | None) -> AsyncGenerator[Batch, None]:
        topic = self.topic
        if position is None:
            position = TIME + self.since.isoformat()
            yield Batch((), position)
        if position.startswith(TIME):
            since = datetime.fromisoformat(position.removeprefix(TIME))
            at = max(topic.lost, sum(when < since for when, _ in topic.told))
        else:
            at = int(position)
            if at < topic.lost:
                raise PositionLost("no longer held")
        while at < len(topic.told):
            events = [event for _, event in topic.told[at : at + 3]]
            at += len(events)
            yield Batch(events, str(at))


@dataclass
class World:
    """A topic, and wikis that list all their changes."""

    state: State
    topic: Topic = field(default_factory=Topic)
    listed: set[int] = field(default_factory=set)
    """Pages that were asked for."""

    async def bootstrap(
        self, since: datetime, now: datetime, wiki: str = "enwiki", *, ends: bool = True
    ) -> None:
        until = await begun(self.state, self.topic.opened, since, now=now)
        closing = gap.needed(self.state, wiki, since, until, now=now)
        if closing is None:
            closing = Closing(*[int(since.timestamp())] * 4)
        elif not ends:
            return
        for when, event in self.topic.told:
            if (
                event.is_part_of.identifier == wiki
                and closing.changes_s <= when.timestamp() <= closing.until_s
            ):
                self.listed.add(event.identifier)
        done = Closing(closing.since_s, closing.until_s, closing.until_s, closing.until_s)
        self.state.commit(facts={closing_name(wiki): fact(done)})

    def is_closed(self, wiki: str) -> bool:
        closing = known(self.state, closing_name(wiki), Closing)
        return closing is not None and closing.finished

    async def follow(self, since: datetime) -> None:
        await reaches_back(self.state, self.topic.opened, since)
        await Follower(self.state, self.topic.opened(since)).run(asyncio.Event())

    def missing(self, since: datetime, wiki: str = "enwiki") -> list[int]:
        told = [
            event for when, event in self.topic.told if when >= since and event.is_part_of.identifier == wiki
        ]
        return [
            event.identifier
            for event in told
            if event.identifier not in self.listed and self.state.row(wiki, event.identifier) is None
        ]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(State(tmp_path / "corpus.db", create=True))
    for hour in range(100):
        made.topic.tell(FIRST + hour * HOUR)
    return made


async def test_what_retention_takes_after_a_bootstrap_is_said(world: World) -> None:
    """However long follow comes after it: the position was there before anything was listed. Bootstrapped
    again it goes on, and nothing is missing.
    """
    with world.state:
        await world.bootstrap(FIRST, FIRST + 100 * HOUR)
        for hour in range(100, 200):
            world.topic.tell(FIRST + hour * HOUR)
        world.topic.retain(FIRST + 150 * HOUR)
        with pytest.raises(PositionLost, match="no longer held"):
            await world.follow(FIRST)
        await world.bootstrap(FIRST, FIRST + 200 * HOUR)
        await world.follow(FIRST)
        assert not world.missing(FIRST)


async def test_the_position_is_kept_with_what_came_and_from_when_on(world: World) -> None:
    """In one commit, before the listing: killed there, the next call neither moves it nor lists less. It is
    not at the very edge of what the feed keeps, so that it outlasts a listing.
    """
    with world.state as state:
        world.topic.retain(FIRST + 50 * HOUR)
        now = FIRST + 100 * HOUR
        since = FIRST + 10 * HOUR
        until = await begun(state, world.topic.opened, since, now=now)
        assert FIRST + 51 * HOUR < until < FIRST + 70 * HOUR
        assert state.positions() == {"sse:0-9": "66"}
        assert [page for page in range(1, 101) if state.row("enwiki", page)] == [64, 65, 66]
        assert whole_since(state, world.topic.opened(since)) == until
        world.topic.retain(FIRST + 55 * HOUR)
        assert await begun(state, world.topic.opened, since, now=now + HOUR) == until
        assert state.positions() == {"sse:0-9": "66"}


async def test_a_feed_that_holds_all_is_begun_before_the_dump(world: World) -> None:
    """Then nothing has to be listed; so for a young one, which is read from its first event on."""
    with world.state as state:
        since = FIRST + 50 * HOUR
        assert await begun(state, world.topic.opened, since, now=FIRST + 100 * HOUR) == since
        assert state.row("enwiki", 51)
    young = Topic()
    for minute in range(5):
        young.tell(FIRST + minute * MINUTE)
    with State(state.path.with_name("young.db"), create=True) as state:
        assert await begun(state, young.opened, FIRST - DAY, now=FIRST + 9 * MINUTE) == FIRST
        assert state.row("enwiki", 1)


async def test_a_quiet_feed_is_asked_again_before_it_is_followed(tmp_path: Path) -> None:
    """It has no position but a time: what it told meanwhile and keeps is read, what it no longer keeps is
    said, and not when the changes of that time were listed.
    """
    with State(tmp_path / "corpus.db", create=True) as state:
        world = World(state)
        now = FIRST + DAY
        await world.bootstrap(FIRST, now)
        assert whole_since(state, world.topic.opened(FIRST)) is None
        for hour in range(24, 48):
            world.topic.tell(FIRST + hour * HOUR)
        world.topic.retain(FIRST + 36 * HOUR)
        with pytest.raises(
            PositionLost, match=r"begins at 2026-01-02T12.*of enwiki are here until 2026-01-02T00"
        ):
            await world.follow(FIRST)
        await reaches_back(state, world.topic.opened, FIRST, wikis=("dewiki",))
        await world.bootstrap(FIRST, now + DAY)
        await world.follow(FIRST)
        assert not world.missing(FIRST)


async def test_another_wiki_is_listed_until_its_feed_tells_of_it(world: World) -> None:
    """Its older dump from before the feed was begun: that is known of the feed, not of the wiki before. Where
    the feed may have gone on beyond a gap it's known no more, and all is listed.
    """
    with world.state as state:
        for hour in range(100):
            world.topic.tell(FIRST + hour * HOUR, "dewiki")
        world.topic.told.sort(key=lambda told: told[0])
        since = FIRST + 90 * HOUR
        await world.bootstrap(since, FIRST + 100 * HOUR)
        await world.bootstrap(FIRST, FIRST + 101 * HOUR, "dewiki")
        await world.follow(since)
        assert not world.missing(since)
        assert not world.missing(FIRST, "dewiki")
        now = FIRST + 102 * HOUR
        assert await begun(state, world.topic.opened, FIRST, now=now) == since
        other = [Reader(world.topic, since, "sse:0-9:dewiki")]
        assert whole_since(state, other) is None
        forgotten(state, world.topic.opened(since))
        assert state.fact(whole_name("sse:0-9")) == ""
        assert await begun(state, world.topic.opened, FIRST, now=now) == now


@pytest.mark.parametrize("_round", range(20))
async def test_in_any_order_nothing_is_missing_once_it_is_followed(
    tmp_path: Path, rng: random.Random, _round: int
) -> None:
    """Bootstraps of two wikis, some killed while they list, retention and follows as they come: once a follow
    that was not refused has been told something, nothing is missing of a wiki that the status calls done.
    """
    with State(tmp_path / "corpus.db", create=True) as state:
        world, now = World(state), FIRST
        begins: dict[str, datetime] = {}
        followed = 0
        for _ in range(40):
            before, now = now, now + rng.random() * 8 * HOUR
            match rng.choice(["tell", "tell", "retain", "bootstrap", "bootstrap", "follow"]):
                case "tell":
                    for when in sorted(
                        before + rng.random() * (now - before) for _ in range(rng.randrange(8))
                    ):
                        world.topic.tell(when, rng.choice(["enwiki", "dewiki"]))
                case "retain":
                    world.topic.retain(now - rng.random() * 2 * DAY)
                case "bootstrap":
                    wiki = rng.choice(["enwiki", "dewiki"])
                    since = begins.setdefault(wiki, now - rng.random() * DAY)
                    ends = rng.random() < 0.7
                    await world.bootstrap(since, now, wiki, ends=ends)
                case "follow" if begins:
                    try:
                        await world.follow(min(begins.values()))
                    except PositionLost:
                        continue
                    if state.positions()["sse:0-9"].startswith(TIME):
                        continue  # told nothing yet, and asked again before it is
                    followed += 1
                    missing = {
                        wiki: world.missing(begins[wiki], wiki) for wiki in begins if world.is_closed(wiki)
                    }
                    assert not any(missing.values()), missing
        print(followed)
