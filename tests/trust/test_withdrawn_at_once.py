"""From the commit of a cut-off on no read path serves what a wiki has taken back; the rest stays."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

import pytest
from harness.canaries import found_in
from harness.feed import Feed
from harness.mediawiki.taken import letters, pages
from harness.mediawiki.withdrawals import OnALog, Withdrawals
from harness.served import EVER, QUIET, READ_S, PartnersFeed, Resume, Slow, served

HELD_S = 200.0
"""What is asked of the wikis meanwhile: longer than all that is read meanwhile."""


async def ids_before(feed: PartnersFeed, stage: Withdrawals, borders: set[str]) -> dict[str, Resume]:
    """For each page the id that a client had when its first revision came next."""
    found: dict[str, Resume] = {}
    missing = set(borders)
    reading = Feed(f"http://127.0.0.1:{feed.port}/v2/articles", feed.key, since=EVER)
    before = ""
    async with asyncio.timeout(READ_S), aclosing(reading.events()) as events:
        async for event in events:
            if event.name == "message":
                for name in found_in(event.data.encode(), stage.firsts):
                    if before:
                        page = name.rpartition(".")[0]
                        resume = Resume(before, frozenset(borders - missing))
                        found.setdefault(f"id before {page}", resume)
                missing.discard(str(event.article["name"]))
            before = event.id or before
            if not missing:
                break
    return found


def expect(found: Mapping[str, set[str]], wanted: set[str]) -> None:
    """Each way to read gives all of that and nothing else; a resume in its midst gives part of it."""
    for way, names in found.items():
        if way in QUIET:
            assert not names, way
        elif way.startswith("id before "):
            page = way.removeprefix("id before ")
            assert names <= wanted, (way, names - wanted)
            mine = {name for name in wanted if name.rpartition(".")[0] == page}
            assert names >= mine, (way, mine - names)
        else:
            assert names == wanted, (way, names - wanted, wanted - names)


@pytest.mark.timeout(600)
async def test_no_read_path_serves_it(on: OnALog) -> None:
    """Asked for from the beginning, by id, by offsets, by time; as SSE and NDJSON, compressed, filtered,
    projected; by a partner who asks for new pages only; and by a client that was sent it and is behind.
    First while nothing but the cut-offs is known, then with what was published about it.
    """
    async with on(pages()) as stage:
        everything, narrow, slow = (stage.feed(name) for name in ("everything", "narrow", "slow"))
        async with Slow(slow) as in_time, Slow(slow) as too_late:
            await stage.fill()
            await stage.write()
            borders = await stage.borders()
            ids = await ids_before(everything, stage, borders)
            expect(await served(everything, stage.words, borders, ids), set(stage.words))
            expect(await served(narrow, stage.words, borders), set(stage.firsts))
            assert await in_time.read(stage.words, borders) == set(stage.words)
            with stage.farm.gate.hold(deadline_s=HELD_S):
                await stage.take_back()
                expect(await served(everything, stage.words, borders, ids), stage.visible)
                expect(await served(narrow, stage.words, borders), stage.visible & set(stage.firsts))
            assert await too_late.read(stage.words, borders) == stage.visible
        await stage.settled()
        borders = await stage.borders()
        for feed in (everything, narrow):  # which is told of each page by now
            expect(await served(feed, stage.words, borders), stage.visible)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_no_read_path_serves_it_after_kills(on: OnALog) -> None:
    """The service is killed again and again once the cut-offs are committed: before anything else is known,
    while that is fetched, and when all is told. Whoever reads in between is served nothing of it.
    """
    async with on([*pages(), *letters()]) as stage:
        everything, narrow = stage.feed("everything"), stage.feed("narrow")
        await stage.write()
        borders = await stage.borders()
        expect(await served(everything, stage.words, borders), stage.told)
        with stage.farm.gate.hold(deadline_s=HELD_S):
            await stage.take_back()
            for _ in range(3):
                await stage.killed()
                expect(await served(everything, stage.words, borders), stage.visible & stage.told)
                expect(await served(narrow, stage.words, borders), stage.visible & set(stage.firsts))
        for _ in range(3):
            await stage.killed()
            found = await served(everything, stage.words, borders)
            assert not set[str]().union(*found.values()) & stage.hidden
        await stage.replay()
        await stage.killed()
        await stage.settled()
        borders = await stage.borders()
        expect(await served(everything, stage.words, borders), stage.visible)
