"""A partner's own figures, from what was read. Pure; the structs are the body of `/v2/status`, and their
docstrings its schema in `/openapi.json`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from streamer.accounts import COUNTED, counts_of, is_behind, seen_by
from streamer.deliver.encode import facts_of, is_article
from streamer.deliver.position import At, parse_id
from streamer.log.base import Bounds, Stored
from streamer.log.position import Position

FRESHNESS_WINDOW_S: Final = 600
SAMPLE: Final = 500
"""Records that the freshness is made of, at most."""
REPAIR: Final = "refresh"

State = Literal["catching-up", "live", "paused"]


class Freshness(Struct, frozen=True):
    """How old the edits were when their articles were appended to this feed: from the time of the edit on
    the wiki to the append, in seconds. Of the articles appended within the window, the newest 500 at most.
    Repairs (`event.kind` `refresh`) and late edits are left out. After a feed was made anew, or begun in the
    past, its older edits count with the age that they then had; where the partner asked for a settle time,
    that is in them. What the way to the client takes comes on
    top.
    """

    window_s: int
    articles: int
    """How many the figures are made of."""
    p50_s: float | None
    """Null where nothing was appended."""
    p99_s: float | None
    """Null where nothing was appended."""


class Completeness(Struct, frozen=True):
    """What became of every article for this partner since its feed was made, as committed together with the
    feed. An article is counted once. Changes of which no article could be made are counted by the service,
    not by partner, and are not in here.
    """

    published: int
    """Appended to the feed."""
    filtered: int
    """Not what the partner's rules ask for."""
    reverted: int
    """Reverted before it was settled."""
    withdrawn: int
    """Its text was deleted or hidden before it was appended."""
    expired: int
    """Offsets that retention deleted before they were judged for this partner: at most so many articles."""
    invalid: int
    """Records that held no article."""
    missing: int
    """What may be lost to this partner: `expired` and `invalid`. 0 is complete."""
    ratio: float
    """1 less the share of `missing` in all that was counted; 1 where nothing was."""
    waiting_offsets: int
    """Not looked at yet, as distances of offsets, which have holes: at most so many articles."""
    settling_offsets: int
    """Held until they have settled, where the partner asks for that; as distances of offsets as well."""
    rebuilding: bool
    """The feed is being made anew, and has not met the present yet."""


class Positions(Struct, frozen=True):
    """Ids as in `id:`."""

    earliest: str
    """From here everything that is kept is replayed."""
    newest: str
    """Behind the newest article."""


class Stream(Struct, frozen=True):
    """A stream of this partner that is open on the server process that answered. Others have their own."""

    format: Literal["sse", "ndjson"]
    encoding: Literal["identity", "gzip"]
    since: str
    """When it was opened, RFC 3339."""
    position: str
    """An id as in `id:`. All before it was sent."""
    lag_offsets: int
    """From there to the end of what it asked for, as distances of offsets, which have holes: at most so many
    articles.
    """
    lag_s: float | None
    """How long ago the article was appended that comes next, or, of a replay, that was read last; 0 where
    none waits, null where that is not known yet.
    """
    state: State
    """`paused`: withdrawals are not known in time, and nothing is sent until they are."""


class Status(Struct, frozen=True):
    """A partner's own feed, a few seconds old at most; `connections` are of this moment."""

    partner: str
    time: str
    """Of this answer, RFC 3339."""
    freshness: Freshness
    completeness: Completeness | None
    """Null where the accounts can't be read at the moment."""
    positions: Positions
    partitions: int
    history_hours: float
    """So long every article can be replayed; of what is older, the newest of each page."""
    connections: list[Stream]


# ── freshness ──────────────────────────────────────────────────────────────────────────────────


def newest(first: Sequence[int], ends: Sequence[int], most: int = SAMPLE) -> list[int]:
    """Where to begin in each partition so as to read the newest of all: each gives its share. `first` are
    the offsets at which the window begins.
    """
    counts = [max(0, end - start) for start, end in zip(first, ends, strict=True)]
    total = sum(counts)
    if total > most:
        counts = [math.ceil(count * most / total) for count in counts]
    return [end - count for end, count in zip(ends, counts, strict=True)]


def freshness(records: Iterable[Stored], *, since_ms: int) -> Freshness:
    ages = sorted(
        max(0, record.timestamp_ms - edited_ms) / 1000
        for record in records
        if record.timestamp_ms >= since_ms
        and is_measured(record)
        and (edited_ms := facts_of(record).edited_ms)
    )
    return Freshness(FRESHNESS_WINDOW_S, len(ages), quantile(ages, 0.5), quantile(ages, 0.99))


def is_measured(record: Stored) -> bool:
    """Late ones have a key of their revision."""
    return is_article(record) and record.header("kind") != REPAIR and "/" not in record.key


def quantile(ages: Sequence[float], share: float) -> float | None:
    """Of ascending numbers: the smallest that so many of them do not exceed."""
    return ages[max(0, math.ceil(share * len(ages)) - 1)] if ages else None


# ── completeness ───────────────────────────────────────────────────────────────────────────────


def completeness(positions: Mapping[int, Position], articles: Sequence[Bounds]) -> Completeness:
    """`positions` by partition, those of the group `route` at the partner's topic; `articles` is what they
    are offsets in.
    """
    counts = dict.fromkeys((*COUNTED, "invalid"), 0)
    waiting = settling = 0
    for partition, position in positions.items():
        for outcome, count in counts_of(position.state).items():
            counts[outcome] = counts.get(outcome, 0) + count
        if partition < len(articles):
            seen = seen_by(position)
            waiting += max(0, articles[partition].end - max(seen, articles[partition].earliest))
            settling += seen - position.next
    missing = counts["expired"] + counts["invalid"]
    total = sum(counts.values())
    return Completeness(
        **counts,
        missing=missing,
        ratio=1 - missing / total if total else 1.0,
        waiting_offsets=waiting,
        settling_offsets=settling,
        rebuilding=any(is_behind(position.state) for position in positions.values()),
    )


# ── connections ────────────────────────────────────────────────────────────────────────────────


def lag_offsets(position: str, ends: Sequence[int], wanted: Iterable[int]) -> int:
    """`position` is an id of ours; `wanted` are partitions."""
    starts = parse_id(position).starts
    offsets = {partition: start.offset for partition, start in starts.items() if isinstance(start, At)}
    return sum(max(0, ends[partition] - offsets.get(partition, 0)) for partition in wanted)
