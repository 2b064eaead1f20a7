"""A withdrawal whose change comes to nothing: the text is cut off, and must leave the disk as well."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.articles import Page
from harness.delivering import metric
from msgspec import structs

from streamer.clock import Clock
from streamer.cutoffs import Cutoffs
from streamer.deadletters import letter_of
from streamer.enrich.commit import Batch, Finished, Memory
from streamer.enrich.outcome import Answered, Dead, Work
from streamer.enrich.suspects import CAUSE as RECONCILE
from streamer.errors import AnswerInvalid, OriginUnavailable
from streamer.log.base import Record, Stored, partition_of
from streamer.log.local import LocalLog
from streamer.model import OUTCOME_HEADER, Change, DeadLetter, Topics, Visibility
from streamer.partners import Partner
from streamer.privacy import Policy
from streamer.replays import replay_of
from streamer.route.feed import Article, Draft, Feed, Routing
from tests.unit.enrich.test_enrich_stage import articles, balanced, body, running

Make = Callable[..., Any]
HIDDEN = Visibility(text=False)
CANARY = "canary"
HISTORY_MS = 7 * 3_600_000


def invalid() -> AnswerInvalid:
    return AnswerInvalid("unparsable")


async def shown(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """A page is published with the canary in it."""
    wikis.script(("revision", 5), found(5, 1, title="A", content=CANARY))
    async with running(bench, wikis):
        await bench.admit(change("edit", 5))
        await bench.until_admitted(1)


async def of_page(bench: Any, page: int = 1) -> list[Stored]:
    records = await bench.read(bench.topics.articles)
    return [record for record in records if record.key == f"testwiki:{page}"]


def hides(change: Make, revision: int = 5, page: int = 1, visibility: Visibility = HIDDEN) -> Change:
    changed: Change = change("visibility", revision, page_id=page, visibility=visibility)
    return changed


def is_served(record: Stored, withdrawals: Iterable[Stored]) -> bool:
    cutoffs = Cutoffs()
    for each in withdrawals:
        cutoffs.apply(each)
    rev, sequence = (int(record.header(name) or 0) for name in ("rev", "ce_sequence"))
    return "text" not in cutoffs.hidden(record.key, rev, sequence)


def script_failing(wikis: Any, found: Make, why: str) -> None:
    if why == "unparsable":
        wikis.script(("page", 1), invalid())
    elif why == "stale":
        wikis.script(("page", 1), found(4, 1, content="before"))
    elif why == "too_large":
        wikis.script(("page", 1), found(6, 1, content="x" * 16_800_000))
    else:
        wikis.script(("page", 1), OriginUnavailable("timeout"))
        wikis.failing_since = Clock().monotonic_s() - 1_000


@pytest.mark.parametrize("why", ["unparsable", "stale", "too_large", "deferred"])
async def test_a_hidden_text_that_nothing_can_be_told_of_is_overwritten(
    bench: Any, wikis: Any, change: Make, found: Make, *, why: str
) -> None:
    """Whatever makes the visibility change a dead letter: the newest record of the page has no text and says
    that it is hidden, above the cut-off, so that readers are told. The sums stay as they are.
    """
    script_failing(wikis, found, why)
    wikis.script(("revision", 5), found(5, 1, title="A", content=CANARY))
    async with running(bench, wikis):
        await bench.admit(change("edit", 5))
        await bench.until_admitted(1)
        await bench.admit(hides(change))
        counts = await bench.until_admitted(2)
    assert (counts["deadletter"], counts["published"]) == (1, 1)
    assert balanced(counts)
    (letter,) = await bench.read(bench.topics.deadletter)
    assert body(letter)["code"] == why
    first, last = await of_page(bench)
    assert CANARY in str(body(first))
    told = body(last)
    assert "article_body" not in told
    assert CANARY not in str(told)
    assert (told["event"]["type"], told["event"]["kind"]) == ("visibility-change", "visibility")
    assert told["event"]["revision"]["visibility"]["text"] is told["visibility"]["text"] is False
    assert (told["version"], last.header("rev")) == ({"identifier": 5}, "5")
    assert last.header(OUTCOME_HEADER) == "deadletter"
    withdrawals = await bench.read(bench.topics.withdrawals)
    assert [is_served(record, withdrawals) for record in (first, last)] == [False, True]


async def test_a_deletion_nobody_can_resolve_is_told(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The page that was newest under its title is cut off, so partners are told that it is gone."""
    await shown(bench, wikis, change, found)
    async with running(bench, wikis):
        await bench.admit(change("delete", log_id=3))
        counts = await bench.until_admitted(2)
    assert (counts["deadletter"], counts["published"]) == (1, 1)
    _, last = await of_page(bench)
    assert (body(last)["event"]["type"], last.header(OUTCOME_HEADER)) == ("delete", "deadletter")
    assert "article_body" not in body(last)
    async with running(bench, wikis):  # nothing of it is out any more: it is no page that could be hidden
        await bench.admit(hides(change))
        await bench.until_admitted(3)
    assert len(await of_page(bench)) == 2


@pytest.mark.parametrize(
    ("revision", "visibility"), [(4, HIDDEN), (5, Visibility(comment=False)), (5, Visibility())]
)
async def test_what_is_not_withdrawn_is_not_overwritten(
    bench: Any, wikis: Any, change: Make, found: Make, *, revision: int, visibility: Visibility
) -> None:
    """An older revision's text is no newest record, and with a comment hidden the text is to stay."""
    await shown(bench, wikis, change, found)
    wikis.script(("page", 1), invalid())
    async with running(bench, wikis):
        await bench.admit(hides(change, revision, visibility=visibility))
        counts = await bench.until_admitted(2)
    assert counts["deadletter"] == 1
    assert len(await of_page(bench)) == 1


async def test_once_its_wiki_answers_the_page_is_told_as_it_is(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The replay of the dead letter restates it, above the record without text."""
    await shown(bench, wikis, change, found)
    wikis.script(("page", 1), invalid())
    async with running(bench, wikis):
        await bench.admit(hides(change))
        await bench.until_admitted(2)
        (record,) = await bench.read(bench.topics.deadletter)
        letter = letter_of(record)
        assert letter is not None
        assert letter.body is not None
        replay = replay_of(letter.body, 0)
        wikis.script(("revision", 5), found(5, 1, last_revision=6, text_hidden=True, content=None))
        wikis.script(("page", 1), found(6, 1, content="clean"))
        await bench.admit(replay)
        await bench.until_admitted(3)
    *_, last = await articles(bench)
    assert last["article_body"]["wikitext"] == "clean"


async def test_a_hidden_revision_whose_page_is_found_too_late_is_cut_off(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Its change named no page and nothing was known under its title: once the page is known the cut-off
    comes, whatever becomes of the change.
    """
    wikis.script(("revision", 5), found(5, 7, text_hidden=True, content=None))
    wikis.script(("page", 7), invalid())
    async with running(bench, wikis):
        await bench.admit(change("visibility", 5, "Elsewhere", visibility=HIDDEN))
        counts = await bench.until_admitted(1)
    assert counts["deadletter"] == 1
    assert [record.key for record in await bench.read(bench.topics.withdrawals)] == ["testwiki:7/5"]


async def test_it_leaves_the_disk(bench: Any, wikis: Any, change: Make, found: Make, tmp_path: Path) -> None:
    """After a restart too; once the history has passed, no record of the log holds the text."""
    await shown(bench, wikis, change, found)
    wikis.script(("page", 1), invalid())
    async with running(bench, wikis):
        await bench.admit(hides(change))
        await bench.until_admitted(2)
    assert [CANARY in str(record.value) for record in await of_page(bench)] == [True, False]
    async with LocalLog(
        tmp_path / "log.db", clock=lambda: Clock().now_ms() + HISTORY_MS, clean_every_s=3_600
    ) as later:
        await later.clean()
    assert [CANARY in str(record.value) for record in await of_page(bench)] == [False]


def test_a_partner_gets_it_and_counts_nothing() -> None:
    """Of the articles only those are counted that were published, so that the sums stay equal."""
    record = Page(5, kind="visibility", text=None).record(Topics())
    headers = (*record.headers, (OUTCOME_HEADER, b"deadletter"))
    stored = Stored(record.topic, record.partition, 0, 0, record.key, record.value, headers)
    for rules, gets in ((Partner("acme"), 1), (Partner("acme", wikis=("dewiki",)), 0)):
        draft = Draft.of(Feed(Routing(rules, "t", Policy()), 0, {"published": 3, "filtered": 2}))
        draft.take(stored, Article(stored, Cutoffs()))
        assert draft.counts == {"published": 3, "filtered": 2}
        assert len(draft.records) == gets


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_page_that_has_moved_is_told_where_it_is(
    bench: Any, wikis: Any, change: Make, found: Make, *, restarted: bool
) -> None:
    """The change still names the old title. Partners of the new namespace hold the text, and must be told."""
    wikis.script(("revision", 5), found(5, 1, title="User:A", namespace=2, content=CANARY))
    wikis.script(("page", 1), invalid())
    async with running(bench, wikis):
        await bench.admit(change("edit", 5, "User:A", namespace=2))
        await bench.until_admitted(1)
        if not restarted:
            await bench.admit(hides(change))
            await bench.until_admitted(2)
    if restarted:
        async with running(bench, wikis):
            await bench.admit(hides(change))
            await bench.until_admitted(2)
    *_, last = await of_page(bench)
    stands_at(last)


def stands_at(record: Any, title: str = "User:A", namespace: int = 2) -> None:
    told = body(record)
    assert "article_body" not in told
    assert (told["name"], told["namespace"]["identifier"]) == (title, namespace)
    assert told["url"].endswith(title)


def test_one_that_moves_in_the_same_commit(change: Make, found: Make) -> None:
    """Nothing is remembered of it before."""
    batch = Batch(Memory(), Topics(), 10, last_sequence=0, counts={}, now_us=1)
    moved = Answered(found(5, 1, title="User:A", namespace=2))
    batch.add(Finished(Work(0, change("edit", 5, "User:A"), 1, outcome=moved)))
    batch.add(Finished(Work(1, hides(change), 2, outcome=Dead("unparsable", 3))))
    *_, last = [record for record in batch.records if record.topic == Topics().articles]
    stands_at(last)


def missed(change: Make, revision: int = 5) -> Change:
    """What reconcile repairs: nobody was told that this was hidden."""
    repair: Change = structs.replace(
        hides(change, revision), kind="refresh", replays="visibility", cause=RECONCILE
    )
    return repair


@pytest.mark.parametrize("hidden", [5, 7])
async def test_a_repair_that_comes_behind_a_newer_edit_still_cuts_off(
    bench: Any, wikis: Any, change: Make, found: Make, *, hidden: int
) -> None:
    """The page is answered as it was before an edit that is out meanwhile. What is hidden is not served, and
    where it is that edit, a record without text takes its place.
    """
    await shown(bench, wikis, change, found)
    wikis.script(("revision", 7), found(7, 1, content=CANARY))
    async with running(bench, wikis):
        await bench.admit(change("edit", 7, "B"))
        await bench.until_admitted(2)
        wikis.script(("revision", hidden), found(hidden, 1, last_revision=7, text_hidden=True, content=None))
        wikis.script(("revision", 7), found(7, 1, last_revision=8, text_hidden=True, content=None))
        wikis.script(("page", 1), found(6, 1))
        await bench.admit(missed(change, hidden))
        counts = await bench.until_admitted(3)
    assert counts["superseded" if hidden == 5 else "deadletter"] == 1
    assert balanced(counts)
    withdrawals = await bench.read(bench.topics.withdrawals)
    records = await of_page(bench)
    served = {int(r.header("rev") or 0): is_served(r, withdrawals) for r in records}
    assert served == ({5: False, 7: True} if hidden == 5 else {5: True, 7: True})
    assert [CANARY in str(body(r)) for r in records if is_served(r, withdrawals)] == (
        [True] if hidden == 5 else [True, False]
    )


async def test_a_repair_that_nothing_can_be_told_of_cuts_off(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The dead letter of what reconcile found out withdraws as that of the change itself."""
    await shown(bench, wikis, change, found)
    wikis.script(("revision", 5), found(5, 1, last_revision=6, text_hidden=True, content=None))
    wikis.script(("page", 1), invalid())
    async with running(bench, wikis):
        await bench.admit(missed(change))
        counts = await bench.until_admitted(2)
    assert counts["deadletter"] == 1
    records, withdrawals = await of_page(bench), await bench.read(bench.topics.withdrawals)
    assert [is_served(record, withdrawals) for record in records] == [False, True]
    assert CANARY not in str(body(records[-1]))


async def test_a_letter_replayed_in_vain_hides_nothing_anew(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Its page was cut off with the letter, and was shown again since; the wiki does not say what is now."""
    await shown(bench, wikis, change, found)
    wikis.script(("revision", 5), invalid())
    wikis.script(("page", 1), invalid())
    replay = replay_of(DeadLetter(hides(change), "enrich", "unparsable", 3, 0), 0)
    async with running(bench, wikis):
        await bench.admit(replay)
        counts = await bench.until_admitted(2)
    assert counts["deadletter"] == 1
    assert not await bench.read(bench.topics.withdrawals)


@pytest.mark.parametrize(
    ("visibility", "hidden"),
    [
        ({"text": False}, ["text"]),
        ("of another type", ["text", "comment", "editor"]),
        (None, ["text", "comment", "editor"]),
        ({"text": True}, []),
    ],
)
@pytest.mark.parametrize("page_id", [1, 0])
async def test_one_that_cannot_be_read_hides_what_it_may_have_hidden(
    bench: Any, wikis: Any, change: Make, found: Make, *, visibility: object, hidden: list[str], page_id: int
) -> None:
    """All of it, unless it says what; its page is the one it names, else the one under its title."""
    await shown(bench, wikis, change, found)
    unresolved = metric("streamer_enrich_unresolved_removals_total")
    newer = msgspec.to_builtins(hides(change, page=page_id))
    value = msgspec.json.encode({**newer, "log_id": "of another type", "visibility": visibility})
    lost = Record(bench.topics.changes, partition_of("testwiki", 10), "testwiki", value)
    async with running(bench, wikis):
        await bench.runtime.log.append([lost])
        await bench.until_admitted(2)
    withdrawals = await bench.read(bench.topics.withdrawals)
    assert [(w.key, body(w)["hides"]) for w in withdrawals] == ([("testwiki:1/5", hidden)] if hidden else [])
    assert len(await of_page(bench)) == (2 if "text" in hidden else 1)
    assert metric("streamer_enrich_unresolved_removals_total") - unresolved == bool(hidden)


async def test_one_that_names_no_revision_takes_no_page_away(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """That a person has to look is said."""
    await shown(bench, wikis, change, found)
    value = b'{"record":"change","kind":"visibility","title":"A","page_id":1}'
    lost = Record(bench.topics.changes, partition_of("testwiki", 10), "testwiki", value)
    async with running(bench, wikis):
        await bench.runtime.log.append([lost])
        await bench.until_admitted(2)
    assert not await bench.read(bench.topics.withdrawals)
