"""Partners that settle, in the role on the real embedded log; the time is the test's own."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from harness.articles import PARTITIONS, Page
from msgspec import UNSET

from streamer.accounts import ENRICH_GROUP, GROUP, seen_by
from streamer.clock import Clock
from streamer.cutoffs import cutoff_record
from streamer.enrich.outbox import GROUP as ENRICH
from streamer.enrich.signals import signal_record
from streamer.log.base import Lane, Record, Stored, TopicPartition
from streamer.log.local import LocalLog
from streamer.log.position import Position
from streamer.metrics import REGISTRY, ROUTE_SETTLING
from streamer.model import Signal, is_tick
from streamer.partners_edit import add_partner
from streamer.route.rebuild import mark_of
from streamer.route.rebuilder import Rebuilder
from streamer.route.starts import record_start
from streamer.runtime import topic_specs
from tests.unit.route.test_route_stage import SETTINGS, Place, until

MINUTE_MS = 60_000
PLAIN = "[plain]\n"
SETTLED = '[settled]\nsettle = "10m"\n'
SHORTER = '[shorter]\nsettle = "5m"\nwikis = ["enwiki"]\n'
SHA = {name: f"{ord(name):02x}" * 20 for name in "ABCD"}


class Settled(Place):
    """With a wall clock that only moves when it is told to."""

    def __init__(self, log: LocalLog, file: Path, now: list[int]) -> None:
        super().__init__(log, file)
        self._now = now
        self._passed_s = 0.0
        self.clock = replace(
            Clock(), now_ms=lambda: now[0], monotonic_s=lambda: time.monotonic() + self._passed_s
        )

    def later(self, ms: int) -> None:
        self._now[0] += ms
        self._passed_s += ms / 1000

    def steps(self, ms: int) -> None:
        """The wall clock, while no time passes."""
        self._now[0] += ms

    async def looked(self, partner: str) -> None:
        """Waits until all that stands in the articles was looked at for the partner."""
        topic = self.topics.of_partner(partner)

        async def done() -> bool:
            ends = [bounds.end for bounds in await self.log.all_bounds(self.topics.articles)]
            found = await self.log.committed(GROUP)
            return all(
                (position := found.get(TopicPartition(topic, number))) is not None
                and seen_by(position) >= end
                for number, end in enumerate(ends)
                if end
            )

        await until(done)

    async def told(self, page: Page, oldest: int, newest: int, by: int = 0) -> None:
        signal = Signal(page.page_id, by, (oldest, newest), 0)
        await self.log.append([signal_record(self.topics.signals, PARTITIONS, page.wiki, signal)])

    async def stored(self, partner: str) -> list[Stored]:
        """Without ticks, of which some are due in so much time."""
        return [stored for stored in await super().stored(partner) if not is_tick(stored)]

    async def order(self, partner: str) -> list[int]:
        return [article.event.sequence for article in await self.got(partner)]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Settled]:
    file = tmp_path / "partners.toml"
    file.write_text(PLAIN + SETTLED)
    ROUTE_SETTLING.clear()  # of tests before, whose lanes were killed
    now = [1_800_000_000_000]
    async with LocalLog(tmp_path / "log.db", clock=lambda: now[0], clean_every_s=3600) as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        yield Settled(log, file, now)


def edits(contents: str, page_id: int = 1, first: int = 1) -> list[Page]:
    """Of one page, each with its parent."""
    return [
        Page(sequence, page_id=page_id, sha1=SHA[content], parent=sequence - 1)
        for sequence, content in enumerate(contents, first)
    ]


def held(partner: str) -> float:
    samples = [
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "streamer_route_settling_records" and sample.labels["partner"] == partner
    ]
    return sum(samples)


async def test_an_edit_comes_when_it_has_settled(place: Settled) -> None:
    """Held for its time, by the append and each by itself; another partner has it at once."""
    async with place.routing():
        await place.publish(*edits("AB"))
        await place.settled("plain", 2)
        await place.looked("settled")
        place.later(9 * MINUTE_MS)
        await place.publish(*edits("C", first=3))
        await place.settled("plain", 3)
        await place.looked("settled")
        await until(lambda: holds("settled", 3))
        assert await place.order("settled") == []
        place.later(MINUTE_MS)
        await place.settled("settled", 2)
        await until(lambda: holds("settled", 1))
        assert await place.order("settled") == [1, 2]
        place.later(9 * MINUTE_MS)
        await place.settled("settled", 3)
    assert await place.order("settled") == [1, 2, 3]
    assert await place.counts("settled") == {"published": 3}


async def holds(partner: str, count: int) -> bool:
    return held(partner) == count


async def test_a_clock_that_is_set_makes_nothing_old(place: Settled) -> None:
    """Nothing settles because route's clock stepped an hour forward, nor once it is right again what is
    appended after that; it settles in its own time.
    """
    async with place.routing():
        await place.publish(*edits("A"))
        await place.looked("settled")
        place.steps(60 * MINUTE_MS)
        await asyncio.sleep(2.5)  # two looks of the horizon, some of the lane
        assert await place.order("settled") == []
        place.steps(-60 * MINUTE_MS)
        await asyncio.sleep(1.5)
        place.later(5 * MINUTE_MS)
        await place.publish(*edits("B", first=2))
        await place.looked("settled")
        await asyncio.sleep(0.5)
        assert await place.order("settled") == []
        place.later(5 * MINUTE_MS)
        await place.settled("settled", 1)
        assert await place.order("settled") == [1]
        place.later(5 * MINUTE_MS)
        await place.settled("settled", 2)


async def test_a_busy_page_does_not_starve(place: Settled) -> None:
    """A page that is edited every minute comes out minute by minute, ten behind."""
    async with place.routing():
        for sequence in range(1, 31):
            await place.publish(Page(sequence, sha1=f"{sequence:040x}"[::-1]))
            place.later(MINUTE_MS)
            await place.settled("settled", sequence - 9)
    got = await place.order("settled")
    assert got == list(range(1, len(got) + 1))
    assert len(got) >= 20


async def test_a_removal_goes_at_once_and_ends_what_is_held(place: Settled) -> None:
    """A deletion, and a text that is hidden, are out when they are seen; what was held never comes out."""
    async with place.routing():
        await place.publish(*edits("AB"), Page(3, page_id=2), Page(4, page_id=3))
        await place.publish(Page(5, kind="delete"), Page(6, page_id=2, kind="visibility", text=None))
        await place.settled("settled", 2)
        assert sorted(await place.order("settled")) == [5, 6]
        await place.publish(Page(7, kind="restore"))
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 7)
    assert sorted(await place.order("settled")) == [4, 5, 6, 7]
    assert await place.counts("settled") == {"published": 4, "withdrawn": 3}


async def test_reverted_by_the_same_content(place: Settled) -> None:
    """The page has again what it had before, also before that was held: what lies between is left out, and
    the edit that reverted comes.
    """
    first = edits("A")
    rest = [*edits("BCA", first=2), *edits("D", first=5)]
    unseen = [
        Page(11, page_id=2, sha1=SHA["B"], parent=10, parent_sha1=SHA["A"]),
        Page(12, page_id=2, sha1=SHA["A"], parent=11, parent_sha1=SHA["B"]),
    ]
    async with place.routing():
        await place.publish(*first)
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 1)
        await place.publish(*rest, *unseen)
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 7)
    assert sorted(await place.order("settled")) == [1, 4, 5, 12]
    assert await place.counts("settled") == {"published": 4, "reverted": 3}
    assert len(await place.order("plain")) == 7


async def test_reverted_by_its_own_tag(place: Settled) -> None:
    """An article may come hours after its revert, when the signal is forgotten: then its tags say it."""
    bad, good = Page(11, tags=("mobile edit", "mw-reverted")), Page(12, tags=("mw-manual-revert",))
    async with place.routing():
        await place.told(bad, 11, 11, by=12)
        place.later(3 * 60 * MINUTE_MS)
        await place.publish(bad, good)
        await place.looked("settled")
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 2)
    assert await place.order("settled") == [12]
    assert await place.counts("settled") == {"published": 1, "reverted": 1}


@pytest.mark.parametrize("is_early", [False, True], ids=["after the article", "before it"])
async def test_reverted_by_what_the_wiki_says(place: Settled, *, is_early: bool) -> None:
    """The ends of a range, or one revision of which a tag says it; whenever that comes."""
    pages = [*edits("ABCD"), Page(11, page_id=2)]
    async with place.routing():
        if is_early:
            await place.told(pages[0], 2, 3, by=4)
            await place.told(pages[4], 11, 11)
        await place.publish(*pages)
        place.later(9 * MINUTE_MS)
        await place.looked("settled")
        if not is_early:
            await place.told(pages[0], 2, 3, by=4)
            await place.told(pages[4], 11, 11)
        place.later(MINUTE_MS)
        await place.settled("settled", 5)
    assert await place.order("settled") == [1, 4]
    assert await place.counts("settled") == {"published": 2, "reverted": 3}


async def test_a_removal_is_told_without_its_text_that_was_reverted(place: Settled) -> None:
    """A record that says that an older text is hidden restates the page as it is, be that vandalised. Who got
    the older one must learn of it, and nobody gets the vandal's; the page itself stays what it is.
    """
    hides = Page(
        3, revision=3, kind="visibility", hides_revision=True, sha1=SHA["B"], text="vandal", comment="vandal"
    )
    async with place.routing():
        await place.publish(*edits("AB"), hides, *edits("A", first=4))
        await place.looked("settled")
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 4)
    first, told, told_tombstone, last = await place.stored("settled")
    assert [first.key, told.key, last.key] == ["enwiki:1", "enwiki:1/3", "enwiki:1"]
    assert (told_tombstone.key, told_tombstone.value) == (told.key, None)
    assert told.header("ce_type") == "wiki.article.visibility-change"
    assert (told.header("ce_subject"), told.header("rev"), told.header("sha1")) == (told.key, "", "")
    assert b"vandal" not in (told.value or b"")
    article = (await place.got("settled"))[1]
    assert article.event.late is True
    assert article.event.revision is not UNSET
    assert article.event.revision.visibility.text is False
    assert article.article_body is UNSET
    assert article.version is UNSET
    assert await place.counts("settled") == {"published": 3, "reverted": 1}


async def test_a_move_is_told_without_its_text_that_was_reverted(place: Settled) -> None:
    """Where the page is now says no later edit to those whose rules leave that out."""
    moved = Page(3, kind="move", was_in=0, sha1=SHA["B"], text="vandal")
    place.file.write_text(PLAIN + SETTLED + "bots = false\n")
    async with place.routing():
        await place.publish(*edits("AB"), moved, Page(4, sha1=SHA["A"], bot=True))
        await place.looked("settled")
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 4)
    first, told, tombstone = await place.stored("settled")
    assert [first.key, told.key, tombstone.key] == ["enwiki:1", "enwiki:1/3", "enwiki:1/3"]
    assert tombstone.value is None
    assert b"vandal" not in (told.value or b"")
    assert [article.event.kind for article in await place.got("settled")] == ["edit", "move"]
    assert await place.counts("settled") == {"published": 2, "reverted": 1, "filtered": 1}


async def test_withdrawn_while_it_is_held(place: Settled) -> None:
    """A cut-off that comes while an edit is held is heeded when it would go."""
    page, other = Page(1, sha1=SHA["A"]), Page(2, sha1=SHA["B"])
    async with place.routing():
        await place.publish(page, other)
        await place.looked("settled")
        record = cutoff_record(
            place.topics.withdrawals,
            PARTITIONS,
            wiki="enwiki",
            page_id=1,
            revision=1,
            sequence=100,
            hides=("text",),
        )
        await place.log.append([record])
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 2)
    assert await place.order("settled") == [2]
    assert await place.counts("settled") == {"published": 1, "withdrawn": 1}


async def test_a_late_record_and_its_tombstone(place: Settled) -> None:
    """They keep their places."""
    late = Page(3, late=True, revision=1)
    async with place.routing():
        await place.publish(Page(2))
        await place.log.append([late.record(place.topics), late.tombstone(place.topics)])
        await place.publish(Page(4))
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 3)
    assert [(s.key, s.value is None) for s in await place.stored("settled")] == [
        (s.key, s.value is None) for s in await place.stored("plain")
    ]


async def test_a_page_that_leaves_goes_at_once(place: Settled) -> None:
    """A move out of scope is a deletion for the partner: out when it is seen, counted once, and nothing that
    was held of the page comes after it, over a restart too.
    """
    place.file.write_text(PLAIN + SETTLED + "namespaces = [0]\n")
    async with place.routing():
        await place.publish(Page(1), Page(2, kind="move", namespace=1, was_in=0), Page(3, page_id=2))
        await place.settled("settled", 1)
    async with place.routing():
        await place.publish(Page(4, kind="move", namespace=0, was_in=1))
        await place.looked("settled")
        assert await place.order("settled") == [2]
    async with place.routing():
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 4)
    got = await place.got("settled")
    assert sorted((a.event.sequence, a.event.type) for a in got) == [
        (2, "delete"),
        (3, "update"),
        (4, "update"),
    ]
    assert await place.counts("settled") == {"published": 3, "filtered": 1}


async def test_what_was_settled_survives_whatever_is_killed(place: Settled, rng: random.Random) -> None:
    """Cut off at any instant, again and again, with reverts and removals: each article is accounted for once,
    each page in order, and no restart changes what becomes of it.
    """
    place.file.write_text(PLAIN + SETTLED + SHORTER)
    async with place.routing():
        pass
    sequence = 0
    for _ in range(12):
        async with place.routing(drains=False):
            for _ in range(6):
                pages = []
                for _ in range(rng.randrange(1, 12)):
                    sequence += 1
                    page_id = rng.randrange(1, 9)
                    is_removal = rng.random() < 0.1
                    kind = rng.choice(("delete", "visibility")) if is_removal else "edit"
                    sha1 = SHA[rng.choice("ABCD")] if not is_removal else None
                    text = None if is_removal else "words"
                    pages.append(Page(sequence, page_id=page_id, kind=kind, text=text, sha1=sha1))  # type: ignore[arg-type] # one of them
                await place.publish(*pages)
                place.later(rng.choice((0, MINUTE_MS, 4 * MINUTE_MS)))
                await asyncio.sleep(rng.random() * 0.02)  # the instant at which it is cut off
    async with place.routing():
        await place.looked("settled")
        place.later(10 * MINUTE_MS)
        for partner in ("plain", "settled", "shorter"):
            await place.settled(partner, sequence)
    assert await place.order("plain") != []
    for partner in ("settled", "shorter"):
        counts = await place.counts(partner)
        assert sum(counts.values()) == sequence
        got = await place.order(partner)
        assert len(set(got)) == len(got) == counts["published"]
        last: dict[str, int] = {}
        for stored in await place.stored(partner):
            assert last.get(stored.key, 0) < int(stored.header("ce_sequence"))
            last[stored.key] = int(stored.header("ce_sequence"))


async def test_settling_ends_and_begins_with_the_rules(place: Settled) -> None:
    """`0s` lets go of all that was held, `10m` holds what comes after it; nothing twice."""
    async with place.routing():
        await place.publish(*edits("AB"))
        await place.looked("settled")
        place.file.write_text(PLAIN + "[settled]\n")
        await place.settled("settled", 2)
        await place.publish(*edits("C", first=3))
        await place.settled("settled", 3)
        place.file.write_text(PLAIN + SETTLED)
        sequence = 3

        async def holds_one() -> bool:
            nonlocal sequence
            sequence += 1
            await place.publish(Page(sequence))
            return held("settled") > 0

        await until(holds_one)
        await place.looked("settled")
        place.later(10 * MINUTE_MS)
        await place.settled("settled", sequence)
    assert await place.order("settled") == list(range(1, sequence + 1))


async def test_a_change_to_nothing_while_it_was_down(place: Settled) -> None:
    """What was held goes at the next start, without what was ended."""
    async with place.routing():
        await place.publish(*edits("AB"), Page(3, page_id=2), Page(4, page_id=2, kind="delete"))
        await place.looked("settled")
    place.file.write_text(PLAIN + "[settled]\n")
    async with place.routing():
        await place.settled("settled", 4)

        async def forgotten() -> bool:
            positions = await place.log.committed(GROUP)
            return all("seen" not in position.state for position in positions.values())

        await until(forgotten)
    assert sorted(await place.order("settled")) == [1, 2, 4]


def unknown_s() -> float:
    age_s = REGISTRY.get_sample_value("streamer_route_reverts_age_seconds")
    assert age_s is not None
    return age_s


async def known() -> bool:
    return unknown_s() < 60


async def test_nothing_settles_that_enrich_has_not_caught_up_with(place: Settled) -> None:
    """While changes are unread, of whichever partition, a revert may stand among them: then time alone
    settles nothing, and a gauge says for how long.
    """
    topic = place.topics.changes
    await place.log.append([Record(topic, 3, "enwiki", b"{}")])
    async with place.routing():
        await place.publish(*edits("AB"))
        await place.looked("settled")
        place.later(60 * MINUTE_MS)
        await asyncio.sleep(1.5)  # two looks
        assert await place.order("settled") == []
        assert unknown_s() >= 3_600

        async def enrich(lane: Lane) -> None:
            await lane.commit([], {TopicPartition(topic, 3): Position(1)})

        await place.told(edits("A")[0], 1, 1)
        await place.log.run_lanes(ENRICH, topic, enrich, partitions=[3])
        await place.settled("settled", 2)
        await until(known)
    assert await place.counts("settled") == {"published": 1, "reverted": 1}
    assert ENRICH_GROUP == ENRICH


async def test_without_signals_the_others_go_on(place: Settled) -> None:
    """Where it can't be known what was reverted, nothing settles; who does not settle has all."""
    await place.log.delete_topic(place.topics.signals)
    async with place.routing():
        await place.publish(*edits("AB"))
        await place.looked("settled")
        place.later(10 * MINUTE_MS)
        await place.publish(*edits("C", first=3))
        await place.settled("plain", 3)
        assert await place.order("settled") == []


async def test_a_settling_feed_from_the_past(place: Settled) -> None:
    """Added with a time, it is judged by what came within its time, holds no more than that, and joins."""
    place.file.write_text(PLAIN)
    sequence = 0
    async with place.routing():
        for _ in range(20):
            await place.publish(*edits("ABA", page_id=sequence + 1, first=sequence + 1))
            sequence += 3
            place.later(MINUTE_MS)
        await place.settled("plain", sequence)
        await record_start(place.log, place.topics, "settled", 0)
        add_partner(place.file, "settled", {"settle": "10m"})
        await place.settled("settled", sequence - 30)
        await place.looked("settled")
        await until(lambda: holds("settled", 27))
        place.later(10 * MINUTE_MS)
        await place.settled("settled", sequence)
    assert await place.counts("settled") == {"published": 40, "reverted": 20}
    assert sorted(await place.order("settled")) == [n for n in range(1, 61) if n % 3 != 2]


async def test_a_settling_feed_is_made_anew(place: Settled) -> None:
    """A rebuild ends when all is seen and nothing is due, though the newest is still held; the same comes out
    as before, once.
    """
    async with place.routing():
        await place.publish(*edits("ABA"), *edits("D", page_id=2, first=4))
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 4)
        before = await place.order("settled")
        await place.publish(Page(5, page_id=3))
        told: list[str] = []
        rebuilder = Rebuilder(place.log, SETTINGS, "settled", told.append)
        async with asyncio.timeout(30):
            await rebuilder.run(None, wait=True, rules=lambda: "")
        assert sorted(await place.order("settled")) == sorted(before)
        marks = [
            mark_of(position.state).phase
            for tp, position in (await place.log.committed(GROUP)).items()
            if tp.topic == place.topics.of_partner("settled")
        ]
        assert set(marks) == {"met"}
        place.later(10 * MINUTE_MS)
        await place.settled("settled", 5)
    assert sorted(await place.order("settled")) == [1, 3, 4, 5]


async def test_many_settle_together(place: Settled) -> None:
    """Partners of several times share what is remembered; each has its own."""
    place.file.write_text(PLAIN + SETTLED + SHORTER + '[like]\nsettle = "10m"\n')
    pages = [Page(sequence, page_id=1 + sequence % 7) for sequence in range(1, 1_201)]
    async with place.routing():
        await publish_in_parts(place, pages)
        await place.looked("settled")
        place.later(5 * MINUTE_MS)
        await place.settled("shorter", len(pages))
        assert await place.order("settled") == []
        place.later(5 * MINUTE_MS)
        for partner in ("settled", "like"):
            await place.settled(partner, len(pages))
    for partner in ("settled", "like", "shorter"):
        assert await place.sequences(partner) == [page.sequence for page in pages]


async def publish_in_parts(place: Settled, pages: Sequence[Page]) -> None:
    for first in range(0, len(pages), 200):
        await place.publish(*pages[first : first + 200])


async def test_what_expires_while_it_is_held(tmp_path: Path) -> None:
    """What retention takes of the held is counted `expired`; what went at once counts as it did."""
    file = tmp_path / "partners.toml"
    file.write_text(SETTLED)
    now = [1_800_000_000_000]
    async with LocalLog(tmp_path / "log.db", clock=lambda: now[0], clean_every_s=3600) as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        place = Settled(log, file, now)
        async with place.routing():
            await place.publish(Page(1), Page(2, page_id=2), Page(3, page_id=2, kind="delete"))
            await place.looked("settled")
        place.later(31 * 24 * 60 * MINUTE_MS)
        await log.clean()
        await place.publish(Page(4))
        async with place.routing():
            await place.looked("settled")
            place.later(10 * MINUTE_MS)

            async def out() -> bool:
                return await place.order("settled") == [4]

            await until(out)
        counts = await place.counts("settled")
    assert counts["published"] == 2
    assert 2 <= counts["expired"] <= 3  # offsets, where nothing of them is known any more
