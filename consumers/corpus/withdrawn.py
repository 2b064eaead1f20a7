"""Which of the rows that sinks hold must go, by what was withdrawn. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from consumers.corpus.state import Withdrawal

Held = Mapping[tuple[str, int], tuple[int, int]]
"""By wiki and page: revision and sequence of what the corpus lets be read now."""
_ANY: Final = 1 << 62


class Withdrawn:
    """Of what `State.withdrawals` says. A callable, as the sinks take it."""

    def __init__(self, withdrawals: Iterable[Withdrawal], held: Held | None = None) -> None:
        self._held = held or {}
        self._pages: dict[tuple[str, int], dict[int, int]] = {}
        """By page, for a revision (0: any) the sequence before which it is withdrawn."""
        for each in withdrawals:
            revisions = self._pages.setdefault((each.wiki, each.page), {})
            before = each.sequence or _ANY
            revisions[each.revision] = max(before, revisions.get(each.revision, 0))

    @property
    def pages(self) -> set[tuple[str, int]]:
        return set(self._pages)

    def __call__(self, wiki: str, page: int, revision: int, sequence: int) -> bool:
        """Whether a stored row must go. What the corpus shows now may stay: it was restored since, or shown
        again.

        `sequence`: as stored, 0 where a listing brought it, which counts as older than any event. A
        withdrawal without one (a listing found the page gone) means all that is not shown now.
        """
        revisions = self._pages.get((wiki, page))
        if not revisions or self._held.get((wiki, page)) == (revision, sequence):
            return False
        return sequence < max(revisions.get(0, -1), revisions.get(revision, -1))
