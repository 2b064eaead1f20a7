"""Page lists by the client, from a wiki that cuts them: whole or absent, and never at an article's cost."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from streamer.config import MediaWikiSettings, Settings
from streamer.errors import OriginUnavailable
from streamer.metrics import REGISTRY
from streamer.origin.answer import Found
from streamer.origin.continuing import CONTINUED_MOST
from streamer.origin.mediawiki import Origin
from streamer.origin.retry import TRIES
from streamer.origin.turns import LIVE
from streamer.partners import PAGE_LISTS, PageList
from streamer.plan import Plan
from streamer.sandbox.languages import NAMESPACES
from streamer.sandbox.pages import Deed, Page, Site, User
from streamer.sandbox.params import ApiError, Params
from streamer.sandbox.query import MAX_RESULT_BYTES, Conditions, Json, query
from streamer.sandbox.wiki import Wiki

HOST, NAME = "en.sandbox.example", "ensandbox"
SITE = Site(NAME, HOST, "E", "en", False, "L", "https://l.example", NAMESPACES)
ALL = frozenset(PAGE_LISTS)
Asked = dict[str, str]
Fault = Callable[[Asked], web.Response | Json | None]


class Cutting:
    """A wiki as the sandbox has it, over HTTP; `fault` may answer first."""

    def __init__(self) -> None:
        self.wiki = Wiki(SITE, "#REDIRECT")
        self.asked: list[Asked] = []
        self.fault: Fault = lambda _: None
        self.max_result_bytes = MAX_RESULT_BYTES
        self.lists: frozenset[PageList] = ALL
        """Of the plan."""

    def write(self, title: str, *, categories: int = 0, templates: int = 0, redirects: int = 0) -> Page:
        links = [f"[[Category:{title} {number}]]" for number in range(categories)]
        links += [f"{{{{T {title} {number}}}}}" for number in range(templates)]
        page = self.wiki.create(title, " ".join(["words", *links]), self.deed)
        for number in range(redirects):
            self.wiki.create(f"{title} as {number}", f"#REDIRECT [[{title}]]", self.deed)
        return page

    @property
    def deed(self) -> Deed:
        return Deed(User("Ann", 1), "c", 1_000_000)

    async def answer(self, request: web.Request) -> web.Response:
        source = await request.post() if request.method == "POST" else request.query
        asked = {name: str(value) for name, value in source.items()}
        self.asked.append(asked)
        body = self.fault(asked)
        if isinstance(body, web.Response):
            return body
        try:
            body = body or query(self.wiki, Params(asked), Conditions(2_000_000, self.max_result_bytes))
        except ApiError as error:
            body = {"error": {"code": error.code}}
        return web.json_response(body)

    @property
    def rest(self) -> list[Asked]:
        return [asked for asked in self.asked if is_rest(asked)]


def is_rest(asked: Asked) -> bool:
    return any(name in asked for name in ("clcontinue", "tlcontinue", "rdcontinue"))


def names(page: Page, what: str, count: int) -> tuple[str, ...]:
    """Of those that `write` made, in MediaWiki's order."""
    return tuple(sorted(f"{what}{page.title} {number}" for number in range(count)))


@pytest.fixture
def cutting(monkeypatch: pytest.MonkeyPatch) -> Cutting:
    """Beside it pauses are short."""
    monkeypatch.setattr("streamer.origin.breaker.PAUSE_S", 0.02)
    monkeypatch.setattr("streamer.origin.retry.LATER_LEAST_S", 0.02)
    monkeypatch.setattr("streamer.origin.retry.LATER_S", 0.02)
    return Cutting()


@asynccontextmanager
async def asking(cutting: Cutting, *, concurrency: int = 3, batch: int = 50) -> AsyncIterator[Origin]:
    app = web.Application(client_max_size=10**7)
    app.router.add_route("*", "/w/api.php", cutting.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = Settings(
        mediawiki=MediaWikiSettings(
            endpoint=f"http://127.0.0.1:{runner.addresses[0][1]}",
            hosts=("*.example",),
            requests_per_minute=60_000,
            concurrency=concurrency,
            batch=batch,
            timeout_s=5,
        )
    )
    try:
        async with Origin(settings, plan=lambda: Plan(lists=cutting.lists)) as origin, asyncio.timeout(30):
            yield origin
    finally:
        await runner.cleanup()


async def ask(origin: Origin, pages: Collection[Page], by: str = "revision") -> list[Found]:
    """Each, as it is now."""
    question = {
        "revision": lambda page: origin.revision(NAME, HOST, page.current.identifier),
        "title": lambda page: origin.title(NAME, HOST, page.title),
        "page": lambda page: origin.page(NAME, HOST, page.identifier),
    }[by]
    answers = await asyncio.gather(*(question(page) for page in pages))
    assert all(isinstance(answer, Found) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Found)]


@pytest.mark.parametrize("by", ["revision", "title", "page"])
async def test_every_page_has_its_whole_lists(cutting: Cutting, by: str) -> None:
    """However asked: those of a page that fills several answers, of one that has none, and of those between,
    together. The text comes once; a page that was moved away or is missing disturbs nobody.
    """
    large = cutting.write("Large", categories=45, templates=70, redirects=25)
    small = [cutting.write(f"Small {n}", categories=3, redirects=n % 2) for n in range(20)]
    bare = cutting.write("Talk:Bare")
    async with asking(cutting) as origin:
        nothing = asyncio.ensure_future(
            origin.title(NAME, HOST, "Nope") if by == "title" else origin.revision(NAME, HOST, 99_999)
        )
        answers = await ask(origin, [large, *small, bare], by)
        await nothing
    for page, answer in zip([large, *small, bare], answers, strict=True):
        assert answer.page.page_id == page.identifier
        assert answer.revision.content == page.current.text
        assert answer.page.lists.keys() == ALL
    lists = answers[0].page.lists
    assert lists["categories"] == names(large, "Category:", 45)
    assert lists["templates"] == names(large, "Template:T ", 70)
    assert sorted(lists["redirects"]) == sorted(f"Large as {n}" for n in range(25))
    assert answers[1].page.lists["categories"] == names(small[0], "Category:", 3)
    assert answers[2].page.lists["redirects"] == ("Small 1 as 0",)
    assert set(answers[-1].page.lists.values()) == {()}
    assert cutting.rest
    assert {asked["prop"].partition("|")[0] for asked in cutting.rest} == {"info"}
    assert not any("meta" in asked or "rvprop" in asked for asked in cutting.rest)


async def test_without_a_plan_for_lists_nothing_is_asked_of_them(cutting: Cutting) -> None:
    """One request, and no list in the answers, not an empty one either."""
    cutting.lists = frozenset()
    pages = [cutting.write(f"P {n}", categories=9) for n in range(9)]
    async with asking(cutting) as origin:
        answers = await ask(origin, pages)
    assert [asked["prop"] for asked in cutting.asked] == ["revisions|info|pageprops|pageimages"]
    assert all(answer.page.lists == {} for answer in answers)


async def test_the_plan_is_in_force_from_the_next_request(cutting: Cutting) -> None:
    """Both ways, without anything else."""
    page = cutting.write("P", categories=2, templates=1)
    had: list[frozenset[str]] = []
    plans: list[frozenset[PageList]] = [frozenset(), frozenset({"categories"}), ALL, frozenset({"templates"})]
    async with asking(cutting) as origin:
        for lists in (*plans, frozenset[PageList]()):
            cutting.lists = lists
            [answer] = await ask(origin, [page])
            had.append(frozenset(answer.page.lists))
    assert had == [*plans, frozenset()]
    assert len(cutting.asked) == 5


@pytest.mark.parametrize("by", ["revision", "page"])
async def test_texts_that_are_cut_away_and_lists_that_are(cutting: Cutting, by: str) -> None:
    """Both at once: every text comes, and with it every list."""
    cutting.max_result_bytes = 4_000
    pages = [cutting.write(f"P {n}", categories=12, templates=7) for n in range(20)]
    async with asking(cutting) as origin:
        answers = await ask(origin, pages, by)
    for page, answer in zip(pages, answers, strict=True):
        assert answer.revision.content == page.current.text
        assert answer.page.lists["categories"] == names(page, "Category:", 12)
        assert answer.page.lists["templates"] == names(page, "Template:T ", 7)
    assert len(cutting.rest) < 30  # of all keys for what the first answer had, then of so few at once


async def test_the_rest_goes_behind_texts(cutting: Cutting) -> None:
    """Who wants lists does not make everybody's articles late."""
    first = [cutting.write(f"A {n}", categories=30) for n in range(2)]
    others = [cutting.write(f"B {n}") for n in range(10)]
    async with asking(cutting, concurrency=1, batch=2) as origin:
        await ask(origin, [*first, *others])
    kinds = [is_rest(asked) for asked in cutting.asked]
    assert sorted(kinds) == [False] * 6 + [True] * 2
    assert kinds[-2:] == [True, True]
    assert origin.budget_used == len(kinds)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=500),
        lambda: web.Response(text="<html>", content_type="text/html"),
        lambda: {"error": {"code": "internal_api_error_DBQueryError"}},
        lambda: {"error": {"code": "maxlag", "type": "db"}},
        lambda: {"error": {"code": "badcontinue"}},
        lambda: {"query": {"pages": [{"pageid": 77, "title": "Another"}]}},
        lambda: web.Response(text="{", content_type="application/json"),
    ],
    ids=["500", "html", "internal", "maxlag", "badcontinue", "another page", "no json"],
)
async def test_a_rest_that_can_not_be_had_costs_the_list_alone(
    cutting: Cutting, answer: Callable[[], web.Response | Json]
) -> None:
    """After the tries of one request the article goes out without it, and it is counted. A page whose list
    came whole before the cut has it.
    """
    cutting.fault = lambda asked: answer() if is_rest(asked) else None
    before = REGISTRY.get_sample_value("streamer_origin_lists_total", {"outcome": "failed"}) or 0
    pages = [cutting.write(f"P {n}", categories=15, templates=2) for n in range(2)]
    async with asking(cutting) as origin:
        answers = await ask(origin, pages)
    assert [answer.page.lists.keys() for answer in answers] == [ALL, ALL - {"categories"}]
    assert [answer.page.lists["templates"] for answer in answers] == [
        names(page, "Template:T ", 2) for page in pages
    ]
    assert 1 <= len(cutting.rest) <= TRIES
    after = REGISTRY.get_sample_value("streamer_origin_lists_total", {"outcome": "failed"}) or 0
    assert after - before == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: web.Response(status=500),
        lambda _: {"error": {"code": "internal_api_error_DBQueryTimeoutError"}},
        lambda _: {"query": {"pages": [{"pageid": 1, "title": "P", "categories": [{"ns": "?"}]}]}},
    ],
    ids=["500", "internal", "unparsable"],
)
async def test_a_wiki_that_fails_for_the_lists_is_asked_without_them(cutting: Cutting, spoil: Fault) -> None:
    """In the end: no partner loses an article by what another asks for."""
    cutting.fault = lambda asked: spoil(asked) if "categories" in asked["prop"] else None
    failed = {"outcome": "failed"}
    before = REGISTRY.get_sample_value("streamer_origin_lists_total", failed) or 0
    pages = [cutting.write(f"P {n}", categories=15) for n in range(3)]
    async with asking(cutting) as origin:
        answers = await ask(origin, pages)
    assert [answer.revision.content for answer in answers] == [page.current.text for page in pages]
    assert all(answer.page.lists == {} for answer in answers)
    assert (REGISTRY.get_sample_value("streamer_origin_lists_total", failed) or 0) - before == 9


async def test_one_in_doubt_takes_no_lists_from_others(cutting: Cutting) -> None:
    """Its last try is a request of its own: who has come meanwhile has its lists."""
    bad, *others = (cutting.write(f"P {n}", categories=3) for n in range(TRIES))
    tries: list[web.Response | Json] = [web.Response(status=500)]
    tries += [{"error": {"code": "maxlag", "type": "db"}}] * (TRIES - 2)
    asking_for: list[asyncio.Future[list[Found]]] = []

    def spoil(asked: Asked) -> web.Response | Json | None:
        if str(bad.current.identifier) not in asked["revids"].split("|") or not tries:
            return None
        asking_for.append(asyncio.ensure_future(ask(origin, [others[len(asking_for)]])))
        return tries.pop(0)

    cutting.fault = spoil
    async with asking(cutting) as origin:
        [answer] = await ask(origin, [bad])
        had = [other.page.lists.keys() for [other] in await asyncio.gather(*asking_for)]
    assert answer.page.lists == {}
    assert had == [ALL] * (TRIES - 1)


async def test_a_wiki_that_puts_us_off_is_asked_for_lists_all_the_same(cutting: Cutting) -> None:
    """To lag is no fault of the lists: the try that is answered has them."""
    cutting.fault = lambda _: {"error": {"code": "maxlag"}} if len(cutting.asked) < TRIES else None
    page = cutting.write("P", categories=5)
    async with asking(cutting) as origin:
        [answer] = await ask(origin, [page])
    assert answer.page.lists["categories"] == names(page, "Category:", 5)
    assert len(cutting.asked) == TRIES


async def test_failures_add_up_over_all_of_the_rest(cutting: Cutting) -> None:
    """A wiki that fails every other time does not hold an article for twenty times the tries of a request."""
    cutting.fault = lambda asked: (
        web.Response(status=500) if is_rest(asked) and len(cutting.rest) % 2 else None
    )
    page = cutting.write("P", categories=20 * (TRIES + 4))
    async with asking(cutting) as origin:
        [answer] = await ask(origin, [page])
    assert answer.page.lists.keys() == {"templates", "redirects"}
    assert len(cutting.rest) < 2 * TRIES


async def test_a_late_article_is_told_at_once(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a further request, and without what was cut; lists that are whole already are there."""
    monkeypatch.setattr("streamer.origin.continuing.WAIT_S", {LIVE: 0.0})
    page, small = cutting.write("P", categories=30, templates=3), cutting.write("Q", categories=3)
    async with asking(cutting) as origin:
        [cut] = await ask(origin, [page])
        [whole] = await ask(origin, [small])
    assert cut.page.lists == {"templates": names(page, "Template:T ", 3), "redirects": ()}
    assert whole.page.lists["categories"] == names(small, "Category:", 3)
    assert len(cutting.asked) == 2


async def test_what_waits_for_its_lists_is_under_way_and_is_told_in_time(
    cutting: Cutting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a request for them has been sent or not: its text is here, and no backlog. An edit of that
    wiki that has no answer yet is asked for meanwhile.
    """
    monkeypatch.setattr("streamer.origin.continuing.WAIT_S", {LIVE: 0.5})
    held = asyncio.Event()

    def hold(asked: Asked) -> web.Response | None:
        if is_rest(asked):
            held.set()
            return web.Response(status=503, headers={"Retry-After": "2"})
        return None

    cutting.fault = hold
    page, small = cutting.write("P", categories=30, templates=3), cutting.write("Q", categories=3)
    async with asking(cutting) as origin:
        waiting = asyncio.ensure_future(ask(origin, [page]))
        await held.wait()
        assert origin.is_under_way(NAME, page.current.identifier)
        assert not origin.is_under_way(NAME, small.current.identifier)
        await asyncio.sleep(0)
        [answer] = await waiting
        assert not origin.is_under_way(NAME, page.current.identifier)
        assert answer.page.lists == {"templates": names(page, "Template:T ", 3), "redirects": ()}
        [whole] = await ask(origin, [small])
    assert whole.page.lists["categories"] == names(small, "Category:", 3)
    assert len(cutting.rest) == 1


async def test_too_long_a_list_is_given_up(cutting: Cutting) -> None:
    """After so many requests; the other lists are there."""
    page = cutting.write("P", categories=20 * (CONTINUED_MOST + 2), templates=30)
    async with asking(cutting) as origin:
        [answer] = await ask(origin, [page])
    assert len(cutting.rest) == CONTINUED_MOST
    assert answer.page.lists == {"templates": names(page, "Template:T ", 30), "redirects": ()}


async def test_an_edit_between_two_answers_leaves_the_list_out(cutting: Cutting) -> None:
    """Of that page: no list has its beginning from one text and its end from another."""
    page, other = cutting.write("P", categories=30), cutting.write("Q", categories=5)

    def edit(asked: Asked) -> None:
        if is_rest(asked) and len(page.revisions) == 1:
            cutting.wiki.edit(page, "[[Category:P 29]] [[Category:New]]", cutting.deed)

    cutting.fault = edit
    async with asking(cutting) as origin:
        answers = await ask(origin, [page, other])
    assert [answer.page.lists.get("categories") for answer in answers] == [None, names(other, "Category:", 5)]


async def test_on_leaving_nothing_is_told_without_its_lists(cutting: Cutting) -> None:
    """Who waits for the rest is told that there is no answer."""
    held = asyncio.Event()

    def hold(asked: Asked) -> web.Response | None:
        if is_rest(asked):
            held.set()
            return web.Response(status=503, headers={"Retry-After": "600"})
        return None

    cutting.fault = hold
    page = cutting.write("P", categories=30)
    async with asking(cutting) as origin:
        waiting = asyncio.ensure_future(ask(origin, [page]))
        await held.wait()
    with pytest.raises(OriginUnavailable):
        await waiting


async def test_with_faults_at_random_lists_are_whole_or_absent(cutting: Cutting, rng: random.Random) -> None:
    """Whatever fails on the way: no list lacks an entry, and every article comes."""

    def fail(_: Asked) -> web.Response | Json | None:
        roll = rng.random()
        if roll < 0.15:
            return web.Response(status=rng.choice((500, 429, 503)), headers={"Retry-After": "0"})
        if roll < 0.25:
            return rng.choice(
                ({"error": {"code": "maxlag"}}, {"error": {"code": "badcontinue"}}, {"query": {}})
            )
        return None

    cutting.fault = fail
    sizes = [rng.randint(0, 60) for _ in range(30)]
    pages = [cutting.write(f"P {number}", categories=size) for number, size in enumerate(sizes)]
    async with asking(cutting, batch=7) as origin:

        async def persistently(page: Page) -> Found:
            while True:
                try:
                    [answer] = await ask(origin, [page])
                except OriginUnavailable:
                    continue
                return answer

        answers = await asyncio.gather(*map(persistently, pages))
    wholes = 0
    for page, size, answer in zip(pages, sizes, answers, strict=True):
        categories = answer.page.lists.get("categories")
        assert categories is None or categories == names(page, "Category:", size)
        wholes += categories is not None
    assert wholes
