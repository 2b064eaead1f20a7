"""The budget of requests: when the next one may start. Pure, with the time passed in."""

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Final, Protocol

from streamer.origin.easing import Easing

WINDOW_S: Final = 60.0
BURST_PART: Final = 20
"""A twentieth of the minute's requests may start at once. The rest is paced: a budget spent in one
burst would leave nothing for the rest of the minute, and every edit in it would wait for that long."""
BURST_MOST: Final = 10
"""Nor more than this, which is that twentieth of what Wikimedia grants: a start pays for a burst (`owe`)."""
HTML_PART: Final = 0.25
"""Of the budget, what requests for HTML may take: one a revision, where fifty revisions share another."""
KEPT_S: Final = 1.0
"""So long a request is kept for HTML after one was refused: of many articles the next comes sooner."""
SPARED_PART: Final = 0.75
"""Of a minute's requests, what these may use up: an edit then finds a burst and, while it lasts, the pace."""


class Budget:
    """Never more than `requests_per_minute` in any 60 s, measured at the wiki, nor `concurrency` at once.

    A request reaches the wiki at some instant between its start and its end, so it counts from its
    start until 60 s after its end: whatever window of 60 s the other side measures, those that can
    lie in it were counted together. `concurrency` bounds what is counted without an end in sight.

    A request for HTML is one of them, and has a part of each number besides (`html_part`; 0: there is none):
    an article doesn't wait for its HTML, so what may not start right now is not asked for at all. Where all
    else leaves nothing of that part, one request and one slot are kept free for the next that wants it.

        if budget.html_at_s(now_s) <= now_s:
            budget.start(now_s, html=True)
            ...
            budget.end(later_s, html=True)
    """

    def __init__(self, requests_per_minute: int, concurrency: int, html_part: float = HTML_PART) -> None:
        self.in_flight = 0
        self.html_part = html_part
        self._html = Part()
        self._easing = Easing()
        self._ended_s: deque[float] = deque()
        self._due_s = -inf
        self._from_s = -inf
        self._owed_s = -inf
        self._set(requests_per_minute, concurrency)

    def change(self, requests_per_minute: int, concurrency: int, now_s: float) -> None:
        """In force at once. What was spent counts under the new budget too: after a cut nothing starts until
        the last minute holds less than the new one allows, and what is in flight comes to its end.
        """
        if requests_per_minute < self.limit and now_s < self._owed_s + WINDOW_S:
            self._from_s = max(self._from_s, self._owed_s + WINDOW_S)
        self._set(requests_per_minute, concurrency)
        if now_s < self._from_s:
            self._due_s = self._from_s + self._ahead_s
        else:  # the old pace may have put the next start far off
            self._due_s = min(self._due_s, now_s + self._ahead_s + self._gap_s(now_s))
        self._html.due_s = min(self._html.due_s, now_s + self._html_gap_s(now_s))

    def owe(self, now_s: float, *, cut: bool = False) -> None:
        """Whoever had this budget until now may have spent it, and nobody knows: a process that was killed,
        here or on another machine. In any time it asked no more than its pace allows, a burst, and what
        was in flight when that time began. So the pace goes on here with the last two paid off first: of
        both together, and of any number of such lives, no 60 s hold more than the budget. `cut`: what it had
        was larger than this one. Then its minute has to be over.
        """
        debt = self._burst + min(self.concurrency, self.limit)
        self._owed_s = now_s
        self._from_s = now_s + (WINDOW_S if cut else (debt + 1) * WINDOW_S / self.limit)
        self._due_s = self._from_s + self._ahead_s

    def take_over(self, *, html: bool = False) -> None:
        """One of those is still in flight, and somebody will say when it has ended."""
        self.in_flight += 1
        self._html.in_flight += html

    def refused(self, now_s: float) -> bool:
        """The wikis say "too many requests", and mean us: half of it is asked for, without a burst, and more
        again with time (streamer.origin.easing). Whether it was halved by this.
        """
        if not self._easing.refused(now_s):
            return False
        self._due_s = max(self._due_s, now_s + self._ahead_s + self._gap_s(now_s))
        return True

    def eased(self, now_s: float) -> int:
        """Of `limit`, what is asked for at most."""
        return max(1, int(self.limit * self._easing.part(now_s)))

    def _set(self, requests_per_minute: int, concurrency: int) -> None:
        self.limit = requests_per_minute
        self.concurrency = concurrency
        gap_s = WINDOW_S / requests_per_minute
        paced = min(requests_per_minute // BURST_PART, BURST_MOST)
        self._burst = max(min(concurrency, requests_per_minute), paced)
        self._ahead_s = (self._burst - 1) * gap_s

    def _gap_s(self, now_s: float) -> float:
        return WINDOW_S / (self.limit * self._easing.part(now_s))

    def _html_gap_s(self, now_s: float) -> float:
        return self._gap_s(now_s) / self.html_part if self.html_part else 0.0

    def in_use(self, now_s: float) -> int:
        while self._ended_s and self._ended_s[0] + WINDOW_S <= now_s:
            self._ended_s.popleft()
        return self.in_flight + len(self._ended_s)

    def free_at_s(self, now_s: float) -> float:
        """When the next request may start, as things stand; `inf`: once one of those in flight ends."""
        if self.in_flight >= self.concurrency:
            return inf
        at_s = max(now_s, self._from_s, self._due_s - self._ahead_s)
        return self._below(self.eased(now_s), at_s, now_s)

    def live_at_s(self, now_s: float) -> float:
        """The same for any but HTML, for which one may be kept."""
        kept_s = self._html.kept_until_s
        if now_s >= kept_s or self._html_alone_at_s(now_s) > now_s:
            return self.free_at_s(now_s)
        if self.in_flight + 1 >= self.concurrency:
            return kept_s if self.in_flight < self.concurrency else inf
        at_s = max(now_s, self._from_s, self._due_s - self._ahead_s + self._gap_s(now_s))
        return min(self._below(self.eased(now_s) - 1, at_s, now_s), max(kept_s, self.free_at_s(now_s)))

    def keep_for_html(self, now_s: float) -> None:
        """One was refused. Where its part would have allowed it, the next may have better luck."""
        if self.concurrency > 1 and self.limit > 1 and self._html_alone_at_s(now_s) <= now_s:
            self._html.kept_until_s = now_s + KEPT_S

    def spare_at_s(self, now_s: float) -> float:
        """The same for a request that nobody waits for: it leaves a whole burst, a slot where there are
        several, and a part of the minute to what may come at any instant.
        """
        if self.in_flight and self.in_flight + 1 >= self.concurrency:
            return inf
        at_s = max(now_s, self._from_s, self._due_s)
        return self._below(max(1, int(self.eased(now_s) * SPARED_PART)), at_s, now_s)

    def html_at_s(self, now_s: float) -> float:
        """The same for a request for HTML: the budget allows it, and its part of it does."""
        return max(self.free_at_s(now_s), self._html_alone_at_s(now_s))

    def _html_alone_at_s(self, now_s: float) -> float:
        at_once = max(1, int(self.concurrency * self.html_part))
        if not self.html_part or self._html.in_flight >= at_once:
            return inf
        at_s = max(now_s, self._html.due_s)
        return self._html.below(max(1, int(self.eased(now_s) * self.html_part)), at_s, now_s)

    def _below(self, most: int, at_s: float, now_s: float) -> float:
        """`at_s`, or when less than `most` are counted."""
        over = self.in_use(now_s) - most
        if over >= 0:  # so many must leave the window, and one more
            at_s = max(at_s, self._ended_s[over] + WINDOW_S) if over < len(self._ended_s) else inf
        return at_s

    def start(self, now_s: float, *, html: bool = False) -> None:
        assert self.free_at_s(now_s) <= now_s, "started without a token"
        self.in_flight += 1
        self._due_s = max(self._due_s, now_s) + self._gap_s(now_s)
        if html:
            self._html.in_flight += 1
            self._html.due_s = max(self._html.due_s, now_s) + self._html_gap_s(now_s)

    def end(self, now_s: float, *, html: bool = False) -> None:
        self.in_flight -= 1
        self._ended_s.append(now_s)
        if html:
            self._html.in_flight -= 1
            self._html.ended_s.append(now_s)

    def give_back(self, *, html: bool = False) -> None:
        """It was started here and never sent: it counts no more, but for its place in the pace."""
        self.in_flight -= 1
        if html:
            self._html.in_flight -= 1


@dataclass(slots=True)
class Part:
    """What of a budget one kind of request has used: evenly over the minute, or it would take each burst."""

    in_flight: int = 0
    ended_s: deque[float] = field(default_factory=deque)
    due_s: float = -inf
    kept_until_s: float = -inf
    """So long one request is left to it."""

    def below(self, most: int, at_s: float, now_s: float) -> float:
        while self.ended_s and self.ended_s[0] + WINDOW_S <= now_s:
            self.ended_s.popleft()
        over = self.in_flight + len(self.ended_s) - most
        if over >= 0:
            at_s = max(at_s, self.ended_s[over] + WINDOW_S) if over < len(self.ended_s) else inf
        return at_s


class Allowance(Protocol):
    """A budget, or the permits of one (streamer.origin.permits)."""

    def free_at_s(self, now_s: float, /) -> float: ...
    def live_at_s(self, now_s: float, /) -> float: ...
    def spare_at_s(self, now_s: float, /) -> float: ...
    def keep_for_html(self, now_s: float, /) -> None: ...
    def html_at_s(self, now_s: float, /) -> float: ...
    def start(self, now_s: float, /, *, html: bool = False) -> None: ...
    def end(self, now_s: float, /, *, html: bool = False) -> None: ...
