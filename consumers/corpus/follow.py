"""Feeds into a corpus: one task reads each, one writes for all.

    feed ─► reads ─┐
    feed ─► reads ─┼─► waiting (bounded) ─► gathers ─► a thread: texts, rows and positions in one commit
    feed ─► reads ─┘

Where the writer is behind, `waiting` is full, the readers stand still, and with them the feeds. A feed's
position is committed with the rows of its batch and never without them, so that it doesn't matter when the
process ends, or how. So it is while `corpus erase` writes the file anew: the writer waits.

To stop, readers are cancelled first; what they had handed over is committed; then it ends. So it is when a
feed can't be read any more: the rest is committed before its error is raised.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from consumers.corpus import metrics
from consumers.corpus.page import Told, told
from consumers.corpus.progress import bad_name, known, site_name
from consumers.corpus.site import Site
from consumers.corpus.state import Committed, State
from consumers.corpus.tally import Came, Tally
from consumers.errors import BadEvent, CorpusError, FeedError, StateBusy
from consumers.event import Article, Feed
from consumers.wikitext.text import ANYWHERE, Origin

logger = logging.getLogger(__name__)

WAITING: Final = 4
"""Batches that may wait for the writer; a feed makes them no larger than some MB."""
EVENTS: Final = 2_000
"""In a commit: more gain nothing."""
GATHERED_S: Final = 0.1
"""So long the writer waits for more: little beside the age of any edit, much beside a commit."""
BAD_TOLD: Final = 20
"""Reasons that are logged; the rest are counted."""

Reason = Literal["stopped", "idle", "ended"]


@dataclass(slots=True)
class Follower:
    """Of one corpus. `run` once."""

    state: State
    feeds: Sequence[Feed]
    keep_wikitext: bool = True
    idle_s: float | None = None
    """It ends by itself when nothing came for so long; None: never."""
    strict: bool = False
    """Stops at what is no article; else it is counted and passed over."""
    tally: Tally = field(default_factory=Tally)
    clock: Callable[[], float] = time.time
    _waiting: asyncio.Queue[Came | None] = field(default_factory=lambda: asyncio.Queue(WAITING))
    _bad: dict[str, int] = field(default_factory=dict)
    _sites: dict[str, Site | None] = field(default_factory=dict)
    _moved: float = 0.0
    """When something last came or was committed, by the loop's clock."""
    _is_writing: bool = False
    _stop: asyncio.Event | None = None
    _is_cancelled: bool = False

    async def run(self, stop: asyncio.Event) -> Reason:
        """Until `stop`; or all feeds have ended, as those of tests do. Raises FeedError and StateError."""
        failure: FeedError | None = None
        reason: Reason = "ended"
        self._stop = stop
        self._moved = asyncio.get_running_loop().time()
        self._bad = {feed.name: int(self.state.fact(bad_name(feed.name)) or 0) for feed in self.feeds}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                try:
                    reason = await self._read_all(stop)
                except* FeedError as errors:
                    failure = cast("FeedError", _first(errors))
                await self._waiting.put(None)
        except* CorpusError as errors:
            raise _first(errors) from None
        if failure is not None:
            metrics.FEED_ERRORS.labels(failure.code).inc()
            raise failure
        return reason

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    async def _read_all(self, stop: asyncio.Event) -> Reason:
        async with asyncio.TaskGroup() as group:
            positions = self.state.positions()  # before there is a thread that writes
            readers = [group.create_task(self._read(feed, positions.get(feed.name))) for feed in self.feeds]
            over = group.create_task(self._over(stop))
            over.add_done_callback(lambda _: [reader.cancel() for reader in readers])
            await asyncio.wait(readers)
            over.cancel()
        return "ended" if over.cancelled() else over.result()

    async def _read(self, feed: Feed, position: str | None) -> None:
        async with aclosing(feed.batches(position)) as batches:
            async for batch in batches:
                if batch.events or batch.bad:
                    self._moved = asyncio.get_running_loop().time()
                if batch.bad and self.strict:
                    raise BadEvent(f"{feed.name}: {batch.bad[0]}; without --strict it is passed over")
                await self._waiting.put(Came(feed.name, batch))
                metrics.WAITING_BATCHES.set(self._waiting.qsize())

    async def _over(self, stop: asyncio.Event) -> Reason:
        if self.idle_s is None:
            await stop.wait()
            return "stopped"
        loop = asyncio.get_running_loop()
        while True:
            is_busy = self._is_writing or not self._waiting.empty()
            left_s = self.idle_s if is_busy else self._moved + self.idle_s - loop.time()
            if left_s <= 0:
                return "idle"
            try:
                async with asyncio.timeout(left_s):
                    await stop.wait()
            except TimeoutError:
                continue
            return "stopped"

    # ── writing ────────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        is_over = False
        while not is_over:
            came, is_over = await self._gathered()
            if not came:
                continue
            metrics.WAITING_BATCHES.set(self._waiting.qsize())
            self._is_writing = True
            begun = time.perf_counter()
            commit = asyncio.ensure_future(asyncio.to_thread(self._commit, came))
            try:
                changes, committed = await asyncio.shield(commit)
            except asyncio.CancelledError:
                self._is_cancelled = True
                with suppress(StateBusy):
                    await commit  # a file is not closed under a thread that writes it
                raise
            self.tally.add(came, changes, committed, time.perf_counter() - begun, self.clock())
            self._moved = asyncio.get_running_loop().time()
            self._is_writing = False

    async def _gathered(self) -> tuple[list[Came], bool]:
        """For one commit; and whether nothing comes after it."""
        first = await self._waiting.get()
        if first is None:
            return [], True
        came, events = [first], len(first.batch.events)
        try:
            async with asyncio.timeout(GATHERED_S):
                while events < EVENTS:
                    more = await self._waiting.get()
                    if more is None:
                        return came, True
                    came.append(more)
                    events += len(more.batch.events)
        except TimeoutError:
            pass
        return came, False

    def _commit(self, came: Sequence[Came]) -> tuple[list[Told], Committed]:
        """In a thread: texts are made here where the feed brought none."""
        changes: list[Told] = []
        positions: dict[str, str] = {}
        facts: dict[str, str] = {}
        for feed, batch in came:
            changes += [
                told(event, keep_wikitext=self.keep_wikitext, origin=self._origin) for event in batch.events
            ]
            positions[feed] = batch.position
            if batch.bad:
                self._passed_over(feed, batch.bad)
                facts[bad_name(feed)] = str(self._bad[feed])
        committed = self.state.commit_when_free(changes, positions, facts, is_over=self._is_stopped)
        return changes, committed

    def _is_stopped(self) -> bool:
        """Then it waits for no other command: what is not committed comes again."""
        return self._is_cancelled or (self._stop is not None and self._stop.is_set())

    def _origin(self, article: Article) -> Origin:
        """As a bootstrap has learned the wiki's names; they are English ones else."""
        wiki = article.is_part_of.identifier
        if wiki not in self._sites:
            self._sites[wiki] = known(self.state, site_name(wiki), Site)
        site = self._sites[wiki]
        return site.origin(article.name, article.namespace.identifier) if site else ANYWHERE

    def _passed_over(self, feed: str, reasons: Sequence[str]) -> None:
        for number, reason in enumerate(reasons, self._bad[feed]):
            if number < BAD_TOLD:
                logger.warning("an event was passed over", extra={"feed": feed, "reason": reason})
        self._bad[feed] += len(reasons)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
