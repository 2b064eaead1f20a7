"""`corpus bootstrap FILE…`: the pages of a dump, and where the feed goes on.

Killed, it goes on where it was when it is called again.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from consumers import feeds, wiki
from consumers.commands.filters import namespaces_of
from consumers.commands.shown import Shown
from consumers.corpus import bootstrap, gap
from consumers.corpus.asked import site_of
from consumers.corpus.beginning import begun, whole_since
from consumers.corpus.lock import feeding
from consumers.corpus.pieces import Dump, opened
from consumers.corpus.progress import Closing, bootstrapped, closing_name, fact, stage_of, written
from consumers.corpus.site import Site
from consumers.corpus.state import State
from consumers.errors import StateError, UsageError
from consumers.event import Feed
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
        help="when it was begun (default: by the files' names; else a day before its newest edit)",
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
    add(
        "--keep",
        choices=("wikitext", "text"),
        default="wikitext",
        help="wikitext beside the text, or the text alone (default: %(default)s)",
    )
    add(
        "--processes",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="that read the dump (default: %(default)s)",
    )
    add(
        "--namespaces",
        default="0",
        metavar="0,…|all",
        help="pages of these only (default: %(default)s, articles); the feed's are those of the partner",
    )
    wiki.arguments(parser)
    feeds.arguments(parser)


def run(options: argparse.Namespace) -> int:
    options.namespaces = namespaces_of(options.namespaces)
    dumps = [opened(path) for path in options.files]
    head = bootstrap.site_of_all(dumps)
    started = options.dump_started or bootstrap.started_of(dumps)
    if started is not None and started > datetime.now(UTC):
        raise UsageError(
            f"the dump was begun at {started.isoformat()}, which is yet to come: see --dump-started"
        )
    with ExitStack() as stack:
        state = stack.enter_context(State(options.corpus, create=True))
        asked, site = None, head
        if not options.offline:
            asked = stack.enter_context(wiki.opened(options, head.server))
            if options.kept_since is None:
                feeds.opened(options, state.positions())  # refused before a day's reading
            site = _same(site_of(asked), head)
        work = _Work(options, state, site, stack.enter_context(Shown()))
        if started is not None:
            bootstrap.joined(state, started, "")
        totals = work.read(dumps, started)
        since = bootstrap.joined(state, started, totals.newest)
        closing = work.close(asked, since) if asked else None
        others = [
            wiki for wiki in bootstrapped(state) if wiki != site.wiki and stage_of(state, wiki) == "open"
        ]
    result = {"wiki": site.wiki, "rows": totals.rows, "unreadable": totals.unreadable}
    result |= {"since": written(since), "gap": closing, "requests": asked.requests if asked else 0}
    print(msgspec.json.encode(result).decode())
    if asked is None:
        print("corpus: offline: what changed since the dump is not in the corpus", file=sys.stderr)
    if others:
        print(f"corpus: the gap of {', '.join(others)} is open: bootstrap again there too", file=sys.stderr)
    return 0


def _same(told: Site, head: Site) -> Site:
    if told.wiki != head.wiki:
        raise UsageError(
            f"the dump is of {head.wiki}, and the API that was asked is {told.wiki}'s: see --server"
        )
    return told


class _Work(NamedTuple):
    options: argparse.Namespace
    state: State
    site: Site
    shown: Shown

    @property
    def keeps_wikitext(self) -> bool:
        return bool(self.options.keep == "wikitext")

    def read(self, dumps: Sequence[Dump], started: datetime | None) -> bootstrap.Totals:
        sizes = [dump.size_bytes for dump in dumps]
        before = dict(zip((dump.path for dump in dumps), accumulate([0, *sizes]), strict=False))
        self.shown.begin("reading", sum(sizes), "bytes")
        totals = bootstrap.read(
            self.state,
            dumps,
            self.site,
            started=started,
            keep_wikitext=self.keeps_wikitext,
            processes=max(1, self.options.processes),
            namespaces=self.options.namespaces,
            advanced=lambda dump, done: self.shown.at(
                before[dump.path] + done.piece.read_bytes, len(done.rows)
            ),
        )
        self.shown.at(sum(sizes), 0)
        return totals

    def close(self, asked: Wiki, since: datetime) -> Closing | None:
        state, now = self.state, datetime.now(UTC)
        until = self._whole_since(since, now)
        closing = gap.needed(state, self.site.wiki, since, until, now=now)
        if closing is None:
            nothing = Closing(*[int(since.timestamp())] * 4)
            state.commit(facts={closing_name(self.site.wiki): fact(nothing)})
            return None
        closing = gap.listable(
            state, self.site.wiki, closing, now=now, accept_holes=self.options.accept_holes
        )
        begin_s = closing.changes_s + closing.logs_s
        self.shown.begin("closing the gap", 2 * closing.until_s - begin_s, "s")
        closer = gap.Closer(
            state,
            asked,
            self.site,
            keep_wikitext=self.keeps_wikitext,
            namespaces=self.options.namespaces,
            advanced=lambda after: self.shown.at(
                after.changes_s + after.logs_s - begin_s, 0, asked=after.asked
            ),
        )
        return closer.close(closing)

    def _whole_since(self, since: datetime, now: datetime) -> datetime:
        """From when on the corpus is told all by the feed, which has its position from here on. One that is
        being followed by another process keeps its own.
        """
        given: datetime | None = self.options.kept_since
        if given is not None:
            return given
        with ExitStack() as stack:
            try:
                stack.enter_context(feeding(self.options.corpus))
            except StateError:
                return whole_since(self.state, self._opened(since)) or now
            return asyncio.run(
                begun(
                    self.state,
                    self._opened,
                    since,
                    now=now,
                    wikis=self.options.wikis,
                    keep_wikitext=self.keeps_wikitext,
                )
            )

    def _opened(self, since: datetime) -> Sequence[Feed]:
        options = {**vars(self.options), "since": since, "on_gap": "fail"}
        return feeds.opened(argparse.Namespace(**options))
