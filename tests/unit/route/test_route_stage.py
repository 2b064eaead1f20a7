"""The role on the real embedded log: articles in, partners' topics out."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from harness.articles import PARTITIONS, Page
from harness.schema import checked_value

from streamer.clock import Clock
from streamer.config import LogSettings, Settings
from streamer.cutoffs import cutoff_record
from streamer.errors import ConfigError, LogUnavailable, TopicRefused
from streamer.health import Health
from streamer.log.base import Record, Stored, TopicPartition
from streamer.log.kafka import KafkaLog
from streamer.log.local import LocalLog
from streamer.log.local_lanes import LocalLane
from streamer.log.local_reader import LocalReader
from streamer.log.position import Position
from streamer.metrics import COMMITTED, LAG, REGISTRY
from streamer.model import TICK_KEY, Article, Hideable, encode_value
from streamer.partners import PartnersWatch
from streamer.partners_edit import add_partner, remove_partner
from streamer.route.feed import Routing
from streamer.route.rebuild import Start, mark_of
from streamer.route.roster import Roster
from streamer.route.stage import run_route
from streamer.route.starts import append_start, record_start
from streamer.runtime import DAY_MS, Runtime, article_spec, topic_specs
from streamer.ticks import QUIET_SEGMENTS

DEADLINE_S = 60.0
SETTINGS = Settings(log=LogSettings(kind="local", partitions=PARTITIONS))
POLL_S = 0.01

EVERYTHING = "[everything]\n"
WORDS = '[words]\nwikis = ["*wiktionary"]\nnamespaces = [0]\ncontent = ["text"]\n'
HUMANS = '[humans]\nbots = false\nminor = false\nfields = ["url", "version.identifier"]\n'
ALL = EVERYTHING + WORDS + HUMANS


class Place:
    """One log, one partners file, and the role when it is wanted."""

    def __init__(self, log: LocalLog | KafkaLog, file: Path, settings: Settings = SETTINGS) -> None:
        self.log = log
        self.file = file
        self.settings = settings
        self.clock = Clock()
        self.runtime = Runtime(settings, log)
        self.topics = self.runtime.topics

    @asynccontextmanager
    async def routing(self, *, drains: bool = True) -> AsyncIterator[Runtime]:
        """The role, ready; then drained, or cut off in the middle."""
        runtime = Runtime(self.settings, self.log, clock=self.clock)
        watch = PartnersWatch(self.file, poll_s=POLL_S)
        async with asyncio.TaskGroup() as tasks:
            polling = tasks.create_task(watch.run())
            running = tasks.create_task(run_route(runtime, watch, retry_s=0.05))
            await until(lambda: ready(runtime))
            yield runtime
            if drains:
                runtime.draining.set()
                await running
            running.cancel()
            polling.cancel()

    async def publish(self, *pages: Page) -> None:
        await self.log.append([page.record(self.topics) for page in pages])

    async def stored(self, partner: str) -> list[Stored]:
        topic = self.topics.of_partner(partner)
        starts = {}
        ends = {}
        for partition in range(PARTITIONS):
            tp = TopicPartition(topic, partition)
            bounds = await self.log.bounds(tp)
            starts[tp], ends[tp] = bounds
        found: list[Stored] = []
        async with self.log.reader(starts) as reader:
            while any(reader.position(tp) < end for tp, end in ends.items()):
                found += await reader.read()
        return found

    async def got(self, partner: str) -> list[Article]:
        return [
            msgspec.json.decode(checked_value(stored.value), type=Article)
            for stored in await self.stored(partner)
            if stored.value is not None
        ]

    async def sequences(self, partner: str) -> list[int]:
        return sorted(article.event.sequence for article in await self.got(partner))

    async def counts(self, partner: str) -> dict[str, int]:
        totals: dict[str, int] = {}
        for tp, position in (await self.log.committed("route")).items():
            if tp.topic == self.topics.of_partner(partner):
                for outcome, count in counts_in(position).items():
                    totals[outcome] = totals.get(outcome, 0) + count
        return {outcome: count for outcome, count in totals.items() if count}

    async def settled(self, partner: str, total: int) -> None:
        """Waits until so many articles were accounted for."""

        async def done() -> bool:
            return sum((await self.counts(partner)).values()) >= total

        await until(done)


def counts_in(position: Position) -> dict[str, int]:
    return msgspec.convert(position.state["counts"], dict[str, int])


async def ready(runtime: Runtime) -> bool:
    return runtime.health.components().get("route") == "ready"


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    give_up_s = time.monotonic() + DEADLINE_S
    while not await condition():
        assert time.monotonic() < give_up_s, "waited in vain"
        await asyncio.sleep(0.005)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    file = tmp_path / "partners.toml"
    file.write_text(ALL)
    async with LocalLog(tmp_path / "log.db") as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        yield Place(log, file)


def mixture(count: int, first: int = 1) -> list[Page]:
    """Pages of several wikis in which each partner finds something to want and something not to."""
    return [
        Page(
            sequence,
            page_id=sequence % 17 + 1,
            wiki=("enwiki", "dewiktionary", "enwiktionary")[sequence % 3],
            namespace=sequence % 2,
            bot=sequence % 5 == 0,
            minor=sequence % 7 == 0,
        )
        for sequence in range(first, first + count)
    ]


def wanted_by_words(page: Page) -> bool:
    return page.wiki.endswith("wiktionary") and page.namespace == 0


def wanted_by_humans(page: Page) -> bool:
    return not (page.bot or page.minor)


async def test_each_partner_gets_what_its_rules_say(place: Place) -> None:
    """Three partners of different rules: what each one gets, and its sums, are what the rules say."""
    pages = mixture(300)
    async with place.routing():
        await place.publish(*pages)
        for partner in ("everything", "words", "humans"):
            await place.settled(partner, len(pages))
    words = [page.sequence for page in pages if wanted_by_words(page)]
    humans = [page.sequence for page in pages if wanted_by_humans(page)]
    assert await place.sequences("everything") == [page.sequence for page in pages]
    assert await place.sequences("words") == words
    assert await place.sequences("humans") == humans
    assert await place.counts("words") == {"published": len(words), "filtered": len(pages) - len(words)}
    assert sum((await place.counts("humans")).values()) == len(pages)
    assert COMMITTED.totals("route", "words")["published"] == len(words)


async def test_projections_and_pass_through(place: Place) -> None:
    """Who takes all gets the bytes as they are, with key, partition and headers; others what they chose."""
    page = Page(2, wiki="enwiktionary")
    async with place.routing():
        await place.publish(page)
        for partner in ("everything", "words", "humans"):
            await place.settled(partner, 1)
    original = page.record(place.topics)
    (stored,) = await place.stored("everything")
    assert (stored.key, stored.partition, stored.value, stored.headers) == (
        original.key,
        original.partition,
        original.value,
        original.headers,
    )
    (words,) = await place.got("words")
    assert words.article_body == msgspec.json.decode(b'{"text":"some text"}', type=type(words.article_body))
    (humans,) = await place.stored("humans")
    assert humans.value is not None
    assert msgspec.json.decode(humans.value)["version"] == {"identifier": 2}
    assert "article_body" not in msgspec.json.decode(humans.value)


async def test_order_per_page(place: Place) -> None:
    """Each page's records come in the order of their sequence."""
    async with place.routing():
        for first in range(1, 200, 20):
            await place.publish(*mixture(20, first))
        await place.settled("everything", 200)
    last: dict[str, int] = {}
    for stored in await place.stored("everything"):
        sequence = int(stored.header("ce_sequence"))
        assert last.get(stored.key, 0) < sequence
        last[stored.key] = sequence


async def test_restart_in_the_middle(place: Place, rng: random.Random) -> None:
    """However often the role is cut off, and wherever it is, each article comes once and the sums stay."""
    async with place.routing():
        pass
    for first in range(1, 400, 40):
        async with place.routing(drains=False):
            for at in range(first, first + 40, 4):
                await place.publish(*mixture(4, at))
            await asyncio.sleep(rng.random() * 0.02)  # the instant at which it is cut off
    async with place.routing():
        await place.settled("everything", 400)
        await place.settled("words", 400)
    assert await place.sequences("everything") == list(range(1, 401))
    assert await place.sequences("words") == [p.sequence for p in mixture(400) if wanted_by_words(p)]
    assert await place.counts("everything") == {"published": 400}


async def test_new_partner_is_live(place: Place) -> None:
    """A partner without a time gets what comes after it was added, and keeps that start over a restart."""
    async with place.routing():
        await place.publish(*mixture(50))
        await place.settled("everything", 50)
        await asyncio.sleep(0.002)  # the next millisecond: append times have no finer grain
        add_partner(place.file, "late")

        async def known() -> bool:
            return len([tp for tp in await place.log.committed("route") if tp.topic.endswith("late")]) == 10

        await until(known)
    await place.publish(*mixture(30, 51))
    async with place.routing():
        await place.settled("late", 30)
    assert await place.sequences("late") == list(range(51, 81))


async def test_since_catches_up_beside_the_others(place: Place) -> None:
    """A partner that is added with a time reads history by itself, while the others go on, and joins them."""
    await record_start(place.log, place.topics, "words", 0)
    place.file.write_text(EVERYTHING)
    async with place.routing():
        await place.publish(*mixture(600))
        await place.settled("everything", 400)
        await record_start(place.log, place.topics, "late", 0)
        add_partner(place.file, "late")
        for first in range(601, 701, 10):
            await place.publish(*mixture(10, first))
        await place.settled("late", 700)
        await place.settled("everything", 700)
        await place.publish(*mixture(5, 701))
        await place.settled("late", 705)
    assert await place.sequences("late") == list(range(1, 706))
    assert await place.sequences("everything") == list(range(1, 706))


async def test_since_of_a_known_partner_is_refused(place: Place) -> None:
    """Who was routed before goes on where it stopped: a time would be a lie."""
    async with place.routing():
        pass
    with pytest.raises(ConfigError, match="was routed before"):
        await record_start(place.log, place.topics, "everything", 0)


async def test_removed_and_added_again(place: Place) -> None:
    """A partner that was taken out of the file and comes back goes on without a hole."""
    async with place.routing():
        await place.publish(*mixture(20))
        await place.settled("humans", 20)
        remove_partner(place.file, "humans")
        await until(lambda: forgotten("humans"))
        await place.publish(*mixture(20, 21))
        await place.settled("everything", 40)
        add_partner(place.file, "humans", {"bots": False, "minor": False})
        await place.settled("humans", 40)
    assert await place.sequences("humans") == [p.sequence for p in mixture(40) if wanted_by_humans(p)]


async def forgotten(partner: str) -> bool:
    return not COMMITTED.totals("route", partner)


async def test_rules_change_in_force(place: Place) -> None:
    """A change of the file is in force for what comes after it, without a restart."""
    async with place.routing():
        await place.publish(*mixture(30))
        await place.settled("words", 30)
        place.file.write_text(ALL.replace('wikis = ["*wiktionary"]', 'wikis = ["enwiki"]'))
        reloads = REGISTRY.get_sample_value("streamer_partners_reloads_total", {"result": "applied"})

        async def applied() -> bool:
            now = REGISTRY.get_sample_value("streamer_partners_reloads_total", {"result": "applied"})
            return (now or 0) > (reloads or 0)

        await until(applied)
        await place.publish(*mixture(30, 31))
        await place.settled("words", 60)
    got = await place.got("words")
    assert {a.is_part_of.identifier for a in got if a.event.sequence > 30} == {"enwiki"}
    assert "enwiki" not in {a.is_part_of.identifier for a in got if a.event.sequence <= 30}


def hiding(place: Place, page: Page, hides: tuple[Hideable, ...], *, whole_page: bool = False) -> Record:
    return cutoff_record(
        place.topics.withdrawals,
        PARTITIONS,
        wiki=page.wiki,
        page_id=page.page_id,
        revision=0 if whole_page else page.sequence,
        sequence=1_000,
        hides=hides,
    )


async def test_withdrawn_text_is_not_routed(place: Place) -> None:
    """What was cut off before it was routed counts `withdrawn`; with the comment hidden it goes without."""
    hidden, bare, untouched = Page(1, page_id=1), Page(2, page_id=2), Page(3, page_id=3)
    async with place.routing():
        await place.log.append([hiding(place, hidden, ("text",)), hiding(place, bare, ("comment", "editor"))])
        await place.publish(hidden, bare, untouched)
        await place.settled("everything", 3)
    assert await place.counts("everything") == {"published": 2, "withdrawn": 1}
    without, whole = sorted(await place.got("everything"), key=lambda article: article.event.sequence)
    assert isinstance(without.version, msgspec.Struct)
    assert msgspec.to_builtins(without.version).keys().isdisjoint({"comment", "editor"})
    assert msgspec.to_builtins(without.visibility) == {"text": True, "editor": False, "comment": False}
    assert msgspec.to_builtins(whole.version)["comment"] == "a comment"


@pytest.mark.parametrize("rules", ['kinds = ["create"]', "bots = false", "minor = false"])
@pytest.mark.parametrize("hidden", ["comment", "editor"])
async def test_a_hidden_comment_is_overwritten_whatever_the_rules_say(
    place: Place, hidden: Hideable, rules: str
) -> None:
    """A partner that asks for no visibility changes still gets those of a comment or an editor: its topic
    holds the record that had it until something overwrites that.
    """
    place.file.write_text(f"[narrow]\n{rules}\n")
    shown = Page(1, kind="create", bot=None)
    hides = Page(2, kind="visibility", bot=True, minor=True, hides_revision=True, hidden=hidden, comment="")
    async with place.routing():
        await place.publish(shown, hides)
        await place.settled("narrow", 2)
    first, last = await place.stored("narrow")
    assert first.key == last.key
    assert b"a comment" in (first.value or b"")
    assert b"a comment" not in (last.value or b"")


async def test_cut_off_in_the_same_commit(place: Place) -> None:
    """A cut-off that is committed together with articles is known before they are judged."""
    async with place.routing():
        for sequence in range(1, 40):
            page = Page(sequence, page_id=sequence)
            await place.log.append([page.record(place.topics), hiding(place, page, ("text",))])
        await place.settled("everything", 39)
    assert await place.counts("everything") == {"withdrawn": 39}


async def test_leaving_page_is_told_even_when_it_was_deleted_since(place: Place) -> None:
    """A page that moved out of a partner's namespaces and was deleted there: the partner learns that it is
    gone, though the delete itself is out of its sight.
    """
    move = Page(5, wiki="dewiktionary", kind="move", namespace=3, was_in=0)
    delete = Page(6, wiki="dewiktionary", kind="delete", namespace=3)
    async with place.routing():
        await place.log.append([hiding(place, move, ("text",), whole_page=True)])
        await place.publish(move, delete)
        await place.settled("words", 2)
    (stored,) = await place.stored("words")
    (gone,) = await place.got("words")
    assert (gone.event.type, gone.event.kind, gone.event.sequence) == ("delete", "move", 5)
    assert stored.header("ce_type") == "wiki.article.delete"
    assert not stored.header("rev")
    assert b"some text" not in (stored.value or b"")
    assert await place.counts("words") == {"published": 1, "filtered": 1}


async def test_leaving_page_without_text_is_told_as_gone(place: Place) -> None:
    """A page whose text is hidden and that moves out of a partner's namespaces arrives as a delete too."""
    move = Page(5, wiki="dewiktionary", kind="move", namespace=3, was_in=0, text=None)
    async with place.routing():
        await place.publish(move)
        await place.settled("words", 1)
    (gone,) = await place.got("words")
    assert (gone.event.type, gone.event.kind) == ("delete", "move")
    assert not isinstance(gone.version, msgspec.Struct)


async def test_partner_taken_out_while_it_is_taken_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new partner that is removed before its start was committed takes nobody with it."""
    ready_topic = Roster.ready_topic

    async def slow(self: Roster, routing: Routing, *, is_new: bool) -> None:
        await ready_topic(self, routing, is_new=is_new)
        if routing.name == "brief":
            place.file.write_text(ALL)
            await until(lambda: gone_from(self, "brief"))

    async def gone_from(roster: Roster, name: str) -> bool:
        return name not in roster.routings()

    monkeypatch.setattr(Roster, "ready_topic", slow)
    async with place.routing():
        add_partner(place.file, "brief")
        await until(topic_there(place, "brief"))
        await place.publish(*mixture(10))
        await place.settled("everything", 10)
    assert await place.sequences("everything") == list(range(1, 11))


def topic_there(place: Place, partner: str) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        return await place.log.topic(place.topics.of_partner(partner)) is not None

    return there


async def test_table_that_fails_for_a_moment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that does not answer the cut-offs' reader ends no role: routing goes on, and honours cut-offs."""
    read = LocalReader.read
    failures = 0

    async def failing(self: LocalReader, **wishes: float) -> list[Stored]:
        nonlocal failures
        if place.topics.withdrawals in {tp.topic for tp in self._cursors} and failures < 2:
            failures += 1
            raise LogUnavailable("for a moment")
        return await read(self, **wishes)  # type: ignore[arg-type] # handed through

    monkeypatch.setattr("streamer.log.table.RETRY_S", 0.01)
    hidden = Page(1, page_id=1)
    async with place.routing():
        monkeypatch.setattr(LocalReader, "read", failing)
        await place.log.append([hiding(place, hidden, ("text",))])
        await place.publish(hidden, Page(2, page_id=2))
        await place.settled("everything", 2)
    assert failures == 2
    assert await place.counts("everything") == {"published": 1, "withdrawn": 1}


async def test_rules_that_change_between_the_commits_of_a_pass(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partners whose part of a pass has not been committed yet are judged by the new rules."""
    monkeypatch.setattr("streamer.route.passes.COMMIT_BYTES", 1)
    commit = LocalLane.commit
    changed = False

    async def slow(
        self: LocalLane, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        nonlocal changed
        offsets = await commit(self, records, positions)
        if records and not changed:
            changed = True
            for_all = "".join(f'[{name}]\nwikis = ["nowiki"]\n' for name in ("everything", "words", "humans"))
            generation = watches[-1].generation
            place.file.write_text(for_all)
            await watches[-1].changed(generation)
        return offsets

    watches: list[PartnersWatch] = []
    made = PartnersWatch.__init__

    def noted(self: PartnersWatch, file: Path, *, poll_s: float = POLL_S) -> None:
        made(self, file, poll_s=poll_s)
        watches.append(self)

    monkeypatch.setattr(PartnersWatch, "__init__", noted)
    monkeypatch.setattr(LocalLane, "commit", slow)
    async with place.routing():
        await place.publish(Page(1, wiki="enwiktionary"))
        for partner in ("everything", "words", "humans"):
            await place.settled(partner, 1)
    outcomes = [await place.counts(partner) for partner in ("everything", "words", "humans")]
    assert outcomes.count({"published": 1}) == 1
    assert outcomes.count({"filtered": 1}) == 2


async def test_late_records_ticks_and_tombstones(place: Place) -> None:
    """A late record's tombstone follows it to whom it concerns; ticks stay; neither is counted."""
    late = Page(7, wiki="dewiktionary", late=True)
    foreign = Page(8, late=True)
    tick = Record(place.topics.articles, late.record(place.topics).partition, TICK_KEY, b"{}")
    async with place.routing():
        for page in (late, foreign):
            await place.log.append([page.record(place.topics), page.tombstone(place.topics)])
        await place.log.append([tick])
        await place.publish(Page(9, wiki="dewiktionary"))
        await place.settled("words", 3)
    stored = await place.stored("words")
    assert [s.value is None for s in stored if s.key == late.key] == [False, True]
    assert not [s for s in stored if s.key in (foreign.key, TICK_KEY)]
    assert await place.counts("words") == {"published": 2, "filtered": 1}


async def test_a_quiet_partition_gets_one_tick(place: Place) -> None:
    """After a start, and after what a partner was sent last, its partition gets one tick and no more; what
    the partner is counted stays as it is.
    """
    place.settings = Settings(log=LogSettings(partitions=PARTITIONS, history_hours=0.6 / 3600))
    quiet_s = QUIET_SEGMENTS * article_spec(place.settings, "any").segment_ms / 1000

    async def keys() -> list[list[str]]:
        found: list[list[str]] = [[] for _ in range(PARTITIONS)]
        for stored in await place.stored("everything"):
            found[stored.partition].append(stored.key)
        return found

    async def until_quiet(wanted: list[list[str]]) -> None:
        async def there() -> bool:
            return await keys() == wanted

        await until(there)
        await asyncio.sleep(10 * quiet_s)  # in which there could be ten more
        assert await keys() == wanted

    async with place.routing():
        wanted = [[TICK_KEY] for _ in range(PARTITIONS)]
        await until_quiet(wanted)
        page = Page(7)
        await place.publish(page)
        wanted[page.record(place.topics).partition] += [page.key, TICK_KEY]
        await until_quiet(wanted)
    assert await place.counts("everything") == {"published": 1}


async def test_missing_topic_parks_one_partner(place: Place) -> None:
    """A partner whose topic is gone waits with an alarm; the others go on, and it does when it is back."""
    topic = place.topics.of_partner("words")
    async with place.routing() as runtime:
        await place.publish(*mixture(20))
        for partner in ("words", "everything"):
            await place.settled(partner, 20)
        await place.log.delete_topic(topic)
        await place.publish(*mixture(20, 21))
        await place.settled("everything", 40)
        await until(lambda: is_parked("words"))
        assert not await is_parked("everything")
        assert await ready(runtime)
        assert await place.log.topic(topic) is None
        await place.log.ensure_topics([article_spec(SETTINGS, topic)])
        missed = [p.sequence for p in mixture(20, 21) if wanted_by_words(p)]

        async def back() -> bool:
            return await place.sequences("words") == missed

        await until(back)
        await until(is_mended)
    assert await place.sequences("everything") == list(range(1, 41))


async def test_topic_deleted_while_nobody_ran(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """With the topic its positions are gone: such a partner begins like a new one, and the log says once, of
    it and of no other, what may have been lost and how it comes back.
    """
    async with place.routing():
        await place.publish(*mixture(20))
        await place.settled("words", 20)
    await place.log.delete_topic(place.topics.of_partner("words"))
    caplog.clear()
    async with place.routing():
        pass
    told = [record for record in caplog.records if record.name == "streamer.route.roster"]
    assert [vars(record)["partner"] for record in told] == ["words"]
    assert "`streamer partner rebuild`" in told[0].message


async def test_refused_commit_starts_its_lane_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a refusal costs the lane (which on the local log it never does: here a commit is refused for it)
    only who is named waits; the lane goes on without it from what is committed, and the role stays ready.
    """
    topic = place.topics.of_partner("words")
    commit = LocalLane.commit
    over: set[LocalLane] = set()
    refusing = True

    async def refused(
        self: LocalLane, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        if self in over or (refusing and any(record.topic == topic for record in records)):
            over.add(self)
            raise TopicRefused("for a test", topic)
        return await commit(self, records, positions)

    async def still_refused(_: LocalLog, name: str, **__: int) -> None:
        if refusing and name == topic:
            raise TopicRefused("for a test", topic)

    unready: list[str] = []
    monkeypatch.setattr(LocalLane, "commit", refused)
    monkeypatch.setattr(LocalLog, "check_topic", still_refused)
    async with place.routing():
        monkeypatch.setattr(Health, "unready", lambda _, *told: unready.extend(told))
        await place.publish(*mixture(200))
        await place.settled("everything", 200)
        await place.settled("humans", 200)
        await until(lambda: is_parked("words"))
        assert not await is_parked("everything")
        ended = len(over)
        await place.publish(*mixture(200, 201))
        await place.settled("everything", 400)
        assert 1 <= ended == len(over) <= PARTITIONS, "one that waits costs nothing more"
        refusing = False
        await place.settled("words", 400)
        await until(is_mended)
        assert not unready
    assert await place.sequences("everything") == list(range(1, 401))
    assert await place.sequences("words") == [p.sequence for p in mixture(400) if wanted_by_words(p)]


async def test_refused_tick_is_no_debt(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all that was refused was a tick the alarm ends when the lanes have the partner again: the next
    tick is half an hour away, and nothing else may come.
    """
    topic = place.topics.of_partner("words")
    commit = LocalLane.commit
    refusing = True

    async def refused(
        self: LocalLane, records: Sequence[Record], positions: Mapping[TopicPartition, Position]
    ) -> list[int]:
        if refusing and any(record.topic == topic for record in records):
            assert {record.key for record in records} == {TICK_KEY}
            raise TopicRefused("for a test", topic)
        return await commit(self, records, positions)

    async def still_refused(_: LocalLog, name: str, **__: int) -> None:
        if refusing and name == topic:
            raise TopicRefused("for a test", topic)

    later_s = 0.0
    place.clock = Clock(monotonic_s=lambda: time.monotonic() + later_s)
    monkeypatch.setattr(LocalLane, "commit", refused)
    monkeypatch.setattr(LocalLog, "check_topic", still_refused)

    async with place.routing():
        later_s = 3600.0
        await until(lambda: is_parked("words"))
        refusing = False
        await until(is_mended)
    assert not await place.stored("words")


async def is_parked(partner: str) -> bool:
    return REGISTRY.get_sample_value("streamer_route_parked", {"partner": partner}) == 1


async def is_mended() -> bool:
    return not await is_parked("words")


async def test_what_is_no_article_is_left_out(place: Place) -> None:
    """A record that can't be read doesn't hold the lane: it is counted, and the next one arrives."""
    good = Page(2)
    bad = Record(place.topics.articles, good.record(place.topics).partition, "enwiki:1", b'{"name":')
    nonsense = Record(place.topics.articles, bad.partition, "enwiki:1", encode_value({"event": 1}))
    async with place.routing():
        await place.log.append([bad, nonsense, good.record(place.topics)])
        await place.settled("everything", 3)
    assert await place.counts("everything") == {"published": 1, "invalid": 2}


async def test_no_partners(place: Place) -> None:
    """Without a partners file the role is ready and idle, and takes up the first partner that comes."""
    place.file.unlink()
    async with place.routing():
        await place.publish(*mixture(3))
        await asyncio.sleep(0.002)
        add_partner(place.file, "first")

        async def known() -> bool:
            return len(await place.log.committed("route")) == PARTITIONS

        await until(known)
        await place.publish(*mixture(4, 4))
        await place.settled("first", 4)
    assert await place.sequences("first") == [4, 5, 6, 7]


async def test_refused_topic_parks_one_partner(place: Place) -> None:
    """A topic of another number of partitions is never written: its partner waits, the others start."""
    wrong = replace(article_spec(SETTINGS, place.topics.of_partner("words")), partitions=20)
    await place.log.ensure_topics([wrong])
    async with place.routing():
        await place.publish(*mixture(10))
        await place.settled("everything", 10)
        await until(lambda: is_parked("words"))
    assert await place.counts("words") == {}


async def test_pass_in_several_commits(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one commit would be too large, each partner's part is whole in its own, and the sums stay."""
    monkeypatch.setattr("streamer.route.passes.COMMIT_BYTES", 1)
    async with place.routing():
        await place.publish(*mixture(100))
        for partner in ("everything", "words", "humans"):
            await place.settled(partner, 100)
    assert await place.sequences("everything") == list(range(1, 101))
    assert await place.sequences("humans") == [p.sequence for p in mixture(100) if wanted_by_humans(p)]


async def test_expired_articles_are_counted(tmp_path: Path) -> None:
    """What retention took before a partner was routed is counted `expired`, and it goes on behind it."""
    file = tmp_path / "partners.toml"
    file.write_text(EVERYTHING)
    now_ms = [time.time_ns() // 1_000_000]
    async with LocalLog(tmp_path / "log.db", clock=lambda: now_ms[0]) as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        place = Place(log, file)
        async with place.routing():
            pass
        await place.publish(*mixture(30))
        now_ms[0] += 31 * DAY_MS
        await log.clean()
        await place.publish(*mixture(10, 31))
        async with place.routing():
            await place.settled("everything", 40)
        assert await place.counts("everything") == {"published": 10, "expired": 30}


async def test_holes_do_not_expire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner that has passed nothing but holes says so after a while: retention takes nothing from it."""
    monkeypatch.setattr("streamer.route.outbox.IDLE_COMMIT_S", 0.05)
    file = tmp_path / "partners.toml"
    file.write_text(EVERYTHING)
    now_ms = [time.time_ns() // 1_000_000]
    async with LocalLog(tmp_path / "log.db", clock=lambda: now_ms[0]) as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        place = Place(log, file)
        async with place.routing():
            pass
        late = Page(7, late=True)
        record = late.record(place.topics)
        await log.append([record, late.tombstone(place.topics)])
        now_ms[0] += 29 * DAY_MS
        await log.clean()
        source = TopicPartition(record.topic, record.partition)
        assert (await log.bounds(source)).end == 2
        place_of_it = TopicPartition(place.topics.of_partner("everything"), record.partition)

        async def told() -> bool:
            return (await log.committed("route"))[place_of_it].next == 2

        async with place.routing():
            await until(told)
            assert not await place.stored("everything")
        now_ms[0] += 31 * DAY_MS
        await place.publish(late)
        await log.clean()
        async with place.routing():
            await place.settled("everything", 1)
        assert await place.counts("everything") == {"published": 1}


async def test_metrics_of_a_lane_end_with_it(place: Place) -> None:
    """A partner that is behind is no more said to be so by a process that has let go of the lane, nor is what
    was counted for a partner that was taken out while it was parked.
    """
    topic = place.topics.of_partner("words")
    async with place.routing():
        await place.publish(*mixture(20))
        for partner in ("words", "everything"):
            await place.settled(partner, 20)

        def behind(partner: str) -> bool:
            labels = ({"partner": partner, "partition": str(number)} for number in range(PARTITIONS))
            return any(REGISTRY.get_sample_value("streamer_route_behind_offsets", it) == 0 for it in labels)

        async def shown() -> bool:
            return behind("everything")

        async def let_go() -> bool:
            return not behind("words")

        await until(shown)
        await place.log.delete_topic(topic)
        await place.publish(*mixture(20, 21))
        await until(lambda: is_parked("words"))
        await until(let_go)
        assert COMMITTED.totals("route", "words")
        remove_partner(place.file, "words")
        await until(lambda: forgotten("words"))
    assert not behind("everything")


async def test_lag_where_nobody_is_routed(place: Place) -> None:
    """While all wait the lag is that of those who wait; where there is no partner left it is nobody's."""
    partition = mixture(1)[0].record(place.topics).partition

    def at() -> int | None:
        return LAG._next.get(("route", place.topics.articles, partition))

    place.file.write_text(WORDS)
    async with place.routing():
        await place.publish(*mixture(20))
        await place.settled("words", 20)
        await place.log.delete_topic(place.topics.of_partner("words"))
        await place.publish(*mixture(200, 21))
        await until(lambda: is_parked("words"))
        stood = at()
        assert stood is not None
        assert stood < (await place.log.bounds(TopicPartition(place.topics.articles, partition))).end
        remove_partner(place.file, "words")

        async def left() -> bool:
            return at() is None

        await until(left)


async def test_articles_made_anew_stop_the_lanes(place: Place) -> None:
    """Positions in a topic that was deleted say nothing of the one of its name that is there now, even where
    it holds more. Lanes that run stop, and so do those of the next start, until the operator says `skip`:
    then each partner gets what there is, from its beginning, and goes on without that word.
    """
    reason = lambda runtime: runtime.health.problems().get("route_input", "")  # noqa: E731 - it is one

    async def made_anew(number: int) -> None:
        await place.log.delete_topic(place.topics.articles)
        await place.log.ensure_topics(topic_specs(SETTINGS))
        await place.publish(*mixture(40, number))

    async def stopped(runtime: Runtime, said: str) -> None:
        async def there() -> bool:
            return reason(runtime).count(said) == PARTITIONS

        await until(there)

    async with place.routing() as runtime:
        await place.publish(*mixture(20))
        await place.settled("everything", 20)
        await made_anew(101)
        await stopped(runtime, "while it was read")
    assert "route_input" not in runtime.health.problems()  # it drained

    runtime = Runtime(place.settings, place.log)
    watch = PartnersWatch(place.file, poll_s=POLL_S)
    async with asyncio.TaskGroup() as tasks:
        polling = tasks.create_task(watch.run())
        running = tasks.create_task(run_route(runtime, watch))
        await stopped(runtime, "the topic was made anew")
        assert f"{place.topics.articles}/3: committed offset " in reason(runtime)
        assert REGISTRY.get_sample_value("streamer_lane_stopped", {"role": "route", "partition": "3"}) == 1
        runtime.draining.set()
        await running
        polling.cancel()
    assert REGISTRY.get_sample_value("streamer_lane_stopped", {"role": "route", "partition": "3"}) == 0
    assert await place.counts("everything") == {"published": 20}

    place.settings = Settings(log=LogSettings(partitions=PARTITIONS, lost="skip"))
    async with place.routing():
        await place.settled("everything", 60)
    place.settings = SETTINGS
    async with place.routing():
        await place.publish(*mixture(5, 201))
        await place.settled("everything", 65)
    assert await place.sequences("everything") == [*range(1, 21), *range(101, 141), *range(201, 206)]


async def test_one_that_was_away_when_articles_were_made_anew_is_parked(place: Place) -> None:
    """Its position speaks of another topic: it waits with an alarm, and the lanes run for the others."""
    async with place.routing():
        await place.publish(*mixture(20))
        for partner in ("everything", "words"):
            await place.settled(partner, 20)
    await place.log.delete_topic(place.topics.articles)
    await place.log.ensure_topics(topic_specs(SETTINGS))
    place.file.write_text(EVERYTHING)
    place.settings = Settings(log=LogSettings(partitions=PARTITIONS, lost="skip"))
    async with place.routing():
        await place.publish(*mixture(20, 101))
        await place.settled("everything", 40)
    place.settings = SETTINGS
    place.file.write_text(EVERYTHING + WORDS)
    async with place.routing() as runtime:
        await until(lambda: is_parked("words"))
        await place.publish(*mixture(20, 201))
        await place.settled("everything", 60)
        assert not runtime.health.problems()
    assert (await place.sequences("words"))[-1] < 101


async def test_a_stop_says_nothing_of_articles_made_anew(place: Place) -> None:
    """A position that is committed as stopped stays one in the articles that it was of: should the rebuild be
    taken back, it is not taken for one in the articles of now.
    """
    async with place.routing():
        await place.publish(*mixture(20))
        for partner in ("everything", "words"):
            await place.settled(partner, 20)
    info = await place.log.topic(place.topics.of_partner("words"))
    assert info is not None
    await place.log.delete_topic(place.topics.articles)
    await place.log.ensure_topics(topic_specs(SETTINGS))
    place.file.write_text(EVERYTHING)
    place.settings = Settings(log=LogSettings(partitions=PARTITIONS, lost="skip"))
    async with place.routing():
        await place.publish(*mixture(40, 101))
        await place.settled("everything", 60)
    place.settings = SETTINGS
    place.file.write_text(EVERYTHING + WORDS)
    await append_start(place.log, place.topics, "words", Start(0, info.epoch, "stop"))

    async def all_stopped() -> bool:
        committed = await place.log.committed("route")
        phases = [mark_of(it.state).phase for tp, it in committed.items() if tp.topic == info.name]
        return phases == ["stopped"] * PARTITIONS

    async with place.routing():
        await until(all_stopped)
        await append_start(place.log, place.topics, "words", None)
        await until(lambda: is_parked("words"))
    assert (await place.sequences("words"))[-1] < 101


async def test_start_taken_back(place: Place) -> None:
    """`--since` of a partner that was never added does not reach a later one of its name."""
    await record_start(place.log, place.topics, "words", 0)
    await record_start(place.log, place.topics, "words", None)
    await record_start(place.log, place.topics, "humans", 0)
    await place.publish(*mixture(10))
    await asyncio.sleep(0.002)  # the next millisecond: append times have no finer grain
    async with place.routing():
        await place.settled("humans", 10)
    assert await place.counts("words") == {}


async def test_start_needs_a_log(tmp_path: Path) -> None:
    """On a log that the service never opened there is nothing to begin in the past of."""
    async with LocalLog(tmp_path / "log.db") as log:
        with pytest.raises(ConfigError, match="start the service once"):
            await record_start(log, Runtime(SETTINGS, log).topics, "words", 0)
