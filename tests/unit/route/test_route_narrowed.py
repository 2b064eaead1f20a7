"""A partner whose wikis or namespaces were narrowed: what is withdrawn of the rest leaves its topic too."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.articles import PARTITIONS, Page
from harness.on_kafka import OnKafka

from deploy.kafka import Brokers
from streamer.clock import Clock
from streamer.config import LogSettings, Settings
from streamer.log.base import Stored
from streamer.log.local import LocalLog
from streamer.log.position import Position
from streamer.metrics import REGISTRY
from streamer.model import is_tick
from streamer.partners import Partner
from streamer.route.feed import SEVERAL, Feed, Routing
from streamer.runtime import topic_specs
from tests.unit.route.test_route_stage import SETTINGS, Place, until

BOTH = '[acme]\nwikis = ["enwiki", "dewiki"]\n'
ONE = '[acme]\nwikis = ["enwiki"]\n'
HISTORY_MS = 7 * 3_600_000
SHOWN = Page(1, page_id=1, wiki="dewiki", text="canary")
DELETE = Page(2, page_id=1, wiki="dewiki", kind="delete")
HIDE = Page(
    2, page_id=1, wiki="dewiki", kind="visibility", text="canary", hides_revision=True, hidden="comment"
)
MARKER = Page(3, page_id=2)


class Time:
    """The log's, which can be moved on."""

    shift_ms = 0

    def now_ms(self) -> int:
        return Clock().now_ms() + self.shift_ms


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def place(tmp_path: Path, time: Time) -> AsyncIterator[Place]:
    file = tmp_path / "partners.toml"
    file.write_text(BOTH)
    async with LocalLog(tmp_path / "log.db", clock=time.now_ms, clean_every_s=3_600) as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        yield Place(log, file)


async def routed(place: Place, *pages: Page) -> None:
    """By a run of the role that begins with the rules as they are and ends with them."""
    before = sum((await place.counts("acme")).values())
    async with place.routing():
        await place.publish(*pages)
        await place.settled("acme", before + len(pages))


async def of_page(place: Place) -> list[Stored]:
    return [stored for stored in await place.stored("acme") if stored.key == SHOWN.key]


@pytest.mark.parametrize("removal", [DELETE, HIDE], ids=["deleted", "comment hidden"])
@pytest.mark.parametrize("rules", [ONE, BOTH + "namespaces = [4]\n"], ids=["wiki", "namespace"])
async def test_a_filtered_removal_takes_away_what_was_let_in(
    place: Place, time: Time, rules: str, removal: Page
) -> None:
    """A tombstone under the page's key, which is an event to nobody; the record itself is counted once, as
    filtered. Once history has passed the topic holds nothing of the page.
    """
    await routed(place, SHOWN)
    place.file.write_text(rules)
    await routed(place, removal)
    shown, last = await of_page(place)
    assert b"canary" in (shown.value or b"")
    assert (last.value, last.headers) == (None, ())
    assert await place.counts("acme") == {"published": 1, "filtered": 1}
    time.shift_ms = HISTORY_MS
    await place.log.clean()
    assert await of_page(place) == []


async def test_rules_that_are_narrowed_under_way_are_heeded(place: Place) -> None:
    """Without a restart, and after one."""
    async with place.routing():
        await place.publish(SHOWN)
        await place.settled("acme", 1)
        applied = reloads()
        place.file.write_text(ONE)

        async def in_force() -> bool:
            return reloads() > applied

        await until(in_force)
        await place.publish(DELETE)
        await place.settled("acme", 2)
    await routed(place, Page(5, page_id=1, wiki="dewiki", kind="delete"))
    assert [stored.value is None for stored in await of_page(place)] == [False, True, True]


def reloads() -> float:
    return REGISTRY.get_sample_value("streamer_partners_reloads_total", {"result": "applied"}) or 0


async def test_who_was_never_narrowed_gets_no_tombstones(place: Place) -> None:
    """There is nothing of other wikis to be taken away. And a page that has left by a move, and is deleted
    where it went, is still told of as gone to who comes back after days.
    """
    place.file.write_text('[acme]\nwikis = ["dewiki"]\nnamespaces = [0]\n')
    leaves = Page(2, page_id=1, wiki="dewiki", kind="move", was_in=0, namespace=2)
    deleted = Page(3, page_id=1, wiki="dewiki", kind="delete", namespace=2)
    await routed(place, SHOWN, leaves, deleted, Page(4, page_id=9, kind="delete"))
    await routed(place, Page(5, page_id=9, kind="delete"))
    stored = [record for record in await place.stored("acme") if not is_tick(record)]
    assert [record.header("ce_type") for record in stored] == ["wiki.article.update", "wiki.article.delete"]
    assert await place.counts("acme") == {"published": 2, "filtered": 3}


async def test_the_tombstone_of_a_late_record_follows_it(place: Place) -> None:
    """The record was routed before its wiki was taken out, its tombstone after that."""
    late = Page(2, page_id=1, wiki="dewiki", late=True)
    await routed(place, late)
    place.file.write_text(ONE)
    async with place.routing():
        await place.log.append([late.tombstone(place.topics)])
        await place.publish(MARKER)
        await place.settled("acme", 2)
    assert [record.value is None for record in await place.stored("acme") if record.key == late.key] == [
        False,
        True,
    ]


def test_a_topic_that_held_other_places_says_so_until_it_is_made_anew() -> None:
    """Even where the rules are again what they were: what was let in between may be there still."""
    wide, narrow = (Routing(Partner("acme", wikis=wikis), "t") for wikis in (("a", "b"), ("a",)))
    reordered = Routing(Partner("acme", wikis=("b", "a"), kinds=("edit",)), "t")
    feed = Feed(wide, 0, {})
    for routing, several in ((wide, False), (reordered, False), (narrow, True), (wide, True)):
        feed = Feed.restore(routing, again(feed))
        assert (feed.places == SEVERAL) is several
    assert Feed(wide, 0, {}).places != SEVERAL


def again(feed: Feed) -> Position:
    """Its position as it comes back from the log."""
    position = feed.position("articles", "epoch", feed.next, feed.counts)
    return Position.restore(position.next, position.metadata())


@pytest.mark.xdist_group("kafka")
async def test_on_a_cluster(tmp_path: Path, brokers: Brokers) -> None:
    """The same on Kafka, where the cleaner is the broker's: the tombstone is the newest of its key."""
    file = tmp_path / "partners.toml"
    file.write_text(BOTH)
    kafka = OnKafka(brokers)
    async with kafka.open() as log:
        settings = Settings(log=LogSettings(kind="kafka", partitions=PARTITIONS, prefix=kafka.prefix))
        await log.ensure_topics(topic_specs(settings))
        place = Place(log, file, settings)
        await routed(place, SHOWN)
        file.write_text(ONE)
        await routed(place, DELETE, MARKER)
        shown, last = await of_page(place)
        assert (shown.value is None, last.value) == (False, None)
        assert await place.counts("acme") == {"published": 2, "filtered": 1}
