"""What a fleet says of its one budget, over the log, and the purse of a process's permits. Pure.

    a process                         the keeper (streamer.origin.keeper), one of a fleet
    Ask ─────────────────────────────►  what waits here, and up to where this process has read
        ◄──────────────────────────── Permit   one request, started within PERMIT_S of sending that Ask
    Done ────────────────────────────►  it is over, or was given back
    Refused ─────────────────────────►  a wiki says "too many requests"
    Leaves ──────────────────────────►  it asks for nothing any more

A permit is known by its offset in the topic. The keeper counts it from before it is written until it has
read its Done; where none comes, until the request must be over: PERMIT_S and the time limit of a request
later. No clocks are compared: a process judges its permits by its own, from when it sent the Ask, and the
keeper has read that Ask later than it was sent.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

PERMIT_S: Final = 5.0
"""How long after its Ask was sent a permit may be used: far longer than a cluster takes for both, and all
that a dead process's permit is held for beyond a request's own time."""
BEAT_S: Final = 1.0
"""What still waits is said again so often: the keeper forgets it after STALE_S."""
STALE_S: Final = 3.0
ASK_GAP_S: Final = 0.05
"""Between two of a process that has yet to hear of the first."""
WANTS_MOST: Final = 16
"""Batches that one Ask names: more than a fleet's permits in the time of one round trip."""
NOBODYS: Final = -1
"""In place of an offset that means nothing any more."""


class Want(Struct, frozen=True, array_like=True):
    """One batch that is ready."""

    priority: int
    waited_s: float
    """In sum, at sending."""
    items: int
    age_s: float
    """Of the oldest."""


class Ask(Struct, frozen=True, tag="ask"):
    """Replaces the one before it of the same process."""

    worker: str
    number: int
    seen: int
    """The last offset that was read here: a permit beyond it answers a part of what is wanted."""
    timeout_s: float
    """Of a request that starts by its permits."""
    wants: tuple[Want, ...] = ()
    html: int = 0
    """Requests for HTML that would start now; they don't wait."""
    only_host: str = ""
    """No other is asked here, and has not been for the last minute."""


class Permit(Struct, frozen=True, tag="permit"):
    worker: str
    ask: int
    """The number of the Ask that it answers."""
    html: bool = False
    timeout_s: float = 0.0
    """What that Ask said."""
    of: tuple[int, int] = (0, 0)
    """The budget that it is a part of: requests a minute, and at once."""


class Done(Struct, frozen=True, tag="done"):
    permit: int
    used: bool = True


class Refused(Struct, frozen=True, tag="refused"):
    server_name: str
    wait_s: float
    alone: bool = False
    """No other host is asked there: where none is asked anywhere, it speaks for all."""


class Succeeds(Struct, frozen=True, tag="succeeds"):
    """The process `before` is known to be dead, and its connections with it."""

    worker: str
    before: str


class Leaves(Struct, frozen=True, tag="leaves"):
    """It uses no permit beyond `seen` and asks no more; what it has had is over, or its Done follows."""

    worker: str
    seen: int


Said = Ask | Permit | Done | Refused | Succeeds | Leaves

_DECODER: Final = msgspec.json.Decoder(Said)


def decode(value: bytes | None) -> Said | None:
    """None: it can't be read. Nobody answers it, and what it holds is held until its time is up."""
    try:
        said: Said = _DECODER.decode(value or b"")
    except (msgspec.DecodeError, ValueError):
        return None
    return said


def _without_done(said: Sequence[Said]) -> list[Said]:
    return [each for each in said if not isinstance(each, Done)]


class Held(NamedTuple):
    offset: int
    until_s: float


class Purse:
    """The budget as a process of a fleet sees it: what its permits allow, and nothing without any. Permits
    are used at once or given back, so that none lies idle here while another process has a backlog.
    """

    def __init__(self, worker: str, timeout_s: float, before: str = "") -> None:
        """`before`: a process that is known to be dead, whose place this one takes."""
        self.worker = worker
        self.timeout_s = timeout_s
        self.in_flight = 0
        self.html_wanted = 0
        self.granted = self.returned = 0
        self.changed = asyncio.Event()
        """There may be something to say."""
        self.came: Callable[[], object] = lambda: None
        """Called when permits have come."""
        self.wants: Callable[[float], Sequence[Want]] = lambda _: ()
        """What is ready now, best first (Scheduler.wants)."""
        self.only_host: Callable[[float], str] = lambda _: ""
        """Breakers.only_host."""
        self._seen = -1
        self._delivered: set[int] = set()
        """What the keeper in this process has handed over, and is yet to be read."""
        self._last_delivered = -1
        self._number = 0
        self._sent_s: dict[int, float] = {}
        self._asked_s = -inf
        self._looked_s = -inf
        self._looked_wants = 0
        self._is_behind = False
        """There may be more since."""
        self._open = 0
        """Batches of the last Ask that no permit has answered."""
        self._html_open = 0
        self._held: dict[bool, deque[Held]] = {False: deque(), True: deque()}
        self._started: dict[bool, deque[int]] = {False: deque(), True: deque()}
        self._to_say: list[Said] = [Succeeds(worker, before)] if before else []
        self._losses = self._losses_said = 0

    # ── what the scheduler asks (as of a Budget) ───────────────────────────────────────────────

    def free_at_s(self, now_s: float) -> float:
        """`inf`: once a permit comes."""
        return now_s if self._has(now_s, html=False) else inf

    def live_at_s(self, now_s: float) -> float:
        return self.free_at_s(now_s)

    def keep_for_html(self, _now_s: float) -> None:
        """That is the keeper's to do."""

    def spare_at_s(self, now_s: float) -> float:
        """It was the keeper's to say whether there is some to spare."""
        return self.free_at_s(now_s)

    def html_at_s(self, now_s: float) -> float:
        return now_s if self._has(now_s, html=True) else inf

    def start(self, now_s: float, *, html: bool = False) -> None:
        assert self._has(now_s, html=html), "started without a permit"
        self._started[html].append(self._held[html].popleft().offset)
        self.in_flight += 1

    def end(self, _now_s: float, *, html: bool = False) -> None:
        """The permit that was got first is over: those of requests that still run last longer, so that none
        is counted for too short a time.
        """
        self.in_flight -= 1
        offset = self._started[html].popleft()
        if offset != NOBODYS:
            self._to_say.append(Done(offset))

    def refused(self, server_name: str, wait_s: float, *, alone: bool) -> None:
        self._to_say.append(Refused(server_name, wait_s, alone))

    def take(self, timeout_s: float) -> None:
        """Requests may take longer from now on: what was asked for before is too short for them."""
        if timeout_s > self.timeout_s:
            self.timeout_s = timeout_s
            self._sent_s.clear()
            self.give_back()

    def give_back(self) -> None:
        """Nothing is ready for what is held."""
        for held in self._held.values():
            for permit in held:
                self._return(permit.offset)
            held.clear()

    def _has(self, now_s: float, *, html: bool) -> bool:
        held = self._held[html]
        while held and held[0].until_s <= now_s:
            self._return(held.popleft().offset)
        return bool(held)

    def _return(self, offset: int) -> None:
        self.returned += 1
        self._to_say.append(Done(offset, used=False))

    # ── what is read ───────────────────────────────────────────────────────────────────────────

    def read(self, said: Said | None, offset: int, now_s: float) -> float | None:
        """Each record of the topic, in order. How long a permit of ours took, None for anything else."""
        self._seen = offset
        if offset in self._delivered:
            self._delivered.discard(offset)
            return None
        if not isinstance(said, Permit) or said.worker != self.worker:
            return None
        return self._got(said, offset, now_s)

    def deliver(self, permit: Permit, offset: int, now_s: float) -> float | None:
        """As `read`, by the keeper in this process, as soon as it is written: it will be read too, or was."""
        if offset <= self._seen:
            return None
        self._delivered.add(offset)
        self._last_delivered = offset
        return self._got(permit, offset, now_s)

    def _got(self, said: Permit, offset: int, now_s: float) -> float | None:
        self.granted += 1
        if said.html:
            self._html_open = max(0, self._html_open - 1)
        else:
            self._open = max(0, self._open - 1)
        sent_s = self._sent_s.get(said.ask, -inf)
        if now_s >= sent_s + PERMIT_S:
            self._return(offset)
            return None
        self._held[said.html].append(Held(offset, sent_s + PERMIT_S))
        return now_s - sent_s

    def lost(self) -> None:
        """What was read last is not there any more. The topic may have been made anew, where the offsets that
        are known here are those of others: nothing is said of them, and those permits end by time.
        """
        self._seen = self._last_delivered = NOBODYS
        self._delivered.clear()
        for held in self._held.values():
            held.clear()
        for html, started in self._started.items():
            self._started[html] = deque([NOBODYS] * len(started))
        self._to_say = _without_done(self._to_say)
        self._losses += 1

    def skip(self, offset: int) -> None:
        """What was to be read up to there was not: permits in it are used by nobody, and end by time."""
        self._seen = offset
        self._delivered = {each for each in self._delivered if each > offset}
        self._open = self._html_open = 0

    # ── what is said ───────────────────────────────────────────────────────────────────────────

    def say(self, now_s: float) -> list[Said]:
        """What is to be appended now, in one piece. The Ask in it counts as sent at `now_s`."""
        self._has(now_s, html=False)
        self._has(now_s, html=True)
        said: list[Said] = [*self._to_say]
        self._to_say.clear()
        self._losses_said = self._losses
        if self._open and 0 <= now_s - self._looked_s < ASK_GAP_S:
            self._is_behind = True  # it takes a look at all that waits
            return said
        wants = tuple(self.wants(now_s))[:WANTS_MOST]
        self._looked_s, self._looked_wants, self._is_behind = now_s, len(wants), False
        if self._is_due(len(wants), now_s):
            self._number += 1
            self._sent_s = {n: at_s for n, at_s in self._sent_s.items() if at_s > now_s - PERMIT_S}
            self._sent_s[self._number] = self._asked_s = now_s
            self._open, self._html_open = len(wants), self.html_wanted
            said.append(self._ask(wants, now_s))
        return said

    def _ask(self, wants: tuple[Want, ...], now_s: float) -> Ask:
        html, only_host = self.html_wanted, self.only_host(now_s)
        return Ask(self.worker, self._number, self._saw(), self.timeout_s, wants, html, only_host)

    def leave(self) -> list[Said]:
        """The last word, once no request is under way and none will start. That it leaves comes first: else
        what it gives back would be granted to it again.
        """
        self.give_back()
        said: list[Said] = [Leaves(self.worker, self._saw()), *self._to_say]
        self._to_say.clear()
        return said

    def _saw(self) -> int:
        return max(self._seen, self._last_delivered)

    def unsaid(self, said: Sequence[Said]) -> None:
        """It could not be appended, or nobody knows: once more."""
        if self._losses != self._losses_said:
            said = _without_done(said)
        self._to_say[:0] = [each for each in said if isinstance(each, Done | Refused | Succeeds)]
        self._asked_s, self._open, self._html_open = -inf, 0, 0

    def say_at_s(self, now_s: float) -> float:
        """When `say` has something, if nothing changes until then."""
        if self._to_say:
            return now_s
        if self._is_behind:
            return max(now_s, self._looked_s + ASK_GAP_S)
        wants = self._looked_wants
        if self._is_due(wants, now_s):
            return now_s
        if not wants and not self.html_wanted:
            return inf
        return self._asked_s + (ASK_GAP_S if self._has_more(wants) else BEAT_S)

    def _is_due(self, wants: int, now_s: float) -> bool:
        if not wants and not self.html_wanted:
            return False
        since_s = now_s - self._asked_s
        if since_s >= BEAT_S:
            return True
        return self._has_more(wants) and (since_s >= ASK_GAP_S or (wants > 0 and not self._open))

    def _has_more(self, wants: int) -> bool:
        return min(wants, WANTS_MOST) > self._open or self.html_wanted > self._html_open
