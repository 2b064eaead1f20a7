"""How likely a revert is, asked for where the stream does not say it: of wikis whose stream of scores is
silent, or that have none.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from streamer.enrich.hinting import MAX_WIKIS, has_hint
from streamer.enrich.memory import Hints, Recent
from streamer.model import Change, Hint
from streamer.origin.answer import Found

UNSCORED: Final = 20
"""Edits of a wiki in a row without a score of the stream's: then it gives none. A score comes some seconds
after its edit, so on a busy wiki some are always under way."""

Scores = Mapping[str, float]
"""Model name to the probability that the revision will be reverted."""


class Scorer(Protocol):
    def serves(self, wiki: str, server_name: str, /) -> bool: ...

    async def scores(self, wiki: str, server_name: str, revisions: Sequence[int], /) -> Mapping[int, Scores]:
        """By revision, of those that it has scores for. Within a time of its own; raises nothing."""
        ...


class Scoring:
    """One for each lane, which reads the scores of its wikis."""

    def __init__(self, hints: Hints, scorer: Scorer | None) -> None:
        self._hints = hints
        self._scorer = scorer
        self._unscored: Recent[str, int] = Recent(MAX_WIKIS)
        """By wiki: edits since a score was read."""

    def read(self, hint: Hint) -> None:
        if hint.scores:
            self._unscored.put(hint.wiki, 0)

    def wants(self, change: Change, found: Found) -> bool:
        """Whether to ask for this one; to be asked once for each. A page's first revision reverts nothing and
        is scored by no model.
        """
        if self._scorer is None or not has_hint(change) or not found.revision.parent:
            return False
        count = (self._unscored.get(change.wiki) or 0) + 1
        self._unscored.put(change.wiki, count)
        known = self._hints.of(change.wiki, change.revision)
        is_scored = known is not None and known.scores
        return count > UNSCORED and not is_scored and self._scorer.serves(change.wiki, change.server_name)

    async def ask(self, change: Change, found: Found) -> None:
        """What is answered joins the revision's hint."""
        assert self._scorer is not None, "asked though nothing wants it"
        wiki, revision = change.wiki, change.revision
        scores = (await self._scorer.scores(wiki, change.server_name, [revision])).get(revision)
        if scores:
            page_id = found.page.page_id
            self._hints.add(Hint(wiki, page_id, revision, change.upstream_ms, scores=dict(scores)))
