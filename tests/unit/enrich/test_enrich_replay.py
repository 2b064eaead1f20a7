"""What enrich makes of the replay of a dead letter: the page as it is now, never behind a newer state."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from streamer.cutoffs import Cutoffs
from streamer.enrich.commit import Batch, Finished, Memory
from streamer.enrich.memory import Told
from streamer.enrich.outcome import Answered, Removed, Work
from streamer.enrich.stage import run_enrich
from streamer.errors import AnswerInvalid
from streamer.log.base import Stored
from streamer.model import DeadLetter, Place, Topics, Visibility, identifier_derived
from streamer.origin.answer import Missing
from streamer.plan import Plan
from streamer.replays import replay_of

Make = Callable[..., Any]


@asynccontextmanager
async def running(bench: Any, wikis: Any) -> AsyncIterator[None]:
    """enrich, drained at the end; the next one is another process."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))
        yield
        bench.runtime.draining.set()
    bench.restarted()


def body(record: Stored) -> dict[str, Any]:
    assert record.value is not None
    return msgspec.json.decode(record.value, type=dict[str, Any])


async def articles(bench: Any) -> list[dict[str, Any]]:
    records = [body(r) for r in await bench.read(bench.topics.articles) if r.value is not None]
    return sorted(records, key=lambda article: article["event"]["sequence"])


def replay(change: Any, code: str = "origin_unavailable", times: int = 0) -> Any:
    made = replay_of(DeadLetter(change, "enrich", code, 5, 2_000_500), times)
    assert made is not None
    return made


async def withdrawn(bench: Any) -> Cutoffs:
    cutoffs = Cutoffs()
    for record in await bench.read(bench.topics.withdrawals):
        cutoffs.apply(record)
    return cutoffs


@pytest.mark.parametrize("kind", ["create", "edit"])
async def test_by_its_revision_the_page_is_found_and_restated_as_it_is_now(
    bench: Any, wikis: Any, change: Make, found: Make, kind: str
) -> None:
    """An edit's page has a newer revision and another title by now: that is what comes out, as a refresh
    with an identifier derived from the edit's, and what is counted as a replay.
    """
    wikis.script(("revision", 5), found(5, 9, last_revision=8))
    wikis.script(("page", 9), found(8, 9, title="Elsewhere"))
    wikis.script(("title", "A"), found(7, 2, title="A"))
    edit = change(kind, 5)
    async with running(bench, wikis):
        await bench.admit(replay(edit))
        counts = await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert (article["identifier"], article["version"]["identifier"]) == (9, 8)
    assert (article["event"]["type"], article["event"]["kind"]) == ("update", "refresh")
    assert article["event"]["identifier"] == identifier_derived(edit.identifier, "replay")
    assert counts["published"] == 1
    states = [p.state.get("replayed", 0) for p in (await bench.runtime.log.committed("enrich")).values()]
    assert sum(states) == 1


async def test_a_current_revision_costs_one_question(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The answer about the revision is the page as it is now: it is not asked for again."""
    wikis.script(("revision", 5), found(5, 9))
    async with running(bench, wikis):
        await bench.admit(replay(change("edit", 5)))
        await bench.until_admitted(1)
    assert wikis.asked == [("revision", 5)]
    assert len(await articles(bench)) == 1


async def test_a_revision_without_text_does_not_keep_its_page_back(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The letter of a lost text: the page under its title is restated all the same."""
    wikis.script(("revision", 5), AnswerInvalid("text_missing"))
    wikis.script(("title", "A"), found(6, 9, title="A"))
    async with running(bench, wikis):
        await bench.admit(replay(change("edit", 5), "text_missing"))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert article["version"]["identifier"] == 6


async def test_without_ids_the_title_is_asked(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """A refresh that never knew more than a title restates whatever page has it now."""
    wikis.script(("title", "A"), found(6, 9, title="A"))
    async with running(bench, wikis):
        await bench.admit(replay(change("refresh")))
        await bench.until_admitted(1)
    assert len(await articles(bench)) == 1


async def test_a_moves_old_place_travels_with_its_replay(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """So that a partner of the old namespace learns that the page has left."""
    wikis.script(("page", 9), found(6, 9, title="User:A", namespace=2))
    async with running(bench, wikis):
        await bench.admit(replay(change("move", title="User:A", page_id=9, previous=Place("A", 0))))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert article["event"]["previous"]["name"] == "A"


async def test_a_page_that_is_missing_now_is_told_as_deleted(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Partners may hold it, and nobody told them: after three tries it is a delete with its cut-off."""
    wikis.script(("revision", 4), found(4, 9))
    async with running(bench, wikis):
        await bench.admit(change("edit", 4))
        await bench.until_admitted(1)
        await bench.admit(replay(change("refresh", page_id=9)))
        counts = await bench.until_admitted(2)
    before, removal = await articles(bench)
    assert wikis.asked.count(("page", 9)) == 3
    assert (removal["event"]["type"], removal["event"]["kind"], removal["identifier"]) == ("delete",) * 2 + (
        9,
    )
    assert counts["published"] == 2
    assert "text" in (await withdrawn(bench)).hidden("testwiki:9", 4, before["event"]["sequence"])


async def test_a_page_that_was_there_a_moment_ago_is_not_taken_away(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A replica that lags calls it missing; a deletion that is real comes by the stream."""
    wikis.script(("revision", 4), found(4, 9))
    wikis.script(("page", 9), Missing(bench.runtime.clock.now_ms()))
    async with running(bench, wikis):
        await bench.admit(change("edit", 4))
        await bench.until_admitted(1)
    async with running(bench, wikis):
        await bench.admit(replay(change("refresh", page_id=9)))
        counts = await bench.until_admitted(2)
    assert counts["gone"] == 1
    assert [a["event"]["type"] for a in await articles(bench)] == ["update"]


async def test_a_known_removal_is_not_told_twice(bench: Any, wikis: Any, change: Make) -> None:
    """The stream told it; the replay of an older letter adds nothing, after a restart neither."""
    async with running(bench, wikis):
        await bench.admit(change("delete", page_id=9, edited_ms=3_000_000))
        await bench.until_admitted(1)
        await bench.admit(replay(change("refresh", page_id=9)))
        await bench.until_admitted(2)
    async with running(bench, wikis):
        await bench.admit(replay(change("refresh", page_id=9), times=1))
        counts = await bench.until_admitted(3)
    assert counts["gone"] == 2
    assert len(await articles(bench)) == 1


@pytest.mark.parametrize("restart", [False, True])
async def test_a_lagging_replica_does_not_bring_back_what_was_deleted(
    bench: Any, wikis: Any, change: Make, found: Make, restart: bool
) -> None:
    """The deletion was read, and published, before the replay of an older edit; the replica still has the
    page. Its text stays in.
    """
    wikis.script(("revision", 5), found(5, 9))
    deletion = change("delete", title="Moved", page_id=9, edited_ms=2_000_000)
    letter = replay(change("edit", 5, edited_ms=2_000_000))  # in the same second of the wiki
    async with running(bench, wikis):
        await bench.admit(deletion)
        await bench.until_admitted(1)
        if not restart:
            await bench.admit(letter)
            counts = await bench.until_admitted(2)
    if restart:
        async with running(bench, wikis):
            await bench.admit(letter)
            counts = await bench.until_admitted(2)
    assert counts["gone"] == 1
    assert [a["event"]["type"] for a in await articles(bench)] == ["delete"]


async def test_a_page_deleted_while_its_letter_replays_stays_deleted(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The deletion is read while the replay's answer, with the text, is on its way."""
    wikis.script(("page", 9), found(5, 9))
    wikis.hold(("page", 9))
    async with running(bench, wikis):
        await bench.admit(replay(change("refresh", page_id=9, edited_ms=9_000_000)))
        await bench.until(lambda: ("page", 9) in wikis.asked)
        await bench.admit(change("delete", title="Moved", page_id=9, edited_ms=2_000_000))
        await bench.until_admitted(1)
        wikis.go(("page", 9))
        counts = await bench.until_admitted(2)
    assert counts["gone"] == 1
    assert [a["event"]["type"] for a in await articles(bench)] == ["delete"]


async def test_a_restore_that_failed_comes_out_after_its_deletion(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Its letter is newer than the removal that was published, so the page comes back."""
    wikis.script(("page", 9), found(5, 9))
    async with running(bench, wikis):
        await bench.admit(change("delete", page_id=9, edited_ms=2_000_000))
        await bench.until_admitted(1)
        await bench.admit(replay(change("restore", page_id=9, edited_ms=2_000_000)))
        await bench.until_admitted(2)
    assert [a["event"]["type"] for a in await articles(bench)] == ["delete", "update"]


@pytest.mark.parametrize("restart", [False, True])
async def test_an_older_state_never_comes_after_a_newer_one(
    bench: Any, wikis: Any, change: Make, found: Make, restart: bool
) -> None:
    """A replica that answers three times with an older revision than the one that is out."""
    wikis.script(("revision", 8), found(8, 9))
    wikis.script(("page", 9), found(7, 9))
    letter = replay(change("refresh", title="Old title", page_id=9))
    async with running(bench, wikis):
        await bench.admit(change("edit", 8))
        await bench.until_admitted(1)
        if not restart:
            await bench.admit(letter)
            counts = await bench.until_admitted(2)
    if restart:
        async with running(bench, wikis):
            await bench.admit(letter)
            counts = await bench.until_admitted(2)
    assert wikis.asked.count(("page", 9)) == 3
    assert counts["superseded"] == 1
    assert [a["version"]["identifier"] for a in await articles(bench)] == [8]


async def test_the_replay_of_a_move_is_not_told_with_the_page_from_before_it(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The replica still lags: a dead letter again, for the partners of the old place would never learn that
    the page has left; with the next replay they do.
    """
    move = change("move", 6, title="User:A", page_id=9, previous=Place("A", 0))
    wikis.script(("page", 9), found(5, 9, title="A"))
    async with running(bench, wikis):
        await bench.admit(replay(move, "stale"))
        counts = await bench.until_admitted(1)
        assert (counts["published"], counts["deadletter"]) == (0, 1)
        wikis.script(("page", 9), found(6, 9, title="User:A", namespace=2))
        await bench.admit(replay(move, "stale", times=1))
        await bench.until_admitted(2)
    assert [a["name"] for a in await articles(bench)] == ["User:A"]


async def test_what_waits_behind_another_title_does_not_overtake(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The replay was answered, then its page was edited under its new title and published; the replay, held
    by its old title, comes to its commit afterwards.
    """
    wikis.script(("revision", 1), found(1, 3))
    wikis.hold(("revision", 1))
    wikis.script(("page", 9), found(7, 9))
    wikis.script(("revision", 8), found(8, 9))
    async with running(bench, wikis):
        await bench.admit(change("edit", 1, "A"), replay(change("refresh", title="A", page_id=9)))
        await bench.until(lambda: ("page", 9) in wikis.asked)
        await bench.admit(change("edit", 8, "B"))
        await bench.until_admitted(1)
        wikis.go(("revision", 1))
        counts = await bench.until_admitted(3)
    assert counts["superseded"] == 1
    assert [a["version"]["identifier"] for a in await articles(bench) if a["identifier"] == 9] == [8]


# ── deletions that could not be resolved ───────────────────────────────────────────────────────


async def test_an_unresolved_deletion_is_resolved_again(bench: Any, wikis: Any, change: Make) -> None:
    """Now the wiki's log tells the page, and it is missing: a delete, with its cut-off."""
    wikis.script(("deleted", "A"), (9,))
    async with running(bench, wikis):
        await bench.admit(replay(change("delete", log_id=3), "page_unresolved"))
        await bench.until_admitted(1)
    (removal,) = await articles(bench)
    assert (removal["event"]["type"], removal["event"]["kind"], removal["identifier"]) == ("delete",) * 2 + (
        9,
    )
    assert [r.key for r in await bench.read(bench.topics.withdrawals)] == ["testwiki:9"]


async def test_a_deletion_whose_page_is_back_restates_it(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Restored meanwhile: told as it is, and nothing is cut off."""
    wikis.script(("deleted", "A"), (9,))
    wikis.script(("page", 9), found(5, 9))
    async with running(bench, wikis):
        await bench.admit(replay(change("delete", log_id=3), "page_unresolved"))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert (article["event"]["type"], article["event"]["kind"]) == ("update", "refresh")
    assert await bench.read(bench.topics.withdrawals) == []


async def test_a_deletion_nobody_can_resolve_touches_nobody_else(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """What is under its title by now is another page: it is a dead letter again, of the same meaning."""
    wikis.script(("revision", 1), found(1, 2, title="A"))
    async with running(bench, wikis):
        await bench.admit(change("edit", 1))
        await bench.until_admitted(1)
        await bench.admit(replay(change("delete", log_id=3), "page_unresolved"))
        await bench.until_admitted(2)
    (letter,) = await bench.read(bench.topics.deadletter)
    again = body(letter)
    assert (again["code"], again["change"]["kind"], again["change"]["replays"]) == (
        "page_unresolved",
        "refresh",
        "delete",
    )
    assert await bench.read(bench.topics.withdrawals) == []


async def test_a_restore_read_while_a_deletion_replays_comes_last(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Under another title, so that nothing orders the two: the page stays. Unlike a deletion that the stream
    tells, a replay waits for its turn under its title.
    """
    wikis.script(("revision", 1), found(1, 3))
    wikis.hold(("revision", 1))
    wikis.script(("deleted", "A"), (9,))
    missing = Missing(bench.runtime.clock.now_ms())
    wikis.script(("page", 9), missing, missing, missing, found(5, 9))
    async with running(bench, wikis):
        await bench.admit(change("edit", 1), replay(change("delete", log_id=3), "page_unresolved"))
        await bench.until(lambda: wikis.asked.count(("page", 9)) == 3)
        await bench.admit(change("restore", title="B", page_id=9, edited_ms=9_000_000))
        await bench.until_admitted(1)
        wikis.go(("revision", 1))
        counts = await bench.until_admitted(3)
    assert (counts["published"], counts["gone"]) == (2, 1)
    assert [a["event"]["kind"] for a in await articles(bench)] == ["restore", "edit"]


def test_a_page_restated_in_the_same_commit_is_not_taken_away(change: Make, found: Make) -> None:
    """The restore is in front of the replay's removal in one batch."""
    restore = Work(1, change("restore", page_id=9), 1, outcome=Answered(found(5, 9)))
    removal = Work(2, replay(change("delete", title="B")), 2, outcome=Removed((9,), 10**15))
    batch = Batch(Memory(), Topics(), 10, last_sequence=0, counts={}, now_us=1_000_000)
    batch.add(Finished(restore))
    batch.add(Finished(removal))
    assert (batch.counts["published"], batch.counts["gone"], batch.replayed) == (1, 1, 1)


def test_a_batch_that_failed_is_judged_again_as_before(change: Make, found: Make) -> None:
    """The log took no commit: the removal that a replay found out is not known by that, or it would be told
    by nobody. Once it is out, nothing that was read before it comes after it; in its own batch neither.
    """
    memory = Memory()
    for tries in range(2):
        edit = Work(1, change("edit", 5), 1, outcome=Answered(found(5, 9)))
        removal = Work(2, replay(change("refresh", title="B", page_id=9)), 2, outcome=Removed((9,), 10**15))
        batch = Batch(memory, Topics(), 10, last_sequence=0, counts={}, now_us=1_000_000)
        batch.add(Finished(removal))
        batch.add(Finished(edit))
        assert (batch.counts["published"], batch.counts["gone"]) == (1, 1), tries
    assert not memory.removals.is_known("testwiki", 9)
    batch.committed()
    assert memory.removals.is_known("testwiki", 9)


def test_the_replay_of_a_move_moves_nothing(change: Make) -> None:
    """What was told of the title since, by which a lagging answer is known, stays told."""
    told = Told()
    told.read(change("edit", 8, "New"))
    move = change("move", title="New", page_id=9, previous=Place("Old", 0))
    assert told.read(replay(move)) == 8
    assert told.read(change("refresh", title="New")) == 8


# ── visibility ─────────────────────────────────────────────────────────────────────────────────


async def test_a_hidden_revision_is_cut_off_at_last(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Its page is found by the revision; the page is restated, and says which revision is hidden."""
    wikis.script(
        ("revision", 5), found(5, 9, last_revision=8, text_hidden=True, content=None, comment_hidden=True)
    )
    wikis.script(("page", 9), found(8, 9))
    async with running(bench, wikis):
        await bench.admit(replay(change("visibility", 5, visibility=Visibility(text=False))))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert article["article_body"]["wikitext"] == "Text of 8."
    assert article["event"]["kind"] == "refresh"
    assert article["event"]["revision"] == {
        "identifier": 5,
        "visibility": {"text": False, "editor": True, "comment": False},
    }
    (cutoff,) = await bench.read(bench.topics.withdrawals)
    assert (cutoff.key, body(cutoff)["hides"]) == ("testwiki:9/5", ["text", "comment"])


async def test_what_was_shown_again_is_not_hidden_by_an_old_letter(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The wiki says three times that everybody may see it: the letter is older than that."""
    wikis.script(("revision", 5), found(5, 9))
    async with running(bench, wikis):
        await bench.admit(replay(change("visibility", 5, visibility=Visibility(text=False))))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert article["article_body"]["wikitext"] == "Text of 5."
    assert article["event"]["revision"]["visibility"]["text"] is True
    assert wikis.asked == [("revision", 5)] * 3


async def test_a_replica_that_lags_behind_a_hiding_is_asked_again(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """It knows the second time: the text is never out."""
    wikis.script(("revision", 5), found(5, 9), found(5, 9, text_hidden=True, content=None))
    async with running(bench, wikis):
        await bench.admit(replay(change("visibility", 5, visibility=Visibility(text=False))))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert "article_body" not in article


async def test_a_replica_that_lags_behind_a_hiding_does_not_show_the_text(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """One replica says that the revision is hidden and not the newest, the next one has it as the page, with
    its text: what the letter hides stays hidden.
    """
    wikis.script(("revision", 5), found(5, 9, last_revision=8, text_hidden=True, content=None))
    wikis.script(("page", 9), found(5, 9))
    async with running(bench, wikis):
        await bench.admit(replay(change("visibility", 5, page_id=9, visibility=Visibility(text=False))))
        await bench.until_admitted(1)
    assert ["article_body" in article for article in await articles(bench)] == [False]


async def test_what_was_hidden_before_a_restart_stays_hidden(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A replay that a lagging replica answers with the text, after another process published it hidden."""
    wikis.script(("page", 9), found(5, 9))
    async with running(bench, wikis):
        await bench.admit(change("visibility", 5, page_id=9, visibility=Visibility(text=False)))
        await bench.until_admitted(1)
    async with running(bench, wikis):
        await bench.admit(replay(change("refresh", page_id=9)))
        await bench.until_admitted(2)
    assert ["article_body" in a for a in await articles(bench)] == [False, False]
