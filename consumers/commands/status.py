"""`corpus status`: how far it was read, what it holds, and how fresh that is."""

import argparse
import time
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from consumers.corpus.freshness import percentile
from consumers.corpus.progress import Hole, Stage, bad_name, hole_name, known, namespaces_of, stage_of
from consumers.corpus.reader import Total
from consumers.corpus.state import State
from consumers.terminal import visible_line

HELP: Final = "positions, pages of each wiki, last change, freshness"
SPANS_S: Final = {"hour": 3_600, "day": 86_400, "week": 7 * 86_400}


class Freshness(Struct, frozen=True):
    """From edits to their commits here, of a span of time."""

    events: int
    p50_s: float | None
    p99_s: float | None


class FeedStatus(Struct, frozen=True):
    position: str
    committed: str
    """RFC 3339."""
    bad_events: int


class WikiStatus(Struct, frozen=True):
    live: int
    gone: int
    """Tombstones."""
    bootstrap: Stage
    """Whether a dump of it was read, and what lies between that and the feed closed."""
    hole: tuple[str, str] | None = None
    """From and to when edits may be missing: RFC 3339."""
    namespaces: list[int] | None = None
    """Of which the dump was read; None: of all, or there was none."""


class Status(Struct, frozen=True):
    corpus: str
    size_bytes: int
    feeds: dict[str, FeedStatus]
    wikis: dict[str, WikiStatus]
    changes: int
    """The number of the last one."""
    last_event: str | None
    """When the feed last altered a row, to the minute: RFC 3339."""
    freshness: dict[str, Freshness]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(options: argparse.Namespace) -> int:
    with State(options.corpus) as state:
        status = status_of(state, time.time())
    print(msgspec.json.encode(status).decode() if options.json else _text(status))
    return 0


def status_of(state: State, now_s: float) -> Status:
    counts = state.freshness()
    freshness: dict[str, Freshness] = {}
    for name, span_s in SPANS_S.items():
        its = [count for count in counts if count.minute >= now_s - span_s]
        p50_s, p99_s = percentile(its, 0.5), percentile(its, 0.99)
        freshness[name] = Freshness(sum(count.events for count in its), p50_s, p99_s)
    return Status(
        corpus=str(state.path),
        size_bytes=state.path.stat().st_size,
        feeds={
            read.feed: FeedStatus(read.position, _time(read.at_s), int(state.fact(bad_name(read.feed)) or 0))
            for read in state.reads()
        },
        wikis={wiki: _of_wiki(state, wiki, total) for wiki, total in state.totals().items()},
        changes=state.changed(),
        last_event=_time(counts[-1].minute) if counts else None,
        freshness=freshness,
    )


def _of_wiki(state: State, wiki: str, total: Total) -> WikiStatus:
    hole = known(state, hole_name(wiki), Hole)
    span = (_time(hole.since_s), _time(hole.until_s)) if hole else None
    return WikiStatus(total.live, total.gone, stage_of(state, wiki), span, namespaces_of(state, wiki))


def _text(status: Status) -> str:
    lines = [f"{status.corpus}: {status.size_bytes / 1e6:,.1f} MB, {status.changes:,} changes"]
    lines += [
        f"  feed {name}: committed {feed.committed}, {feed.bad_events:,} bad events, at {feed.position}"
        for name, feed in status.feeds.items()
    ] or ["  no feed was read yet"]
    lines += [
        f"  {wiki}: {its.live:,} pages, {its.gone:,} tombstones"
        f"{_namespaces(its)}{_BOOTSTRAP[its.bootstrap]}{_hole(its)}"
        for wiki, its in status.wikis.items()
    ]
    lines.append(f"  last event applied: {status.last_event or 'none'}")
    lines += [
        f"  freshness, last {name}: p50 {fresh.p50_s:,.2f} s, p99 {fresh.p99_s:,.2f} s"
        for name, fresh in status.freshness.items()
        if fresh.p50_s is not None and fresh.p99_s is not None
    ]
    return "\n".join(map(visible_line, lines))


_BOOTSTRAP: Final[dict[Stage, str]] = {
    "none": "",
    "reading": "; its dump is not read to the end",
    "open": "; what changed between its dump and the feed is not in it: `corpus bootstrap` again",
    "done": "",
}


def _namespaces(its: WikiStatus) -> str:
    return f"; of its dump namespaces {', '.join(map(str, its.namespaces))}" if its.namespaces else ""


def _hole(its: WikiStatus) -> str:
    return f"; edits from {its.hole[0]} to {its.hole[1]} may be missing" if its.hole else ""


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
