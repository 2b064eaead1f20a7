"""One pass over some of a lane's articles, for partners that stand at the same place: read, judge, commit.

A pass holds the records of all its partners and their positions in one commit; where that would be too much
memory, in several, each whole for its partners.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from streamer.accounts import GROUP
from streamer.errors import OffsetOutOfRange
from streamer.faultpoints import Point, reached
from streamer.log.base import Lane, Reader, Stored, TopicPartition
from streamer.metrics import ERRORS, ROUTE_PASS, received
from streamer.model import is_tick
from streamer.route.feed import Article, Draft, Feed
from streamer.route.intake import Intake
from streamer.route.outbox import Outbox
from streamer.route.shared import Shared, caught_up

PASS_RECORDS: Final = 500
PASS_JUDGEMENTS: Final = 10_000
"""Records times partners of a pass: some 50 ms of one core at most, so that other lanes get their turn."""
PASS_BYTES: Final = 8_388_608
COMMIT_BYTES: Final = 33_554_432
"""A pass that makes more commits in several parts."""

Judged = Sequence[tuple[Stored, Article | None]]
Judge = Callable[[Draft, Stored, Article | None], None]
"""Puts into the draft what becomes of a record."""

logger = logging.getLogger(__name__)


class Passes:
    def __init__(self, shared: Shared, lane: Lane, outbox: Outbox, intake: Intake) -> None:
        self._shared = shared
        self._lane = lane
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._outbox = outbox
        self._intake = intake

    async def read(
        self, reader: Reader, at: int, limit: int | None, *, count: int = 1, wait_s: float = 0.0
    ) -> tuple[list[Stored], int]:
        """What stands between the two offsets, as much as is good for `count` partners, and the offset behind
        it. Raises OffsetOutOfRange.
        """
        if reader.position(self._tp) != at:  # a seek may cost what was read ahead
            reader.assign(self._tp, at)
        most = max(20, min(PASS_RECORDS, PASS_JUDGEMENTS // count))
        records = await reader.read(
            max_records=most if limit is None else max(1, min(most, limit - at)),
            max_bytes=max(PASS_BYTES // count, 262_144),
            wait_s=wait_s,
        )
        following = reader.position(self._tp)
        if limit is not None and following >= limit:
            records = [stored for stored in records if stored.offset < limit]
            following = limit
        return records, following

    async def route(self, feeds: Sequence[Feed], records: Sequence[Stored], following: int) -> None:
        """What is read for the first time: up to `following`."""

        def take(draft: Draft, stored: Stored, article: Article | None) -> None:
            draft.take(stored, article)

        aheads = {id(feed.ahead): feed.ahead for feed in feeds if feed.ahead is not None}.values()
        if not records:
            for ahead in aheads:
                ahead.skip_to(following)
            for feed in feeds:
                feed.move_to(max(feed.next, following))
            return
        judged = await self._judged(records)
        for ahead in aheads:
            for stored, article in judged:
                ahead.take(stored, None if article is None else article.view)
            ahead.skip_to(following)
        await self._commit([Draft.of(feed) for feed in feeds], judged, take, following)

    async def release(
        self, feeds: Sequence[Feed], records: Sequence[Stored], released: int, judge: Judge
    ) -> None:
        """What was held: up to `released`."""
        if not records:
            for feed in feeds:
                feed.release_to(released)
            return
        drafts = [Draft.of(feed, released) for feed in feeds]
        await self._commit(drafts, await self._judged(records), judge, None)

    async def _judged(self, records: Sequence[Stored]) -> Judged:
        reached(Point.ROUTE_READ)
        await caught_up(self._shared.withdrawals)
        return list(zip(records, self.articles(records), strict=True))

    async def _commit(
        self,
        drafts: Sequence[Draft],
        judged: Judged,
        judge: Judge,
        following: int | None,
    ) -> None:
        """Does nothing where the rules have changed: it is read again under the new."""
        began_s = time.monotonic()
        tracing = self._shared.runtime.tracing
        began_ns = tracing.now_ns() if tracing is not None else 0
        if self._intake.is_overtaken():
            return
        new = 0 if following is None else _counted(judged)
        whole: list[Draft] = []
        size = 0
        for draft in drafts:
            for stored, article in judged:
                judge(draft, stored, article)
            whole.append(draft)
            size += draft.size
            if size >= COMMIT_BYTES:
                received(GROUP, new * await self._write(whole, following, began_ns))
                whole, size = [], 0
                for _, article in judged:
                    if article is not None:
                        article.forget()
                if self._intake.is_overtaken():  # while the commit was waited for
                    return
        received(GROUP, new * await self._write(whole, following, began_ns))
        ROUTE_PASS.observe(time.monotonic() - began_s)

    async def _write(self, drafts: list[Draft], following: int | None, began_ns: int) -> int:
        """How many of them were."""
        taken = await self._outbox.commit(drafts, following)
        if (tracing := self._shared.runtime.tracing) is not None:
            for draft in taken:
                if draft.feed.mark.phase != "behind":  # what is made anew was told by spans in its time
                    tracing.routed(draft.feed.routing.name, draft.records, began_ns)
        return len(taken)

    def articles(self, records: Iterable[Stored]) -> list[Article | None]:
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

    async def expire(self, feeds: Sequence[Feed], error: OffsetOutOfRange) -> None:
        """Retention was faster than these partners: what they lost is counted, and they go on behind it."""
        drafts = []
        unread: dict[int, int] = {}
        for feed in feeds:
            lost = max(0, error.earliest - feed.next)
            draft = Draft.of(feed)
            unread[id(draft)] = lost
            if feed.hold is not None:
                lost += self._held_before(feed, min(error.earliest, feed.next))
                draft.hold = feed.hold.at(error.earliest)
            draft.counts["expired"] += lost
            drafts.append(draft)
            logger.error(
                "articles expired before they were routed",
                extra={"partner": feed.routing.name, "partition": self._lane.partition, "offsets": lost},
            )
        ERRORS.labels(GROUP, error.code).inc()
        ends = [max(draft.feed.next, error.earliest) for draft in drafts]
        for end in sorted(set(ends)):
            overtaken = [d for d, its in zip(drafts, ends, strict=True) if its == end]
            for draft in await self._outbox.commit(overtaken, end):
                received(GROUP, unread[id(draft)])

    def _held_before(self, feed: Feed, offset: int) -> int:
        """How many that settle, where that is known; else how many offsets they have at most."""
        assert feed.hold is not None
        if feed.ahead is None or feed.ahead.start > feed.hold.released:
            return max(0, offset - feed.hold.released)
        told = sum(left < offset for left in feed.hold.left)
        return feed.ahead.count(feed.hold.released, offset) - told


def _counted(judged: Judged) -> int:
    """How many of them each partner has an outcome for, now or once it is settled."""
    return sum(
        article.is_counted if article is not None else stored.value is not None and not is_tick(stored)
        for stored, article in judged
    )
