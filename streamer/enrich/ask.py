"""From one change to its outcome: what to ask, how often, and what to make of the answers.

Nothing here ends in an exception that belongs to one change: an unanswerable one is a dead letter, so
that it holds neither its wiki nor its partition.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from msgspec.structs import replace

from consumers.wikitext.text import Make, PlainText, nothing, origin_of
from streamer.clock import Clock
from streamer.config import MediaWikiSettings
from streamer.enrich.article import BY_REVISION, is_redirect, least_revision
from streamer.enrich.beside import if_it_can
from streamer.enrich.held import Held
from streamer.enrich.hinting import WAIT_S, Hinting
from streamer.enrich.memory import Newest, Removals
from streamer.enrich.outcome import MISSING_TRIES, Answered, Dead, Gone, Outcome, Removed, Wikis, Work
from streamer.enrich.patience import Answers, Patience
from streamer.enrich.scorer import Scoring
from streamer.enrich.suspects import CAUSE as RECONCILE
from streamer.enrich.textpool import TextPool
from streamer.errors import AnswerInvalid, HostNotAllowed, OriginUnavailable
from streamer.metrics import ENRICH_RETRIES
from streamer.model import DEFERRED, Change, Visibility
from streamer.origin.answer import Answer, Found, Missing
from streamer.origin.turns import BEHIND, LIVE, REPLAY
from streamer.plan import Plan

ABOUT_THE_WIKI: Final = frozenset(
    {OriginUnavailable.code, DEFERRED, HostNotAllowed.code, "another_wiki", "another_revision"}
)
"""Codes of a dead letter that asking for the page instead of its revision would not change."""

A = TypeVar("A")


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
    pool: TextPool
    plan: Callable[[], Plan]
    hinting: Hinting
    scoring: Scoring
    is_waited_for: Callable[[int], bool]

    async def outcome(self, work: Work) -> Outcome:
        patience = Patience(self.settings())
        if work.change.kind == "delete":
            return await self._resolve_removal(work, patience)
        if work.change.replays == "delete":
            return await self._resolve_again(work, patience)
        return await self._fetch(work, patience)

    async def _fetch(self, work: Work, patience: Patience) -> Outcome:
        answer: Answer | Gone | Dead | None = await self._by_its_revision(work, patience)
        change = work.change
        tries = missing_ms = 0
        while True:
            if answer is None:
                await self.held.room(lambda: self.is_waited_for(work.offset))
                answer = await self._patiently(change, patience, lambda: self._question(change))
            if isinstance(answer, Gone | Dead):
                return answer
            tries += 1
            if isinstance(answer, Missing):
                missing_ms = missing_ms or answer.asked_ms
                if self._is_removed(work):
                    return Gone()
                if tries >= MISSING_TRIES:
                    return _lost(change, missing_ms)
                ENRICH_RETRIES.labels("missing").inc()
            else:
                code = misjudged(change, answer)
                if code:
                    return Dead(code, patience.attempts)
                is_stale = self._is_stale(work, answer)
                if tries >= MISSING_TRIES or not is_stale:
                    return await self._answered(work, answer, is_stale=is_stale)
                ENRICH_RETRIES.labels("stale").inc()
            answer = None
            # replica lag looks like a deletion, and like an older page: ask again, later
            await asyncio.sleep(self.settings().missing_retry_s / (MISSING_TRIES - 1))

    def _is_removed(self, work: Work) -> bool:
        """Whether one "missing" is to be believed. A replay's title may be another page's by now."""
        change = work.change
        if change.replays and change.page_id:
            return False
        return self.removals.title_removed_after(change.wiki, change.title, work.read_no)

    async def _answered(self, work: Work, found: Found, *, is_stale: bool) -> Answered:
        until_s = asyncio.get_running_loop().time() + WAIT_S
        self._hold(work, found.held_bytes)
        if not self._may_wait(work.change, found):
            await if_it_can(self._beside(work.change, found, until_s))
            return Answered(found, await self._plain(work, found), is_stale=is_stale)
        async with asyncio.TaskGroup() as tasks:  # which leaves nothing running behind it
            rendered = tasks.create_task(if_it_can(self._html(work, found)))
            tasks.create_task(if_it_can(self._beside(work.change, found, until_s)))
            plain = await self._plain(work, found)
        html, from_html = rendered.result() or (None, None)
        return Answered(found, plain, html, from_html, is_stale)

    def _may_wait(self, change: Change, found: Found) -> bool:
        """False where an article has all that it will be told with but its text: the usual case, which needs
        no task beside its own.
        """
        plan = self.plan()
        return (
            plan.scores
            or self.scoring.may_ask
            or self.hinting.may_come(change)
            or plan.wants_html(found.site.wiki, found.page.namespace)
        )

    def _hold(self, work: Work, size: int) -> None:
        work.held_bytes += size
        self.held.add(size)

    async def _beside(self, change: Change, found: Found, until_s: float) -> None:
        """What others tell of a revision, as far as it comes in time."""
        if found.revision.text_hidden:  # what is told without text goes at once
            return
        self.scoring.answered(change, found)
        asks = self.scoring.wants(change, found)
        if not asks and not self.plan().scores:
            await self.hinting.wait(change, until_s)
            return
        async with asyncio.TaskGroup() as tasks:
            if asks:
                tasks.create_task(self.scoring.ask(change, found))
            else:
                tasks.create_task(self.scoring.wait(change, found, until_s))
            await self.hinting.wait(change, until_s)

    async def _html(self, work: Work, found: Found) -> tuple[str, PlainText | None] | None:
        """Asked for once it is known that there is something to see; and the plain text of it."""
        change, plan = work.change, self.plan()
        wanted = plan.wants_html(found.site.wiki, found.page.namespace)
        if not wanted or not _is_wikitext(found) or is_redirect(found):
            return None
        asked = self.origin.html(change.wiki, change.server_name, found.revision.identifier)
        html = await (asked if work.journey is None else work.journey.step("html", asked))
        if html is None:
            return None
        self._hold(work, 2 * len(html))
        page = found.site.wiki, found.page.page_id
        return html, await self.pool.extract_html(html, Make(plan.text), page)

    async def _by_its_revision(self, work: Work, patience: Patience) -> Found | Gone | Dead | None:
        """What is known of the page once its revision was asked for, where that is needed; Found where the
        revision is the page as it is now, None where the page is to be asked for.
        """
        if not _is_found_by_revision(work.change):
            return None
        sought = await self._find_page(work, patience)
        if isinstance(sought, Found):
            is_current = sought.revision.identifier == sought.page.last_revision
            return sought if work.change.replays and is_current else None
        return sought

    async def _find_page(self, work: Work, patience: Patience) -> Found | Gone | Dead | None:
        """Gives a change the page of its revision, as the wiki knows it: its title may be another page's by
        now, and a cut-off under that page would leave the text served. None: for a replay that goes on by
        what it has.
        """
        change = work.change
        by_revision = replace(change, kind="edit", page_id=0)
        for attempt in range(MISSING_TRIES):
            if attempt:
                ENRICH_RETRIES.labels("missing").inc()
                await asyncio.sleep(self.settings().missing_retry_s / (MISSING_TRIES - 1))
            await self.held.room(lambda: self.is_waited_for(work.offset))
            answer = await self._patiently(change, patience, lambda: self._question(by_revision))
            if isinstance(answer, Dead):
                # one revision that is no article is no word about its page
                return None if change.replays and answer.code not in ABOUT_THE_WIKI else answer
            if isinstance(answer, Missing):
                continue
            # judged as what was asked: a revision, whose text may be hidden or not
            code = misjudged(by_revision, answer)
            if code:
                return Dead(code, patience.attempts)
            told = change.visibility
            now = visible(answer) if change.replays and told else told
            if told and now and set(told.hides()) - set(now.hides()) and attempt + 1 < MISSING_TRIES:
                continue  # shown again since, or a replica that does not know yet
            work.change = replace(change, page_id=answer.page.page_id, visibility=now)
            work.is_found = True
            return answer
        # with its page, whose deletion is a cut-off of its own
        return None if change.replays and change.page_id else Gone()

    async def _question(self, change: Change) -> Answer:
        wiki, server, priority = change.wiki, change.server_name, priority_of(change)
        if change.kind in BY_REVISION and change.revision and change.cause != "redirect":
            return await self.origin.revision(wiki, server, change.revision, priority=priority)
        if change.page_id:
            return await self.origin.page(wiki, server, change.page_id, priority=priority)
        return await self.origin.title(wiki, server, change.title, priority=priority)

    def _is_stale(self, work: Work, answer: Found) -> bool:
        """A page restated older than it was published, or than what waits in front of it to be published, or
        than the change itself says it is: a lagging replica, since revisions only grow while a page lives. Or
        a text still hidden that was shown.
        """
        change, revision = work.change, answer.revision
        if change.kind in BY_REVISION:
            return False
        if revision.identifier < max(work.told_revision, least_revision(change)):
            return True
        shown = change.visibility and change.visibility.text and change.revision == revision.identifier
        if shown and revision.text_hidden:
            return True
        return revision.identifier < self.newest.revision(change.wiki, answer.page.page_id)

    async def _plain(self, work: Work, answer: Found) -> PlainText | None:
        plan = self.plan()
        if not _is_wikitext(answer):
            return None
        make = Make(plan.text, plan.sections, plan.infoboxes)
        if is_redirect(answer):
            return nothing(make)
        origin = origin_of(
            answer.page.title, answer.site.namespaces, answer.site.aliases, answer.page.namespace
        )
        page = (answer.site.wiki, answer.page.page_id)
        made = self.pool.extract(answer.revision.content or "", origin, make, page)
        return await (made if work.journey is None else work.journey.step("text", made))

    async def _resolve_removal(self, work: Work, patience: Patience) -> Removed | Dead:
        change = work.change
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

    async def _resolve_again(self, work: Work, patience: Patience) -> Outcome:
        """A deletion that could not be resolved: told of those of its pages that are missing now; where all
        are there again, the page is restated. What it could withdraw by its title it has withdrawn then:
        another page may be under it by now.
        """
        change = work.change
        pages: tuple[int, ...] = (change.page_id,)
        if not change.page_id:
            resolved = await self._resolve_removal(work, patience)
            if isinstance(resolved, Dead):
                return Dead(resolved.code, resolved.attempts)
            pages = resolved.page_ids
        restated: Outcome | None = None
        missing: list[int] = []
        missing_ms = 0
        for page_id in pages:
            work.change = replace(change, page_id=page_id, revision=0)
            outcome = await self._fetch(work, patience)
            if isinstance(outcome, Removed):
                missing.append(page_id)
                missing_ms = missing_ms or outcome.missing_ms
            elif isinstance(outcome, Dead):
                work.change = change
                return outcome
            else:
                restated = restated or outcome
        work.change = change
        return Removed(tuple(missing), missing_ms) if missing else restated or Gone()

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


def _is_wikitext(found: Found) -> bool:
    """And can be seen."""
    revision = found.revision
    is_seen = revision.content is not None and not revision.text_hidden
    return is_seen and (revision.content_model or found.page.content_model) == "wikitext"


def priority_of(change: Change) -> int:
    """Behind live work goes what is tried again and what reconcile restates, but for what may withdraw."""
    if change.replays in {"delete", "visibility"}:
        return LIVE
    if change.cause == RECONCILE:
        return BEHIND
    return REPLAY if change.replays else LIVE


def _is_found_by_revision(change: Change) -> bool:
    if not change.revision:
        return False
    if change.meant == "visibility":
        return bool(change.replays) or not change.page_id
    return bool(change.replays) and not change.page_id


def _lost(change: Change, missing_ms: int) -> Removed | Gone:
    """That a page is gone which partners may hold is told by whoever finds it out late."""
    return Removed((change.page_id,), missing_ms) if change.replays and change.page_id else Gone()


def visible(found: Found) -> Visibility:
    """What the wiki shows of a revision."""
    revision = found.revision
    return Visibility(
        text=not revision.text_hidden, editor=not revision.user_hidden, comment=not revision.comment_hidden
    )


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
