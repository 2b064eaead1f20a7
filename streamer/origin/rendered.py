"""A revision's HTML as Parsoid makes it: one request, of its own part of the budget, now or not at all.

An article doesn't wait for a token for it, and is published without it where it can't be had: nothing is
asked twice. What goes wrong with HTML is held against HTML alone (Parsoid fails where the rest of a wiki is
well), but for "too many requests", which means all of us.
"""

import asyncio
import re
from math import inf
from typing import Final, Literal, TypeAlias

from streamer.clock import Clock
from streamer.config import MediaWikiSettings
from streamer.errors import OriginUnavailable
from streamer.metrics import (
    ENRICH_HTML,
    ORIGIN_BATCH,
    ORIGIN_REQUEST_SECONDS,
    ORIGIN_REQUESTS,
    QUEUE_DEPTH,
)
from streamer.origin.breaker import Breakers
from streamer.origin.budget import Allowance
from streamer.origin.fetch import Fetch
from streamer.origin.inflate import TooLarge
from streamer.origin.permits import Purse
from streamer.origin.retry import LIMITED, Retries
from streamer.origin.scheduler import Lane

HtmlOutcome: TypeAlias = Literal[
    "fetched",
    "over_share",  # nothing was asked: its part of the budget is used up, or the whole
    "paused",  # nor here: the host failed shortly before, or said for how long to leave it alone
    "timeout",
    "refused",  # 403: hidden since
    "missing",  # 404: deleted since, or not replicated yet
    "limited",  # 429
    "too_large",  # 413, or more than MAX_HTML_BYTES
    "another",  # that of another revision, or no word about which
    "failed",  # 5xx, no HTML, no connection
    "cancelled",
]
OF_REASON: Final[dict[str, HtmlOutcome]] = {
    "timeout": "timeout",
    "status_403": "refused",
    "status_404": "missing",
    "status_413": "too_large",
    "status_429": "limited",
}
ANSWERS: Final = frozenset(("refused", "missing", "too_large", "another"))
"""The host is well: they are about this revision."""
PERMIT_WAIT_S: Final = 0.5
"""What a fleet takes to say that one may start; where it may not, it says nothing."""
WAITING_MOST: Final = 2
"""So many articles wait that long at once, the others go without."""
_ABOUT: Final = re.compile(r"<html\b[^>]{0,2000}?\sabout=\"[^\"<>]{0,1000}/revision/(\d{1,19})\"", re.ASCII)
_HEAD_CHARS: Final = 4_096


class Rendered:
    def __init__(
        self,
        budget: Allowance,
        breakers: Breakers,
        retries: Retries,
        fetch: Fetch,
        *,
        clock: Clock,
        purse: Purse | None = None,
    ) -> None:
        """`breakers` are those of all else that is asked. `purse`: of a fleet, which has to be asked whether
        one may start; it is the budget then.
        """
        self._budget: Final = budget
        self._purse: Final = purse
        self._waiting: Final[list[asyncio.Future[None]]] = []
        """For a permit."""
        self._breakers: Final = breakers
        self._own: Final = Breakers(1)
        self._retries: Final = retries
        self._fetch: Final = fetch
        self._clock: Final = clock
        self._rests_until_s = -inf
        """A slow Parsoid must not hold a slot for ever: of their time too, HTML has its share alone."""

    async def html(
        self, wiki: str, server_name: str, revision: int, settings: MediaWikiSettings
    ) -> str | None:
        """The whole document; None where there is none in time, which is counted by its reason."""
        lane = Lane(wiki, server_name, "revision")
        now_s = self._clock.monotonic_s()
        if any(hosts.open_at_s(lane, now_s) > now_s for hosts in (self._breakers, self._own)):
            ENRICH_HTML.labels("paused").inc()
            return None
        if not settings.html_share or not await self._may_start(now_s):
            ENRICH_HTML.labels("over_share").inc()
            return None
        now_s = self._clock.monotonic_s()
        self._own.started(server_name, now_s)
        outcome: HtmlOutcome = "cancelled"
        timeout_s = min(settings.html_timeout_s, settings.timeout_s)
        try:
            outcome, html = await self._exchange(lane, revision, timeout_s)
            return html
        finally:
            ended_s = self._clock.monotonic_s()
            self._budget.end(ended_s, html=True)
            slots = settings.html_share * settings.concurrency
            if slots:
                self._rests_until_s = max(self._rests_until_s, now_s) + (ended_s - now_s) / slots
            self._own.ended(server_name)
            ENRICH_HTML.labels(outcome).inc()
            ORIGIN_REQUEST_SECONDS.observe(ended_s - now_s)
            ORIGIN_BATCH.labels("html").observe(1)

    async def _may_start(self, now_s: float) -> bool:
        """It has started then, in the budget."""
        if self._rests_until_s > now_s:
            return False
        if self._budget.html_at_s(now_s) <= now_s:
            self._budget.start(now_s, html=True)
            return True
        self._budget.keep_for_html(now_s)
        if self._purse is None or len(self._waiting) >= WAITING_MOST:
            return False
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._say(self._purse)
        try:
            async with asyncio.timeout(PERMIT_WAIT_S):
                await asyncio.shield(waiter)
        except TimeoutError:
            return waiter.done()
        except asyncio.CancelledError:
            if waiter.done():
                self._budget.end(self._clock.monotonic_s(), html=True)
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                self._say(self._purse)
        return True

    def came(self) -> None:
        """Permits of a fleet: each starts what waits longest. Those that nobody waits for any more are the
        purse's to give back.
        """
        now_s = self._clock.monotonic_s()
        while self._waiting and self._budget.html_at_s(now_s) <= now_s:
            self._budget.start(now_s, html=True)
            self._waiting.pop(0).set_result(None)
        if self._purse:
            self._say(self._purse)

    def _say(self, purse: Purse) -> None:
        purse.html_wanted = len(self._waiting)
        QUEUE_DEPTH.labels("origin_html").set(len(self._waiting))
        purse.changed.set()

    async def _exchange(self, lane: Lane, revision: int, timeout_s: float) -> tuple[HtmlOutcome, str | None]:
        counted = "cancelled"
        html = None
        try:
            reply = await self._fetch.html(lane.server_name, revision, timeout_s)
            html = reply.body.decode()
            counted = "ok"
            outcome: HtmlOutcome = "fetched" if revision_of(html) == revision else "another"
        except UnicodeDecodeError:
            counted, outcome = "unparsable", "another"
        except TooLarge:
            counted = outcome = "too_large"
        except OriginUnavailable as error:
            counted, outcome = error.reason, OF_REASON.get(error.reason, "failed")
            self._failed(lane, outcome, error)
        finally:
            ORIGIN_REQUESTS.labels(counted).inc()
        if outcome in ANSWERS or outcome == "fetched":
            self._own.answered(lane.server_name)
        return outcome, html if outcome == "fetched" else None

    def _failed(self, lane: Lane, outcome: HtmlOutcome, error: OriginUnavailable) -> None:
        now_s = self._clock.monotonic_s()
        if error.reason in LIMITED:
            self._retries.failed(lane, (), error, now_s)
        elif outcome not in ANSWERS:
            self._own.failed(lane.server_name, now_s, error.retry_after_s)
        elif error.retry_after_s is not None:
            self._own.pause(lane.server_name, now_s + error.retry_after_s)


def revision_of(html: str) -> int:
    """Which revision Parsoid says that it rendered; 0: none."""
    about = _ABOUT.search(html, 0, _HEAD_CHARS)
    return int(about[1]) if about else 0
