"""Which wikis of a partition are to be compared with their own lists now: asked for, or due by themselves."""

from functools import lru_cache
from typing import Final

from streamer.admission import Rules
from streamer.enrich.sweep import Target
from streamer.errors import AnswerInvalid, OriginError, OriginUnavailable
from streamer.log.base import partition_of
from streamer.reconciled import DAY_MS, LISTED_DAYS, Ask, Reconciled, Standing
from streamer.runtime import HOUR_MS, Runtime

RETRY_S: Final = 300.0
RETRY_MOST_S: Final = 6 * 3_600.0
"""Of a scheduled comparison that met no answer, or one that is none: at first, and at most."""
ASKED_TRIES: Final = 4
ASKED_RETRY_S: Final = 10.0
"""Somebody waits: that a wiki is silent is told after so many times of it."""
LOOK_AGAIN_S: Final = 60.0
"""Where the stream has not been read so far that a comparison were due."""


class Agenda:
    """`known` is what all lanes of the process follow; `note` what this lane has committed and it may not
    hold yet.
    """

    def __init__(self, known: Reconciled, runtime: Runtime, partition: int, partitions: int) -> None:
        self._known = known
        self._runtime = runtime
        self._partition = partition
        self._partitions = partitions
        self._mine: dict[str, Standing] = {}
        self._not_before_s: dict[tuple[str, int], float] = {}
        """By wiki and ask (0: by itself), as the failures are: who asks has tries of his own."""
        self._failures: dict[tuple[str, int], int] = {}
        self._rules = runtime.derived(Rules.of)
        self._wikis: tuple[tuple[Rules, int], list[str]] | None = None

    @property
    def rules(self) -> Rules:
        return self._rules()

    def note(self, standings: dict[str, Standing]) -> None:
        self._mine |= standings

    def standing(self, wiki: str) -> Standing | None:
        return self._mine.get(wiki) or self._known.standings.get(wiki)

    def wikis(self) -> list[str]:
        """Of this partition, admitted, and answered at least once; none where a recording is played."""
        if self._runtime.settings.source.url.startswith("file:"):
            return []
        state = self.rules, len(self._known.servers)
        if self._wikis is None or self._wikis[0] != state:
            admits = state[0].admits_wiki
            wikis = [
                wiki
                for wiki in self._known.servers
                if _partition(wiki, self._partitions) == self._partition and admits(wiki)
            ]
            self._wikis = state, wikis
        return self._wikis[1]

    def unmet(self) -> list[str]:
        return [wiki for wiki in self.wikis() if self.standing(wiki) is None]

    def is_awaited(self) -> bool:
        """Whether an operator waits for any."""
        return any(self._open_ask(wiki) for wiki in self.wikis())

    def until_ms(self) -> int | None:
        """Up to when all have been compared by the schedule; None: there is no wiki, or no schedule."""
        if not self._every_ms():
            return None
        standings = [standing for wiki in self.wikis() if (standing := self.standing(wiki))]
        return min((standing.until_ms for standing in standings), default=None)

    def is_anything(self) -> bool:
        """Whether `due` may find something: to look how far the stream is costs a question to the log."""
        return bool(self._asks()) or any(map(self._is_due, self.wikis()))

    def due(self, horizon_ms: int) -> list[Target]:
        """What was asked for, before what is due by itself. What happened up to `horizon_ms` was told, if it
        was told at all.
        """
        asked = [self._asked(wiki, ask, horizon_ms) for wiki, ask in self._asks()]
        if asked:
            return asked
        scheduled = [self._scheduled(wiki, horizon_ms) for wiki in self.wikis() if self._is_due(wiki)]
        return [target for target in scheduled if target]

    def _asks(self) -> list[tuple[str, Ask]]:
        """Those that are open, of wikis that were met, and not left alone for a while."""
        return [
            (wiki, ask)
            for wiki in self.wikis()
            if (ask := self._open_ask(wiki)) and self.standing(wiki) and self._is_ready(wiki, ask.number)
        ]

    def _is_ready(self, wiki: str, ask: int) -> bool:
        return self._not_before_s.get((wiki, ask), 0.0) <= self._runtime.clock.monotonic_s()

    def _open_ask(self, wiki: str) -> Ask | None:
        ask, standing = self._known.asks.get(wiki), self.standing(wiki)
        return ask if ask and (standing is None or not standing.has_done(ask)) else None

    def _asked(self, wiki: str, ask: Ask, horizon_ms: int) -> Target:
        standing = self.standing(wiki)
        assert standing
        since_ms = max(ask.since_ms, standing.began_ms, self._listed_from_ms())
        if standing.ask == ask.number:
            since_ms = max(since_ms, standing.at_ms)  # it goes on where it was
        return Target(wiki, self._known.servers[wiki], since_ms, horizon_ms, ask.number)

    def _is_due(self, wiki: str) -> bool:
        """Where the stream has been read up to now."""
        standing = self.standing(wiki)
        if not standing or not self._every_ms() or not self._is_ready(wiki, 0):
            return False
        return self._runtime.clock.now_ms() - standing.until_ms >= self._every_ms()

    def _every_ms(self) -> int:
        return int(self._runtime.settings.reconciled_every_hours * HOUR_MS)

    def _scheduled(self, wiki: str, horizon_ms: int) -> Target | None:
        standing = self.standing(wiki)
        assert standing
        if horizon_ms - standing.until_ms < self._every_ms():
            self._pause(wiki, 0, min(LOOK_AGAIN_S, self._every_ms() / 1000))
            return None
        back_ms = int(self._runtime.settings.reconcile.look_back_hours * HOUR_MS)
        since_ms = max(standing.began_ms, standing.until_ms - back_ms, self._listed_from_ms())
        return Target(wiki, self._known.servers[wiki], since_ms, horizon_ms)

    def _listed_from_ms(self) -> int:
        return self._runtime.clock.now_ms() - LISTED_DAYS * DAY_MS

    def _pause(self, wiki: str, ask: int, pause_s: float) -> None:
        self._not_before_s[wiki, ask] = self._runtime.clock.monotonic_s() + pause_s

    def ended(self, target: Target) -> Standing | None:
        """After a sweep; what is to be told of an ask that has come to its end."""
        wiki, ask, problem = target.wiki, target.ask, target.problem
        failures = self._failures.pop((wiki, ask), 0) + 1
        if problem and not ask:
            self._failures[wiki, ask] = failures
            self._pause(wiki, ask, min(RETRY_S * 2 ** (failures - 1), RETRY_MOST_S))
        elif isinstance(problem, OriginUnavailable) and failures < ASKED_TRIES:
            self._failures[wiki, ask] = failures
            self._pause(wiki, ask, ASKED_RETRY_S)
            return None
        before = self.standing(wiki)
        if not ask or before is None:
            return None
        self._not_before_s.pop((wiki, ask), None)
        return before.finished(ask, reason_of(problem) if problem else "")


def reason_of(problem: OriginError) -> str:
    if isinstance(problem, OriginUnavailable | AnswerInvalid):
        return problem.reason
    return problem.code


@lru_cache(maxsize=4_096)
def _partition(wiki: str, partitions: int) -> int:
    return partition_of(wiki, partitions)
