"""From one change to its outcome: what to ask, how often, and what to make of the answers.

Nothing here ends in an exception that belongs to one change: an unanswerable one is a dead letter, so
that it holds neither its wiki nor its partition.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from msgspec.structs import replace

from streamer.clock import Clock
from streamer.config import MediaWikiSettings
from streamer.enrich.article import BY_REVISION, is_redirect
from streamer.enrich.held import Held
from streamer.enrich.memory import Newest, Removals
from streamer.enrich.outcome import Answered, Dead, Gone, Outcome, Removed, Wikis, Work
from streamer.enrich.text import PlainText
from streamer.enrich.textpool import TextPool
from streamer.errors import AnswerInvalid, HostNotAllowed, OriginUnavailable
from streamer.health import Health
from streamer.metrics import ENRICH_RETRIES
from streamer.model import Change
from streamer.origin.answer import Answer, Found, Missing

MISSING_TRIES: Final = 3
BACKOFF_S: Final = 0.5
BACKOFF_MOST_S: Final = 15.0
COMPONENT: Final = "enrich"
FILE_NAMESPACE: Final = 6
CATEGORY_NAMESPACE: Final = 14

log = logging.getLogger(__name__)
A = TypeVar("A")


@dataclass(slots=True)
class Answers:
    """Whether any wiki answers at all: said to health when it changes."""

    origin: Wikis
    health: Health
    _silent: bool = False

    def heard(self) -> None:
        if self._silent:
            self._silent = False
            self.health.ready(COMPONENT)
            log.info("wikis answer again")

    def failed(self) -> None:
        if not self._silent and not self.origin.any_host_answers:
            self._silent = True
            self.health.unready(COMPONENT, "no wiki answers")
            log.error("no wiki answers")


@dataclass(slots=True)
class Patience:
    """Counts the failures of one change and says when to give it up. Pure but for the origin's word."""

    settings: MediaWikiSettings
    counted: int = 0
    attempts: int = 0
    _failed_s: float | None = None

    def verdict(self, now_s: float, failing_since_s: float | None, *, any_host_answers: bool) -> str:
        """The dead letter's code, or "" to go on. `failing_since_s`: the monotonic second of the wiki's first
        failure since its last answer, None where it answers.
        """
        before_s, self._failed_s = self._failed_s, now_s
        if before_s is None or failing_since_s is None or failing_since_s > before_s:
            # between two failures of this one the wiki answered others: it is the change, not the wiki
            self.counted += 1
        if self.counted >= self.settings.retries:
            return OriginUnavailable.code
        if failing_since_s is None or not any_host_answers:
            return ""
        return "deferred" if now_s - failing_since_s >= self.settings.defer_after_s else ""

    def pause_s(self, retry_after_s: float | None) -> float:
        grown: float = min(BACKOFF_MOST_S, BACKOFF_S * 2 ** min(self.attempts, 10))
        return max(retry_after_s or 0.0, grown * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries


@dataclass(slots=True)
class Asker:
    """One for each lane."""

    origin: Wikis
    settings: Callable[[], MediaWikiSettings]
    """Those in force."""
    clock: Clock
    answers: Answers
    held: Held
    newest: Newest
    removals: Removals
    pool: TextPool | None
    """None: no text is extracted."""
    is_waited_for: Callable[[int], bool]

    async def outcome(self, work: Work) -> Outcome:
        if work.change.kind == "delete":
            return await self._resolve_removal(work)
        return await self._fetch(work)

    async def _fetch(self, work: Work) -> Outcome:
        patience = Patience(self.settings())
        if work.change.kind == "visibility" and not work.change.page_id:
            failed = await self._find_page(work, patience)
            if failed:
                return failed
        change = work.change
        tries = 0
        while True:
            await self.held.room(lambda: self.is_waited_for(work.offset))
            answer = await self._patiently(change, patience, lambda: self._question(change))
            if isinstance(answer, Dead):
                return answer
            tries += 1
            if isinstance(answer, Missing):
                if tries >= MISSING_TRIES or self.removals.title_removed_after(
                    change.wiki, change.title, work.read_no
                ):
                    return Gone()
                ENRICH_RETRIES.labels("missing").inc()
            else:
                code = misjudged(change, answer)
                if code:
                    return Dead(code, patience.attempts)
                if tries >= MISSING_TRIES or not self._is_stale(work, answer):
                    work.held_bytes = answer.revision.size + len(answer.revision.content or "")
                    self.held.add(work.held_bytes)
                    return Answered(answer, await self._plain(answer))
                ENRICH_RETRIES.labels("stale").inc()
            # replica lag looks like a deletion, and like an older page: ask again, later
            await asyncio.sleep(self.settings().missing_retry_s / (MISSING_TRIES - 1))

    async def _find_page(self, work: Work, patience: Patience) -> Gone | Dead | None:
        """Gives a visibility change the page of its revision, as the wiki knows it: its title may be another
        page's by now, and a cut-off under that page would leave the text served. None: found.
        """
        change = work.change
        for attempt in range(MISSING_TRIES):
            if attempt:
                ENRICH_RETRIES.labels("missing").inc()
                await asyncio.sleep(self.settings().missing_retry_s / (MISSING_TRIES - 1))
            await self.held.room(lambda: self.is_waited_for(work.offset))
            answer = await self._patiently(
                change,
                patience,
                lambda: self.origin.revision(change.wiki, change.server_name, change.revision),
            )
            if isinstance(answer, Dead):
                return answer
            if isinstance(answer, Found):
                # judged as what was asked: a revision, whose text may be hidden or not
                code = misjudged(replace(change, kind="edit"), answer)
                if code:
                    return Dead(code, patience.attempts)
                work.change = replace(change, page_id=answer.page.page_id)
                return None
        return Gone()  # with its page, whose deletion is a cut-off of its own

    async def _question(self, change: Change) -> Answer:
        if change.kind in BY_REVISION and change.revision and change.cause != "redirect":
            return await self.origin.revision(change.wiki, change.server_name, change.revision)
        if change.page_id:
            return await self.origin.page(change.wiki, change.server_name, change.page_id)
        return await self.origin.title(change.wiki, change.server_name, change.title)

    def _is_stale(self, work: Work, answer: Found) -> bool:
        """A page restated older than it was published, or than what waits in front of it to be published: a
        lagging replica, since revisions only grow while a page lives. Or a text still hidden that was shown.
        """
        change, revision = work.change, answer.revision
        if change.kind in BY_REVISION:
            return False
        if revision.identifier < work.told_revision:
            return True
        shown = change.visibility and change.visibility.text and change.revision == revision.identifier
        if shown and revision.text_hidden:
            return True
        return revision.identifier < self.newest.revision(change.wiki, answer.page.page_id)

    async def _plain(self, answer: Found) -> PlainText | None:
        revision = answer.revision
        if self.pool is None or revision.content is None or revision.text_hidden:
            return None
        if (revision.content_model or answer.page.content_model) != "wikitext":
            return None
        if is_redirect(answer):
            return PlainText("", "")
        names = answer.site.namespaces
        dropped = (names.get(FILE_NAMESPACE, ""), names.get(CATEGORY_NAMESPACE, ""))
        return await self.pool.extract(revision.content, dropped)

    async def _resolve_removal(self, work: Work) -> Outcome:
        change = work.change
        patience = Patience(self.settings())
        for attempt in range(MISSING_TRIES):
            if attempt:
                ENRICH_RETRIES.labels("missing").inc()
                await asyncio.sleep(self.settings().missing_retry_s / (MISSING_TRIES - 1))
            found = await self._patiently(
                change,
                patience,
                lambda: self.origin.deleted_page_id(
                    change.wiki, change.server_name, change.title, change.log_id, change.edited_ms
                ),
            )
            if isinstance(found, Dead):
                return Dead(found.code, found.attempts, self.newest.page_under(change.wiki, change.title))
            if found:
                return Removed(found)
        return Dead("page_unresolved", patience.attempts, self.newest.page_under(change.wiki, change.title))

    async def _patiently(
        self, change: Change, patience: Patience, question: Callable[[], Awaitable[A]]
    ) -> A | Dead:
        while True:
            patience.attempts += 1
            try:
                answer = await question()
            except HostNotAllowed as error:
                return Dead(error.code, patience.attempts)
            except AnswerInvalid as error:
                self.answers.heard()
                return Dead(error.reason, patience.attempts)
            except OriginUnavailable as error:
                self.answers.failed()
                code = patience.verdict(
                    self.clock.monotonic_s(),
                    self.origin.failing_since_s(change.wiki),
                    any_host_answers=self.origin.any_host_answers,
                )
                if code:
                    return Dead(code, patience.attempts)
                ENRICH_RETRIES.labels("unavailable").inc()
                await asyncio.sleep(patience.pause_s(error.retry_after_s))
                continue
            self.answers.heard()
            return answer


def misjudged(change: Change, answer: Found) -> str:
    """The code of a dead letter where the answer is not about what was asked; "" where it is. By the host's
    own wiki name, the revision and the page where known, never by title: titles move.
    """
    if answer.site.wiki != change.wiki:
        return "another_wiki"
    by_revision = change.kind in BY_REVISION and change.revision and change.cause != "redirect"
    if by_revision and answer.revision.identifier != change.revision:
        return "another_revision"
    if change.page_id and answer.page.page_id != change.page_id:
        return "another_page"
    if answer.revision.content is None and not answer.revision.text_hidden:
        return "textmissing"
    return ""
