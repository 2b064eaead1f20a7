"""enrich over the real embedded log, against a scripted world of wikis."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec import structs

from streamer.cutoffs import Cutoffs
from streamer.enrich.commit import Memory
from streamer.enrich.lane import DRAIN_SHARE, READ_RECORDS, LaneWorker
from streamer.enrich.readback import read_back
from streamer.enrich.stage import run_enrich
from streamer.errors import AnswerInvalid, OriginUnavailable
from streamer.log.base import Record, Stored, partition_of
from streamer.model import Hint, Place, Visibility, identifier_of_event, identifier_of_revision, is_tick
from streamer.plan import Plan

Make = Callable[..., Any]


@asynccontextmanager
async def running(
    bench: Any, wikis: Any, *, with_text: bool = False, plan: Plan | None = None
) -> AsyncIterator[None]:
    """enrich, drained at the end."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: plan or Plan(text=with_text)))
        yield
        bench.runtime.draining.set()
    bench.restarted()


async def killed(bench: Any, wikis: Any, until: Callable[[], Any]) -> None:
    """enrich, cancelled at an instant: as near to kill -9 as one process gets."""
    task = asyncio.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False)))
    try:
        await bench.until(until)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    bench.restarted()


def body(record: Stored) -> dict[str, Any]:
    assert record.value is not None
    return msgspec.json.decode(record.value, type=dict[str, Any])


async def articles(bench: Any) -> list[dict[str, Any]]:
    """Values in the order of their sequence, without tombstones."""
    records = [body(r) for r in await bench.read(bench.topics.articles) if r.value is not None]
    return sorted(records, key=lambda article: article["event"]["sequence"])


def balanced(counts: dict[str, int]) -> bool:
    return counts["admitted"] == sum(n for name, n in counts.items() if name != "admitted")


async def test_an_edit_becomes_an_article(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """An edit comes out once, with its text, licence, sequence and plain text."""
    wikis.script(("revision", 5), found(5, 1, content="'''Hello''' [[world|World]]."))
    async with running(bench, wikis, with_text=True):
        await bench.admit(change("edit", 5))
        counts = await bench.until_admitted(1)
    (record,) = await bench.read(bench.topics.articles)
    article = body(record)
    assert counts == {"admitted": 1, "published": 1, "gone": 0, "superseded": 0, "deadletter": 0}
    assert article["article_body"] == {"wikitext": "'''Hello''' [[world|World]].", "text": "Hello World."}
    assert article["abstract"] == "Hello World."
    assert article["license"][0]["identifier"] == "CC-BY-SA-4.0"
    assert article["event"]["identifier"] == identifier_of_revision("testwiki", 5)
    assert record.key == "testwiki:1"
    assert record.header("ce_sequence") == str(article["event"]["sequence"])
    assert not bench.runtime.health.problems()


async def test_one_slow_page_holds_its_title_only(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """While one title waits, others are published; its own later edits wait, and keep their order."""
    for revision, page in ((1, 1), (2, 1), (3, 2), (4, 3)):
        wikis.script(("revision", revision), found(revision, page))
    wikis.hold(("revision", 1))
    async with running(bench, wikis):
        await bench.admit(*(change("edit", r, t) for r, t in ((1, "A"), (2, "A"), (3, "B"), (4, "C"))))
        assert (await bench.until_admitted(2))["published"] == 2
        assert [a["version"]["identifier"] for a in await articles(bench)] == [3, 4]
        wikis.go(("revision", 1))
        await bench.until_admitted(4)
    assert [a["version"]["identifier"] for a in await articles(bench)] == [3, 4, 1, 2]


async def test_a_restart_publishes_what_was_open_and_nothing_twice(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Killed with work done out of order, enrich resumes: each change comes out once, the counts add up."""
    changes = [change("edit", r, f"T{r % 7}") for r in range(1, 61)]
    for each in changes:
        wikis.script(("revision", each.revision), found(each.revision, each.revision % 7 + 1))
    slow = ("revision", 1)
    wikis.hold(slow)
    await bench.admit(*changes)

    async def some() -> bool:
        return (await bench.counts()).get("published", 0) >= 10

    await killed(bench, wikis, some)
    before = await bench.counts()
    assert before["published"] < 60
    wikis.go(slow)
    async with running(bench, wikis):
        counts = await bench.until_admitted(60)
    out = await articles(bench)
    assert sorted(a["version"]["identifier"] for a in out) == list(range(1, 61))
    assert counts["published"] == 60
    assert balanced(counts)
    sequences = [a["event"]["sequence"] for a in out]
    assert len(set(sequences)) == 60
    for page in range(1, 8):
        of_page = [a["version"]["identifier"] for a in out if a["identifier"] == page]
        assert of_page == sorted(of_page)
    assert not [a for a in out if a["event"].get("late")]


async def test_a_delete_overtakes_the_fetch_of_its_page(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A removal is committed while an earlier edit is still asked for; the edit's text never comes out."""
    wikis.script(("revision", 1), found(1, 9, asked_ms=0))
    wikis.hold(("revision", 1))
    async with running(bench, wikis):
        await bench.admit(change("edit", 1), change("delete", 0, page_id=9, edited_ms=2_000_000))
        await bench.until_admitted(1)
        wikis.go(("revision", 1))
        counts = await bench.until_admitted(2)
    (record,) = await bench.read(bench.topics.articles)
    assert counts["published"] == 1
    assert counts["gone"] == 1
    assert record.header("ce_type") == "wiki.article.delete"
    assert "article_body" not in body(record)
    assert "comment" not in body(record).get("version", {})
    (cutoff,) = await bench.read(bench.topics.withdrawals)
    assert cutoff.key == "testwiki:9"
    assert body(cutoff) == {
        "sequence": body(record)["event"]["sequence"],
        "hides": ["text", "comment", "editor"],
    }


async def test_a_restore_after_the_delete_publishes_anew(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A page that comes back with a lower revision is neither late nor hidden by its cut-off."""
    wikis.script(("revision", 8), found(8, 9))
    wikis.script(("page", 9), found(7, 9))
    async with running(bench, wikis):
        await bench.admit(change("edit", 8))
        await bench.until_admitted(1)
        await bench.admit(change("delete", page_id=9), change("restore", page_id=9))
        await bench.until_admitted(3)
    cutoffs = Cutoffs()
    for record in await bench.read(bench.topics.withdrawals):
        cutoffs.apply(record)
    edit, delete, restored = await articles(bench)
    assert restored["event"]["kind"] == "restore"
    assert restored["article_body"]["wikitext"] == "Text of 7."
    assert "late" not in restored["event"]
    assert "text" in cutoffs.hidden("testwiki:9", 8, edit["event"]["sequence"])
    assert not cutoffs.hidden("testwiki:9", 0, delete["event"]["sequence"])
    assert not cutoffs.hidden("testwiki:9", 7, restored["event"]["sequence"])


async def test_a_deletion_without_page_id_asks_the_log_events(bench: Any, wikis: Any, change: Make) -> None:
    """Where the stream tells no page id, the wiki's log does."""
    wikis.script(("deleted", "A"), (9,))
    async with running(bench, wikis):
        await bench.admit(change("delete", log_id=3))
        await bench.until_admitted(1)
    (record,) = await bench.read(bench.topics.articles)
    assert record.key == "testwiki:9"
    assert len(await bench.read(bench.topics.withdrawals)) == 1


async def test_a_deletion_nobody_can_resolve_withdraws_what_was_under_its_title(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """It is a dead letter, and the page last published under the title is cut off all the same."""
    wikis.script(("revision", 1), found(1, 9, title="A"))
    async with running(bench, wikis):
        await bench.admit(change("edit", 1))
        await bench.until_admitted(1)
        await bench.admit(change("delete", log_id=3))
        counts = await bench.until_admitted(2)
    (letter,) = await bench.read(bench.topics.deadletter)
    (cutoff,) = await bench.read(bench.topics.withdrawals)
    assert counts["deadletter"] == 1
    assert body(letter)["code"] == "page_unresolved"
    assert cutoff.key == "testwiki:9"


async def test_hidden_text_is_never_published(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """An answer that says hidden and holds the text all the same (a privileged account) leaves without it."""
    wikis.script(
        ("revision", 5),
        found(5, 1, text_hidden=True, content="secret", comment="secret too", comment_hidden=True),
    )
    async with running(bench, wikis):
        await bench.admit(change("edit", 5))
        await bench.until_admitted(1)
    (record,) = await bench.read(bench.topics.articles)
    assert record.value is not None
    assert b"secret" not in record.value
    assert record.header("ce_type") == "wiki.article.visibility-change"
    assert body(record)["event"]["kind"] == "edit"
    assert body(record)["event"]["revision"]["visibility"] == {
        "text": False,
        "editor": True,
        "comment": False,
    }
    (cutoff,) = await bench.read(bench.topics.withdrawals)
    assert cutoff.key == "testwiki:1/5"


async def test_a_visibility_change_cuts_off_before_it_asks(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The cut-off is out while the wiki is still silent; the record follows, without text."""
    wikis.script(("page", 1), found(5, 1))  # a replica that does not know yet
    wikis.hold(("page", 1))
    hidden = Visibility(text=False)
    async with running(bench, wikis):
        await bench.admit(change("visibility", 5, page_id=1, visibility=hidden))

        async def cut_off() -> bool:
            return len(await bench.read(bench.topics.withdrawals)) == 1

        await bench.until(cut_off)
        assert (await bench.counts()).get("admitted", 0) == 0
        wikis.go(("page", 1))
        await bench.until_admitted(1)
    (record,) = await bench.read(bench.topics.articles)
    assert record.value is not None
    assert b"Text of 5" not in record.value
    cutoffs = Cutoffs()
    for each in await bench.read(bench.topics.withdrawals):
        cutoffs.apply(each)
    assert not cutoffs.hidden(record.key, 5, int(record.header("ce_sequence")))
    assert "text" in cutoffs.hidden(record.key, 5, int(record.header("ce_sequence")) - 10_000_000)


async def test_hiding_an_older_revision_restates_the_article(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The newest record of the page keeps its text and names the revision that was hidden."""
    wikis.script(("page", 1), found(9, 1))
    async with running(bench, wikis):
        await bench.admit(change("visibility", 5, page_id=1, visibility=Visibility(text=False)))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert article["article_body"]["wikitext"] == "Text of 9."
    assert article["event"]["type"] == "visibility-change"
    assert article["event"]["revision"]["identifier"] == 5
    keys = [r.key for r in await bench.read(bench.topics.withdrawals)]
    assert keys == ["testwiki:1/5"]


async def test_text_hidden_while_it_is_fetched_stays_hidden(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The edit was answered with its text before the wiki hid it: published without."""
    wikis.script(("revision", 5), found(5, 1))
    wikis.hold(("revision", 5))
    wikis.script(("page", 1), found(5, 1))
    async with running(bench, wikis):
        await bench.admit(
            change("edit", 5),
            change("visibility", 5, title="Other", page_id=1, visibility=Visibility(text=False)),
        )
        await bench.until_admitted(1)
        wikis.go(("revision", 5))
        await bench.until_admitted(2)
    assert all("article_body" not in article for article in await articles(bench))


async def test_a_late_edit_does_not_displace_its_page(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """An edit after a newer revision has a key of its own, a tombstone behind it, and says so; a restart
    in between changes nothing.
    """
    for revision in (4, 5, 6):
        wikis.script(("revision", revision), found(revision, 1))
    async with running(bench, wikis):
        await bench.admit(change("edit", 6))
        await bench.until_admitted(1)
    async with running(bench, wikis):
        await bench.admit(change("edit", 5), change("edit", 4))
        await bench.until_admitted(3)
    records = await bench.read(bench.topics.articles)
    assert [(r.key, r.value is None) for r in records] == [
        ("testwiki:1", False),
        ("testwiki:1/5", False),
        ("testwiki:1/5", True),
        ("testwiki:1/4", False),
        ("testwiki:1/4", True),
    ]
    assert [a["event"].get("late", False) for a in await articles(bench)] == [False, True, True]


async def test_gone_after_three_tries(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """A revision is gone when the wiki says so three times, and present when it turns up the second time."""
    wikis.script(("revision", 6), *(await _missing_then(found(6, 2))))
    async with running(bench, wikis):
        await bench.admit(change("edit", 5), change("edit", 6, "B"))
        counts = await bench.until_admitted(2)
    assert counts["gone"] == 1
    assert counts["published"] == 1
    assert wikis.asked.count(("revision", 5)) == 3


async def _missing_then(answer: Any) -> list[Any]:
    from streamer.origin.answer import Missing  # noqa: PLC0415 - one use

    return [Missing(10**15), answer]


async def test_what_becomes_a_dead_letter(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """No article can be made: each with its code, none of them in the way of the next."""
    wikis.script(("revision", 1), AnswerInvalid("textmissing"))
    wikis.script(("revision", 2), found(2, 8))
    wikis.script(("revision", 3), found(4, 1))
    wikis.script(("revision", 5), found(5, 1, wiki="otherwiki"))
    wikis.script(("revision", 6), OriginUnavailable("status_503"))
    wikis.script(("revision", 8), found(8, 1))
    async with running(bench, wikis):
        await bench.admit(
            change("edit", 1),
            change("edit", 2, page_id=1),
            change("edit", 3),
            change("edit", 5),
            change("edit", 6),
            change("edit", 7, server_name="127.0.0.1"),
            change("edit", 8),
        )
        counts = await bench.until_admitted(7)
    codes = sorted(body(r)["code"] for r in await bench.read(bench.topics.deadletter))
    assert codes == [
        "another_page",
        "another_revision",
        "another_wiki",
        "host_not_allowed",
        "origin_unavailable",
        "textmissing",
    ]
    assert counts["published"] == 1
    assert balanced(counts)


async def test_a_silent_wiki_is_deferred_while_others_answer(bench: Any, wikis: Any, change: Make) -> None:
    """Its changes become dead letters that replay later, so that it never holds the partition."""
    wikis.script(("revision", 1), OriginUnavailable("timeout"))
    wikis.failing_since = bench.runtime.clock.monotonic_s() - 2
    async with running(bench, wikis):
        await bench.admit(change("edit", 1))
        await bench.until_admitted(1)
    (letter,) = await bench.read(bench.topics.deadletter)
    assert body(letter)["code"] == "deferred"


async def test_when_no_wiki_answers_lanes_wait(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """Nothing is given up, the service is not ready; it goes on by itself."""
    wikis.script(("revision", 1), OriginUnavailable("connect"), found(1, 1))
    wikis.failing_since = bench.runtime.clock.monotonic_s() - 1000
    wikis.any_host_answers = False
    async with running(bench, wikis):
        await bench.admit(change("edit", 1))
        await bench.until(lambda: bench.runtime.health.problems().get("enrich") == "no wiki answers")
        counts = await bench.until_admitted(1)
        assert not bench.runtime.health.problems()
    assert counts["published"] == 1


async def test_a_move_names_its_old_place(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """It carries the article as it now is; edits at the new title wait for it."""
    wikis.script(("page", 1), found(5, 1, title="New"))
    wikis.script(("revision", 6), found(6, 1, title="New"))
    wikis.script(("title", "Old"), found(7, 2, title="Old", is_redirect=True, content="#REDIRECT [[New]]"))
    wikis.hold(("page", 1))
    async with running(bench, wikis):
        await bench.admit(
            change("move", title="New", page_id=1, previous=Place("Old", 0)),
            change("edit", 6, "New"),
            change("create", title="Old", cause="redirect"),
            change("edit", 99, "Elsewhere", server_name="elsewhere.invalid"),
        )
        await bench.until_admitted(1)
        assert await articles(bench) == []
        wikis.go(("page", 1))
        await bench.until_admitted(4)
    out = await articles(bench)
    moved = out[0]
    assert moved["event"]["previous"] == {"name": "Old", "namespace": {"identifier": 0, "name": ""}}
    assert moved["name"] == "New"
    assert sorted(a["version"]["identifier"] for a in out) == [5, 6, 7]
    (redirect,) = [a for a in out if a["identifier"] == 2]
    assert redirect["redirect_target"] == "New"


async def test_a_refresh_from_a_lagging_replica_is_asked_again(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A page is not restated older than it was published."""
    wikis.script(("revision", 6), found(6, 1))
    wikis.script(("page", 1), found(5, 1), found(6, 1))
    async with running(bench, wikis):
        await bench.admit(change("edit", 6))
        await bench.until_admitted(1)
        await bench.admit(change("refresh", page_id=1, cause="protect"))
        await bench.until_admitted(2)
    assert [a["version"]["identifier"] for a in await articles(bench)] == [6, 6]


async def test_hints_become_signals_and_figures_and_are_never_counted(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """What page_change tells for free is in the article, what it reverts is a signal."""
    wikis.script(("revision", 5), found(5, 1))
    hint = Hint(
        "testwiki",
        1,
        5,
        0,
        parent=4,
        parent_size=12,
        parent_edited_ms=1_000,
        reverted_oldest=3,
        reverted_newest=4,
    )
    async with running(bench, wikis):
        await bench.admit(hint, change("edit", 5))
        counts = await bench.until_admitted(1)
    (signal,) = await bench.read(bench.topics.signals)
    (article,) = await articles(bench)
    assert counts["admitted"] == 1
    assert signal.key == "testwiki:1"
    assert body(signal) == {"page_id": 1, "by": 5, "reverted": [3, 4], "upstream_ms": 0}
    assert article["previous_version"] == {"identifier": 4, "size": {"value": 12.0, "unit_text": "B"}}
    assert article["date_previously_modified"] == "1970-01-01T00:00:01Z"


async def test_a_change_that_cannot_be_read_is_a_dead_letter(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A broken change, or one of a newer version, ends neither the lane nor those behind it, and the sums
    hold; one that removes something cuts its page off. A hint is not counted, so not this one either.
    """
    wikis.script(("revision", 5), found(5, 1))
    newer = msgspec.json.decode(msgspec.json.encode(change("delete", page_id=9)))
    values = [
        b"{not json",
        b"\xff\xfe",
        b"[" * 100_000,
        msgspec.json.encode({**newer, "log_id": "of another type"}),
        b'{"record":"hint","wiki":7}',
    ]
    await bench.runtime.log.append(
        [Record(bench.topics.changes, partition_of("testwiki", 10), "testwiki", value) for value in values]
    )
    async with running(bench, wikis):
        await bench.admit(change("edit", 5))
        counts = await bench.until_admitted(5)
    assert counts == {"admitted": 5, "published": 1, "gone": 0, "superseded": 0, "deadletter": 4}
    letters = [body(r) for r in await bench.read(bench.topics.deadletter)]
    assert {letter["code"] for letter in letters} == {"change_unreadable"}
    assert len({letter["change"]["identifier"] for letter in letters}) == 4
    assert letters[3]["change"]["title"] == "A"
    (cutoff,) = await bench.read(bench.topics.withdrawals)
    assert cutoff.key == "testwiki:9"


async def test_what_was_done_before_a_restart_still_judges_what_was_not(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Edits that were open when their page was deleted, or their text hidden, are asked anew after a kill; a
    replica that does not know yet answers with the text: it stays in.
    """
    for revision, page in ((1, 9), (2, 8)):
        wikis.script(("revision", revision), found(revision, page))
        wikis.hold(("revision", revision))
    wikis.script(("page", 8), found(3, 8))
    await bench.admit(
        change("edit", 1, "A", edited_ms=2_000_000),
        change("edit", 2, "B"),
        change("delete", title="Moved A", page_id=9, edited_ms=2_000_000),
        change("visibility", 2, "Moved B", page_id=8, visibility=Visibility(text=False)),
    )

    async def both_done() -> bool:
        return (await bench.counts()).get("admitted", 0) == 2

    await killed(bench, wikis, both_done)
    wikis.go(("revision", 1))
    wikis.go(("revision", 2))
    async with running(bench, wikis):
        counts = await bench.until_admitted(4)
    assert counts["gone"] == 1
    assert counts["published"] == 3
    out = await articles(bench)
    assert [a["event"]["kind"] for a in out if a["identifier"] == 9] == ["delete"]
    (edit,) = [a for a in out if a["event"]["identifier"] == identifier_of_revision("testwiki", 2)]
    assert "article_body" not in edit


async def test_a_kill_between_a_cut_off_and_its_record(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The record still comes, once, above every cut-off: a second one is harmless."""
    wikis.script(("page", 1), found(9, 1))
    wikis.hold(("page", 1))
    await bench.admit(change("visibility", 5, page_id=1, visibility=Visibility(text=False)))

    async def cut_off() -> bool:
        return bool(await bench.read(bench.topics.withdrawals))

    await killed(bench, wikis, cut_off)
    assert not (await bench.counts()).get("admitted", 0)
    wikis.go(("page", 1))
    async with running(bench, wikis):
        counts = await bench.until_admitted(1)
    assert counts["published"] == 1
    (record,) = await bench.read(bench.topics.articles)
    cutoffs = Cutoffs()
    for each in await bench.read(bench.topics.withdrawals):
        cutoffs.apply(each)
    sequence = int(record.header("ce_sequence"))
    assert not cutoffs.hidden(record.key, int(record.header("rev")), sequence)
    assert "text" in cutoffs.hidden(record.key, 5, sequence - 10_000_000)


async def test_a_lane_that_starts_looks_back_for_its_own_wikis_only(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """What another lane has learned since must not be overwritten by what was published before."""
    for wiki in ("testwiki", "w1wiki"):
        wikis.script(("revision", 5), found(5, 1, wiki=wiki))
        async with running(bench, wikis):
            await bench.admit(change("edit", 5, wiki=wiki))
            await bench.until_admitted(1 if wiki == "testwiki" else 2)
    memory = Memory()
    newest = memory.newest
    newest.published("w1wiki", 1, 7, "A")
    starting, running_on = partition_of("testwiki", 10), partition_of("w1wiki", 10)
    assert starting != running_on
    log = bench.runtime.log
    await read_back(log, bench.topics.articles, memory, bench.runtime.clock.now_ms(), {starting})
    assert newest.revision("testwiki", 1) == 5
    assert newest.revision("w1wiki", 1) == 7


async def test_a_hidden_revision_is_cut_off_at_its_own_page(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Without a page id (recentchange alone tells none) the wiki says whose the revision is: under its title
    is another page by now.
    """
    wikis.script(("revision", 5), found(5, 1, title="Elsewhere"))
    wikis.script(("page", 1), found(9, 1, title="Elsewhere"))
    wikis.script(("title", "A"), found(7, 2, title="A"))
    async with running(bench, wikis):
        await bench.admit(change("visibility", 5, "A", visibility=Visibility(text=False)))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert article["identifier"] == 1
    assert article["version"]["identifier"] == 9
    assert [r.key for r in await bench.read(bench.topics.withdrawals)] == ["testwiki:1/5"]


async def test_a_restatement_waits_for_what_was_read_before_it(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """An edit and the protection of its page are asked at once; a replica that does not know the edit yet
    must not restate the page as it was before, on top of it.
    """
    wikis.script(("revision", 6), found(6, 1))
    wikis.hold(("revision", 6))
    wikis.script(("page", 1), found(5, 1), found(6, 1))
    async with running(bench, wikis):
        await bench.admit(change("edit", 6), change("refresh", page_id=1, cause="protect"))
        await bench.until(lambda: wikis.asked.count(("page", 1)) == 2)
        wikis.go(("revision", 6))
        await bench.until_admitted(2)
    assert [a["version"]["identifier"] for a in await articles(bench)] == [6, 6]


async def test_a_text_that_is_shown_again_comes_out_again(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A replica that still hides it is asked again: else the page would have no text until its next edit."""
    wikis.script(("page", 1), found(5, 1, text_hidden=True, content=None), found(5, 1))
    async with running(bench, wikis):
        await bench.admit(change("visibility", 5, page_id=1, visibility=Visibility()))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert article["article_body"]["wikitext"] == "Text of 5."


async def test_too_large_to_be_told_is_not_too_large_to_be_hidden(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A comment that is hidden on a page that is too large for a record is cut off all the same."""
    huge = found(5, 1, content="x" * 16_800_000, comment_hidden=True)
    wikis.script(("page", 1), huge)
    async with running(bench, wikis):
        await bench.admit(change("refresh", page_id=1))
        counts = await bench.until_admitted(1)
    assert counts["deadletter"] == 1
    (cutoff,) = await bench.read(bench.topics.withdrawals)
    assert (cutoff.key, body(cutoff)["hides"]) == ("testwiki:1/5", ["comment"])


async def test_what_does_not_fit_a_record_is_first_what_few_asked_for(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's lists go before its text does: who has no lists gets the same as without them."""
    monkeypatch.setattr("streamer.enrich.fitting.MAX_RECORD_BYTES", 100_000)
    lists = {"categories": tuple(f"Category:{number:0100}" for number in range(100)), "redirects": ()}
    for revision, content in ((5, "words"), (6, "words " * 2_000), (7, "words " * 4_000)):
        wikis.script(("revision", revision), found(revision, revision, content=content, lists=lists))
    async with running(bench, wikis, with_text=True):
        await bench.admit(*(change("edit", revision, f"T{revision}") for revision in (5, 6, 7)))
        await bench.until_admitted(3)
    out = {a["identifier"]: a for a in await articles(bench)}
    assert [sorted(out[page]["article_body"]) for page in (5, 6, 7)] == [["text", "wikitext"]] * 2 + [
        ["wikitext"]
    ]
    assert ["categories" in out[page] for page in (5, 6, 7)] == [True, False, False]


async def test_a_redirect_has_no_prose(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """Neither its keyword nor its target is text or abstract, in any language; nor once it is none again."""
    contents = {1: "#転送 [[Target]]\n{{R}}", 2: "#REDIRECT [[Target]]", 3: "# A list\n# of things"}
    for revision, content in contents.items():
        redirect = revision == 1
        wikis.script(("revision", revision), found(revision, revision, content=content, is_redirect=redirect))
    async with running(bench, wikis, with_text=True):
        await bench.admit(*(change("edit", revision, f"T{revision}") for revision in contents))
        await bench.until_admitted(3)
    out = {a["version"]["identifier"]: a for a in await articles(bench)}
    for revision in (1, 2):
        assert out[revision]["article_body"]["text"] == ""
        assert "abstract" not in out[revision]
        assert out[revision]["redirect_target"] == "Target"
    assert out[3]["article_body"]["text"] == "1. A list\n2. of things"


async def test_a_text_does_not_name_the_user_whose_page_it_is(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """As the page itself would: privacy hides names where they are told, and not in a text."""
    content = "I am {{PAGENAME}}, of {{FULLPAGENAME}}."
    wikis.script(("revision", 1), found(1, 1, content=content, title="User:Ida Moss", namespace=2))
    wikis.script(("revision", 2), found(2, 2, content=content, title="Talk:Harbour", namespace=1))
    async with running(bench, wikis, with_text=True):
        await bench.admit(change("edit", 1, "User:Ida Moss"), change("edit", 2, "Talk:Harbour"))
        await bench.until_admitted(2)
    texts = {a["version"]["identifier"]: a["article_body"]["text"] for a in await articles(bench)}
    assert texts == {1: "I am , of .", 2: "I am Harbour, of Talk:Harbour."}


async def test_sections_and_infoboxes_are_made_where_somebody_asks(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """And nowhere else: not of items, none of a redirect; text is not made for them either."""
    box = "{{Infobox x|a=[[b]]}}\nlead\n== H ==\n* one"
    wikis.script(("revision", 1), found(1, 1, content=box))
    wikis.script(("revision", 2), found(2, 2, content="#REDIRECT [[Target]]"))
    wikis.script(("revision", 3), found(3, 3, content="{}", content_model="wikibase-item"))
    async with running(bench, wikis, plan=Plan(text=False, sections=True, infoboxes=True)):
        await bench.admit(*(change("edit", revision, f"T{revision}") for revision in (1, 2, 3)))
        await bench.until_admitted(3)
    bodies = {a["version"]["identifier"]: a["article_body"] for a in await articles(bench)}
    lead, below = bodies[1].pop("sections")
    assert (lead["path"], lead["level"], lead["text"]) == ([], 0, "lead")
    assert (below["path"], below["level"], below["text"]) == (["H"], 2, "- one")
    assert lead["hash"] != below["hash"]
    assert bodies == {
        1: {"wikitext": box, "infoboxes": [{"name": "Infobox x", "fields": [{"key": "a", "value": "b"}]}]},
        2: {"wikitext": "#REDIRECT [[Target]]", "sections": [], "infoboxes": []},
        3: {"wikitext": "{}"},
    }


async def test_an_article_that_is_too_large_loses_sections_before_text(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """What one partner asks for takes nothing from another; then text goes, then all."""
    wikis.script(("revision", 1), found(1, 1, content="\u0001" * 990_000))  # six bytes each
    async with running(bench, wikis, plan=Plan(sections=True, infoboxes=True)):
        await bench.admit(change("edit", 1, "T1"))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert list(article["article_body"]) == ["wikitext", "text"]


async def test_a_resolved_deletion_does_not_wait_for_its_title(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Once its page is known it goes ahead of a slow edit; a restore read after it still comes after it."""
    wikis.script(("revision", 1), found(1, 9))
    wikis.hold(("revision", 1))
    wikis.script(("deleted", "A"), (9,))
    wikis.hold(("deleted", "A"))
    wikis.script(("page", 9), found(1, 9))
    async with running(bench, wikis):
        await bench.admit(change("edit", 1), change("delete"), change("restore", page_id=9))
        await bench.until(lambda: len(wikis.asked) == 3)
        assert await articles(bench) == []
        wikis.go(("deleted", "A"))
        await bench.until_admitted(1)
        wikis.go(("revision", 1))
        counts = await bench.until_admitted(3)
    assert [a["event"]["kind"] for a in await articles(bench)] == ["delete", "restore"]
    assert counts["gone"] == 1


async def test_killed_at_random_every_change_comes_out_once(
    bench: Any, wikis: Any, change: Make, found: Make, rng: random.Random
) -> None:
    """Edits, moves, deletes and hidings of several wikis, killed again and again: the identity holds in the
    committed counts, nothing is doubled, each page keeps its order.
    """
    changes: list[Any] = []
    for number in range(1, 241):
        page = rng.randrange(1, 9)
        wiki = f"w{page % 3}wiki"
        about = {"wiki": wiki, "title": f"T{page}"}
        kind = rng.choices(["edit", "delete", "visibility", "refresh"], [20, 1, 2, 2])[0]
        site = {"wiki": wiki, "title": f"T{page}"}
        if kind == "edit":
            wikis.script(("revision", number), found(number, page, **site))
            changes.append(change("edit", number, **about))
        else:
            wikis.script(("page", page), found(number, page, **site))
            hidden = Visibility(text=False) if kind == "visibility" else None
            changes.append(
                change(
                    kind,
                    number if hidden else 0,
                    page_id=page,
                    identifier=identifier_of_event(f"n{number}"),
                    visibility=hidden,
                    **about,
                )
            )
    await bench.admit(*changes)
    bound = 0
    for _ in range(5):
        bound += rng.randrange(10, 40)

        async def reached(bound: int = bound) -> bool:
            return (await bench.counts()).get("admitted", 0) >= bound

        await killed(bench, wikis, reached)
        assert balanced(await bench.counts())
    async with running(bench, wikis):
        counts = await bench.until_admitted(240)
    out = await articles(bench)
    assert counts["admitted"] == 240
    assert balanced(counts)
    assert counts["published"] == len(out)
    identifiers = [a["event"]["identifier"] for a in out]
    assert len(set(identifiers)) == len(identifiers)
    read = {c.identifier: position for position, c in enumerate(changes)}
    for page in range(1, 9):
        of_page = [read[a["event"]["identifier"]] for a in out if a["identifier"] == page]
        assert of_page == sorted(of_page)


async def test_a_page_is_not_restated_older_than_it_was_published(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A replica that lags on all tries: a dead letter, so that it can be restated later. What is hidden of a
    revision is cut off all the same.
    """
    wikis.script(("revision", 6), found(6, 1))
    wikis.script(("page", 1), found(5, 1))
    async with running(bench, wikis):
        await bench.admit(change("edit", 6))
        await bench.until_admitted(1)
        await bench.admit(
            change("refresh", page_id=1, cause="protect"),
            change("visibility", 5, page_id=1, visibility=Visibility(text=False)),
        )
        counts = await bench.until_admitted(3)
    assert [a["version"]["identifier"] for a in await articles(bench)] == [6]
    assert counts == {"admitted": 3, "published": 1, "gone": 0, "superseded": 0, "deadletter": 2}
    assert {body(r)["code"] for r in await bench.read(bench.topics.deadletter)} == {"stale"}
    assert "testwiki:1/5" in {r.key for r in await bench.read(bench.topics.withdrawals)}


async def test_a_move_and_a_restore_are_not_told_with_the_page_from_before_them(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Their events say which revision the page has: an answer with a lower one is asked for again, and so is
    that of a refresh behind them.
    """
    wikis.script(("page", 1), found(5, 1, title="Old"), found(6, 1, title="New"))
    wikis.script(("page", 2), found(7, 2), found(8, 2))
    wikis.script(("title", "B"), found(7, 2), found(8, 2))
    async with running(bench, wikis):
        await bench.admit(
            change("move", 6, title="New", page_id=1, previous=Place("Old", 0)),
            change("delete", title="B", page_id=2),
            change("restore", 8, title="B", page_id=2),
            change("refresh", title="B", cause="restore"),
        )
        await bench.until_admitted(4)
    told = [(a["event"]["kind"], a["version"]["identifier"]) for a in await articles(bench) if "version" in a]
    assert sorted(told) == [("move", 6), ("refresh", 8), ("restore", 8)]


async def test_what_was_removed_before_a_restart_is_known_before_anything_is_asked(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The removal is out, a page of records behind the edit before it; the wiki's answer to the edit comes at
    once after the restart, from a replica that knows nothing of the removal.
    """
    wikis.script(("revision", 5), found(5, 1))
    wikis.hold(("revision", 5))
    hints = [Hint("testwiki", 3, 100 + number, 0) for number in range(2 * READ_RECORDS)]
    await bench.admit(change("edit", 5), *hints, change("delete", page_id=1))
    await killed(bench, wikis, lambda: published(bench, 1))
    wikis.go(("revision", 5))
    async with running(bench, wikis):
        counts = await bench.until_admitted(2)
    assert counts == {"admitted": 2, "published": 1, "gone": 1, "superseded": 0, "deadletter": 0}
    assert [a["event"]["kind"] for a in await articles(bench)] == ["delete"]


async def test_a_quiet_partition_gets_a_tick(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start every partition of the articles gets one of each lane; after that one only where the lane
    has published. What is counted stays as it is, and a tick holds nothing.
    """
    monkeypatch.setattr("streamer.enrich.outbox.IDLE_COMMIT_S", 0.05)
    shortened = structs.replace(bench.runtime.settings.log, history_hours=0.6 / 3600)
    bench.runtime.settings = structs.replace(bench.runtime.settings, log=shortened)
    lanes = 10

    async def ticks() -> int:
        return sum(is_tick(record) for record in await bench.read(bench.topics.articles))

    async def until_quiet(number: int) -> None:
        async def there() -> bool:
            return await ticks() == number

        await bench.until(there)
        await asyncio.sleep(0.5)  # eight quiet times
        assert await ticks() == number

    wikis.script(("revision", 1), found(1, 7))
    async with running(bench, wikis):
        await until_quiet(lanes * 10)
        await bench.admit(change("edit", 1))
        await bench.until_admitted(1)
        await until_quiet(lanes * 10 + 1)
    records = await bench.read(bench.topics.articles)
    (article,) = (record for record in records if not is_tick(record))
    assert [r.partition for r in records if r.offset > article.offset and r.partition == article.partition]
    assert {record.value for record in records if is_tick(record)} == {b"{}"}
    assert (await bench.counts())["published"] == 1


async def test_a_drain_during_the_start_does_not_wait_for_what_was_never_asked(
    bench: Any, wikis: Any, change: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wish to stop comes while a lane still reads what was there: it returns at once, and not after the
    time for a drain.
    """
    monkeypatch.setattr("streamer.enrich.lane.READ_RECORDS", 1)
    await bench.admit(*(change("edit", revision) for revision in range(1, 51)))
    take = LaneWorker._take

    def stop_at_once(self: LaneWorker, record: Stored, tasks: asyncio.TaskGroup) -> None:
        take(self, record, tasks)
        bench.runtime.draining.set()

    monkeypatch.setattr(LaneWorker, "_take", stop_at_once)
    async with asyncio.timeout(bench.runtime.settings.deliver.drain_s * DRAIN_SHARE / 2):
        await run_enrich(bench.runtime, wikis, lambda: Plan(text=False))
    assert wikis.asked == []
    assert (await bench.counts()).get("admitted", 0) == 0


async def published(bench: Any, number: int) -> bool:
    return (await bench.counts()).get("published", 0) >= number
