"""The partners of a lane that settle: what they hold, and when it goes.

    seen       with all others: they are read like those who don't settle, in the same passes
    look       after a start, or for one that begins: what stands between the two offsets is read again, for
               the numbers that are remembered of it; until then it reads no further
    release    what is due is read again, and judged again by cut-offs, rules and reverts

Looks and releases take turns with the other work of the lane. Who has much that is due reads no further
until that is out, so what is held spans the settle time and little more, in a feed that catches up as well.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, Literal, Self

from streamer.errors import LogError, OffsetOutOfRange
from streamer.log.base import Lane, Reader, Stored, TopicPartition
from streamer.log.seldom import Seldom
from streamer.metrics import ROUTE_SETTLING
from streamer.route.feed import Article, Draft, Feed
from streamer.route.outbox import Outbox
from streamer.route.passes import PASS_RECORDS, Passes
from streamer.route.reverts import Reverts, Told, tell_unknown
from streamer.route.rules import Rule, Verdict
from streamer.route.settle import MOST_HELD, REMEMBERED, Ahead, Fate, Hold
from streamer.route.shared import Shared

RELEASE_S: Final = 0.25
"""Between two releases of few records: each is a commit."""
AGAIN_S: Final = 1.0
"""After it could not be found out what was reverted."""
MOST_DUE: Final = 4 * PASS_RECORDS
"""Records that may be due while a partner reads on."""


class Settling:
    """Open it with `async with`; costs nothing while nobody settles."""

    def __init__(self, shared: Shared, lane: Lane, outbox: Outbox, passes: Passes) -> None:
        self._shared = shared
        self._log = shared.runtime.log
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._outbox = outbox
        self._passes = passes
        signals = TopicPartition(shared.runtime.topics.signals, lane.partition)
        self._reverts = Reverts(self._log, signals)
        self._stack = AsyncExitStack()
        self._readers: dict[str, Reader] = {}
        self._due: dict[str, int] = {}
        """By partner: the offset before which all that is held is due."""
        self._released_s = self._again_s = float("-inf")
        self._turn = 0
        self._served: dict[str, int] = {}
        self._seldom = Seldom()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reverts.aclose()
        await self._stack.aclose()

    # ── what is to be done ─────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Looks at the feeds of the lane: who begins and ends to settle, who shares, what is due."""
        feeds = [feed for feed in self._outbox.feeds.values() if self._settles(feed)]
        self._due = {}
        if not feeds:
            return
        self._share(feeds)
        self._shared.horizon.wanted.set()
        for feed in feeds:
            assert feed.hold is not None
            if not _is_ready(feed):
                feed.owes = True
                continue
            assert feed.ahead is not None
            due = feed.next
            if feed.routing.settle_ms:
                until_ms = min(feed.ahead.known_ms, self._shared.horizon.ms) - feed.routing.settle_ms
                due = feed.ahead.due(feed.hold.released, feed.next, until_ms)
            if not feed.ahead.count(feed.hold.released, due):
                feed.release_to(due)
            feed.owes = due > feed.hold.released
            self._due[feed.routing.name] = due
            held = feed.ahead.count(feed.hold.released, feed.next) - len(feed.hold.left)
            ROUTE_SETTLING.labels(feed.routing.name, str(self._tp.partition)).set(held)
        self._forget(feeds)

    def saw_end(self, feeds: Sequence[Feed], time_ms: int) -> None:
        """At that time nothing stood behind what these have seen."""
        aheads = [feed.ahead for feed in feeds if feed.ahead is not None]
        for ahead in aheads:
            ahead.saw_end(time_ms)
        if aheads:
            self.refresh()

    def _settles(self, feed: Feed) -> bool:
        if feed.hold is None and feed.routing.settle_ms:
            feed.hold = Hold(feed.next)
        elif feed.hold is not None and not feed.routing.settle_ms and feed.hold.released == feed.next:
            feed.hold, feed.ahead, feed.owes, feed.has_moved = None, None, False, True
            ROUTE_SETTLING.labels(feed.routing.name, str(self._tp.partition)).set(0)
        return feed.hold is not None

    def _share(self, feeds: Sequence[Feed]) -> None:
        """Of those who stand at the same offset the one that remembers most is enough."""
        widest: dict[int, Ahead] = {}
        for feed in feeds:
            if _is_ready(feed) and feed.ahead is not None:
                best = widest.setdefault(feed.next, feed.ahead)
                if feed.ahead.start < best.start:
                    widest[feed.next] = feed.ahead
        for feed in feeds:
            assert feed.hold is not None
            shared = widest.get(feed.next)
            if shared is not None and shared.start <= feed.hold.released:
                feed.ahead = shared

    def _forget(self, feeds: Sequence[Feed]) -> None:
        aheads: dict[int, tuple[Ahead, int]] = {}
        for feed in feeds:
            if feed.ahead is not None and feed.hold is not None:
                _, least = aheads.get(id(feed.ahead), (feed.ahead, feed.hold.released))
                aheads[id(feed.ahead)] = feed.ahead, min(least, feed.hold.released)
        for ahead, released in aheads.values():
            ahead.forget(max(0, released - REMEMBERED))
        if aheads and all(_is_ready(feed) for feed in feeds):
            self._reverts.forget(min(ahead.appended_ms(released) for ahead, released in aheads.values()))

    def may_read(self, feed: Feed) -> bool:
        """Whether it may look further ahead."""
        if feed.hold is None:
            return True
        if not _is_ready(feed) or feed.ahead is None:
            return False
        due = feed.ahead.count(feed.hold.released, self._due.get(feed.routing.name, feed.next))
        return due < MOST_DUE and feed.ahead.count(feed.hold.released, feed.next) < MOST_HELD

    def is_busy(self) -> bool:
        """Whether there is something to do at once."""
        return any(self._todo(feed) for feed in self._outbox.feeds.values())

    def _todo(self, feed: Feed) -> Literal["", "look", "release"]:
        if feed.hold is None:
            return ""
        if not _is_ready(feed):
            return "look"
        due = self._due.get(feed.routing.name, 0)
        if due <= feed.hold.released:
            return ""
        if self._now_s() < self._again_s:
            return ""
        waited_s = self._now_s() - self._released_s
        return "release" if due - feed.hold.released >= PASS_RECORDS or waited_s >= RELEASE_S else ""

    # ── what is done ───────────────────────────────────────────────────────────────────────────

    async def step(self) -> None:
        """One look or release, of those who have waited longest."""
        waiting = [feed for feed in self._outbox.feeds.values() if self._todo(feed)]
        if not waiting:
            return
        self._turn += 1
        first = min(waiting, key=lambda feed: self._served.get(feed.routing.name, 0))
        if self._todo(first) == "look":
            served = await self._look(first)
        else:
            served = await self._release(first)
        for feed in served:
            self._served[feed.routing.name] = self._turn

    async def _look(self, first: Feed) -> list[Feed]:
        assert first.hold is not None
        if first.ahead is None:
            first.ahead = await self._begun(first)
        ahead = first.ahead
        feeds = [feed for feed in self._outbox.feeds.values() if feed.ahead is ahead]
        if _is_ready(first):
            return feeds
        reader = await self._reader("look", ahead.end)
        try:
            records, following = await self._passes.read(reader, ahead.end, first.next)
        except OffsetOutOfRange as error:
            await self._overtaken(feeds, error)
            return feeds
        articles = self._passes.articles(records)
        for stored, article in zip(records, articles, strict=True):
            ahead.take(stored, None if article is None else article.view)
        ahead.skip_to(following)
        return feeds

    async def _overtaken(self, feeds: Sequence[Feed], error: OffsetOutOfRange) -> None:
        """Retention was faster than the look: of what is gone nobody can say how much was held."""
        for feed in feeds:
            feed.ahead = None
        await self._passes.expire(
            [feed for feed in feeds if feed.hold and feed.hold.released < error.earliest], error
        )

    async def _begun(self, first: Feed) -> Ahead:
        """One for all at the same offset who have none."""
        peers = [
            feed
            for feed in self._outbox.feeds.values()
            if feed.hold is not None and feed.ahead is None and feed.next == first.next
        ]
        start = min(feed.hold.released for feed in peers if feed.hold is not None)
        bounds = await self._log.bounds(self._tp)
        ahead = Ahead(min(start, max(start - REMEMBERED, bounds.earliest)))
        for feed in peers:
            feed.ahead = ahead
        return ahead

    async def _release(self, first: Feed) -> list[Feed]:
        assert first.hold is not None
        assert first.ahead is not None
        at, ahead = first.hold.released, first.ahead
        feeds = [
            feed
            for feed in self._outbox.feeds.values()
            if feed.hold is not None
            and feed.hold.released == at
            and feed.ahead is ahead
            and self._due.get(feed.routing.name, 0) > at
        ]
        if any(feed.routing.settle_ms for feed in feeds) and not await self._knows(ahead.appended_ms(at)):
            return feeds
        limit = min(self._due[feed.routing.name] for feed in feeds)
        reader = await self._reader(first.routing.settle_ms, at)
        try:
            records, following = await self._passes.read(reader, at, limit, count=len(feeds))
        except OffsetOutOfRange as error:
            await self._passes.expire(feeds, error)
            return feeds
        self._released_s = self._now_s()
        pages = {feed.routing.name: _pages_left(feed, ahead) for feed in feeds}

        def judge(draft: Draft, stored: Stored, article: Article | None) -> None:
            fate: Fate | Literal["left"] = ""
            if article is not None:
                routing = draft.feed.routing
                fate = fate_of(article, routing.rule, ahead, self._reverts.told, pages[routing.name])
            draft.release(stored, article, fate)

        await self._passes.release(feeds, records, following, judge)
        return feeds

    async def _knows(self, article_ms: int) -> bool:
        """Whether all reverts are known that may concern an article of that time."""
        try:
            return await self._reverts.catch_up(article_ms)
        except LogError as error:
            tell_unknown(error, self._seldom)
            self._again_s = self._now_s() + AGAIN_S
            return False

    async def _reader(self, use: int | str, at: int) -> Reader:
        """One for each settle time: those who release by turns do not seek to and fro."""
        key = str(use)
        if key not in self._readers:
            self._readers[key] = await self._stack.enter_async_context(self._log.reader({self._tp: at}))
        return self._readers[key]

    def _now_s(self) -> float:
        return self._shared.runtime.clock.monotonic_s()


def fate_of(
    article: Article, rule: Rule, ahead: Ahead, told: Told, left: Mapping[int, int]
) -> Fate | Literal["left"]:
    """Of a record that was held. `left`: pages that left the partner's scope → where in the articles."""
    stored, view = article.stored, article.view
    fate = ahead.fate(stored)
    if fate == "ended":
        # of a page that has left, what ended there is told to nobody here: that it left has to be
        is_untold = rule.judge(view) is Verdict.LEFT and not rule.has_namespace(ahead.ended_in(stored))
        return "" if is_untold else "ended"
    if stored.offset < left.get(ahead.page_of(stored), 0):
        return "left"
    # by its tags, where it came so late that the signal is forgotten already
    is_told = view.is_reverted or told.is_reverted(stored.key, int(stored.header("rev") or 0))
    return "reverted" if is_told else fate


def _is_ready(feed: Feed) -> bool:
    """What it holds is known."""
    hold, ahead = feed.hold, feed.ahead
    if hold is None or ahead is None:
        return hold is None
    return ahead.start <= hold.released and ahead.end >= feed.next


def _pages_left(feed: Feed, ahead: Ahead) -> dict[int, int]:
    """Pages that left the partner's scope while records of them were held → where in the articles."""
    assert feed.hold is not None
    found = {ahead.page_at(offset): offset for offset in feed.hold.left}
    found.pop(0, None)
    return found
