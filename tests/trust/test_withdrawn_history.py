"""What is made of history anew holds nothing that a wiki has taken back: for a partner who is added with a
time, by a rebuild, by the replay of a dead letter.
"""

import asyncio

import pytest
from harness.mediawiki.taken import letters, pages
from harness.mediawiki.withdrawals import OnALog, Withdrawals
from harness.served import PartnersFeed, served

WAYS = ("since", "since, NDJSON, gzip", "offsets", "id")


async def comes(stage: Withdrawals, feed: PartnersFeed, borders: set[str], wanted: set[str]) -> None:
    """By some of the ways in which it may be asked for: tests of them all are elsewhere."""
    for way, names in (await served(feed, stage.words, borders, only=WAYS)).items():
        assert names == wanted, (way, names ^ wanted)


async def holds(stage: Withdrawals, feed: PartnersFeed, borders: set[str], wanted: set[str]) -> None:
    """It comes, and stands on disk under the topic's name."""
    await comes(stage, feed, borders, wanted)
    assert stage.disk.holds()[feed.topic] == wanted


@pytest.mark.parametrize("on", ["local", pytest.param("kafka", marks=pytest.mark.soak)], indirect=True)
async def test_history_is_made_anew_without_it(on: OnALog) -> None:
    """Before, a partner that is added with a time has all of it, and so has its feed when that is rebuilt;
    after, neither that partner, rebuilt again, nor a later one has what was taken back. It does not come by a
    dead letter either, which is replayed then: what another letter lost, and was not taken back, does.
    """
    async with on([*pages(), *letters()]) as stage:
        await stage.write_firsts()
        await stage.write_seconds()
        borders = await stage.borders()
        told = stage.told
        early = await stage.add_since("early")
        await holds(stage, early, borders, told)
        await stage.command("partner", "rebuild", "early")
        await holds(stage, early, borders, told)

        await stage.take_back()
        await stage.replay()
        await stage.settled()
        borders |= await stage.borders()
        late, _ = await asyncio.gather(stage.add_since("late"), stage.command("partner", "rebuild", "early"))
        await comes(stage, stage.feed("everything"), borders, stage.visible)
        for feed in (late, early):
            await holds(stage, feed, borders, stage.visible)
        assert stage.disk.holds()[stage.topics.articles] > told, "its history is not compacted yet"
