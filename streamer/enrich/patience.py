"""How long one change is tried, and whether any wiki answers at all."""

import logging
import random
from dataclasses import dataclass
from typing import Final

from streamer.config import MediaWikiSettings
from streamer.enrich.outcome import Wikis
from streamer.errors import OriginUnavailable
from streamer.health import Health
from streamer.model import DEFERRED

BACKOFF_S: Final = 0.5
BACKOFF_MOST_S: Final = 15.0
COMPONENT: Final = "enrich"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Answers:
    """Whether any wiki answers at all: said to health when it changes."""

    origin: Wikis
    health: Health
    _silent: bool = False

    def forget(self) -> None:
        """Nobody asks here any more."""
        self._silent = False

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
        return DEFERRED if now_s - failing_since_s >= self.settings.defer_after_s else ""

    def pause_s(self, retry_after_s: float | None) -> float:
        grown: float = min(BACKOFF_MOST_S, BACKOFF_S * 2 ** min(self.attempts, 10))
        return max(retry_after_s or 0.0, grown * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries
