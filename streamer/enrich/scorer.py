"""How likely a revert is: waited for where somebody leaves edits out by it and the stream tells it in time,
and asked for where the stream does not.

Scores are of articles' edits alone. Of a wiki whose scores come in time the article waits for its own, beside
its hint and no longer; when some have waited in vain, none waits until one comes in time again. Such a wiki,
and one that was never known to tell, is asked for (Lift Wing), if there is somebody to ask.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from streamer.enrich.hinting import MAX_WIKIS, MOST_MISSED, WAIT_S, has_hint
from streamer.enrich.memory import Hints, Recent
from streamer.model import Change, Hint
from streamer.origin.answer import Found

PASSED_MS: Final = 10_000
"""A score of so much later than a change: the change's own is not to come, as in a backlog."""
MAX_ANSWERED: Final = 20_000

Scores = Mapping[str, float]
"""Model name to the probability that the revision will be reverted."""


class Scorer(Protocol):
    def serves(self, wiki: str, server_name: str, /) -> bool: ...

    async def scores(self, wiki: str, server_name: str, revisions: Sequence[int], /) -> Mapping[int, Scores]:
        """By revision, of those that it has scores for. Within a time of its own; raises nothing."""
        ...


def is_scored(change: Change, found: Found) -> bool:
    """Whether models tell of it: an edit of an article. A page's first revision reverts nothing."""
    return has_hint(change) and found.page.namespace == 0 and found.revision.parent > 0


@dataclass(slots=True)
class Flow:
    """Of one wiki's scores."""

    missed: int = 0
    """In a row, since one came in time."""
    newest_ms: int = 0
    """Upstream's time of the one read last."""


class Scoring:
    """One for each lane, which reads the scores of its wikis."""

    def __init__(
        self, hints: Hints, scorer: Scorer | None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._hints = hints
        self._scorer = scorer
        self._now_s = now_s
        self._flows: Recent[str, Flow] = Recent(MAX_WIKIS)
        """Of wikis of which a score came in time at least once."""
        self._answered: OrderedDict[tuple[str, int], float] = OrderedDict()
        """When an edit was answered, of those that have no score yet and may have one in time."""
        self._awaited: dict[tuple[str, int], asyncio.Event] = {}
        self._closed = False

    def read(self, hint: Hint) -> None:
        if not hint.scores:
            return
        key = hint.wiki, hint.revision
        self._give_up()
        if self._answered.pop(key, None) is not None:
            self._timely(hint.wiki)
        flow = self._flows.get(hint.wiki)
        if flow:
            flow.newest_ms = hint.upstream_ms
        event = self._awaited.get(key)
        if event:
            event.set()

    def answered(self, change: Change, found: Found) -> None:
        """To be told once of each, before anything is waited or asked for."""
        if not is_scored(change, found):
            return
        self._give_up()
        if self._has(change):
            self._timely(change.wiki)
        else:
            self._answered[change.wiki, change.revision] = self._now_s()
            self._answered.move_to_end((change.wiki, change.revision))

    @property
    def may_ask(self) -> bool:
        return self._scorer is not None

    def wants(self, change: Change, found: Found) -> bool:
        """Whether to ask for this one: the stream does not tell in time what nobody has told yet."""
        return (
            self._scorer is not None
            and is_scored(change, found)
            and not self._has(change)
            and not self._flows_in_time(change.wiki)
            and self._scorer.serves(change.wiki, change.server_name)
        )

    async def ask(self, change: Change, found: Found) -> None:
        """What is answered joins the revision's hint."""
        assert self._scorer is not None, "asked though nothing wants it"
        wiki, revision = change.wiki, change.revision
        scores = (await self._scorer.scores(wiki, change.server_name, [revision])).get(revision)
        if scores:
            page_id = found.page.page_id
            self._hints.add(Hint(wiki, page_id, revision, change.upstream_ms, scores=dict(scores)))

    async def wait(self, change: Change, found: Found, until_s: float) -> None:
        """Until the score is there, or the loop's time is `until_s`; not at all if none can come."""
        if not self._may_come(change, found):
            return
        key = change.wiki, change.revision
        event = self._awaited.setdefault(key, asyncio.Event())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until_s):
                    await event.wait()
        finally:
            self._awaited.pop(key, None)

    def close(self) -> None:
        """Nothing is read any more, so nothing is waited for."""
        self._closed = True
        for event in self._awaited.values():
            event.set()

    def _give_up(self) -> None:
        """Those whose time is over have missed their score, waited for or not."""
        now_s = self._now_s()
        while self._answered:
            (wiki, revision), answered_s = next(iter(self._answered.items()))
            if now_s - answered_s <= WAIT_S and len(self._answered) <= MAX_ANSWERED:
                return
            del self._answered[wiki, revision]
            flow = self._flows.get(wiki)
            if flow:
                flow.missed += 1

    def _has(self, change: Change) -> bool:
        known = self._hints.of(change.wiki, change.revision)
        return known is not None and bool(known.scores)

    def _timely(self, wiki: str) -> None:
        flow = self._flows.get(wiki) or Flow()
        flow.missed = 0
        self._flows.put(wiki, flow)

    def _flows_in_time(self, wiki: str) -> bool:
        flow = self._flows.get(wiki)
        return flow is not None and flow.missed < MOST_MISSED

    def _may_come(self, change: Change, found: Found) -> bool:
        if self._closed or not is_scored(change, found) or self._has(change):
            return False
        flow = self._flows.get(change.wiki)
        if flow is None or not self._flows_in_time(change.wiki):
            return False
        return flow.newest_ms < change.upstream_ms + PASSED_MS
