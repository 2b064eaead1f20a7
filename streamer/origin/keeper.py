"""The one budget of a fleet, as its keeper has it: who gets the next permit. Pure, with the time passed in.

One process at a time is the keeper: whoever has the lane (streamer.enrich.fleet). What it grants stands in
the log before anybody uses it, and nothing stands there that was granted by one that has lost the lane. So
whoever is keeper next reads back what is out, counts it as in flight, and goes on as after another life of
the same budget (Budget.owe): of all keepers together no 60 s hold more than the budget.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from math import inf
from typing import Final, NamedTuple

from streamer.origin.breaker import ALONE_S, Breakers
from streamer.origin.budget import WINDOW_S, Budget
from streamer.origin.permits import (
    PERMIT_S,
    STALE_S,
    Ask,
    Done,
    Leaves,
    Permit,
    Refused,
    Said,
    Succeeds,
    Want,
)
from streamer.origin.turns import BEHIND, Turns, Wish

SLACK_S: Final = 1.0
"""Between the end of a request's time and its connection's."""
DEAD_S: Final = 5.0
"""So much after a process is known to be dead a wiki has seen all that it sent: some may stand in a queue."""
REMEMBERED_GONE: Final = 1_000
CLOCKS_S: Final = 60.0
"""By so much the clocks of machines may differ, which say how long ago a record was written."""


class Out(NamedTuple):
    worker: str
    html: bool
    over_s: float
    """Its request has ended by then, whatever has become of its process (at first: so far ahead)."""


class _Waits:
    """What a process has said last that it wants."""

    def __init__(self, ask: Ask, read_s: float, unseen: int, unseen_html: int) -> None:
        self.ask = ask
        self.read_s = read_s
        self.wants = list(ask.wants[unseen:])
        self.html = max(0, ask.html - unseen_html)

    def is_live(self) -> bool:
        return any(want.priority != BEHIND for want in self.wants)

    def best(self) -> Iterable[Want]:
        """One of each class."""
        found: dict[int, Want] = {}
        for want in self.wants:
            found.setdefault(want.priority, want)
        return found.values()


class Keeper:
    """`restore` what the topic holds, `begin`; then `read` what comes, `grant`, write that, and say so by
    `written`. After a failed write it must not be used again: nobody knows what was granted.
    """

    def __init__(self, budget: Budget, timeout_s: float) -> None:
        self.budget = budget
        self._timeout_s = timeout_s
        self._waits: dict[str, _Waits] = {}
        """Whoever was served, or began to wait, longest ago comes first."""
        self._out: dict[int, Out] = {}
        self._beyond: dict[str, deque[tuple[int, bool]]] = {}
        """By process, the permits that it may not have seen when it asks next: offset, html."""
        self._gone: dict[str, float] = {}
        """How long after it was granted a permit of theirs is held: those that left, or are dead."""
        self._expired: list[int] = []
        self._writing: list[tuple[Permit, float]] = []
        self._early: dict[int, Done] = {}
        """What was read of permits whose offset is not known yet."""
        self._only_hosts: dict[str, tuple[str, float]] = {}
        """By process, what its last Ask says, and since when that is known."""
        self._refused_before: list[tuple[Refused, float]] = []
        """And how long ago."""
        self._was_larger = False
        """The budget that somebody had a minute ago."""
        self._turns = Turns()
        self._breakers = Breakers(1)

    # ── the life before ────────────────────────────────────────────────────────────────────────

    def restore(self, said: Said | None, offset: int, ago_s: float = 0.0) -> None:
        """`ago_s`: since it was written, as far as clocks can tell."""
        if isinstance(said, Permit):
            if ago_s < WINDOW_S + CLOCKS_S:
                per_minute, at_once = said.of
                self._was_larger |= per_minute > self.budget.limit or at_once > self.budget.concurrency
            left_s = PERMIT_S + max(said.timeout_s, self._timeout_s) + SLACK_S
            self._out[offset] = Out(said.worker, said.html, min(left_s, self._gone.get(said.worker, inf)))
        elif isinstance(said, Done):
            self._out.pop(said.permit, None)
        elif isinstance(said, Succeeds):
            self._is_gone(said.before, 0.0, DEAD_S)
        elif isinstance(said, Leaves):
            for unused in self._unused(said):
                del self._out[unused]
            self._is_gone(said.worker, 0.0, 0.0)
        elif isinstance(said, Ask):
            self._gone.pop(said.worker, None)
            self._only_hosts[said.worker] = said.only_host, -max(0.0, ago_s)
        elif isinstance(said, Refused):
            self._refused_before.append((said, max(0.0, ago_s)))

    def begin(self, now_s: float) -> None:
        """Somebody may have asked before, also where the topic is empty: it may have been made anew."""
        for offset, out in self._out.items():
            self._out[offset] = out._replace(over_s=now_s + out.over_s)
            self.budget.take_over(html=out.html)
            if out.worker not in self._gone:
                self._beyond.setdefault(out.worker, deque()).append((offset, out.html))
        self.budget.owe(now_s, cut=self._was_larger)
        for worker, (host, before_s) in self._only_hosts.items():
            self._only_hosts[worker] = host, now_s + before_s
        at_s = -inf
        for refused, ago_s in self._refused_before:
            at_s = max(at_s, now_s - ago_s)
            self._refused(refused, at_s)
        self._refused_before.clear()

    # ── what is read ───────────────────────────────────────────────────────────────────────────

    def read(self, said: Said | None, now_s: float) -> None:
        """In the order of the topic."""
        if isinstance(said, Ask):
            self._asked(said, now_s)
        elif isinstance(said, Done):
            self._done(said, now_s)
        elif isinstance(said, Refused):
            self._refused(said, now_s)
        elif isinstance(said, Succeeds):
            self._is_gone(said.before, now_s, DEAD_S)
        elif isinstance(said, Leaves):
            for unused in self._unused(said):
                self._expired.append(unused)
                self._over(unused, now_s, used=False)
            self._is_gone(said.worker, now_s, 0.0)

    def _unused(self, leaves: Leaves) -> list[int]:
        return [
            offset
            for offset, out in self._out.items()
            if out.worker == leaves.worker and offset > leaves.seen
        ]

    def _is_gone(self, worker: str, now_s: float, held_s: float) -> None:
        """What it has had is held for DEAD_S, what it may be granted yet for `held_s`."""
        self._waits.pop(worker, None)
        self._beyond.pop(worker, None)
        for offset, out in self._out.items():
            if out.worker == worker:
                self._out[offset] = out._replace(over_s=min(out.over_s, now_s + DEAD_S))
        self._gone[worker] = held_s
        if len(self._gone) > REMEMBERED_GONE:
            del self._gone[next(iter(self._gone))]

    def _asked(self, ask: Ask, now_s: float) -> None:
        self._gone.pop(ask.worker, None)
        self._only_hosts[ask.worker] = ask.only_host, now_s
        beyond = self._beyond.setdefault(ask.worker, deque())
        while beyond and beyond[0][0] <= ask.seen:
            beyond.popleft()
        unseen = [html for _, html in beyond]
        unseen += [permit.html for permit, _ in self._writing if permit.worker == ask.worker]
        html = sum(unseen)
        waits = _Waits(ask, now_s, len(unseen) - html, html)
        if waits.wants or waits.html or ask.worker in self._waits:
            self._waits[ask.worker] = waits  # keeps its place

    def _done(self, done: Done, now_s: float) -> None:
        if done.permit in self._out:
            self._over(done.permit, now_s, used=done.used)
        elif self._writing:
            self._early[done.permit] = done

    def _over(self, offset: int, now_s: float, *, used: bool = True) -> None:
        out = self._out.pop(offset)
        if used:
            self.budget.end(now_s, html=out.html)
        else:
            self.budget.give_back(html=out.html)

    def _refused(self, refused: Refused, now_s: float) -> None:
        until_s = now_s + refused.wait_s
        alone = refused.alone and self._is_alone(refused.server_name, now_s)
        if self._breakers.limited(refused.server_name, now_s, until_s, alone=alone):
            self.budget.refused(now_s)

    def _is_alone(self, server_name: str, now_s: float) -> bool:
        """No process that has asked for anything in the last minute asks another host."""
        known = self._only_hosts.values()
        return all(host == server_name for host, at_s in known if at_s > now_s - ALONE_S)

    # ── what is granted ────────────────────────────────────────────────────────────────────────

    def grant(self, now_s: float) -> list[Permit | Done]:
        """Counted from now on: write them, then call `written`. With what has ended by time, so that the next
        keeper does not wait for it again.
        """
        assert not self._writing, "the ones before are not written"
        self._forget(now_s)
        if self._breakers.all_pause_until_s <= now_s:
            self._grant_html(now_s)
            while self.budget.live_at_s(now_s) <= now_s and self._grant_one(now_s):
                pass
        for waits in self._waits.values():
            waits.html = 0
        ended = [Done(offset) for offset in self._expired]
        self._expired.clear()
        return [*(permit for permit, _ in self._writing), *ended]

    def _grant_html(self, now_s: float) -> None:
        for waits in list(self._waits.values()):
            while waits.html and self.budget.html_at_s(now_s) <= now_s:
                waits.html -= 1
                self._give(waits, now_s, html=True)
            if waits.html:
                self.budget.keep_for_html(now_s)

    def _grant_one(self, now_s: float) -> bool:
        candidates = [(waits, want) for waits in self._may_have_one() for want in waits.best()]
        wishes = []
        for waits, want in candidates:
            more_s = now_s - waits.read_s
            waited_s = want.waited_s + want.items * more_s
            wishes.append(Wish(want.priority, waited_s, want.age_s + more_s, want.items))
        chosen = self._turns.choose(wishes, has_spare=self.budget.spare_at_s(now_s) <= now_s)
        if chosen is None:
            return False
        waits, want = candidates[chosen]
        waits.wants.remove(want)
        self._give(waits, now_s, html=False)
        self._waits[waits.ask.worker] = self._waits.pop(waits.ask.worker)
        return True

    def _may_have_one(self) -> list[_Waits]:
        """All, but for one that has all slots but the last, where another waits too: if that one was killed,
        nobody hears of its permits until their time is over, and the others have a slot meanwhile.
        """
        live = {worker for worker, waits in self._waits.items() if waits.is_live()}
        has = Counter(out.worker for out in self._out.values())
        has.update(permit.worker for permit, _ in self._writing)
        most = max(1, self.budget.concurrency - 1)
        return [waits for worker, waits in self._waits.items() if has[worker] < most or not live - {worker}]

    def _give(self, waits: _Waits, now_s: float, *, html: bool) -> None:
        ask = waits.ask
        self.budget.start(now_s, html=html)
        of = self.budget.limit, self.budget.concurrency
        self._writing.append((Permit(ask.worker, ask.number, html, ask.timeout_s, of), now_s))

    def written(self, offsets: Sequence[int], now_s: float) -> None:
        """`offsets`: of what `grant` gave, in its order."""
        for offset, (permit, granted_s) in zip(offsets, self._writing, strict=False):
            held_s = self._gone.get(permit.worker, inf)
            over_s = min(granted_s + PERMIT_S + permit.timeout_s + SLACK_S, now_s + held_s)
            self._out[offset] = Out(permit.worker, permit.html, over_s)
            if held_s == inf:
                self._beyond.setdefault(permit.worker, deque()).append((offset, permit.html))
        self._writing.clear()
        for offset in self._early:
            self._done(self._early[offset], now_s)
        self._early.clear()

    def wake_at_s(self, now_s: float) -> float:
        """When there may be something to grant, or to forget, if nothing is read until then."""
        at_s = min((out.over_s for out in self._out.values()), default=inf)
        wants = [want for waits in self._waits.values() for want in waits.wants]
        if wants:
            live = any(want.priority != BEHIND for want in wants)
            free_s = self.budget.live_at_s(now_s) if live else self.budget.spare_at_s(now_s)
            at_s = min(at_s, max(free_s, self._breakers.all_pause_until_s))
        return at_s

    def _forget(self, now_s: float) -> None:
        """Those whose request must be over, and who has not been heard of."""
        for offset in [offset for offset, out in self._out.items() if out.over_s <= now_s]:
            self._expired.append(offset)
            self._over(offset, now_s)
        for worker in [worker for worker, (_, at_s) in self._only_hosts.items() if at_s <= now_s - ALONE_S]:
            del self._only_hosts[worker]
        for worker in [worker for worker, waits in self._waits.items() if waits.read_s + STALE_S <= now_s]:
            del self._waits[worker]
            self._beyond.pop(worker, None)
