"""Dumps into the corpus, and the place where the feed goes on.

    dump's start - margin               the feed's position                 now
          │ listing changes (consumers.corpus.gap) │ the feed, from here on │
          └── `since`: from when on it is wanted   └── kept before anything is listed (beginning)

A dump is read in pieces, each committed with how far that is: killed at any instant, it goes on there. Pages
are rows as of the dump's start, so it does no harm that the feed tells some of it again, or told it before.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from msgspec.structs import replace

from consumers.corpus.pieces import Dump, pieces
from consumers.corpus.progress import (
    SINCE,
    Reading,
    closing_name,
    fact,
    known,
    reading_name,
    site_name,
    time_of,
    written,
)
from consumers.corpus.site import Site
from consumers.corpus.state import State
from consumers.corpus.workers import Done, Job, done
from consumers.errors import DumpError, UsageError

MARGIN: Final = timedelta(hours=1)
"""Before a dump's start: replicas from which it is made lag, and so does the stream."""
GUESSED: Final = timedelta(days=1)
"""Before the newest revision in a dump of which nobody said when it was begun: so long it may have taken."""
_DATED: Final = re.compile(r"(?<!\d)(20\d\d)-?(\d\d)-?(\d\d)(?!\d)")


class Totals(NamedTuple):
    rows: int
    unreadable: int
    newest: str


def started_of(dumps: Sequence[Dump]) -> datetime | None:
    """By the date in the files' names, as Wikimedia names them: the day on which the dump was begun, from its
    first second. The earliest where they differ; None where one has none.
    """
    found = []
    for dump in dumps:
        match = _DATED.search(dump.path.name)
        if match is None:
            return None
        try:
            found.append(datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC))
        except ValueError:
            return None
    return min(found, default=None)


def site_of_all(dumps: Sequence[Dump]) -> Site:
    """What their heads say. Raises UsageError for dumps of several wikis."""
    wikis = sorted({dump.site.wiki for dump in dumps})
    if len(wikis) != 1:
        raise UsageError(
            f"these are dumps of {', '.join(wikis)}: one wiki each time, the corpus takes them all"
        )
    return dumps[0].site


def read(
    state: State,
    dumps: Sequence[Dump],
    site: Site,
    *,
    started: datetime | None,
    keep_wikitext: bool = True,
    processes: int = 1,
    namespaces: list[int] | None = None,
    advanced: Callable[[Dump, Done], object] = lambda _dump, _done: None,
) -> Totals:
    """All pages of the dumps (of these namespaces), from where an earlier call was ended; from the beginning,
    and what lies between dump and feed again, where that one was of other namespaces. Raises DumpError; what
    was read until then is in the corpus.
    """
    at = int(started.timestamp() * 1e6) if started else None
    state.commit(facts={site_name(site.wiki): fact(site)})
    readings = []
    for dump in dumps:
        name = reading_name(site.wiki, dump.identity)
        reading = known(state, name, Reading)
        if reading is None or reading.namespaces != namespaces:
            reading = Reading(dump.path.name, dump.size_bytes, namespaces=namespaces)
            state.commit(facts={name: fact(reading), closing_name(site.wiki): ""})
        if not reading.finished:
            job = Job(site, at, keep_wikitext, namespaces)
            for each in done(pieces(dump, reading.done), job, processes):
                reading = _after(reading, each)
                state.commit_when_free(each.rows, facts={name: fact(reading)})
                advanced(dump, each)
            if not reading.closed:
                raise DumpError(f"{dump.path} has no </mediawiki> at its end: is it whole?")
            reading = replace(reading, finished=True)
            state.commit(facts={name: fact(reading)})
        readings.append(reading)
    return Totals(
        sum(reading.rows for reading in readings),
        sum(reading.unreadable for reading in readings),
        max((reading.newest for reading in readings), default=""),
    )


def _after(reading: Reading, each: Done) -> Reading:
    return replace(
        reading,
        done=each.piece.end,
        rows=reading.rows + len(each.rows),
        unreadable=reading.unreadable + each.unreadable,
        newest=max(reading.newest, each.newest),
        closed=reading.closed or each.closed,
    )


def joined(state: State, started: datetime | None, newest: str) -> datetime:
    """From when on changes of its wiki are wanted. Stored as where feeds begin that have no position yet,
    unless an earlier one is.
    """
    if started is None:
        if not newest:
            raise UsageError("the dump has no page: say by --dump-started when it was begun")
        started = datetime.fromisoformat(newest) - GUESSED
    since = started - MARGIN
    stored = time_of(state, SINCE)
    if stored is None or since < stored:
        state.commit(facts={SINCE: written(since)})
    return since
