"""What was compared with the wikis, as it stands in the log: by whom it was asked for, and how far it is.

wiki.meta.v1   reconcile-ask/WIKI   an operator's wish (`streamer reconcile`)
               reconcile/WIKI       how far it is, in the commits of the repairs (streamer.enrich.reconcile)
group          `reconcile`: counts, and that its lanes are alive while somebody waits for them
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from streamer.admission import family_of
from streamer.log.base import Record, Stored, partition_of
from streamer.log.position import Position, State
from streamer.model import encode_value
from streamer.origin.answer import SiteInfo

GROUP: Final = "reconcile"
SOURCE: Final = "source"
"""The group whose position says how far the stream was read (streamer.source.stage)."""
LISTED_DAYS: Final = 30
"""So long a wiki lists what has changed."""
DAY_MS: Final = 86_400_000
JITTER_MS: Final = 15_000
"""The stream is out of order by so much."""
_ASK: Final = "reconcile-ask/"
_STANDING: Final = "reconcile/"


class Ask(Struct, frozen=True):
    """`number` grows with each; `since_ms` 0: since the log follows the wiki, nor is it ever before."""

    number: int
    since_ms: int = 0


class Standing(Struct, frozen=True, omit_defaults=True):
    """How far a wiki is. Times are Unix ms, of what happened on the wiki."""

    began_ms: int
    """Since when this log follows it: what happened before was not lost."""
    until_ms: int
    """All up to here was compared."""
    ask: int = 0
    """The one that is under way, or was dealt with last."""
    since_ms: int = 0
    """Of it: what was compared from where on."""
    at_ms: int = 0
    """Of it: how far it is."""
    is_done: bool = False
    listed: int = 0
    """Of it: rows and entries that the wiki listed."""
    found: dict[str, int] = {}
    """Of it: repairs by kind."""
    problem: str = ""
    """Of it: why it ended before its end; a code."""

    def has_done(self, ask: Ask) -> bool:
        return self.ask > ask.number or (self.ask == ask.number and self.is_done)

    def compared(self, until_ms: int) -> "Standing":
        """By the schedule."""
        return replace(self, until_ms=max(self.until_ms, until_ms))

    def asked(
        self, ask: int, since_ms: int, at_ms: int, *, listed: int = 0, found: Mapping[str, int] | None = None
    ) -> "Standing":
        """As far as `at_ms` with that ask. It does the schedule's work too, where it leaves no hole."""
        mine = self if self.ask == ask else replace(self, ask=ask, since_ms=since_ms, listed=0, found={})
        total = dict(mine.found)
        for kind, count in (found or {}).items():
            total[kind] = total.get(kind, 0) + count
        joins = mine.since_ms <= self.until_ms
        return replace(
            mine,
            at_ms=at_ms,
            is_done=False,
            listed=mine.listed + listed,
            found=total,
            problem="",
            until_ms=max(self.until_ms, at_ms) if joins else self.until_ms,
        )

    def finished(self, ask: int, problem: str) -> "Standing":
        """At its end, or where it can't go on."""
        mine = self if self.ask == ask else replace(self, ask=ask, since_ms=0, at_ms=0, listed=0, found={})
        return replace(mine, is_done=True, problem=problem)


class Counts(Struct, frozen=True):
    """In a lane's position. `alive` moves while the lane has an ask in hand."""

    counts: dict[str, int] = {}
    alive: int = 0

    @classmethod
    def of(cls, position: Position) -> "Counts":
        return msgspec.convert({k: v for k, v in position.state.items() if k != "input"}, cls)

    def position(self) -> Position:
        """`input` says to the log's cleaner that nothing waits to be read."""
        state: State = msgspec.to_builtins(self)
        return Position(0, (), {**state, "input": None})


@dataclass(slots=True)
class Reconciled:
    """All of it, by wiki; `apply` takes the meta topic's records (streamer.log.table)."""

    servers: dict[str, str] = field(default_factory=dict)
    """Of the wikis that have answered: their server's names."""
    asks: dict[str, Ask] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)

    def apply(self, record: Stored) -> None:
        """What can't be read was written by another version, and is as if it were not there."""
        if record.value is None:
            return
        try:
            if record.key.startswith(_ASK):
                self.asks[record.key.removeprefix(_ASK)] = msgspec.json.decode(record.value, type=Ask)
            elif record.key.startswith(_STANDING):
                wiki = record.key.removeprefix(_STANDING)
                self.standings[wiki] = msgspec.json.decode(record.value, type=Standing)
            elif "/" not in record.key and "." not in record.key:
                site = msgspec.json.decode(record.value, type=SiteInfo)
                self.servers[site.wiki] = site.server_name
        except msgspec.MsgspecError:
            return

    def open_ask(self, wiki: str) -> Ask | None:
        """One that is not dealt with."""
        ask = self.asks.get(wiki)
        if ask is None:
            return None
        standing = self.standings.get(wiki)
        is_done = standing and (
            standing.ask > ask.number or (standing.ask == ask.number and standing.is_done)
        )
        return None if is_done else ask


def ask_record(topic: str, partitions: int, wiki: str, ask: Ask) -> Record:
    key = f"{_ASK}{wiki}"
    return Record(topic, partition_of(key, partitions), key, encode_value(ask))


def standing_record(topic: str, partitions: int, wiki: str, standing: Standing) -> Record:
    key = f"{_STANDING}{wiki}"
    return Record(topic, partition_of(key, partitions), key, encode_value(standing))


class _Source(Struct):
    upstream: dict[str, int] = {}
    idle: tuple[str, ...] = ()
    file: object = None


def horizon_ms(source: Position | None, now_ms: int, lag_ms: int) -> int:
    """Up to when what the stream told must have come; 0: nothing is known of it, or it is a recording.

    By the two streams that tell of nearly all: of the data centres the one that is further, of the two the
    one that is less far. One that tells nothing for hours while the other goes on is what reconcile is for,
    and is not waited for.
    """
    if source is None:
        return 0
    state = msgspec.convert(source.state, _Source)
    if state.file is not None or not state.upstream:
        return 0
    fronts = [_front(state.upstream, state.idle, family) for family in ("recentchange", "page_change")]
    read_ms = min(filter(None, fronts), default=max(state.upstream.values()))
    return min(now_ms - lag_ms, read_ms - min(lag_ms, JITTER_MS))


def _front(marks: Mapping[str, int], idle: tuple[str, ...], family: str) -> int:
    return max(
        (
            mark
            for topic, mark in marks.items()
            if topic not in idle and family_of(topic.partition("/")[0]) == family
        ),
        default=0,
    )
