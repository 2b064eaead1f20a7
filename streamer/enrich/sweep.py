"""One comparison of some wikis of a partition with the log: list, scan, repair.

    list (a wiki after the other) ──► Suspects ──► scan the changes of that time
                                                        │ what is left
                                                        ▼
       settle ◄── lost ◄── scan the changes to their end, dead letters, cut-offs, articles

What is listed is judged a few thousand rows at a time, so memory does not depend on the wiki. What a wiki's
own hour leaves open is carried on, for the scans to the end cost most; they are made when enough is open, and
at the end. The scan comes behind the list, so that what was told while it was listed is known.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from streamer.enrich.outcome import Wikis
from streamer.enrich.suspects import Suspects
from streamer.enrich.unreadable import UNDECODABLE
from streamer.errors import AnswerInvalid, OffsetOutOfRange, OriginError
from streamer.log.base import Log, Stored, TopicPartition, partition_of
from streamer.model import Change, DeadLetter, Topics, Withdrawal, decode_change, is_tick, page_key
from streamer.origin.listing import Listing, Span

MARGIN_MS: Final = 15 * 60_000
"""By which a change may be told later than it happened, usually."""
JUDGED_ROWS: Final = 10_000
"""Some 10 MB. Or so many suspects: an entry of a log may hide thousands of revisions."""
CARRIED_MOST: Final = 1_000
CARRIED_WINDOWS: Final = 24
"""Or so long: what is not settled is compared anew after a restart."""
REQUESTS_MOST: Final = 5_000
"""For one window: a hundred edits a second and as many logs for an hour take 1,440."""
HOUR_S: Final = 3_600
SPARSE_ROWS: Final = 125
"""An hour of fewer is followed by two at once, and so on."""
READ_RECORDS: Final = 250
READ_BYTES: Final = 1_048_576
"""At a time: some milliseconds, and as long a pause behind it, since live changes share the loop."""

PAUSE_MOST_S: Final = 0.05

_letters = msgspec.json.Decoder(DeadLetter)
_withdrawals = msgspec.json.Decoder(Withdrawal)


@dataclass(slots=True)
class Target:
    """One wiki, and the time to be compared. `ask` is the operator's; 0: none asked."""

    wiki: str
    server_name: str
    since_ms: int
    until_ms: int
    ask: int = 0
    reached_ms: int = 0
    """Listed up to here, and once settled compared."""
    listed: int = 0
    """Since it was settled last; `rows`: in all."""
    rows: int = 0
    problem: OriginError | None = None


Settle = Callable[[list[Change]], Awaitable[None]]
"""Appends the repairs, and notes how far the targets are."""


@dataclass(slots=True)
class Sweep:
    log: Log
    topics: Topics
    partition: int
    """Of the changes: that of all the targets."""
    partitions: int
    origin: Wikis
    make: Callable[[], Suspects]
    targets: list[Target]
    settle: Settle
    _suspects: Suspects = field(init=False)
    _fed: int = 0
    _fed_ms: tuple[int, int] = (0, 0)

    async def run(self) -> None:
        """A wiki that does not answer is left out, with its problem. Raises LogError."""
        self._suspects = self.make()
        for target in self.targets:
            try:
                await self._list(target)
            except OriginError as error:
                target.problem = error
        await self._settle()

    # ── listing ────────────────────────────────────────────────────────────────────────────────

    async def _list(self, target: Target) -> None:
        at_s, end_s = -(-target.since_ms // 1000), target.until_ms // 1000
        target.reached_ms = target.since_ms
        if at_s > end_s:
            return
        if await self._window(target, Span(at_s, end_s), requests=1):
            target.reached_ms = target.until_ms
            return
        target.listed = target.rows = 0  # they come again
        width_s = HOUR_S
        carried = 0
        while at_s <= end_s:
            span = Span(at_s, min(at_s + width_s - 1, end_s))
            before = target.rows
            if not await self._window(target, span, requests=REQUESTS_MOST):
                raise AnswerInvalid("endless")
            at_s = span.until_s + 1
            target.reached_ms = min(at_s * 1000, target.until_ms)
            width_s = width_s * 2 if target.rows - before < SPARSE_ROWS else HOUR_S
            left = await self._judged()
            carried = carried + 1 if left else 0
            if not left or left >= CARRIED_MOST or carried >= CARRIED_WINDOWS:
                carried = 0
                await self._settle()

    async def _window(self, target: Target, span: Span, *, requests: int) -> bool:
        """Whether so many requests were enough."""
        listing = Listing()
        for _ in range(requests):
            listing = await self.origin.listing(target.wiki, target.server_name, span, listing.more)
            self._feed(target, listing)
            if max(self._fed, len(self._suspects)) >= JUDGED_ROWS and await self._judged() >= CARRIED_MOST:
                await self._settle()
            if not listing.more:
                return True
        return False

    def _feed(self, target: Target, listing: Listing) -> None:
        for row in listing.edits:
            self._suspects.edited(target.wiki, target.server_name, row)
        for entry in listing.logs:
            self._suspects.logged(target.wiki, target.server_name, entry)
        times = [row.edited_ms for row in listing.edits] + [entry.edited_ms for entry in listing.logs]
        if times:
            oldest_ms, newest_ms = self._fed_ms if self._fed else (times[0], times[0])
            self._fed_ms = min(oldest_ms, *times), max(newest_ms, *times)
        self._fed += len(times)
        target.listed += len(times)
        target.rows += len(times)

    # ── judging ────────────────────────────────────────────────────────────────────────────────

    async def _judged(self) -> int:
        """By the changes of the time that was listed; how many suspects are left."""
        if self._fed and len(self._suspects):
            oldest_ms, newest_ms = self._fed_ms
            await self._scan_changes(oldest_ms - MARGIN_MS, newest_ms + MARGIN_MS)
        self._fed = 0
        return len(self._suspects)

    async def _settle(self) -> None:
        lost: list[Change] = []
        if await self._judged():
            await self._scan_changes(self._suspects.oldest_ms - MARGIN_MS, None)
        if len(self._suspects):
            await self._scan_letters()
            await self._scan_cutoffs()
            await self._scan_articles()
            lost = await self._lost()
        await self.settle(lost)
        for target in self.targets:
            target.listed = 0
        self._suspects = self.make()

    async def _lost(self) -> list[Change]:
        lanes = self._lanes(self.topics.articles, self._suspects.pages())
        articles_ms = {tp.partition: await self._reach_ms(tp) for tp in lanes}
        return self._suspects.lost(
            await self._reach_ms(TopicPartition(self.topics.changes, self.partition)),
            lambda wiki, page_id: articles_ms[partition_of(page_key(wiki, page_id), self.partitions)],
        )

    async def _reach_ms(self, tp: TopicPartition) -> int:
        """Since when all that was told is there, if nothing newer took its place; 0: from the beginning."""
        bounds = await self.log.bounds(tp)
        if not bounds.earliest:
            return 0
        async with self.log.reader({tp: bounds.earliest}) as reader:
            while reader.position(tp) < bounds.end:
                for record in await reader.read(max_records=1):
                    return record.timestamp_ms + MARGIN_MS
        return 1 << 62

    async def _scan_changes(self, since_ms: int, until_ms: int | None) -> None:
        tp = TopicPartition(self.topics.changes, self.partition)
        wikis = self._suspects.wikis

        def take(record: Stored) -> None:
            if record.value is None or record.key not in wikis or record.header("kind") == "hint":
                return
            try:
                change = decode_change(record.value)
            except UNDECODABLE:
                return
            if isinstance(change, Change):
                self._suspects.told(change)

        await self._scan([tp], since_ms, until_ms, take)

    async def _scan_letters(self) -> None:
        """A letter outlives its change, by weeks."""
        wikis = self._suspects.wikis

        def take(record: Stored) -> None:
            if record.value is None or record.key not in wikis:
                return
            try:
                self._suspects.told(_letters.decode(record.value).change)
            except UNDECODABLE:
                return

        tp = TopicPartition(self.topics.deadletter, self.partition)
        await self._scan([tp], self._suspects.oldest_ms - MARGIN_MS, None, take)

    async def _scan_cutoffs(self) -> None:
        pages = self._suspects.pages()

        def take(record: Stored) -> None:
            page = _page_of(record)
            if page not in pages or record.value is None:
                return
            try:
                withdrawal = _withdrawals.decode(record.value)
            except UNDECODABLE:
                return
            revision = record.key.partition("/")[2]
            self._suspects.cut_off(
                *page,
                int(revision) if revision.isdecimal() else 0,
                withdrawal.sequence // 1000,
                withdrawal.hides,
            )

        await self._scan(self._lanes(self.topics.withdrawals, pages), 0, None, take)

    async def _scan_articles(self) -> None:
        pages = self._suspects.pages()

        def take(record: Stored) -> None:
            page = _page_of(record)
            if page in pages and record.value is not None:
                revision = record.header("rev")
                self._suspects.published(
                    *page,
                    int(revision) if revision.isdecimal() else 0,
                    record.header("kind"),
                    _edited_ms(record),
                )

        since_ms = self._suspects.oldest_ms - MARGIN_MS
        await self._scan(self._lanes(self.topics.articles, pages), since_ms, None, take)

    def _lanes(self, topic: str, pages: Collection[tuple[str, int]]) -> list[TopicPartition]:
        numbers = {partition_of(page_key(*page), self.partitions) for page in pages}
        return [TopicPartition(topic, number) for number in sorted(numbers)]

    async def _scan(
        self,
        tps: list[TopicPartition],
        since_ms: int,
        until_ms: int | None,
        take: Callable[[Stored], None],
    ) -> None:
        """What was appended in that time, to the end as it is now where `until_ms` is None."""
        starts: dict[TopicPartition, int] = {}
        ends: dict[TopicPartition, int] = {}
        for tp in tps:
            earliest, end = await self.log.bounds(tp)
            start = max(earliest, await self.log.offset_at(tp, max(0, since_ms)))
            if until_ms is not None:
                end = min(end, await self.log.offset_at(tp, until_ms))
            if start < end:
                starts[tp], ends[tp] = start, end
        if not starts:
            return
        async with self.log.reader(starts) as reader:
            while any(reader.position(tp) < end for tp, end in ends.items()):
                began_s = time.monotonic()
                try:
                    records = await reader.read(max_records=READ_RECORDS, max_bytes=READ_BYTES)
                except OffsetOutOfRange as error:  # retention was quicker
                    reader.assign(TopicPartition(error.topic, error.partition), error.earliest)
                    continue
                for record in records:
                    take(record)
                for tp in [tp for tp, end in ends.items() if reader.position(tp) >= end]:
                    reader.drop(tp)
                    del ends[tp]
                await asyncio.sleep(min(time.monotonic() - began_s, PAUSE_MOST_S))


def _page_of(record: Stored) -> tuple[str, int]:
    """("", 0) for a tick and whatever else is no page."""
    if is_tick(record):
        return "", 0
    wiki, _, page = record.key.partition("/")[0].rpartition(":")
    return (wiki, int(page)) if page.isdecimal() else ("", 0)


def _edited_ms(record: Stored) -> int:
    try:
        return int(datetime.fromisoformat(record.header("ce_time")).timestamp() * 1000)
    except ValueError:
        return 0
