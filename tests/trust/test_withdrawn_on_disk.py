"""What a wiki has taken back leaves every disk, with the history that both logs keep shortened to seconds."""

import asyncio
import time

from harness.canaries import found_in, found_in_any
from harness.kafka_readers import records_by_librdkafka
from harness.mediawiki.taken import letters, pages
from harness.mediawiki.withdrawals import RULES, OnALog, Withdrawals
from harness.on_disk import LocalDisk

HISTORY_S = 3.0
GONE_S = 60.0
"""Three spans of a segment, the history, the cleaner's pauses; the rest is for a busy machine."""


async def stand(stage: Withdrawals, wanted: dict[str, set[str]]) -> None:
    """The disk comes to hold exactly that: the topics, and what in each."""
    found: dict[str, set[str]] = {}
    try:
        async with asyncio.timeout(GONE_S):
            while (found := stage.disk.holds()) != wanted:
                await asyncio.sleep(0.5)
    except TimeoutError:
        wrong = {
            place: found.get(place, set()) ^ wanted.get(place, set())
            for place in found.keys() | wanted.keys()
            if found.get(place) != wanted.get(place)
        }
        raise AssertionError(f"not within {GONE_S} s: {wrong}") from None


async def consumed(stage: Withdrawals, topic: str) -> set[str] | None:
    """What a partner's own consumer finds there; None where there is no Kafka to consume from."""
    if stage.brokers is None:
        return None
    values = [found.value or b"" for found in await records_by_librdkafka(stage.brokers, topic)]
    return found_in_any(values, stage.words)


async def test_it_leaves_every_disk(on: OnALog) -> None:
    """A deletion, a suppressed page, and a revision's hidden text, comment and editor: no record, live or
    compacted, no free page and no WAL holds them; nor what was a dead letter meanwhile, and is replayed.
    What stays visible is all there.
    """
    async with on([*pages(), *letters()], history_s=HISTORY_S) as stage:
        partners = {stage.topics.of_partner(name) for name in RULES}
        topics = {stage.topics.articles, *partners}
        await stage.write_firsts()
        firsts = set(stage.firsts)
        await stand(stage, dict.fromkeys(topics, firsts))
        stage.disk.note()
        if isinstance(stage.disk, LocalDisk):  # the bytes that are looked for later are found
            assert set[str]().union(*stage.disk.stands_in_pages().values()) == firsts
        for topic in partners:
            assert await consumed(stage, topic) in (None, firsts)
        await stage.write_seconds()
        await stage.take_back()
        began_s = time.monotonic()
        await stage.replay()
        left = dict.fromkeys(topics, stage.current)
        narrow = stage.topics.of_partner("narrow")  # which gets new pages, and no replays
        left[narrow] = {name for name in stage.current if not name.startswith("lost and kept")}
        await stand(stage, left)
        print(f"gone {time.monotonic() - began_s:.1f} s after the last cut-off")
        for topic in partners:
            assert await consumed(stage, topic) in (None, left[topic])
        assert await stage.service.terminate() == 0
        assert stage.disk.holds() == left
        assert not found_in("\n".join(stage.service.lines).encode(), stage.words)
