"""A revision's HTML as Parsoid makes it: one request, of its own part of the budget, now or not at all.

An article doesn't wait for a token for it, and is published without it where it can't be had: nothing is
asked twice. What goes wrong with HTML is held against HTML alone (Parsoid fails where the rest of a wiki is
well), but for "too many requests", which means all of us.
"""

import re
from math import inf
from typing import Final, Literal, TypeAlias

from streamer.clock import Clock
from streamer.errors import OriginUnavailable
from streamer.metrics import ENRICH_HTML, ORIGIN_BATCH, ORIGIN_REQUEST_SECONDS, ORIGIN_REQUESTS
from streamer.origin.breaker import Breakers
from streamer.origin.budget import Budget, Lane
from streamer.origin.fetch import Fetch
from streamer.origin.inflate import TooLarge
from streamer.origin.retry import LIMITED, Retries

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
_ABOUT: Final = re.compile(r"<html\b[^>]{0,2000}?\sabout=\"[^\"<>]{0,1000}/revision/(\d{1,19})\"", re.ASCII)
_HEAD_CHARS: Final = 4_096


class Rendered:
    def __init__(
        self, budget: Budget, breakers: Breakers, retries: Retries, fetch: Fetch, clock: Clock
    ) -> None:
        """`breakers` are those of all else that is asked."""
        self._budget: Final = budget
        self._breakers: Final = breakers
        self._own: Final = Breakers(1)
        self._retries: Final = retries
        self._fetch: Final = fetch
        self._clock: Final = clock
        self._rests_until_s = -inf
        """A slow Parsoid must not hold a slot for ever: of their time too, HTML has its share alone."""

    async def html(self, wiki: str, server_name: str, revision: int, timeout_s: float) -> str | None:
        """The whole document; None where there is none in time, which is counted by its reason."""
        lane = Lane(wiki, server_name, "revision")
        now_s = self._clock.monotonic_s()
        if any(hosts.open_at_s(lane, now_s) > now_s for hosts in (self._breakers, self._own)):
            ENRICH_HTML.labels("paused").inc()
            return None
        if max(self._budget.html_at_s(now_s), self._rests_until_s) > now_s:
            ENRICH_HTML.labels("over_share").inc()
            return None
        self._budget.start(now_s, html=True)
        self._own.started(server_name)
        outcome: HtmlOutcome = "cancelled"
        try:
            outcome, html = await self._exchange(lane, revision, timeout_s)
            return html
        finally:
            ended_s = self._clock.monotonic_s()
            self._budget.end(ended_s, html=True)
            slots = self._budget.html_part * self._budget.concurrency
            if slots:
                self._rests_until_s = max(self._rests_until_s, now_s) + (ended_s - now_s) / slots
            self._own.ended(server_name)
            ENRICH_HTML.labels(outcome).inc()
            ORIGIN_REQUEST_SECONDS.observe(ended_s - now_s)
            ORIGIN_BATCH.labels("html").observe(1)

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
