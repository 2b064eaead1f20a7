"""Answers that are there but for the rest of their page lists, and what is asked for it.

    answer ── whole ───────────────────────────────────► whoever waits
       └───── lists cut ──► Continuing ── request ──┬──► whole
                                ▲                   ├──► cut still, up to CONTINUED_MOST requests
                                └───────────────────┘    then, or refused, or late: without what is cut

A list is whole or absent. What a further answer says is believed of a page that is as it was in the first
one: the beginning and the end of a list would else be of two states. The page's next edit tells it anyway.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import inf
from typing import Final, Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from streamer.errors import OriginError, OriginUnavailable
from streamer.metrics import ORIGIN_LISTS
from streamer.origin.answer import Found
from streamer.origin.budget import Lane
from streamer.origin.pagelists import Lists, PageLists, left_of
from streamer.origin.parse import (
    AnotherPage,
    ApiError,
    ApiErrorTold,
    Key,
    Reading,
    Reply,
    Unparsable,
    decoded,
)
from streamer.origin.turns import BEHIND
from streamer.origin.waiting import Waiting
from streamer.partners import PageList

CONTINUED_MOST: Final = 20
"""Requests for the rest of a batch's lists: ten thousand entries of each. A page that has more must not hold
the others for ever, nor use up the budget.
"""
LATE_S: Final = 60.0
"""An article that has waited for so long is not held up for lists: where the budget does not suffice for
them, they are what is left out, and not the freshness of everybody's articles.
"""
CLOSED: Final = "closed"
"""Nobody asks any more: what is told then would be published without lists for no fault of the wiki's."""


class _Page(PageLists):
    pageid: int = 0
    lastrevid: int = 0


class _Query(Struct):
    pages: tuple[_Page, ...] = ()


class _Envelope(Struct):
    error: ApiErrorTold | None = None
    query: _Query | None = None
    continue_: dict[str, str | int | float] | None = msgspec.field(name="continue", default=None)


_decoder = msgspec.json.Decoder(_Envelope)
Answered = tuple[Waiting, Found]


@dataclass(slots=True, eq=False)
class Continuing(Waiting):
    """Waits in their lane for its next request, and is asked for alone. Refused, it tells what there is."""

    keys: tuple[Key, ...] = ()
    """All that was asked for, be it answered or not: the wiki goes on in what it was asked."""
    pages: frozenset[int] = frozenset()
    """All that it told of."""
    answered: list[Answered] = field(default_factory=list)
    more: dict[PageList, str] = field(default_factory=dict)
    """What is left, with the wiki's word for it."""
    late_at_s: float = inf
    requests: int = 0
    _dropped: set[PageList] = field(default_factory=set)
    _changed: set[tuple[int, PageList]] = field(default_factory=set)
    _later: dict[tuple[int, PageList], list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, lane: Lane, keys: Sequence[Key], answered: Sequence[Answered], reading: Reading) -> Self:
        since_s = min(item.since_s for item, _ in answered)
        return cls(
            key=object(),
            since_s=since_s,
            late_at_s=inf if lane.priority == BEHIND else since_s + LATE_S,
            most=1,
            weight=len(answered),
            keys=tuple(keys),
            pages=reading.pages,
            answered=list(answered),
            more=dict(reading.more),
        )

    @property
    def is_abandoned(self) -> bool:
        return all(item.is_abandoned for item, _ in self.answered)

    def is_over(self, now_s: float) -> bool:
        return not self.more or self.requests >= CONTINUED_MOST or now_s >= self.late_at_s

    def take(self, reply: Reply, wanted: AbstractSet[PageList]) -> None:
        """`wanted` by now: of the rest of other lists nothing more is asked. Raises Unparsable, AnotherPage,
        ApiError.
        """
        try:
            envelope = decoded(reply, _decoder)
        except ApiError as error:
            if error.code == "badcontinue":  # a title among the keys is another page's by now
                raise Unparsable(error.code) from None
            raise
        query = envelope.query or _Query()
        told = {page.pageid: page for page in query.pages if page.pageid}
        if told.keys() - self.pages:
            raise AnotherPage
        self.requests += 1
        for page_id, newest in {
            found.page.page_id: found.page.last_revision for _, found in self.answered
        }.items():
            page = told.get(page_id)
            for name in self.more:
                if page is None or page.lastrevid != newest:
                    self._changed.add((page_id, name))
                else:
                    self._later.setdefault((page_id, name), []).extend(page.titles(name))
        left = left_of(self.more, envelope.continue_ or {})
        self._dropped |= left.keys() - wanted
        self.more = {name: token for name, token in left.items() if name in wanted}

    def tell(self) -> None:
        """Each of them its answer."""
        self._tell("too_many" if self.requests >= CONTINUED_MOST else "late")

    def refuse(self, error: OriginError) -> None:
        if isinstance(error, OriginUnavailable) and error.reason == CLOSED:
            for item, _ in self.answered:
                item.refuse(error)
            return
        self._tell("failed")

    def _tell(self, why_cut: str) -> None:
        for item, found in self.answered:
            whole: Lists = {}
            for name, begun in found.page.lists.items():
                place = (found.page.page_id, name)
                if name in self.more:
                    ORIGIN_LISTS.labels(why_cut).inc()
                elif place in self._changed:
                    ORIGIN_LISTS.labels("changed").inc()
                elif name not in self._dropped:
                    ORIGIN_LISTS.labels("whole").inc()
                    whole[name] = (*begun, *self._later.get(place, ()))
            item.answer(replace(found, page=replace(found.page, lists=whole)))
