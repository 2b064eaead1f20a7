"""Answers that are there but for the rest of their page lists, and what is asked for it.

    answer ── whole ───────────────────────────────────► whoever waits
       └───── lists cut ──► Continuing ── request ──┬──► whole
                                ▲                   ├──► cut still, up to CONTINUED_MOST requests
                                └───────────────────┘    then, or refused, or late: without what is cut

A list is whole or absent, and a page is told once its lists are whole. What a further answer says is believed
of a page that is as it was in the first one: the beginning and the end of a list would else be of two states.
The page's next edit tells it anyway.
"""

from collections.abc import Mapping, Sequence
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
from streamer.origin.pagelists import Lists, PageLists, left_of, size_of_titles
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
from streamer.origin.scheduler import By, Lane
from streamer.origin.turns import BEHIND, LIVE, REPLAY
from streamer.origin.waiting import Waiting
from streamer.partners import PageList

CONTINUED_MOST: Final = 20
"""Requests for the rest of a batch's lists: ten thousand entries of each. A page that has more must not hold
the others for ever, nor use up the budget.
"""
LISTS_WAIT_S: Final = 4.0
"""An article is held up for the next answer about its lists for no longer: where the budget does not suffice
for them, they are what is left out, and not the freshness of everybody's articles.
"""
REPLAY_WAIT_S: Final = 60.0
"""What is tried again is in less of a hurry, and what is restated behind all else in none."""
LISTS_PART: Final = 0.25
"""Of what an article counts that has no answer yet, what one does that lacks the rest of its lists. (Both
were chosen by what `make bench-origin` replays, with templates: more would make everybody's articles later.)
"""
WAIT_S: Final[Mapping[int, float]] = {LIVE: LISTS_WAIT_S, REPLAY: REPLAY_WAIT_S, BEHIND: inf}
CLOSED: Final = "closed"
"""Nobody asks any more: what is told then would be published without lists for no fault of the wiki's."""


BY_PAGE: Final[frozenset[PageList]] = frozenset({"categories", "templates"})
"""Lists that come in the order of page ids, whatever the pages were asked by."""


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


def _weight(answered: Sequence[Answered]) -> int:
    return max(1, round(LISTS_PART * len(answered)))


@dataclass(slots=True, eq=False)
class Continuing(Waiting):
    """Waits in a lane of its own for its next request, and is asked for alone. Refused, it tells what it
    has; and each page as soon as its lists are whole.
    """

    lane: Lane = field(kw_only=True)
    """Of the rest."""
    by: By = field(kw_only=True)
    """How they were asked for."""
    keys: tuple[Key, ...] = ()
    """All that was asked for, be it answered or not: the wiki goes on in what it was asked."""
    pages: frozenset[int] = frozenset()
    """All that it told of."""
    answered: list[Answered] = field(default_factory=list)
    more: dict[PageList, str] = field(default_factory=dict)
    """What is left, with the wiki's word for it."""
    late_at_s: float = inf
    requests: int = 0
    held_bytes: int = 0
    """What is here already, about."""
    _dropped: set[PageList] = field(default_factory=set)
    _changed: set[tuple[int, PageList]] = field(default_factory=set)
    _later: dict[tuple[int, PageList], list[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, lane: Lane, keys: Sequence[Key], answered: Sequence[Answered], reading: Reading, now_s: float
    ) -> Self:
        """`lane` of the first request."""
        return cls(
            key=object(),
            since_s=now_s,
            late_at_s=now_s + WAIT_S[lane.priority],
            most=1,
            weight=_weight(answered),
            held_bytes=sum(found.held_bytes for _, found in answered),
            lane=lane._replace(by="lists"),
            by=lane.by,
            keys=tuple(keys),
            pages=reading.pages,
            answered=list(answered),
            journeys=tuple(journey for item, _ in answered for journey in item.journeys),
            more=dict(reading.more),
        )

    @property
    def is_abandoned(self) -> bool:
        return all(item.is_abandoned for item, _ in self.answered)

    def is_over(self, now_s: float) -> bool:
        """Or nobody waits for it."""
        return (
            self.is_abandoned or not self.more or self.requests >= CONTINUED_MOST or now_s >= self.late_at_s
        )

    def take(self, reply: Reply, wanted: AbstractSet[PageList], now_s: float) -> None:
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
        self.late_at_s = now_s + WAIT_S[self.lane.priority]
        for page_id, newest in {
            found.page.page_id: found.page.last_revision for _, found in self.answered
        }.items():
            page = told.get(page_id)
            for name in self.more:
                if not self._is_cut(page_id, name):
                    continue
                if page is None or page.lastrevid != newest:
                    self._changed.add((page_id, name))
                else:
                    titles = page.titles(name)
                    self.held_bytes += size_of_titles(titles)
                    self._later.setdefault((page_id, name), []).extend(titles)
        left = left_of(self.more, envelope.continue_ or {})
        self._dropped |= left.keys() - wanted
        self.more = {name: token for name, token in left.items() if name in wanted}

    def tell_whole(self) -> None:
        """Those that lack nothing any more."""
        waiting = [each for each in self.answered if self._lacks(each[1])]
        whole = [each for each in self.answered if not self._lacks(each[1])]
        self.answered = whole
        self._tell("")
        self.answered = waiting
        self.weight = _weight(waiting)
        self.held_bytes -= sum(found.held_bytes for _, found in whole)

    def _lacks(self, found: Found) -> bool:
        return any(self._is_cut(found.page.page_id, name) for name in self.more)

    def _is_cut(self, page_id: int, name: PageList) -> bool:
        """A list that comes page by page names the page that it goes on with."""
        token = self.more.get(name)
        if token is None:
            return False
        following = token.partition("|")[0]
        is_before = name in BY_PAGE and following.isdecimal() and page_id < int(following)
        return not is_before

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
        if self.is_abandoned:
            return
        for item, found in self.answered:
            whole: Lists = {}
            for name, begun in found.page.lists.items():
                place = (found.page.page_id, name)
                if self._is_cut(found.page.page_id, name):
                    ORIGIN_LISTS.labels(why_cut).inc()
                elif place in self._changed:
                    ORIGIN_LISTS.labels("changed").inc()
                elif name not in self._dropped:
                    ORIGIN_LISTS.labels("whole").inc()
                    whole[name] = (*begun, *self._later.get(place, ()))
            item.answer(replace(found, page=replace(found.page, lists=whole)))
