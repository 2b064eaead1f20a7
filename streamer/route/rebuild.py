"""A partner's feed made anew, as pure rules: what a lane does, and what the command does next.

    command   stop ──────────► all lanes stopped ─► swap ─► delete, make anew ─► go ──► all lanes have met
    lanes          ─► stopped ─────────────────────────────────────────────────► begin ─► behind ─► met

The rebuild is named by the epoch of the topic that it replaces: two commands at once do the same one, and
whatever either does twice changes nothing. What the command wants is a record in the meta topic (`Start`);
what a lane did is the `Mark` in its committed position at the partner's topic, so it is fenced and outlasts
whoever ran the lane. No lane holds the old feed once all have said `stopped`, and none touches the new
topic before `go`: so nothing of the old feed, nor a position of it, gets there, whoever sleeps or dies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from streamer.log.base import Bounds
from streamer.log.position import State

Phase = Literal["", "stop", "swap", "go"]


class Start(Struct, frozen=True, omit_defaults=True):
    """The value of a partner's record in the meta topic: where its feed begins, and which making of it."""

    since_ms: int
    """0: at the earliest."""
    rebuild: str = ""
    """The epoch of the topic that is replaced; "" for a partner that never was rebuilt."""
    phase: Phase = ""
    rules: str = ""
    """The partner's (Partner.rules), as the command read them: the new feed is begun with no others. "": of
    a version that said none, with any.
    """


class Mark(Struct, frozen=True):
    """How far a lane is with a rebuild; in its position's state."""

    rebuild: str
    phase: Literal["stopped", "behind", "met"]


NOTHING = Mark("", "met")
"""Of a feed that was never rebuilt."""


def mark_of(state: State) -> Mark:
    stored = state.get("rebuild")
    return NOTHING if stored is None else msgspec.convert(stored, Mark)


# ── a lane ─────────────────────────────────────────────────────────────────────────────────────

Todo = Literal["begin", "go on", "stop", "wait", "try again"]


def lane_todo(start: Start | None, mark: Mark | None, epoch: str) -> Todo:
    """What a lane does with a partner that it doesn't route at the moment. `mark` is of the committed
    position, None where there is none; `epoch` the topic's as it is now, "" where there is none.

    `stop`: commit a position with the mark `stopped`. `wait`: commit nothing until the record changes.
    `try again`: soon; the topic can't be seen at the moment, though nobody had to delete it yet; or it was
    made anew before the cluster had forgotten the old one's positions (by a command that slept), and what
    is committed now would be forgotten with them.
    """
    if start is None or not start.rebuild:
        return "begin" if mark is None else "go on"
    if mark is not None and mark.rebuild == start.rebuild:
        if mark.phase != "stopped":
            return "go on"
        return "try again" if start.phase == "go" else "wait"
    return _todo_of_another(start, mark, epoch)


def needs_epoch(start: Start | None, mark: Mark | None) -> bool:
    """Whether `lane_todo` goes by the topic's epoch: to look for one that is being replaced takes long, and
    the lane's other partners would wait for that.
    """
    if start is None or not start.rebuild or (mark is not None and mark.rebuild == start.rebuild):
        return False
    return mark is not None or start.phase == "stop"


def _todo_of_another(start: Start, mark: Mark | None, epoch: str) -> Todo:
    """The lane has had no part in this rebuild yet."""
    if start.phase == "go":
        if mark is None:
            return "begin"
    elif epoch == start.rebuild:
        return "stop" if start.phase == "stop" else "wait"
    elif start.phase == "stop" and not epoch:
        return "try again"
    # The topic is being replaced; or it was, and this record is late: of a command that slept. What a later
    # rebuild has stopped then stays so, until that says again what it wants.
    return "wait" if mark is None or mark.phase == "stopped" else "go on"


# ── the command ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands in the log; `marks` of the partitions of the partner's topic that have a position."""

    start: Start | None
    epoch: str
    marks: Mapping[int, Mark]
    partitions: int

    def reached(self, *phases: str) -> int:
        """How many lanes are with this rebuild, and in one of these phases."""
        assert self.start is not None
        wanted = self.start.rebuild
        return sum(mark.rebuild == wanted and mark.phase in phases for mark in self.marks.values())

    @property
    def have_begun(self) -> bool:
        """All lanes, with the new feed."""
        return self.reached("behind", "met") == self.partitions

    @property
    def is_unfinished(self) -> bool:
        """A rebuild has begun, and is neither done nor overtaken by a deletion of what it made."""
        if self.start is None or not self.start.rebuild:
            return False
        if self.start.phase != "go":
            return True
        return bool(self.epoch) and (
            len(self.marks) < self.partitions or self.reached("stopped", "behind") > 0
        )


@dataclass(frozen=True, slots=True)
class Append:
    start: Start


@dataclass(frozen=True, slots=True)
class Make:
    """The topic."""


@dataclass(frozen=True, slots=True)
class Delete:
    epoch: str


@dataclass(frozen=True, slots=True)
class Wait:
    """For lanes, or for the cluster to forget the positions of the deleted topic."""

    on: Literal["stop", "positions", "meet"]


@dataclass(frozen=True, slots=True)
class Done:
    """With `taken_back` somebody has put another beginning in its place."""

    taken_back: bool = False


Step = Append | Make | Delete | Wait | Done


def first_step(seen: Seen, since_ms: int) -> Step:
    """Of a rebuild that is none yet; where one is unfinished it is `next_step`'s to finish."""
    return Append(Start(since_ms, seen.epoch, "stop")) if seen.epoch else Make()


def next_step(seen: Seen, mine: Start) -> Step:
    """Done again and again it ends in Done, whoever was killed between any two of them. `mine` is the record
    that the command began, or found.
    """
    start = seen.start
    if start is None or not start.rebuild:
        return Done(taken_back=True)
    if start.rebuild != mine.rebuild:  # by a command that slept, or by one that came later
        return first_step(seen, mine.since_ms) if seen.epoch == mine.rebuild else Done()
    if start.phase == "stop":
        return _stop_step(seen, start)
    if start.phase == "swap":
        return _swap_step(seen, start)
    return Wait("meet") if seen.is_unfinished else Done()


def _stop_step(seen: Seen, start: Start) -> Step:
    if seen.epoch != start.rebuild:  # deleted by another hand: lanes may still hold the old feed
        return first_step(seen, start.since_ms)
    if seen.reached("stopped", "behind", "met") == seen.partitions:
        return Append(replace(start, phase="swap"))
    return Wait("stop")


def _swap_step(seen: Seen, start: Start) -> Step:
    if seen.epoch == start.rebuild:
        return Delete(seen.epoch)
    if seen.epoch:
        return Append(replace(start, phase="go"))
    return Wait("positions") if seen.marks else Make()


def to_go(bounds: list[Bounds], nexts: Mapping[int, int], marks: Mapping[int, Mark]) -> int:
    """Offsets of the articles that lie before those who have not met the live end yet."""
    left = 0
    for partition, (earliest, end) in enumerate(bounds):
        if partition not in marks or marks[partition].phase != "met":
            left += max(0, end - max(earliest, nexts.get(partition, earliest)))
    return left
