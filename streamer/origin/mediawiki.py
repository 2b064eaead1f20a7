"""The client of all wikis: what is asked waits in the scheduler until its batch is answered.

    revision() title() page() deleted_page_id() listing()    callers, one future each
          │ queue per (wiki, server, how it is asked)
          ▼
      Scheduler ── Budget, Breakers                  which batch may start now (pure)
          │ one task per request
          ▼
      Fetch ── Reply ── parse ── Reading             what it means for each key (pure)
          │
          ▼
    answer · AnswerInvalid · back into the queue (truncated, halved, "later") · OriginUnavailable

Retries are no loop of their own: what got no answer goes back to the head of its queue, so that a
retry takes new arrivals along and is paid for like every other request.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from math import inf
from types import TracebackType
from typing import Final, Self, TypeAlias

from streamer import metrics
from streamer.clock import Clock
from streamer.config import Settings
from streamer.errors import AnswerInvalid, HostNotAllowed, OriginUnavailable
from streamer.faultpoints import Point, reached
from streamer.origin import parse, query
from streamer.origin.answer import Answer, Found, Missing, SiteInfo
from streamer.origin.breaker import Breakers, Reach
from streamer.origin.budget import Budget
from streamer.origin.continuing import CLOSED, Continuing
from streamer.origin.fetch import Fetch
from streamer.origin.hosts import Allowed
from streamer.origin.inflate import TooLarge
from streamer.origin.listing import Listing, More, Span, read_listing
from streamer.origin.parked import Parked
from streamer.origin.parse import AnotherPage, AnotherWiki, ApiError, Asked, Key, Reading, Reply, Unparsable
from streamer.origin.permits import WANTS_MOST, Purse
from streamer.origin.rendered import Rendered
from streamer.origin.retry import TRIES, Retries
from streamer.origin.scheduler import Batch, Lane, Scheduler
from streamer.origin.siteinfo import Sites
from streamer.origin.turns import BEHIND, LIVE
from streamer.origin.waiting import Outcome, Waiting, refuse_all
from streamer.partners import PageList
from streamer.plan import Plan
from streamer.tracing import JOURNEY, Tracing

LANE_WAITING: Final = 1_000
"""What may wait for one wiki; who asks for more waits to ask."""
PROBE_TIMEOUT_S: Final = 10.0
"""Of a request to a host that failed before: a silent host holds one slot for so long, not for thirty."""

BACKLOG_S: Final = 5.0
"""A batch fills within so long wherever the budget suffices: what waits longer waits for the budget."""
PROBE_TITLE: Final = "Main Page"
PROBE_LOG_ID: Final = 1
"""Whether they exist doesn't matter: no answer is larger than the log of four seconds of one title."""

UNTAKEN: Final = {TooLarge: "too_large", Unparsable: "unparsable", AnotherPage: "another_page"}

LogKey: TypeAlias = tuple[str, int, int]
ListKey: TypeAlias = tuple[Span, More]
AnyKey: TypeAlias = Key | LogKey | ListKey

logger = logging.getLogger(__name__)


class Origin:
    """Enter it, ask, leave it: on leaving, whoever still waits gets OriginUnavailable.

    Every call but `html` raises HostNotAllowed (no contact was made), AnswerInvalid (an answer, and no
    article can be made of it), OriginUnavailable (no answer, after the retries that are worth it here). A
    cancelled call leaves its batch alone.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        save_site: Callable[[SiteInfo], object] | None = None,
        known_sites: Iterable[SiteInfo] = (),
        asked_before: bool = False,
        plan: Callable[[], Plan] = Plan,
        purse: Purse | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`asked_before`: a process that had this budget may have asked in the last minute. `plan`: what is
        fetched, as of now; each request asks it. `purse`: of a fleet, whose keeper has the budget; without
        one it is here.
        """
        self._plan: Final = plan
        self._tracing: Final = tracing
        self._settings = settings.mediawiki
        self._clock: Final = clock or Clock()
        self._save_site: Final = save_site
        self._sites: Final = Sites(known_sites)
        self._allowed = Allowed(settings.mediawiki.hosts)
        self._breakers: Final = Breakers(settings.mediawiki.batch)
        own = Budget(
            settings.requests_per_minute, settings.mediawiki.concurrency, settings.mediawiki.html_share
        )
        self._purse: Final = purse
        self._own: Final = None if purse else own
        self._budget: Final = purse or own
        if asked_before and not purse:
            now_s = self._clock.monotonic_s()
            own.owe(now_s)
            logger.info(
                "requests wait, a process before this one may have spent of the budget",
                extra={"wait_s": round(own.free_at_s(now_s) - now_s, 1)},
            )
        self._scheduler: Final[Scheduler[Waiting]] = Scheduler(self._budget, self._breakers)
        self._fetch: Final = Fetch(settings.mediawiki, settings.user_agent)
        self._reach: Final = Reach()
        self._retries: Final = Retries(self._scheduler, self._breakers, self._reach, self._refused)
        self._rendered: Final = Rendered(
            self._budget, self._breakers, self._retries, self._fetch, clock=self._clock, purse=purse
        )
        self._parked: Final = Parked()
        self._room: Final[dict[Lane, tuple[asyncio.Semaphore, list[None]]]] = {}
        self._wake: Final = asyncio.Event()
        self._group: Final = asyncio.TaskGroup()
        self._pump_task: asyncio.Task[None] | None = None
        self._flying: Final[dict[asyncio.Task[None], Batch[Waiting]]] = {}
        if purse:
            purse.wants = lambda now_s: self._scheduler.wants(now_s, WANTS_MOST)
            purse.came = self._came
            purse.only_host = self._breakers.only_host

    def take(self, settings: Settings) -> None:
        """Other settings are in force: budget, hosts and batches from the next request on. The endpoint and
        the User-Agent stay.
        """
        mediawiki = settings.mediawiki
        self._settings = mediawiki
        self._allowed = Allowed(mediawiki.hosts)
        self._breakers.batch_most = mediawiki.batch
        if self._purse:
            self._purse.take(mediawiki.timeout_s)
        if self._own:
            now_s = self._clock.monotonic_s()
            self._own.html_part = mediawiki.html_share
            self._own.change(settings.requests_per_minute, mediawiki.concurrency, now_s)
        self._wake.set()

    def _came(self) -> None:
        """Permits: those for HTML go to who waits for them before the others are looked at."""
        self._rendered.came()
        self._wake.set()

    def _refused(self, server_name: str, wait_s: float, now_s: float) -> None:
        """A wiki answered "too many requests"."""
        alone = self._breakers.only_host(now_s) == server_name
        means_us = self._breakers.limited(server_name, now_s, now_s + wait_s, alone=alone)
        if self._purse:
            self._purse.refused(server_name, wait_s, alone=alone)
        elif self._own and means_us and self._own.refused(now_s):
            logger.warning("wikis refuse requests: half of them are sent", extra={"server_name": server_name})

    async def __aenter__(self) -> Self:
        await self._fetch.__aenter__()
        await self._group.__aenter__()
        self._pump_task = self._group.create_task(self._pump(), name="origin")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Order: no new request, the ones in flight are cancelled, who waits is told, the session closes."""
        unanswered = [item for batch in self._flying.values() for item in batch.items]
        try:
            for task in (self._pump_task, *self._flying):
                if task is not None:
                    task.cancel()
            # the group has to see a cancellation, which may be its own; an error of the body is not its
            cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
            await self._group.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
        finally:
            for lane in self._scheduler.lanes():
                for item in self._scheduler.items(lane):
                    self._scheduler.drop(lane, item)
                    unanswered.append(item)
            refuse_all(unanswered, OriginUnavailable(CLOSED))
            await self._fetch.__aexit__(kind, error, trace)

    # ── what can be asked ──────────────────────────────────────────────────────────────────────

    async def revision(self, wiki: str, server_name: str, revision: int, *, priority: int = LIVE) -> Answer:
        """That revision, and its page as it is now."""
        return await self._page(Lane(wiki, server_name, "revision", priority), query.id_key(revision))

    async def title(self, wiki: str, server_name: str, title: str, *, priority: int = LIVE) -> Answer:
        """The current revision of the page of that title; a redirect is not followed."""
        return await self._page(Lane(wiki, server_name, "title", priority), query.title_key(title))

    async def page(self, wiki: str, server_name: str, page_id: int, *, priority: int = LIVE) -> Answer:
        """The current revision of the page."""
        return await self._page(Lane(wiki, server_name, "page", priority), query.id_key(page_id))

    async def html(self, wiki: str, server_name: str, revision: int) -> str | None:
        """Of that revision, or nothing: it is asked for once, now, and never waited for long. Raises nothing:
        a host may have left the list since the revision was asked for.
        """
        try:
            self._allowed.check(server_name)
            return await self._rendered.html(wiki, server_name, revision, self._settings)
        except HostNotAllowed:
            metrics.ENRICH_HTML.labels("not_allowed").inc()
            return None
        finally:
            self._wake.set()

    async def deleted_page_id(
        self, wiki: str, server_name: str, title: str, log_id: int, time_ms: int
    ) -> tuple[int, ...]:
        """The ids of the pages that the log entry deleted at this title or moved away from it; with
        `log_id` 0, whatever was at that second. None found: unknown (or not yet replicated).
        """
        key: LogKey = (query.title_key(title), log_id, time_ms)
        outcome = await self._ask(Lane(wiki, server_name, "log"), key)
        assert isinstance(outcome, tuple)
        return outcome

    async def probe(self, wiki: str, server_name: str) -> None:
        """One request, the cheapest there is, to see whether it is answered."""
        key: LogKey = (PROBE_TITLE, PROBE_LOG_ID, self._clock.now_ms())
        await self._ask(Lane(wiki, server_name, "log"), key, failures=TRIES - 1)

    async def listing(self, wiki: str, server_name: str, span: Span, more: More = ()) -> Listing:
        """What changed and what was logged in that time; `more` is that of the answer before. Behind all that
        is asked otherwise, and tried once: who lists comes back later.
        """
        outcome = await self._ask(
            Lane(wiki, server_name, "listing", BEHIND), (span, more), failures=TRIES - 1
        )
        assert isinstance(outcome, Listing)
        return outcome

    def site(self, wiki: str) -> SiteInfo | None:
        """What is cached, be it older than 24 h."""
        return self._sites.of_wiki(wiki)

    def check_host(self, server_name: str) -> None:
        """Raises HostNotAllowed."""
        self._allowed.check(server_name)

    # ── what is known of the wikis ─────────────────────────────────────────────────────────────

    def failing_since_s(self, wiki: str) -> float | None:
        """The monotonic second of the wiki's first failure since its last answer; None: it answers."""
        return self._reach.failing_since_s(wiki)

    @property
    def any_host_answers(self) -> bool:
        """False once failures are all there was for a minute; true before anything was asked."""
        return self._reach.any_answers(self._clock.monotonic_s())

    @property
    def has_backlog(self) -> bool:
        """Live work that its host would answer has waited for the budget for BACKLOG_S."""
        return self._scheduler.backlog_s(self._clock.monotonic_s()) >= BACKLOG_S

    def is_under_way(self, wiki: str, revision: int) -> bool:
        """Whether a request for it has been sent and is not answered, or only its lists are not whole."""
        key = query.id_key(revision)
        return self._parked.holds(wiki, "revision", key) or any(
            batch.lane.wiki == wiki
            and batch.lane.by == "revision"
            and any(item.key == key for item in batch.items)
            for batch in self._flying.values()
        )

    @property
    def waiting(self) -> int:
        return len(self._scheduler)

    @property
    def budget_used(self) -> int:
        """Requests that count in the current minute; of a fleet, those of this process that are under way."""
        return self._own.in_use(self._clock.monotonic_s()) if self._own else self._budget.in_flight

    # ── waiting ────────────────────────────────────────────────────────────────────────────────

    async def _page(self, lane: Lane, key: Key) -> Answer:
        outcome = await self._ask(lane, key)
        assert isinstance(outcome, Found | Missing)
        return outcome

    async def _ask(self, lane: Lane, key: AnyKey, failures: int = 0) -> Outcome:
        self._allowed.check(lane.server_name)
        self._check_wiki(lane)
        asked_s = self._clock.monotonic_s()
        room, users = self._room.setdefault(lane, (asyncio.Semaphore(LANE_WAITING), []))
        users.append(None)
        try:
            async with room:
                return await self._wait(lane, key, asked_s, failures)
        finally:
            users.pop()
            if not users:
                self._room.pop(lane, None)

    def _check_wiki(self, lane: Lane) -> None:
        """A server that is known as another wiki's is not asked again for each change that names it."""
        site = self._sites.of_server(lane.server_name)
        if site is not None and site.wiki != lane.wiki and self._is_fresh(lane.server_name):
            raise AnotherWiki(site)

    def _is_fresh(self, server_name: str) -> bool:
        return self._sites.is_fresh(server_name, self._clock.now_ms())

    async def _wait(self, lane: Lane, key: AnyKey, asked_s: float, failures: int) -> Outcome:
        item = self._scheduler.waiting(lane, key)
        if item is None:
            item = Waiting(key, asked_s, failures=failures)
            self._scheduler.add(lane, item)
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        item.waiters.append(waiter)
        if self._tracing is not None and (journey := JOURNEY.get()) is not None:
            item.journeys += (journey,)
        self._wake.set()
        try:
            return await waiter
        finally:
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # seen, also where a cancellation came in before it
            if item.is_abandoned:
                self._scheduler.drop(lane, item)

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    async def _pump(self) -> None:
        while True:
            self._wake.clear()
            now_s = self._clock.monotonic_s()
            self._tell_parked(now_s)
            while (batch := self._scheduler.next_batch(now_s)) is not None:
                self._without_doubtful(batch)
                self._breakers.started(batch.lane.server_name, now_s)
                task = self._group.create_task(self._request(batch), name="origin request")
                self._flying[task] = batch
                task.add_done_callback(self._flying.pop)
            metrics.QUEUE_DEPTH.labels("origin").set(len(self._scheduler))
            wake_at_s = min(self._scheduler.wake_at_s(now_s), self._parked.next_s())
            if self._own:
                metrics.ORIGIN_BUDGET.set(self._own.eased(now_s))
                metrics.ORIGIN_BUDGET_USED.set(self._own.in_use(now_s))
            elif self._purse:
                self._let_go(self._purse)
                wake_at_s = min(wake_at_s, self._scheduler.ready_at_s(now_s))
            try:
                async with asyncio.timeout(None if wake_at_s == inf else max(0.0, wake_at_s - now_s)):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _let_go(self, purse: Purse) -> None:
        """Of the permits that nothing is ready for; and the fleet is told what is."""
        returned = purse.returned
        purse.give_back()
        metrics.ORIGIN_PERMITS.labels("unused").inc(purse.returned - returned)
        purse.changed.set()

    async def _request(self, batch: Batch[Waiting]) -> None:
        """One request, and what becomes of each of its items."""
        lane, items = batch.lane, batch.items
        outcome = "cancelled"
        started_s = self._clock.monotonic_s()
        try:
            outcome = await self._exchange(lane, items)
        finally:
            now_s = self._clock.monotonic_s()
            self._budget.end(now_s)
            self._breakers.ended(lane.server_name)
            self._wake.set()
            metrics.ORIGIN_REQUESTS.labels(outcome).inc()
            metrics.ORIGIN_REQUEST_SECONDS.observe(now_s - started_s)
            is_rest = isinstance(items[0], Continuing)
            metrics.ORIGIN_BATCH.labels("lists" if is_rest else lane.by).observe(len(items))
            metrics.ORIGIN_BREAKERS_OPEN.set(self._breakers.open_count)
            if self._tracing is not None:
                journeys = [journey for item in items for journey in item.journeys]
                by = "lists" if is_rest else lane.by
                self._tracing.asked(journeys, by, outcome, len(items), now_s - started_s)

    async def _exchange(self, lane: Lane, items: list[Waiting]) -> str:
        """The word for the metric."""
        with_site = not self._is_fresh(lane.server_name)
        probing = self._breakers.is_failing(lane.server_name)
        timeout_s = min(self._settings.timeout_s, PROBE_TIMEOUT_S) if probing else self._settings.timeout_s
        asked_ms = self._clock.now_ms()
        lists = self._lists_for(items)
        asked = Asked(lane.wiki, lane.server_name, asked_ms, self._sites.of_server(lane.server_name), lists)
        outcome = "ok"
        try:
            reply = await self._fetch.query(
                lane.server_name, self._parameters(lane, items, lists, with_site=with_site), timeout_s
            )
            reached(Point.ENRICH_FETCHED)
            self._take(lane, items, reply, asked)
        except OriginUnavailable as error:
            outcome = error.reason
            self._retries.failed(lane, items, error, self._clock.monotonic_s())
        except ApiError as error:
            outcome = self._retries.api_error(lane, items, error, self._clock.monotonic_s())
        except (TooLarge, Unparsable, AnotherPage) as error:
            outcome = UNTAKEN[type(error)]
            if lists and len(items) == 1 and not isinstance(items[0], Continuing):
                self._retries.without_lists(lane, items[0])
            else:
                self._retries.untaken(lane, items, AnswerInvalid(outcome))
        except AnswerInvalid as error:
            outcome = "invalid"
            self._breakers.answered(lane.server_name)
            if isinstance(error, AnotherWiki):
                self._sites.put(error.site)
            refuse_all(items, error)
        return outcome

    def _lists_for(self, items: list[Waiting]) -> frozenset[PageList]:
        """The last try goes without them: what makes lists fail must not take the article along."""
        return frozenset() if any(map(_is_in_doubt, items)) else self._plan().lists

    def _without_doubtful(self, batch: Batch[Waiting]) -> None:
        """Those that go without lists go first, and the others for themselves, so that they have theirs."""
        doubtful = [item for item in batch.items if _is_in_doubt(item)]
        if doubtful and len(doubtful) < len(batch.items) and self._plan().lists:
            self._retries.put_back(batch.lane, [item for item in batch.items if not _is_in_doubt(item)])
            batch.items = doubtful

    def _parameters(
        self, lane: Lane, items: list[Waiting], lists: frozenset[PageList], *, with_site: bool
    ) -> query.Parameters:
        heeded = self._breakers.heeds_lag(lane.server_name, self._clock.monotonic_s())
        maxlag = self._settings.maxlag if heeded else 0
        if lane.by == "log":
            title, _, time_ms = _log_key(items[0])
            return query.log_entries(title, time_ms, maxlag=maxlag, with_site=with_site)
        if lane.by == "listing":
            span, more = _list_key(items[0])
            return query.listing(span.since_s, span.until_s, more, maxlag=maxlag, with_site=with_site)
        if isinstance(items[0], Continuing):
            return query.rest_of_lists(items[0].by, items[0].keys, items[0].more, maxlag=maxlag)
        keys = [item.key for item in items]
        return query.pages(lane.by, keys, maxlag=maxlag, with_site=with_site, lists=lists)

    def _take(self, lane: Lane, items: list[Waiting], reply: Reply, asked: Asked) -> None:
        if lane.by == "log":
            _, log_id, time_ms = _log_key(items[0])
            pages, site = parse.read_log(reply, log_id, time_ms, asked)
            self._answered(lane, site)
            items[0].answer(pages)
            return
        if lane.by == "listing":
            listing, site = read_listing(reply, *_list_key(items[0]), asked)
            self._answered(lane, site)
            items[0].answer(listing)
            return
        if isinstance(items[0], Continuing):
            items[0].take(reply, self._plan().lists, self._clock.monotonic_s())
            self._answered(lane, None)
            self._continue(items[0])
            return
        keys = [_page_key(item) for item in items]
        reading = parse.read_pages(reply, lane.by, keys, asked)
        self._answered(lane, reading.site)
        left_out = self._plan().lists - asked.lists
        metrics.ORIGIN_LISTS.labels("failed").inc(len(left_out) * len(reading.answers))
        self._deal(lane, dict(zip(keys, items, strict=True)), reading)

    def _deal(self, lane: Lane, items: dict[Key, Waiting], reading: Reading) -> None:
        cut = self._tell(items, reading)
        for key, invalid in reading.invalid.items():
            items[key].refuse(invalid)
        unreached = [items[key] for key in reading.unreached]
        if len(unreached) == len(items):
            # nothing got through: in the same company it would be cut for ever
            self._retries.untaken(lane, unreached, AnswerInvalid("truncated"))
        else:
            if cut:  # the rest of lists is asked of all keys: from now on of no more than get through
                for item in unreached:
                    item.most = min(item.most, len(items) - len(unreached))
            self._retries.put_back(lane, unreached)
        unanswered = [items[key] for key in reading.unanswered]
        self._retries.again(lane, unanswered, OriginUnavailable("incomplete"))
        if cut:
            now_s = self._clock.monotonic_s()
            self._continue(Continuing.of(lane, tuple(items), cut, reading, now_s))

    def _tell(self, items: dict[Key, Waiting], reading: Reading) -> list[tuple[Waiting, Found]]:
        """Returns those that have to wait for the rest of their lists."""
        cut: list[tuple[Waiting, Found]] = []
        for key, answer in reading.answers.items():
            if isinstance(answer, Found):
                if reading.more:
                    cut.append((items[key], answer))
                    continue
                metrics.ORIGIN_LISTS.labels("whole").inc(len(answer.page.lists))
            items[key].answer(answer)
        metrics.ORIGIN_LISTS.labels("unknown").inc(len(reading.unknown) * len(reading.answers))
        return cut

    def _continue(self, rest: Continuing) -> None:
        if self._parked.goes_on(rest, self._clock.monotonic_s()):
            self._retries.put_back(rest.lane, [rest])

    def _tell_parked(self, now_s: float) -> None:
        """Those that have waited for their lists for long enough."""
        for rest in self._parked.over(now_s):
            self._scheduler.drop(rest.lane, rest)
            rest.tell()

    def _answered(self, lane: Lane, site: SiteInfo | None) -> None:
        self._breakers.answered(lane.server_name)
        self._reach.answered(lane.wiki, self._clock.monotonic_s())
        if site is not None:
            self._sites.put(site)
            if self._save_site is not None:
                self._save_site(site)


def _is_in_doubt(item: Waiting) -> bool:
    return item.has_failed and item.failures >= TRIES - 1


def _log_key(item: Waiting) -> LogKey:
    assert isinstance(item.key, tuple)
    title, log_id, time_ms = item.key
    return title, log_id, time_ms


def _list_key(item: Waiting) -> ListKey:
    assert isinstance(item.key, tuple)
    span, more = item.key
    return span, more


def _page_key(item: Waiting) -> Key:
    assert isinstance(item.key, int | str)
    return item.key
