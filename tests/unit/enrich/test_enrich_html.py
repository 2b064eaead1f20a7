"""HTML in the stage: who gets it, when it is asked for, and that nothing waits or fails for want of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from streamer.enrich import fitting
from streamer.enrich.held import Held
from streamer.enrich.stage import run_enrich
from streamer.enrich.textpool import TextPool
from streamer.errors import HostNotAllowed
from streamer.metrics import REGISTRY
from streamer.model import Visibility
from streamer.plan import Plan
from tests.unit.enrich.test_enrich_stage import articles

Make = Callable[..., Any]
TOO_LARGE = "streamer_enrich_html_total", {"outcome": "too_large"}
EVERYTHING = Plan(html=True)
ELSEWHERE = Plan(html=True, html_scopes=frozenset({(("dewiki",), ()), ((), (1, 4))}))
HTML = '<html about="https://test.example.org/wiki/Special:Redirect/revision/5"><body><p>Seen by <b>all</b>.'


@asynccontextmanager
async def running(bench: Any, wikis: Any, plan: Plan = EVERYTHING) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: plan))
        yield
        bench.runtime.draining.set()
    bench.restarted()


async def only(bench: Any) -> dict[str, Any]:
    (record,) = [r for r in await bench.read(bench.topics.articles) if r.value is not None]
    return msgspec.json.decode(record.value, type=dict[str, Any])


async def test_an_article_has_its_html_beside_its_wikitext(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """With the plain text of each in a place of its own."""
    wikis.script(("revision", 5), found(5, 1, content="Written by ''some''."))
    wikis.script(("html", 5), HTML)
    async with running(bench, wikis):
        await bench.admit(change("edit", 5))
        counts = await bench.until_admitted(1)
    article = await only(bench)
    assert article["article_body"] == {
        "wikitext": "Written by ''some''.",
        "text": "Written by some.",
        "html": HTML,
    }
    assert article["abstract"] == "Written by some."
    assert article["from_html"] == {"text": "Seen by all.", "abstract": "Seen by all."}
    assert counts["published"] == 1
    assert wikis.asked == [("revision", 5), ("html", 5)]


@pytest.mark.parametrize("text", [True, False])
async def test_sections_are_the_wikitexts(
    bench: Any, wikis: Any, change: Make, found: Make, *, text: bool
) -> None:
    """Whether there is HTML or not: their hashes stay. Nothing is made of HTML where nobody has text."""
    content = "Lead.\n\n== H ==\nwords"
    for revision in (5, 6):
        wikis.script(("revision", revision), found(revision, revision, content=content))
    wikis.script(("html", 5), f"{HTML}<h2>H</h2><p>more words")
    async with running(bench, wikis, Plan(html=True, text=text, sections=True)):
        await bench.admit(change("edit", 5, "A"), change("edit", 6, "B"))
        await bench.until_admitted(2)
    with_html, without = sorted(await articles(bench), key=lambda article: article["identifier"])
    assert "html" in with_html["article_body"]
    assert "html" not in without["article_body"]
    assert with_html["article_body"]["sections"] == without["article_body"]["sections"]
    assert [part["text"] for part in without["article_body"]["sections"]] == ["Lead.", "words"]
    assert with_html.get("from_html", {}).keys() == ({"text", "abstract"} if text else set())


async def test_without_html_the_article_goes_all_the_same(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """It is asked for once, and what is not there is absent."""
    wikis.script(("revision", 5), found(5, 1))
    async with running(bench, wikis):
        await bench.admit(change("edit", 5))
        await bench.until_admitted(1)
    article = await only(bench)
    assert article["article_body"].keys() == {"wikitext", "text"}
    assert "from_html" not in article
    assert wikis.asked.count(("html", 5)) == 1


@pytest.mark.parametrize(
    ("plan", "over"),
    [
        (Plan(html=False), {}),
        (ELSEWHERE, {}),
        (EVERYTHING, {"content": None, "text_hidden": True}),
        (EVERYTHING, {"content": '{"labels":{}}', "content_model": "wikibase-item"}),
        (EVERYTHING, {"content": "#REDIRECT [[There]]", "is_redirect": True}),
    ],
    ids=["nobody wants it", "nobody wants that page's", "hidden", "an item", "a redirect"],
)
async def test_what_has_none_is_not_asked_for(  # noqa: PLR0917 - fixtures
    bench: Any, wikis: Any, change: Make, found: Make, plan: Plan, over: dict[str, Any]
) -> None:
    """No request is spent where no partner has HTML, and where there is no prose to be seen."""
    wikis.script(("revision", 5), found(5, 1, **over))
    wikis.script(("html", 5), HTML)
    async with running(bench, wikis, plan):
        await bench.admit(change("edit", 5))
        await bench.until_admitted(1)
    assert "html" not in (await only(bench)).get("article_body", {})
    assert wikis.asked == [("revision", 5)]


async def test_html_of_what_was_hidden_meanwhile_is_not_published(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The stream told it while the HTML was on its way: the record says so, and has no words."""
    wikis.script(("revision", 5), found(5, 1))
    wikis.script(("html", 5), HTML)
    wikis.hold(("html", 5))
    hidden = change("visibility", 5, page_id=1, visibility=Visibility(text=False, editor=True, comment=True))
    async with running(bench, wikis):
        await bench.admit(change("edit", 5))
        await bench.until(lambda: ("html", 5) in wikis.asked)
        wikis.script(("page", 1), found(5, 1, content=None, text_hidden=True))
        await bench.admit(hidden)

        async def is_cut_off() -> bool:
            return bool(await bench.read(bench.topics.withdrawals))

        await bench.until(is_cut_off)
        wikis.go(("html", 5))
        await bench.until_admitted(2)
    for record in await bench.read(bench.topics.articles):
        assert record.value is None or b"Seen by" not in record.value
        assert record.value is None or b"article_body" not in record.value


async def test_a_stale_answer_costs_no_html(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """What is asked again because a replica lags is asked for its HTML once, when it is the answer."""
    moved = change("move", 7, page_id=1, title="B")
    wikis.script(("page", 1), found(5, 1), found(7, 1))
    wikis.script(("html", 7), HTML.replace("revision/5", "revision/7"))
    async with running(bench, wikis):
        await bench.admit(moved)
        await bench.until_admitted(1)
    assert [asked for asked in wikis.asked if asked[0] == "html"] == [("html", 7)]


@pytest.mark.parametrize("error", [HostNotAllowed("test.example.org"), RuntimeError("a mistake")])
async def test_nothing_about_html_ends_a_change(
    bench: Any, wikis: Any, change: Make, found: Make, error: Exception
) -> None:
    """Hosts may have been narrowed while its revision was in flight. The edits around it go on."""
    wikis.script(("revision", 5), found(5, 1))
    wikis.script(("html", 5), error)
    wikis.script(("revision", 6), found(6, 2))
    async with running(bench, wikis):
        await bench.admit(change("edit", 5, "A"), change("edit", 6, "B"))
        counts = await bench.until_admitted(2)
    assert counts["published"] == 2
    records = await bench.read(bench.topics.articles)
    bodies = [msgspec.json.decode(record.value)["article_body"].keys() for record in records]
    assert bodies == [{"wikitext", "text"}] * 2


async def test_nothing_goes_on_behind_a_change_that_ended(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of ours ends the role, and what was asked beside it with it."""
    ended = asyncio.Event()

    async def html(*_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def extract(*_: Any) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("a mistake")

    monkeypatch.setattr(wikis, "html", html)
    monkeypatch.setattr(TextPool, "extract", extract)
    wikis.script(("revision", 5), found(5, 1))
    with pytest.raises(BaseExceptionGroup):
        async with running(bench, wikis):
            await bench.admit(change("edit", 5))
            await asyncio.wait_for(asyncio.Event().wait(), 60)
    assert ended.is_set()


async def test_html_goes_first_where_a_record_is_too_large(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the text, and only what is too large without both is a dead letter."""
    monkeypatch.setattr(fitting, "MAX_RECORD_BYTES", fitting.MARGIN_BYTES + 8_000)
    before = REGISTRY.get_sample_value(*TOO_LARGE) or 0
    wikis.script(("revision", 5), found(5, 1, content="short"))
    wikis.script(("html", 5), HTML + "x" * 8_000)
    wikis.script(("revision", 6), found(6, 2, content="long " * 900))
    wikis.script(("html", 6), HTML)
    async with running(bench, wikis):
        await bench.admit(change("edit", 5, "A"), change("edit", 6, "B"))
        counts = await bench.until_admitted(2)
    assert counts["published"] == 2
    records = [r for r in await bench.read(bench.topics.articles) if r.value is not None]
    bodies = {r.key: msgspec.json.decode(r.value)["article_body"].keys() for r in records}
    assert bodies == {"testwiki:1": {"wikitext", "text"}, "testwiki:2": {"wikitext"}}
    assert (REGISTRY.get_sample_value(*TOO_LARGE) or 0) - before == 2


async def test_html_that_is_held_counts(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is committed, and then no more."""
    sizes: list[int] = []
    add = Held.add

    def counted(held: Held, size: int) -> None:
        sizes.append(size)
        add(held, size)

    released: list[int] = []
    release = Held.release

    def let_go(held: Held, size: int) -> None:
        released.append(size)
        release(held, size)

    monkeypatch.setattr(Held, "add", counted)
    monkeypatch.setattr(Held, "release", let_go)
    wikis.script(("revision", 5), found(5, 1))
    wikis.script(("html", 5), HTML + "x" * 100_000)
    async with running(bench, wikis):
        await bench.admit(change("edit", 5))
        await bench.until_admitted(1)
        await bench.until(lambda: sum(released) == sum(sizes))
    assert sum(sizes) >= 100_000
