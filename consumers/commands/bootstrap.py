"""`corpus bootstrap FILE…`: the pages of a dump, and where the feed goes on. Again after a kill, it goes on."""

import argparse
import asyncio
import os
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from consumers import feeds, wiki
from consumers.commands.shown import Shown
from consumers.corpus import bootstrap, gap
from consumers.corpus.asked import site_of
from consumers.corpus.earliest import LONG_AGO, earliest
from consumers.corpus.pieces import Dump, opened
from consumers.corpus.progress import Closing, WHOLE_SINCE, time_of, written
from consumers.corpus.site import Site
from consumers.corpus.state import State
from consumers.errors import UsageError
from consumers.wiki import Wiki

HELP: Final = "read a public dump of a wiki, and close what lies between it and the feed"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="pages-articles of one wiki: bz2, gz, zst or plain XML",
    )
    add(
        "--dump-started",
        type=feeds.time_of,
        metavar="TIME",
        help="when the dump was begun (default: the date in the files' names; else a day before its newest edit)",
    )
    add(
        "--kept-since",
        type=feeds.time_of,
        metavar="TIME",
        help="from when on the feed tells all (default: the feed is asked)",
    )
    add(
        "--accept-holes", action="store_true", help="go on where edits are missing that nobody lists any more"
    )
    add(
        "--offline", action="store_true", help="ask neither wiki nor feed: no licence, and the gap stays open"
    )
    add("--no-wikitext", action="store_true", help="keep plain text only")
    add(
        "--processes",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="that read the dump (default: %(default)s)",
    )
    wiki.arguments(parser)
    feeds.arguments(parser)


def run(options: argparse.Namespace) -> int:
    dumps = [opened(path) for path in options.files]
    head = bootstrap.site_of_all(dumps)
    started = options.dump_started or bootstrap.started_of(dumps)
    if started is not None and started > datetime.now(UTC):
        raise UsageError(
            f"the dump was begun at {started.isoformat()}, which is yet to come; see --dump-started"
        )
    with ExitStack() as stack:
        state = stack.enter_context(State(options.corpus, create=True))
        asked, site = None, head
        if not options.offline:
            asked = stack.enter_context(wiki.opened(options, head.server))
            site = _same(site_of(asked), head)
        if started is not None:
            bootstrap.joined(state, started, "")
        shown = stack.enter_context(Shown())
        totals = _read(state, dumps, site, started, options, shown)
        since = bootstrap.joined(state, started, totals.newest)
        closing = _close(state, asked, site, since, options, shown) if asked else None
    print(
        msgspec.json.encode(
            {
                "wiki": site.wiki,
                "rows": totals.rows,
                "unreadable": totals.unreadable,
                "follow_since": written(since),
                "gap": closing,
                "requests": asked.requests if asked else 0,
            }
        ).decode()
    )
    if asked is None:
        print("corpus: offline: what changed since the dump is not in the corpus", file=sys.stderr)
    return 0


def _same(told: Site, head: Site) -> Site:
    if told.wiki != head.wiki:
        raise UsageError(
            f"the dump is of {head.wiki}, and the API that was asked is {told.wiki}'s: see --server"
        )
    return told


def _read(
    state: State,
    dumps: list[Dump],
    site: Site,
    started: datetime | None,
    options: argparse.Namespace,
    shown: Shown,
) -> bootstrap.Totals:
    before = dict(zip((str(dump.path) for dump in dumps), _sums(dumps), strict=True))
    shown.begin("reading", sum(dump.size_bytes for dump in dumps), "bytes")
    totals = bootstrap.read(
        state,
        dumps,
        site,
        started=started,
        keep_wikitext=not options.no_wikitext,
        processes=max(1, options.processes),
        advanced=lambda dump, done: shown.at(before[str(dump.path)] + done.piece.read_bytes, len(done.rows)),
    )
    shown.at(sum(dump.size_bytes for dump in dumps), 0)
    return totals


def _sums(dumps: list[Dump]) -> list[int]:
    return [sum(dump.size_bytes for dump in dumps[:index]) for index in range(len(dumps))]


def _close(
    state: State, asked: Wiki, site: Site, since: datetime, options: argparse.Namespace, shown: Shown
) -> Closing | None:
    now = datetime.now(UTC)
    until = _kept_since(state, options, now)
    if not state.positions():
        state.commit(facts={WHOLE_SINCE: written(max(since, until))})
    closing = gap.needed(state, site.wiki, since, until, now=now)
    if closing is None:
        return None
    closing = gap.listable(state, site.wiki, closing, now=now, accept_holes=options.accept_holes)
    begin_s = closing.changes_s + closing.logs_s
    shown.begin("closing the gap", 2 * closing.until_s - begin_s, "s")
    closer = gap.Closer(
        state,
        asked,
        site,
        keep_wikitext=not options.no_wikitext,
        advanced=lambda after: shown.at(after.changes_s + after.logs_s - begin_s, 0, asked=after.asked),
    )
    return closer.close(closing)


def _kept_since(state: State, options: argparse.Namespace, now: datetime) -> datetime:
    """A corpus that is followed already has all since its feeds began."""
    if options.kept_since is not None:
        given: datetime = options.kept_since
        return given
    if state.positions():
        return time_of(state, WHOLE_SINCE) or now
    sampled = feeds.opened(argparse.Namespace(**{**vars(options), "since": LONG_AGO}))
    return asyncio.run(earliest(sampled)) or now
