"""Where the feeds go on beside a bootstrap: positions that are kept before anything is listed.

    since            first           begin                                     now
      │   lost to the  │    may be lost  │ told by the feed, from the position on │
      └─── listing changes (consumers.corpus.gap), until `begin` and an hour more ┘

A feed that is begun at a time begins at its earliest in silence where it keeps nothing as old. One that is
begun at a position says when that is no longer kept (PositionLost). So the position is kept first, in one
transaction with what came before it and with the time from which on the feed tells all: from then on whatever
retention takes is said, however long the listing lasts, and whoever is killed goes on.

A feed in which nothing happens may have no position yet but a time (SSE gives ids to events alone). Before
such a one is followed, it's asked whether it still reaches back to what was closed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from consumers.corpus.earliest import LONG_AGO, QUIET_S, SAMPLE_S, earliest
from consumers.corpus.gap import MARGIN_S
from consumers.corpus.page import told
from consumers.corpus.progress import (
    Closing,
    bad_name,
    closing_name,
    fact,
    known,
    origin_of,
    time_of,
    whole_name,
    written,
)
from consumers.corpus.state import State
from consumers.errors import PositionLost
from consumers.event import TIME, Article, Batch, Feed
from consumers.wikitext.text import Origin

Opened = Callable[[datetime], Sequence[Feed]]
"""The same feeds, to be begun at a time."""

HELD_S: Final = 8.0
"""So long a position that is lost has to be refused; a quiet feed says nothing to one that holds."""
YOUNG: Final = timedelta(hours=1)
SHARE: Final = 4
"""Where the feed keeps less than is wanted, a quarter of what it keeps beyond YOUNG is listed too: a position
at its very beginning would be lost before the listing is at its end.
"""


async def begun(
    state: State,
    opened: Opened,
    since: datetime,
    *,
    now: datetime,
    wikis: Sequence[str] = (),
    keep_wikitext: bool = True,
    wait_s: float = SAMPLE_S,
    quiet_s: float = QUIET_S,
) -> datetime:
    """From when on the feeds tell all that the corpus hears of, once each has a position that holds: one that
    held already stays, one that is lost is replaced, and all wikis' gaps are open again up to where that one
    begins (`wikis` are those that the feeds tell of; none: all). Whoever calls it feeds the corpus
    (`lock.feeding`).

    Raises FeedError.
    """
    positions = state.positions()
    feeds = opened(LONG_AGO)
    held = await asyncio.gather(*(_holds(feed, positions.get(feed.name)) for feed in feeds))
    anew = [feed for feed, holds in zip(feeds, held, strict=True) if not holds]
    if anew:
        first = await earliest(anew, sample_s=wait_s, quiet_s=quiet_s)
        begin, whole = _begin(since, first, now)
        names = {feed.name for feed in anew}
        again = [feed for feed in opened(begin) if feed.name in names]
        batches = await asyncio.gather(*(_placed(feed, None, wait_s) for feed in again))
        found = {feed.name: batch for feed, batch in zip(again, batches, strict=True)}
        is_placed = all(_is_placed(batch.position) for batch in batches)
        until = min((whole if is_placed else now) + timedelta(seconds=MARGIN_S), now)
        facts = {closing_name(wiki): fact(closing) for wiki, closing in _opened(state, wikis, until).items()}
        _commit(state, found, facts, whole, keep_wikitext=keep_wikitext)
    return whole_since(state, feeds) or now


def whole_since(state: State, feeds: Sequence[Feed]) -> datetime | None:
    """As it was stored; None where one of them was begun otherwise."""
    times = [time_of(state, whole_name(feed.name)) for feed in feeds]
    return max((time for time in times if time), default=None) if all(times) else None


def forgotten(state: State, feeds: Sequence[Feed]) -> None:
    """That they tell all from some time on: as where they may go on beyond a gap."""
    state.commit(facts={whole_name(feed.name): "" for feed in feeds if state.fact(whole_name(feed.name))})


async def reaches_back(
    state: State, opened: Opened, since: datetime, *, wikis: Sequence[str] = (), sample_s: float = SAMPLE_S
) -> None:
    """That feeds which begin at `since`, those that have no position but a time, tell all that happened after
    the bootstraps. Raises PositionLost where something lies between, and FeedError.
    """
    closed = {wiki: closing.until_s for wiki, closing in _closings(state, wikis).items() if closing.finished}
    positions = state.positions()
    anew = [feed for feed in opened(LONG_AGO) if not _is_placed(positions.get(feed.name))]
    if not closed or not anew:
        return
    first = await earliest(anew, sample_s=sample_s)
    begin = max(since, first or since)
    wiki, until_s = min(closed.items(), key=lambda each: each[1])
    if until_s < begin.timestamp():
        until = datetime.fromtimestamp(until_s, UTC)
        raise PositionLost(
            f"the feed begins at {written(begin)}, and the changes of {wiki} are here until {written(until)}:"
            " what lies between would be missing"
        )


def _closings(state: State, wikis: Sequence[str]) -> dict[str, Closing]:
    found = {}
    for name in state.facts(closing_name("")):
        wiki, closing = name.removeprefix(closing_name("")), known(state, name, Closing)
        if closing and (not wikis or wiki in wikis):
            found[wiki] = closing
    return found


def _opened(state: State, wikis: Sequence[str], until: datetime) -> dict[str, Closing]:
    """What has to be listed up to there now, whichever wiki's bootstrap finds it."""
    until_s = int(until.timestamp())
    return {
        wiki: replace(closing, until_s=until_s)
        for wiki, closing in _closings(state, wikis).items()
        if closing.until_s < until_s
    }


def _begin(since: datetime, first: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Where to begin, and from when on all is told then."""
    if first is None:
        return since, now
    if first <= since:
        return since, since
    lead = (now - first - YOUNG) / SHARE
    if lead <= timedelta():
        return since, first
    begin = max(since, first + lead)
    return begin, begin


def _is_placed(position: str | None) -> bool:
    return position is not None and not position.startswith(TIME)


async def _holds(feed: Feed, position: str | None) -> bool:
    """True also where nobody says so in time: who follows it will be told."""
    if not _is_placed(position):
        return False
    try:
        await _placed(feed, position, HELD_S)
    except PositionLost:
        return False
    return True


async def _placed(feed: Feed, position: str | None, wait_s: float) -> Batch:
    """What comes until there is a position, in one; a quiet feed's may stay a time."""
    found = Batch((), position or "")
    try:
        async with asyncio.timeout(wait_s), aclosing(feed.batches(position)) as batches:
            async for batch in batches:
                events, bad = [*found.events, *batch.events], [*found.bad, *batch.bad]
                found = replace(batch, events=events, bad=bad)
                if _is_placed(batch.position):
                    break
    except TimeoutError:
        pass
    return found


def _commit(
    state: State,
    found: Mapping[str, Batch],
    facts: Mapping[str, str],
    whole: datetime,
    *,
    keep_wikitext: bool,
) -> None:
    def origin(article: Article) -> Origin:
        return origin_of(state, article)

    changes = [
        told(event, keep_wikitext=keep_wikitext, origin=origin)
        for batch in found.values()
        for event in batch.events
    ]
    facts = {**facts} | {
        whole_name(name): written(whole) if _is_placed(batch.position) else ""
        for name, batch in found.items()
    }
    for name, batch in found.items():
        if batch.bad:
            facts[bad_name(name)] = str(int(state.fact(bad_name(name)) or 0) + len(batch.bad))
    positions = {name: batch.position for name, batch in found.items() if batch.position}
    state.commit(changes, positions, facts)
