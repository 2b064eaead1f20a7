"""What the stream lost is found in the wikis' own lists, and nothing else: over the real embedded log."""

import asyncio
import dataclasses
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from streamer.cli_reconcile import Command, told
from streamer.config import AdmitSettings, ReconcileSettings, SourceSettings
from streamer.enrich.agenda import ASKED_TRIES, Agenda
from streamer.enrich.stage import run_enrich
from streamer.enrich.suspects import Suspects
from streamer.enrich.sweep import Target
from streamer.errors import NotCompared, OriginUnavailable
from streamer.log.base import Lane, Record, Stored, TopicPartition, partition_of
from streamer.log.position import Position
from streamer.metrics import COMMITTED
from streamer.model import Change, DeadLetter, Place, Visibility, encode_value, page_key
from streamer.origin.listing import Edited, Listing, Logged, More, Span
from streamer.plan import Plan
from streamer.reconciled import (
    GROUP,
    SOURCE,
    Ask,
    Reconciled,
    Standing,
    ask_record,
    horizon_ms,
    standing_record,
)
from streamer.runtime import topic_specs
from streamer.source.stage import GROUP as SOURCE_GROUP

Make = Callable[..., Any]
WIKI = "testwiki"
TIMEOUT = OriginUnavailable("timeout")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.enrich.reconcile.LOOK_S", 0.02)
    monkeypatch.setattr("streamer.replays.WAIT_S", 0.02)
    monkeypatch.setattr("streamer.enrich.agenda.ASKED_RETRY_S", 0.02)


@asynccontextmanager
async def running(bench: Any, wikis: Any) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))
        yield
        bench.runtime.draining.set()
    bench.restarted()


class Case:
    """A wiki that this log has followed for a day, and a stream that was read up to now."""

    def __init__(self, bench: Any, wikis: Any) -> None:
        self.bench = bench
        self.wikis = wikis
        self.now_ms = bench.runtime.clock.now_ms() // 1000 * 1000
        self.number = 0

    def ago_ms(self, hours: float) -> int:
        return self.now_ms - int(hours * 3_600_000)

    async def begin(self, *wikis: str, began_hours: float = 24.0, **settings: Any) -> None:
        bench, topics = self.bench, self.bench.topics
        bench.runtime.settings = replace(
            bench.runtime.settings,
            source=SourceSettings(contact="ops@example.org"),
            reconcile=ReconcileSettings(every_hours=0, lag_s=0),
            **settings,
        )
        began_ms = self.ago_ms(began_hours)
        records = []
        for wiki in wikis or (WIKI,):
            site = replace(self.wikis.sites[WIKI], wiki=wiki)
            records.append(Record(topics.meta, partition_of(wiki, 10), wiki, encode_value(site)))
            records.append(standing_record(topics.meta, 10, wiki, Standing(began_ms, began_ms)))
        await bench.runtime.log.append(records)
        await self.source_at(self.now_ms)

    async def source_at(self, time_ms: int) -> None:
        """The stream was read so far."""
        tp = TopicPartition(self.bench.topics.changes, 0)
        state = {"upstream": {"eqiad.mediawiki.recentchange": time_ms}, "input": None}

        async def main(lane: Lane) -> None:
            await lane.commit([], {tp: Position(0, (), state)})

        await self.bench.runtime.log.run_lanes(SOURCE, tp.topic, main, partitions=[0])

    async def ask(self, *wikis: str, since_ms: int = 0) -> dict[str, Standing]:
        """As the command does; what was told when it was done."""
        self.number += 1
        ask = Ask(self.number, since_ms)
        await self.bench.runtime.log.append(
            [ask_record(self.bench.topics.meta, 10, wiki, ask) for wiki in wikis or (WIKI,)]
        )
        return await self.done(*wikis)

    async def done(self, *wikis: str) -> dict[str, Standing]:
        ask = Ask(self.number)

        async def is_done() -> dict[str, Standing] | None:
            standings = (await self.known()).standings
            found = {wiki: standings[wiki] for wiki in wikis or (WIKI,) if wiki in standings}
            all_done = len(found) == len(wikis or (WIKI,)) and all(s.has_done(ask) for s in found.values())
            return found if all_done else None

        await self.bench.until(is_done)
        standings = await is_done()
        assert standings
        return standings

    async def known(self) -> Reconciled:
        known = Reconciled()
        for record in await self.bench.read(self.bench.topics.meta):
            known.apply(record)
        return known

    async def repairs(self) -> list[Change]:
        records = await self.bench.read(self.bench.topics.changes)
        changes = [msgspec.json.decode(record.value or b"", type=Change) for record in records]
        return [change for change in changes if change.cause == "reconcile"]


@pytest.fixture
def case(bench: Any, wikis: Any) -> Case:
    return Case(bench, wikis)


def edit(page: int, revision: int, at_ms: int, **over: Any) -> Edited:
    return Edited(page, revision, f"T{page}", 0, at_ms, **over)


def lane_of(page: int) -> int:
    return partition_of(page_key(WIKI, page), 10)


async def expire(bench: Any, *topics: str) -> None:
    """All that is in there by now."""
    specs = [spec for spec in topic_specs(bench.runtime.settings) if spec.name in topics]
    await bench.runtime.log.ensure_topics([dataclasses.replace(spec, retention_ms=-1) for spec in specs])
    await bench.runtime.log.clean()
    await bench.runtime.log.ensure_topics(specs)


def test_the_source_has_this_group() -> None:
    """Its name stands twice, since no stage imports another."""
    assert SOURCE == SOURCE_GROUP


async def test_a_lost_edit_is_published_as_a_refresh_and_found_once(
    case: Case, bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Of three edits one was not told: its page is restated as it is now, the counts say so, and a second
    look finds nothing, whether the repair is finished or not.
    """
    await case.begin()
    at = case.ago_ms(2)
    wikis.lists[WIKI] = [edit(1, 11, at), edit(2, 12, at), edit(3, 13, at)]
    for page in (1, 2, 3):
        wikis.script(("revision", 10 + page), found(10 + page, page))
        wikis.script(("page", page), found(10 + page, page))
    await bench.admit(*(change("edit", 10 + page, f"T{page}", edited_ms=at) for page in (1, 3)))
    async with running(bench, wikis):
        told = (await case.ask())[WIKI]
        assert (told.found, told.listed, told.problem) == ({"edit": 1}, 3, "")
        assert (told.since_ms, told.at_ms) == (case.ago_ms(24), case.now_ms)
        again = (await case.ask())[WIKI]
        assert (again.found, again.listed) == ({}, 3)
        counts = await bench.until_admitted(3)
        assert counts["published"] == 3
        assert (await case.ask())[WIKI].found == {}
        assert COMMITTED.totals(GROUP) == {"edit": 1}
        assert COMMITTED.totals("replay") == {"admitted": 1}
    [repair] = await case.repairs()
    assert (repair.kind, repair.replays, repair.page_id, repair.revision) == ("refresh", "edit", 2, 12)
    articles = [r for r in await bench.read(bench.topics.articles) if r.header("kind") == "refresh"]
    assert [(r.key, r.header("rev")) for r in articles] == [("testwiki:2", "12")]


async def test_what_is_not_lost_is_not_found(case: Case, bench: Any, wikis: Any, change: Make) -> None:
    """In flight (its wiki is silent), a dead letter whose change expired, not admitted by its namespace or as
    a bot's, from before the log followed the wiki, and from what the stream has yet to tell.
    """
    await case.begin(began_hours=5, admit=AdmitSettings(namespaces=(0,), bots=False))
    at = case.ago_ms(2)
    await case.source_at(case.ago_ms(1))
    wikis.lists[WIKI] = [
        edit(1, 10, case.ago_ms(6)),
        edit(2, 12, at),
        edit(3, 13, at),
        Edited(4, 14, "Talk:T4", 1, at),
        edit(5, 15, at, bot=True),
        Logged(30, 6, "T6", 0, at, "protect", "protect"),
        edit(7, 17, case.ago_ms(0.5)),
    ]
    wikis.script(("revision", 12), TIMEOUT)
    await bench.admit(change("edit", 12, "T2", edited_ms=at))
    letter = DeadLetter(change("edit", 13, "T3", edited_ms=at), "enrich", "textmissing", 1, at)
    await bench.runtime.log.append(
        [Record(bench.topics.deadletter, partition_of(WIKI, 10), WIKI, encode_value(letter))]
    )
    async with running(bench, wikis):
        told = (await case.ask())[WIKI]
    assert (told.found, told.listed) == ({}, 5)
    assert await case.repairs() == []


@pytest.mark.parametrize("forgotten", [("changes",), ("changes", "articles")], ids="-".join)
async def test_what_the_log_has_forgotten_is_not_lost(
    case: Case, change: Make, found: Make, forgotten: tuple[str, ...]
) -> None:
    """Where the changes have expired, the articles say what was told; where they have too, nothing can be
    missed; nor what happened before the log followed the wiki, whatever is asked for.
    """
    bench, wikis = case.bench, case.wikis
    await case.begin(began_hours=20)
    at = case.ago_ms(10)
    beside = next(n for n in range(2, 999) if lane_of(n) == lane_of(1))
    wikis.lists[WIKI] = [edit(9, 9, case.ago_ms(22)), edit(1, 11, at), edit(beside, 12, at)]
    wikis.script(("revision", 11), found(11, 1))
    wikis.script(("page", beside), found(12, beside))
    await bench.admit(change("edit", 11, "T1", edited_ms=at))
    async with running(bench, wikis):
        await bench.until_admitted(1)
        await expire(bench, *(getattr(bench.topics, name) for name in forgotten))
        told = (await case.ask(since_ms=case.ago_ms(24)))[WIKI]
        assert (told.found, told.since_ms) == ({"edit": 1} if len(forgotten) == 1 else {}, case.ago_ms(20))
    assert {repair.page_id for repair in await case.repairs()} <= {beside}


async def test_moves_deletions_and_hidden_revisions(
    case: Case, bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A lost move reaches those whom its old place concerns, and leaves a redirect; a lost deletion withdraws
    the page; a lost suppression, which is in no log, cuts its revision off.
    """
    await case.begin()
    at = case.ago_ms(3)
    wikis.lists[WIKI] = [
        edit(1, 11, at),
        edit(2, 12, at),
        edit(3, 13, at, hides=("text", "editor")),
        edit(3, 14, at + 1_000),
        Logged(30, 1, "T1", 0, at + 2_000, "move", "move", target=Place("New", 0), leaves_redirect=True),
        Logged(31, 2, "T2", 0, at + 3_000, "delete", "delete"),
    ]
    for page, revision in ((1, 11), (2, 12), (3, 13), (3, 14)):
        wikis.script(("revision", revision), found(revision, page, title=f"T{page}"))
        await bench.admit(change("edit", revision, f"T{page}", edited_ms=at))
    wikis.script(("title", "T1"), found(16, 9, title="T1", content="#REDIRECT [[New]]"))
    async with running(bench, wikis):
        await bench.until_admitted(4)
        wikis.script(("page", 1), found(15, 1, title="New"))
        wikis.script(("page", 3), found(14, 3, title="T3"))
        hidden = found(13, 3, title="T3", content=None, text_hidden=True, user_hidden=True, last_revision=14)
        wikis.script(("revision", 13), hidden)
        told = (await case.ask())[WIKI]
        assert told.found == {"move": 1, "create": 1, "delete": 1, "visibility": 1}
        counts = await bench.until_admitted(8)
        assert (counts["published"], counts["deadletter"]) == (8, 0)
        assert wikis.behind == {("page", 1), ("title", "T1")}, "what is withdrawn does not wait"
        assert (await case.ask())[WIKI].found == {}
    articles = [
        (r.key, r.header("ce_type"), msgspec.json.decode(r.value or b"{}"))
        for r in await bench.read(bench.topics.articles)
        if r.header("kind") in {"refresh", "delete"}
    ]
    by_page = {key: (kind, article) for key, kind, article in articles}
    assert by_page["testwiki:1"][1]["event"]["previous"]["name"] == "T1"
    assert by_page["testwiki:1"][1]["name"] == "New"
    assert by_page["testwiki:2"][0] == "wiki.article.delete"
    assert by_page["testwiki:9"][1]["name"] == "T1"
    keys = {r.key: r.value or b"" for r in await bench.read(bench.topics.withdrawals)}
    assert keys.keys() == {"testwiki:2", "testwiki:3/13"}
    assert b"text" in keys["testwiki:3/13"]


async def test_hidden_by_the_log_and_told_is_not_found(
    case: Case, bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The flag stays at its row for ever: the cut-off says that it is known."""
    await case.begin()
    at = case.ago_ms(3)
    hidden = Visibility(text=False)
    wikis.lists[WIKI] = [
        edit(3, 13, at, hides=("text",)),
        edit(3, 14, at + 1_000),
        Logged(40, 3, "T3", 0, at + 2_000, "delete", "revision", revisions=(13,), visibility=hidden),
    ]
    wikis.script(("revision", 13), found(13, 3))
    wikis.script(("revision", 14), found(14, 3))
    wikis.script(("page", 3), found(14, 3))
    await bench.admit(
        change("edit", 13, "T3", edited_ms=at),
        change("edit", 14, "T3", edited_ms=at + 1_000),
        change("visibility", 13, "T3", edited_ms=at + 2_100, page_id=3, visibility=hidden),
    )
    async with running(bench, wikis):
        assert (await case.ask())[WIKI].found == {}


async def test_by_itself_every_so_often(case: Case, bench: Any, wikis: Any, found: Make) -> None:
    """Where it is due, and only what came since, with what is looked at again; not while the stream stands
    still.
    """
    await case.begin(began_hours=5)
    wikis.script(("page", 1), found(11, 1))
    wikis.lists[WIKI] = [edit(1, 11, case.ago_ms(2))]
    settings = bench.runtime.settings
    bench.runtime.settings = replace(
        settings, reconcile=ReconcileSettings(every_hours=4, look_back_hours=1, lag_s=0)
    )

    async def until_ms() -> int:
        return (await case.known()).standings[WIKI].until_ms

    async def is_compared() -> bool:
        return await until_ms() == case.now_ms

    async with running(bench, wikis):
        await bench.until(is_compared)
        assert [(s.since_s, s.until_s) for _, s, _ in wikis.listed] == [
            (case.ago_ms(5) // 1000, case.now_ms // 1000)
        ]
        await bench.until_admitted(1)
        bench.runtime.settings = replace(
            settings, reconcile=ReconcileSettings(every_hours=1e-6, look_back_hours=1, lag_s=0)
        )
        await asyncio.sleep(0.2)
        assert len(wikis.listed) == 1, "the stream stands still"
        await case.source_at(case.now_ms + 2_000)
        await bench.until(lambda: len(wikis.listed) > 1)
        assert wikis.listed[1][1].since_s == case.ago_ms(1) // 1000
    assert len(await case.repairs()) == 1


def agenda_of(bench: Any, known: Reconciled, **settings: Any) -> Agenda:
    bench.runtime.settings = replace(
        bench.runtime.settings,
        source=SourceSettings(contact="ops@example.org"),
        reconcile=ReconcileSettings(**settings),
    )
    return Agenda(known, bench.runtime, partition_of(WIKI, 10), 10)


async def test_it_is_due_by_how_far_the_stream_was_read(case: Case, bench: Any) -> None:
    """A source that catches up after an outage has not each of its hours compared by a sweep of its own."""
    began_ms = case.ago_ms(48)
    known = Reconciled({WIKI: "test.example.org"}, {}, {WIKI: Standing(began_ms, began_ms)})
    for read_hours, is_due in ((0.1, False), (3.9, False), (4.1, True)):
        agenda = agenda_of(bench, known, every_hours=4)
        targets = agenda.due(began_ms + int(read_hours * 3_600_000))
        assert [target.wiki for target in targets] == [WIKI] * is_due


async def test_who_asks_does_not_wait_for_what_the_schedule_has_met(case: Case, bench: Any) -> None:
    """A wiki that was silent for a night is tried by the schedule hours later; for an operator now, and each
    ask has tries of its own.
    """
    began_ms = case.ago_ms(24)
    known = Reconciled({WIKI: "test.example.org"}, {}, {WIKI: Standing(began_ms, began_ms)})
    agenda = agenda_of(bench, known, every_hours=4)
    for _ in range(ASKED_TRIES):
        agenda.ended(Target(WIKI, "test.example.org", began_ms, case.now_ms, problem=TIMEOUT))
    assert agenda.due(case.now_ms) == []
    assert not agenda.is_anything()
    known.asks[WIKI] = Ask(1)
    assert agenda.is_anything()
    [target] = agenda.due(case.now_ms)
    assert target.ask == 1
    target.problem = TIMEOUT
    assert agenda.ended(target) is None, "the first failure of the ask"
    assert agenda.due(case.now_ms) == []
    known.asks[WIKI] = Ask(2)
    assert [target.ask for target in agenda.due(case.now_ms)] == [2]


async def test_a_silent_wiki_is_told_and_holds_nobody(
    case: Case, bench: Any, wikis: Any, found: Make
) -> None:
    """Tried some times; the other wiki of the partition is compared meanwhile."""
    other = next(f"w{n}" for n in range(100) if partition_of(f"w{n}", 10) == partition_of(WIKI, 10))
    await case.begin(WIKI, other)
    wikis.lists[other] = [edit(1, 11, case.ago_ms(2))]
    wikis.script(("page", 1), found(11, 1, wiki=other))
    wikis.list_errors[WIKI] = [TIMEOUT] * 4
    async with running(bench, wikis):
        told = await case.ask(WIKI, other)
        assert (told[WIKI].problem, told[WIKI].found) == ("timeout", {})
        assert (told[other].problem, told[other].found) == ("", {"edit": 1})
        wikis.list_errors[WIKI] = [TIMEOUT] * 2
        again = (await case.ask(WIKI))[WIKI]
        assert again.problem == ""


async def test_repairs_that_do_not_end_hold_no_other_wiki(
    case: Case, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where enrich finishes nothing, as when no wiki answers, all repairs are appended and the sweep is over:
    another one may want its turn.
    """
    monkeypatch.setattr("streamer.replays.OPEN_MOST", 4)
    monkeypatch.setattr("streamer.replays.STALLED_S", 0.1)
    monkeypatch.setattr("streamer.enrich.reconcile.BATCH", 2)
    await case.begin()
    pages = range(1, 11)
    case.wikis.lists[WIKI] = [edit(page, 100 + page, case.ago_ms(3)) for page in pages]
    for page in pages:
        case.wikis.script(("page", page), found(100 + page, page))
        case.wikis.hold(("page", page))
    async with running(case.bench, case.wikis):
        assert (await case.ask())[WIKI].found == {"edit": len(pages)}
        assert (await case.bench.counts()).get("admitted", 0) == 0
        for page in pages:
            case.wikis.go(("page", page))
        await case.bench.until_admitted(len(pages))


async def test_a_list_without_an_end_is_given_up(
    case: Case, bench: Any, wikis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many more answers a wiki promises: a window takes so many requests, and no more."""
    monkeypatch.setattr("streamer.enrich.sweep.REQUESTS_MOST", 20)
    await case.begin()
    numbers = itertools.count()

    async def endless(wiki: str, _server: str, span: Span, more: More = (), /) -> Listing:
        wikis.listed.append((wiki, span, more))
        return Listing(more=(("rccontinue", str(next(numbers))),))

    wikis.listing = endless
    async with running(bench, wikis):
        assert (await case.ask())[WIKI].problem == "endless"
    assert len(wikis.listed) == 21


async def test_killed_at_any_instant_each_repair_comes_once(
    case: Case, found: Make, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty lost edits in commits of three, a worker that dies again and again: thirty repairs."""
    monkeypatch.setattr("streamer.enrich.reconcile.BATCH", 3)
    bench, wikis = case.bench, case.wikis
    await case.begin()
    pages = range(1, 31)
    wikis.lists[WIKI] = [edit(page, 100 + page, case.ago_ms(20) + page * 60_000) for page in pages]
    for page in pages:
        wikis.script(("page", page), found(100 + page, page))
    case.number = 1
    await bench.runtime.log.append([ask_record(bench.topics.meta, 10, WIKI, Ask(1))])
    for goal in sorted(rng.sample(range(1, 30), 6)):
        task = asyncio.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))

        async def enough(goal: int = goal) -> bool:
            return len(await case.repairs()) >= goal

        await bench.until(enough)
        await asyncio.sleep(rng.random() * 0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bench.restarted()
    async with running(bench, wikis):
        told = (await case.done())[WIKI]
        await bench.until_admitted(30)
        assert COMMITTED.totals(GROUP) == {"edit": 30}
    assert sorted(change.page_id for change in await case.repairs()) == list(pages)
    assert told.found == {"edit": 30}


async def test_memory_is_bounded_by_what_is_judged_at_once(
    case: Case, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wiki of 3,000 edits, half of an hour lost: never more than a few chunks are held."""
    bench, wikis = case.bench, case.wikis
    monkeypatch.setattr("streamer.enrich.sweep.JUDGED_ROWS", 100)
    monkeypatch.setattr("streamer.enrich.sweep.CARRIED_MOST", 50)
    held: list[int] = []
    real = Suspects.edited

    def edited(self: Suspects, *arguments: Any) -> None:
        real(self, *arguments)
        held.append(len(self) + sum(map(len, self._index.values())) + len(self._edits))

    monkeypatch.setattr(Suspects, "edited", edited)
    await case.begin()
    wikis.list_most = 40
    lost = set(range(1_000, 1_200, 2))
    wikis.lists[WIKI] = [edit(page, 10_000 + page, case.ago_ms(23) + page * 20_000) for page in range(3_000)]
    wikis.lists[WIKI] = [row for row in wikis.lists[WIKI] if row.page_id]
    for row in wikis.lists[WIKI]:
        wikis.script(("page", row.page_id), found(row.revision, row.page_id))
        wikis.script(("revision", row.revision), found(row.revision, row.page_id))
    await bench.admit(
        *(
            change("edit", row.revision, row.title, edited_ms=row.edited_ms)
            for row in wikis.lists[WIKI]
            if row.page_id not in lost
        )
    )
    async with running(bench, wikis):
        told = (await case.ask())[WIKI]
        assert told.found == {"edit": len(lost)}
        assert told.listed == len(wikis.lists[WIKI]), "each row once"
    assert {repair.page_id for repair in await case.repairs()} == lost
    assert max(held) <= 4 * (100 + 50 + 40)


async def test_an_entry_that_hides_many_counts_as_many(
    case: Case, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight entries of twenty revisions each: judged by forty of these, not by forty entries."""
    monkeypatch.setattr("streamer.enrich.sweep.JUDGED_ROWS", 40)
    monkeypatch.setattr("streamer.enrich.sweep.CARRIED_MOST", 10)
    held: list[int] = []
    real = Suspects.logged

    def logged(self: Suspects, *arguments: Any) -> None:
        real(self, *arguments)
        held.append(len(self))

    monkeypatch.setattr(Suspects, "logged", logged)
    await case.begin()
    case.wikis.list_most = 1
    hidden = Visibility(text=False)
    at = case.ago_ms(3)
    case.wikis.lists[WIKI] = [
        Logged(n, 3, "T3", 0, at, "delete", "revision", revisions=tuple(range(n, n + 20)), visibility=hidden)
        for n in range(100, 260, 20)
    ]
    for number in range(100, 260):  # a page that were missing would be told as deleted, and need no more
        case.wikis.script(("revision", number), found(number, 3, title="T3", text_hidden=True, content=None))
    case.wikis.script(("page", 3), found(300, 3, title="T3"))
    async with running(case.bench, case.wikis):
        assert (await case.ask())[WIKI].found == {"visibility": 160}
    assert max(held) <= 40 + 20


async def test_an_ask_goes_on_where_it_was(
    case: Case, bench: Any, wikis: Any, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was compared before the restart is not asked for again, and its finds are in the sum."""
    monkeypatch.setattr("streamer.enrich.sweep.SPARSE_ROWS", 0)
    await case.begin()
    wikis.list_most = 2
    wikis.lists[WIKI] = [edit(page, 100 + page, case.ago_ms(24 - page / 2) - 1_000) for page in range(1, 41)]
    for page in range(1, 41):
        wikis.script(("page", page), found(100 + page, page))
    case.number = 1
    await bench.runtime.log.append([ask_record(bench.topics.meta, 10, WIKI, Ask(1))])
    task = asyncio.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))

    async def is_under_way() -> bool:
        standing = (await case.known()).standings[WIKI]
        return bool(standing.found) and standing.at_ms > case.ago_ms(24)

    monkeypatch.setattr("streamer.enrich.sweep.CARRIED_MOST", 5)
    await bench.until(is_under_way)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    bench.restarted()
    at_ms = (await case.known()).standings[WIKI].at_ms
    assert case.ago_ms(24) < at_ms < case.now_ms
    wikis.listed.clear()
    async with running(bench, wikis):
        told = (await case.done())[WIKI]
    assert min(span.since_s for _, span, _ in wikis.listed) >= at_ms // 1000
    assert told.found == {"edit": 40}
    assert len(await case.repairs()) == 40


@pytest.mark.parametrize(("since_hours", "is_enough"), [(2, False), (20, True), (None, True)])
async def test_a_command_tells_what_became_of_its_own_ask(
    case: Case, capsys: pytest.CaptureFixture[str], since_hours: float | None, *, is_enough: bool
) -> None:
    """Where another command asked meanwhile: its end is waited for if it asked for as much; else this one has
    not had what it wanted, and says so.
    """
    await case.begin()
    log, meta = case.bench.runtime.log, case.bench.topics.meta
    command = Command(log, case.bench.runtime.settings, meta, 10)
    await command.ask((), case.ago_ms(10))
    mine = (await case.known()).asks[WIKI]
    newer = Ask(mine.number + 1, 0 if since_hours is None else case.ago_ms(since_hours))
    began = (await case.known()).standings[WIKI]
    standing = began.asked(newer.number, newer.since_ms, case.now_ms, listed=5, found={"edit": 1})
    standing = standing.finished(newer.number, "")
    await log.append([ask_record(meta, 10, WIKI, newer), standing_record(meta, 10, WIKI, standing)])
    if is_enough:
        await command.wait()
        assert "found 1 in 5 rows" in capsys.readouterr().out
    else:
        with pytest.raises(NotCompared, match="superseded"):
            await command.wait()
        assert "found 0 in 0 rows" in capsys.readouterr().out


async def test_a_command_that_compared_nothing_is_no_success(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the stream was not read beyond the time that was asked for: "found 0" would read as if all were
    well. And a wiki of which only a part could be compared says from where on.
    """
    await case.begin()
    log, meta = case.bench.runtime.log, case.bench.topics.meta
    command = Command(log, case.bench.runtime.settings, meta, 10)
    await command.ask((), case.ago_ms(10))
    mine = (await case.known()).asks[WIKI]
    began = (await case.known()).standings[WIKI]
    nothing = began.asked(mine.number, case.now_ms, case.now_ms).finished(mine.number, "")
    await log.append([standing_record(meta, 10, WIKI, nothing)])
    with pytest.raises(NotCompared, match="nothing was compared"):
        await command.wait()
    assert "nothing to compare yet" in capsys.readouterr().out
    part = began.asked(mine.number, case.ago_ms(5), case.now_ms, listed=5)
    assert "not before" in told(WIKI, part, case.ago_ms(10))
    assert "not before" not in told(WIKI, part, case.ago_ms(5))
    assert "not before" not in told(WIKI, part)


def test_the_horizon_is_that_of_the_stream_which_is_less_far() -> None:
    """Of its data centres the further one; a stream that is silent for hours is not waited for; a recording
    has none.
    """

    def horizon(marks: dict[str, int], now_ms: int = 10**9, lag_ms: int = 900_000, **state: Any) -> int:
        return horizon_ms(Position(0, (), {"upstream": marks, "counts": {}, **state}), now_ms, lag_ms)

    marks = {"eqiad.mediawiki.recentchange": 500_000, "codfw.mediawiki.recentchange": 90_000_000}
    changes = {"eqiad.mediawiki.page_change.v1": 80_000_000}
    assert horizon(marks) == 90_000_000 - 15_000
    assert horizon(marks | changes) == 80_000_000 - 15_000
    assert horizon(marks | changes, idle=["eqiad.mediawiki.page_change.v1"]) == 90_000_000 - 15_000
    assert horizon(marks, now_ms=90_000_000) == 90_000_000 - 900_000
    assert horizon(marks, lag_ms=0) == 90_000_000
    assert horizon({}) == 0
    assert horizon(marks, file={"file": "x"}) == 0
    assert horizon_ms(None, 10**9, 0) == 0


def test_what_another_version_wrote_is_as_if_it_were_not_there() -> None:
    """Standings, asks and sites that do not decode; ticks and partners' starts."""
    known = Reconciled()
    for key in (f"reconcile/{WIKI}", f"reconcile-ask/{WIKI}", WIKI, ".tick", "partner/acme", "wiki.meta.v1"):
        for value in (b'{"odd":true}', b"{", None):
            known.apply(Stored("wiki.meta.v1", 0, 0, 0, key, value))
    assert (known.servers, known.asks, known.standings) == ({}, {}, {})
