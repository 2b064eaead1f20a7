"""What becomes of things whose request brought no answer for them.

    later      the wiki said so (maxlag, too many requests, read-only): its pause, then again
    failed     no answer, or an error inside the wiki: a growing pause, then again, from the second
               time on in smaller company, since one of them may be what fails
    untaken    an answer came and can't be taken (too large, unparsable): at once, by halves
    unreached  the answer was cut before them: at once, with whatever else waits

Nothing is tried for ever: `failed` and `later` end as OriginUnavailable after a few tries, or where a
wiki has been failing for a minute; `untaken` ends as AnswerInvalid for the one that is left alone.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from streamer.errors import AnswerInvalid, OriginUnavailable
from streamer.origin.breaker import Breakers, Reach
from streamer.origin.parse import ApiError
from streamer.origin.scheduler import WAYS, Lane, Scheduler
from streamer.origin.turns import PRIORITIES
from streamer.origin.waiting import Waiting, refuse_all

log = logging.getLogger(__name__)

TRIES: Final = 4
"""Requests that failed with a thing in them, until its asker hears of it."""
WAITED_MOST_S: Final = 60.0
"""How long a thing waits for a wiki that has failed for as long; a short budget alone refuses nobody."""
LATER_S: Final = 5.0
"""The pause after maxlag where no Retry-After says another, as MediaWiki's manual asks."""
LATER_LEAST_S: Final = 1.0
LATER: Final = frozenset({"maxlag", "ratelimited", "readonly"})
LAGS_READ: Final = frozenset({"", "db"})
"""Whose lag is ours to heed: that of the replicas. Wikidata also reports its query service's, for hours at
times, which asks bots to stop writing; reading revisions doesn't touch it."""
LIMITED: Final = frozenset({"ratelimited", "status_429"})


@dataclass(frozen=True, slots=True)
class Retries:
    scheduler: Scheduler[Waiting]
    breakers: Breakers
    reach: Reach
    refused: Callable[[str, float, float], object]
    """Told of "too many requests": server name, the pause in seconds, now."""

    def api_error(self, lane: Lane, items: Sequence[Waiting], error: ApiError, now_s: float) -> str:
        """The word for the metric."""
        if error.code == "toomanyvalues":
            self._too_many(lane, items, error.limit)
            return error.code
        if error.code == "maxlag" and error.lag_type not in LAGS_READ:
            self.breakers.ignore_lag(lane.server_name, now_s)
            self.put_back(lane, items)
            return error.code
        if error.code in LATER:
            reason = error.code
        else:
            # what is wrong inside the wiki, possibly with one revision only; an unknown word is no verdict
            # about a change either: it is tried again until its asker gives up
            reason = "internal_api_error" if error.code.startswith("internal_api_error") else "api_error"
            log.warning(
                "origin api error", extra={"server_name": lane.server_name, "api_code": error.code[:60]}
            )
        self.failed(lane, items, OriginUnavailable(reason, retry_after_s=error.retry_after_s), now_s)
        return reason

    def failed(self, lane: Lane, items: Sequence[Waiting], error: OriginUnavailable, now_s: float) -> None:
        if error.reason in LATER | LIMITED:
            wait_s = LATER_S if error.retry_after_s is None else max(error.retry_after_s, LATER_LEAST_S)
            error = OriginUnavailable(error.reason, retry_after_s=wait_s)
            if error.reason in LIMITED:
                self.refused(lane.server_name, wait_s, now_s)
            else:
                self.breakers.pause(lane.server_name, now_s + wait_s)
        elif self.breakers.failed(lane.server_name, now_s, error.retry_after_s):
            log.warning("origin host fails", extra={"server_name": lane.server_name, "reason": error.reason})
        self.reach.failed(lane.wiki, now_s)
        self.again(lane, items, error)
        since_s = self.reach.failing_since_s(lane.wiki)
        if since_s is not None and now_s - since_s >= WAITED_MOST_S:
            for by, priority in product(WAYS, PRIORITIES):
                self._expire(Lane(lane.wiki, lane.server_name, by, priority), now_s, error)

    def again(self, lane: Lane, items: Sequence[Waiting], error: OriginUnavailable) -> None:
        """Back into the queue, unless it has failed too often."""
        back: list[Waiting] = []
        for item in items:
            item.failures += 1
            item.has_failed |= error.reason not in LATER | LIMITED
            if item.failures >= TRIES:
                item.refuse(error)
                continue
            if item.failures > 1 and error.reason not in LATER | LIMITED:
                item.most = max(1, len(items) // 2)
            back.append(item)
        self.put_back(lane, back)

    def untaken(self, lane: Lane, items: Sequence[Waiting], error: AnswerInvalid) -> None:
        """By halves, so that the guilty one ends up alone and is told `error`; the others are answered."""
        self.breakers.answered(lane.server_name)
        if len(items) == 1:
            refuse_all(items, error)
            return
        for item in items:
            item.most = max(1, len(items) // 2)
        self.put_back(lane, items)

    def without_lists(self, lane: Lane, item: Waiting) -> None:
        """An answer that can't be taken even for this one alone: its last try tells whether by its lists."""
        self.breakers.answered(lane.server_name)
        item.failures, item.has_failed = TRIES - 1, True
        self.put_back(lane, [item])

    def put_back(self, lane: Lane, items: Sequence[Waiting]) -> None:
        self.scheduler.put_back(lane, [item for item in items if not item.is_abandoned])

    def _too_many(self, lane: Lane, items: Sequence[Waiting], limit: int | None) -> None:
        smaller = min(limit or len(items) // 2, len(items) - 1)
        if smaller < 1:
            refuse_all(items, AnswerInvalid("refused", "toomanyvalues"))
            return
        self.breakers.accepts(lane.server_name, smaller)
        self.put_back(lane, items)

    def _expire(self, lane: Lane, now_s: float, error: OriginUnavailable) -> None:
        for item in self.scheduler.items(lane):
            if now_s - item.since_s >= WAITED_MOST_S:
                self.scheduler.drop(lane, item)
                item.refuse(error)
