"""Under a backlog, what a newer edit makes needless is not asked for; the newest of each page comes out."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from streamer.enrich.outcome import Work
from streamer.enrich.stage import run_enrich
from streamer.enrich.supersede import superseded
from streamer.model import Visibility, identifier_of_event
from streamer.partners import Partner
from streamer.plan import Plan, plan_of

Make = Callable[..., Any]


@asynccontextmanager
async def running(bench: Any, wikis: Any, *, latest_only: bool = True) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        plan = Plan(text=False, latest_only=latest_only)
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: plan))
        yield
        bench.runtime.draining.set()
    bench.restarted()


async def articles(bench: Any) -> list[dict[str, Any]]:
    records = [r.value for r in await bench.read(bench.topics.articles) if r.value is not None]
    found = [msgspec.json.decode(value, type=dict[str, Any]) for value in records]
    return sorted(found, key=lambda article: article["event"]["sequence"])


def named(number: int) -> str:
    return identifier_of_event(f"n{number}")


def needless(*changes: Any) -> list[int]:
    works = [Work(number, change, number) for number, change in enumerate(changes)]
    return [work.change.revision for work in superseded(works)]


def test_only_edits_make_edits_needless(change: Make) -> None:
    """In the order of revisions, and of one page; a creation stays, and whatever is more than an edit keeps
    what was before it.
    """
    edit = lambda revision, **more: change("edit", revision, **more)  # noqa: E731
    assert needless(edit(1), edit(2), edit(3)) == [1, 2]
    assert needless(change("create", 1), edit(2)) == []
    assert needless(edit(1), change("delete"), edit(2), edit(3)) == [2]
    for kind in ("move", "restore", "refresh", "visibility", "create"):
        assert needless(edit(1), change(kind, 2), edit(3)) == [], kind
    assert needless(edit(2), edit(1)) == []
    assert needless(edit(1, page_id=1), edit(2, page_id=2)) == []
    assert needless(edit(1, page_id=1), edit(2)) == [1]
    assert needless(edit(1, cause="import"), edit(2)) == []
    assert needless(edit(1, visibility=Visibility(text=False)), edit(2)) == []


@pytest.mark.parametrize(
    "rule",
    [
        {"revisions": "all"},
        {"tags": ("mobile edit",)},
        {"without_tags": ("mw-reverted",)},
        {"min_size": 1},
        {"max_size": 9_000},
        {"min_size_change": 100},
        {"max_revert_risk": 0.9},
        {"settle": "1m"},
        {"bots": False},
        {"minor": False},
    ],
    ids=str,
)
def test_one_rule_that_could_take_the_older_and_not_the_newer_keeps_both(rule: dict[str, Any]) -> None:
    """Of any partner: it would be left with neither."""
    latest = Partner(revisions="latest", wikis=("enwiki",), namespaces=(0,), kinds=("edit",), settle="0m")
    assert plan_of({"a": latest}).latest_only
    assert not plan_of({"a": latest, "b": replace(latest, **rule)}).latest_only
    assert not plan_of({}).latest_only


async def test_under_a_backlog_the_newest_goes_and_the_others_are_superseded(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """What a request has already is waited for."""
    for revision in (1, 2, 3, 4):
        wikis.script(("revision", revision), found(revision, 1))
        wikis.hold(("revision", revision))
    wikis.under_way = {1}
    wikis.has_backlog = True
    async with running(bench, wikis):
        await bench.admit(*(change("edit", revision) for revision in (1, 2, 3, 4)))
        await bench.until_admitted(0)
        wikis.go(("revision", 4))
        wikis.go(("revision", 1))
        counts = await bench.until_admitted(4)
    assert counts == {"admitted": 4, "published": 2, "gone": 0, "superseded": 2, "deadletter": 0}
    assert [a["version"]["identifier"] for a in await articles(bench)] == [1, 4]


@pytest.mark.parametrize(("latest_only", "has_backlog"), [(False, True), (True, False)])
async def test_without_a_backlog_or_where_all_are_wanted_nothing_is_left_out(
    bench: Any, wikis: Any, change: Make, found: Make, *, latest_only: bool, has_backlog: bool
) -> None:
    """However long the first of them takes."""
    for revision in (1, 2, 3):
        wikis.script(("revision", revision), found(revision, 1))
    wikis.hold(("revision", 1))
    wikis.has_backlog = has_backlog
    async with running(bench, wikis, latest_only=latest_only):
        await bench.admit(*(change("edit", revision) for revision in (1, 2, 3)))
        await bench.until(lambda: len(wikis.asked) == 3)
        await asyncio.sleep(0.6)
        wikis.go(("revision", 1))
        counts = await bench.until_admitted(3)
    assert counts["published"] == 3


async def test_the_newest_revision_of_each_page_always_comes_out(
    bench: Any, wikis: Any, change: Make, found: Make, rng: random.Random
) -> None:
    """Edits, creations, refreshes, hidings of some pages, a backlog that comes and goes, answers in any
    order: the sums are equal, order is kept, what is no edit comes out, and of each page its newest.
    """
    changes: list[Any] = []
    newest: dict[int, int] = {}
    kept: set[str] = set()
    for number in range(1, 301):
        page = rng.randrange(1, 7)
        about = {"title": f"T{page}", "identifier": named(number)}
        kind = rng.choices(["edit", "create", "refresh", "visibility"], [40, 1, 1, 1])[0]
        if kind in {"edit", "create"} or page not in newest:
            kind = kind if kind == "create" else "edit"
            key = ("revision", number)
            wikis.script(key, found(number, page, title=f"T{page}"))
            changes.append(change(kind, number, bot=rng.random() < 0.2, **about))
            newest[page] = number
        else:
            key = ("page", page)
            hidden = Visibility(text=False) if kind == "visibility" else None
            revision = newest.get(page, 0) if hidden else 0
            wikis.script(key, lambda page=page: found(newest.get(page, 1), page, title=f"T{page}"))
            changes.append(change(kind, revision, page_id=page, visibility=hidden, **about))
        if kind != "edit":
            kept.add(named(number))
        elif rng.random() < 0.7:
            wikis.hold(key)
    wikis.under_way = {number for number in range(1, 301) if rng.random() < 0.1}
    held = [("revision", number) for number in range(1, 301) if ("revision", number) in wikis._held]
    rng.shuffle(held)
    async with running(bench, wikis):
        for start in range(0, 300, 50):
            wikis.has_backlog = rng.random() < 0.8 or start == 100
            await bench.admit(*changes[start : start + 50])
            await asyncio.sleep(0.3)
            for key in held[start // 2 : start // 2 + 25]:
                wikis.go(key)
        for key in held:
            wikis.go(key)
        counts = await bench.until_admitted(300)
    assert counts["admitted"] == sum(count for name, count in counts.items() if name != "admitted")
    assert counts["deadletter"] == counts["gone"] == 0
    assert counts["superseded"] > 20
    out = await articles(bench)
    told = {article["event"]["identifier"] for article in out}
    read = {each.identifier: number for number, each in enumerate(changes)}
    for page, revision in newest.items():
        of_page = [article for article in out if article["identifier"] == page]
        places = [read[article["event"]["identifier"]] for article in of_page]
        assert places == sorted(places)
        assert named(revision) in told
    assert kept <= told | {named(number) for number in range(1, 301) if changes[number - 1].kind == "refresh"}
