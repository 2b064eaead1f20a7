"""Hints that come after the wiki's answer: waited for where they can come, and never for long."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from harness.delivering import metric

from streamer.enrich.hinting import MOST_MISSED, PASSED_MS, WAIT_S, Hinting
from streamer.enrich.memory import Contents, Hints
from streamer.model import Change, Hint, Visibility
from tests.unit.enrich.test_enrich_stage import articles, balanced, killed, running

Make = Callable[..., Any]
FAR_S = 60.0


def told(revision: int, upstream_ms: int = 2_000_100, *, wiki: str = "testwiki", **over: Any) -> Hint:
    """As page_change tells an edit."""
    return Hint(wiki, 1, revision, upstream_ms, parent=revision - 1, parent_size=over.pop("was", 7), **over)


@pytest.fixture
def hinting() -> Hinting:
    """On a wiki whose hints flow."""
    made = Hinting(Hints(), Contents())
    made.read(told(1))
    return made


async def waits(hinting: Hinting, change: Change) -> bool:
    """Whether something is waited for, unless it comes."""
    task = asyncio.create_task(hinting.wait(change, asyncio.get_running_loop().time() + FAR_S))
    for _ in range(5):
        await asyncio.sleep(0)
    if task.done():
        await task
        return False
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return True


async def miss(hinting: Hinting, change: Change) -> None:
    await hinting.wait(change, asyncio.get_running_loop().time())


async def test_the_wait_ends_with_the_hint_of_the_edit(hinting: Hinting, change: Make) -> None:
    """Its tags and scores alone are not it; what is there already is not waited for."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(hinting.wait(change("edit", 5), loop.time() + FAR_S))
    hinting.read(Hint("testwiki", 1, 5, 0, tags=("t",)))
    hinting.read(Hint("testwiki", 1, 5, 0, scores={"revertrisk-language-agnostic": 0.5}))
    hinting.read(told(6))
    await asyncio.sleep(0)
    assert not task.done()
    hinting.read(told(5))
    await task
    assert not await waits(hinting, change("edit", 5))
    assert await waits(hinting, change("edit", 7))


async def test_what_has_no_hint_does_not_wait(hinting: Hinting, change: Make) -> None:
    """Only what page_change tells as an edit: not what restates a page, nor a redirect that a move left."""
    assert await waits(hinting, change("create", 5))
    for other in (
        change("refresh", 5, cause="protect"),
        change("refresh", 5, replays="edit"),
        change("restore", 5),
        change("move", 5),
        change("visibility", 5, visibility=Visibility(text=False)),
        change("create", 5, cause="redirect"),
        change("create", 0, cause="redirect"),
    ):
        assert not await waits(hinting, other), other.kind


async def test_where_no_hints_flow_nothing_waits(hinting: Hinting, change: Make) -> None:
    """Of a wiki that none was read of; tags and scores flow by themselves."""
    other = change("edit", 5, wiki="otherwiki")
    assert not await waits(hinting, other)
    hinting.read(Hint("otherwiki", 1, 4, 0, tags=()))
    hinting.read(Hint("otherwiki", 1, 4, 0, scores={"m": 0.1}))
    assert not await waits(hinting, other)
    hinting.read(told(4, wiki="otherwiki"))
    assert await waits(hinting, other)


async def test_what_later_hints_have_passed_does_not_wait(hinting: Hinting, change: Make) -> None:
    """In a backlog, all hints that there are have been read by the time of the answer. A hint with a wrong
    time is forgotten with the next.
    """
    late = change("edit", 5, upstream_ms=2_000_000)
    hinting.read(told(6, 2_000_000 + PASSED_MS - 1))
    assert await waits(hinting, late)
    hinting.read(told(7, 2_000_000 + PASSED_MS))
    assert not await waits(hinting, late)
    hinting.read(told(8, 2_000_000))
    assert await waits(hinting, late)


async def test_where_hints_stop_the_waiting_stops(hinting: Hinting, change: Make) -> None:
    """After some in vain, until one comes again; another wiki's waits go on."""
    hinting.read(told(1, wiki="otherwiki"))
    for revision in range(10, 10 + MOST_MISSED):
        assert await waits(hinting, change("edit", revision))
        await miss(hinting, change("edit", revision))
    assert not await waits(hinting, change("edit", 50))
    assert await waits(hinting, change("edit", 50, wiki="otherwiki"))
    hinting.read(told(51))
    assert await waits(hinting, change("edit", 52))


async def test_at_the_end_nothing_waits(hinting: Hinting, change: Make) -> None:
    """A drain reads no more: who waits goes on, and who comes then doesn't begin."""
    task = asyncio.create_task(hinting.wait(change("edit", 5), asyncio.get_running_loop().time() + FAR_S))
    await asyncio.sleep(0)
    hinting.close()
    await task
    assert not await waits(hinting, change("edit", 6))


# ── with the lane ──────────────────────────────────────────────────────────────────────────────


def waited() -> float:
    return metric("streamer_enrich_hint_wait_seconds_count")


async def test_a_hint_after_the_answer_is_in_the_article(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change waits for it, and it alone, as long as that."""
    monkeypatch.setattr("streamer.enrich.ask.WAIT_S", FAR_S)
    before = metric("streamer_enrich_hinted_total", hinted="yes")
    wikis.script(("revision", 5), found(5, 1, content="x" * 20))
    wikis.script(("page", 2), found(9, 2))
    async with running(bench, wikis):
        await bench.admit(told(1), change("edit", 5))
        await bench.until(lambda: ("revision", 5) in wikis.asked)
        await bench.admit(change("refresh", title="B", page_id=2))
        await bench.until_admitted(1)
        assert [a["identifier"] for a in await articles(bench)] == [2]
        await asyncio.sleep(0.3)
        assert (await bench.counts())["admitted"] == 1
        await bench.admit(told(5, was=12, reverted_oldest=3, reverted_newest=4, restored=2))
        await bench.until_admitted(2)
    (article,) = [a for a in await articles(bench) if a["identifier"] == 1]
    assert article["version"]["size_change"] == 8
    assert article["version"]["reverts"] == {
        "oldest_identifier": 3,
        "newest_identifier": 4,
        "restored_identifier": 2,
    }
    assert metric("streamer_enrich_hinted_total", hinted="yes") == before + 1


async def test_a_hint_that_never_comes_holds_nothing_for_long(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """A second after the answer the article goes without it, in the order of its title."""
    missing, before = metric("streamer_enrich_hinted_total", hinted="no"), waited()
    wikis.script(("revision", 5), found(5, 1))
    wikis.script(("revision", 6), found(6, 1))
    loop = asyncio.get_running_loop()
    async with running(bench, wikis):
        await bench.admit(told(1), change("edit", 5), change("edit", 6), told(6))
        began_s = loop.time()
        await bench.until_admitted(2)
        took_s = loop.time() - began_s
    assert [a["version"]["identifier"] for a in await articles(bench)] == [5, 6]
    assert WAIT_S * 0.9 < took_s < WAIT_S + 30
    assert waited() == before + 1
    assert metric("streamer_enrich_hinted_total", hinted="no") == missing + 1


async def test_without_hints_nothing_waits(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """Articles go as they are answered."""
    before = waited()
    for revision in range(1, 6):
        wikis.script(("revision", revision), found(revision, revision))
    async with running(bench, wikis):
        await bench.admit(*(change("edit", n, f"T{n}") for n in range(1, 6)))
        await bench.until_admitted(5)
    assert waited() == before


async def test_a_removal_overtakes_an_edit_that_waits(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes ahead at once, and the text that waited for its hint never comes out."""
    monkeypatch.setattr("streamer.enrich.ask.WAIT_S", FAR_S)
    wikis.script(("revision", 5), found(5, 1))
    async with running(bench, wikis):
        await bench.admit(told(1), change("edit", 5))
        await bench.until(lambda: ("revision", 5) in wikis.asked)
        await bench.admit(change("delete", title="A", page_id=1, edited_ms=2_000_000))
        await bench.until_admitted(1)
        await bench.admit(told(5))
        counts = await bench.until_admitted(2)
    assert [a["event"]["type"] for a in await articles(bench)] == ["delete"]
    assert counts["gone"] == 1


async def test_hidden_text_is_told_at_once(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing in such a record that a hint could add to."""
    monkeypatch.setattr("streamer.enrich.ask.WAIT_S", FAR_S)
    wikis.script(("revision", 5), found(5, 1, text_hidden=True, content=None))
    async with running(bench, wikis):
        await bench.admit(told(1), change("edit", 5))
        await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert article["event"]["type"] == "visibility-change"
    assert not {"size_change", "reverts", "scores", "tags"} & article["version"].keys()


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "drained"])
async def test_who_waits_is_not_lost(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch, *, is_killed: bool
) -> None:
    """Killed or drained while a change waits: it comes out once."""
    monkeypatch.setattr("streamer.enrich.ask.WAIT_S", FAR_S)
    wikis.script(("revision", 5), found(5, 1))
    await bench.admit(told(1), change("edit", 5))
    if is_killed:
        await killed(bench, wikis, lambda: ("revision", 5) in wikis.asked)
        assert not (await bench.counts()).get("admitted")
    else:
        async with running(bench, wikis):
            await bench.until(lambda: ("revision", 5) in wikis.asked)
        assert (await bench.counts())["published"] == 1
    await bench.admit(told(5, was=2))
    async with running(bench, wikis):
        counts = await bench.until_admitted(1)
    (article,) = await articles(bench)
    assert (counts["published"], balanced(counts)) == (1, True)
    assert article["version"]["identifier"] == 5
