"""The client against a wiki on loopback that answers, lies, stalls and breaks off."""

import asyncio
import gzip
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from streamer.clock import Clock
from streamer.config import MediaWikiSettings, Settings, SourceSettings
from streamer.errors import AnswerInvalid, HostNotAllowed, OriginError, OriginUnavailable
from streamer.metrics import REGISTRY
from streamer.origin.answer import Answer, Found, Missing, SiteInfo
from streamer.origin.fetch import Fetch
from streamer.origin.mediawiki import Origin
from streamer.tracing import JOURNEY, Journey, Tracing

HOST = "en.wikipedia.org"
WIKI = "enwiki"
PAUSE_S = 0.02
"""After a first failure; half of it at least."""
Fault = Callable[[web.Request, dict[str, str]], Awaitable[web.StreamResponse | None]]


class Wiki:
    """Every revision and page exists; `fault` may answer first. Wikis are told apart by Host."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.asked: list[dict[str, str]] = []
        self.requests: list[web.Request] = []
        self.hidden: set[int] = set()
        self.gone: set[int] = set()
        self.limit = 500
        self.was_asked = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        source = await request.post() if request.method == "POST" else request.query
        query = {key: str(value) for key, value in source.items()}
        self.asked.append(query)
        self.requests.append(request)
        self.was_asked.set()
        if self.fault is not None:
            response = await self.fault(request, query)
            if response is not None:
                return response
        return packed(self.body(request.host, query))

    def body(self, host: str, query: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if query.get("meta") == "siteinfo":
            wiki = host.partition(".")[0] + "wiki"
            found["general"] = {"wikiid": wiki, "lang": "en", "server": f"//{host}"}
            found["rightsinfo"] = {"url": "https://creativecommons.org/", "text": "CC"}
        numbers = [int(number) for number in query.get("revids", "").split("|") if number]
        if len(numbers) > self.limit:
            return {"error": {"code": "toomanyvalues", "limit": self.limit}}
        found["badrevids"] = {str(n): {"revid": n, "missing": True} for n in numbers if n in self.gone}
        pages = [page(n, n, f"Page {n}") for n in numbers if n not in self.gone]
        pages += [page(int(n), 1_000 + int(n), f"Page {n}") for n in query.get("pageids", "").split("|") if n]
        pages += [page(7, 1_007, title) for title in query.get("titles", "").split("|") if title]
        found["pages"] = pages[::-1]
        if query.get("list") == "logevents":
            found["logevents"] = [
                {"logid": 5, "type": "delete", "action": "delete", "logpage": 77, "timestamp": query["leend"]}
            ]
        return {"batchcomplete": True, "query": found}


def page(page_id: int, revision: int, title: str) -> dict[str, Any]:
    return {
        "pageid": page_id,
        "ns": 0,
        "title": title,
        "lastrevid": revision,
        "revisions": [
            {
                "revid": revision,
                "parentid": 0,
                "timestamp": "2026-11-21T07:32:51Z",
                "user": "Ann",
                "slots": {"main": {"contentmodel": "wikitext", "content": f"text of {revision}"}},
            }
        ],
    }


def packed(body: object, **headers: str) -> web.Response:
    return web.Response(
        body=gzip.compress(json.dumps(body).encode(), 1),
        headers={"Content-Type": "application/json; charset=utf-8", "Content-Encoding": "gzip"} | headers,
    )


@pytest.fixture
def wiki(monkeypatch: pytest.MonkeyPatch) -> Wiki:
    """Beside it pauses are short."""
    monkeypatch.setattr("streamer.origin.breaker.PAUSE_S", PAUSE_S)
    monkeypatch.setattr("streamer.origin.retry.LATER_LEAST_S", 0.02)
    return Wiki()


@asynccontextmanager
async def origin_of(
    wiki: Wiki,
    *,
    save_site: Callable[[SiteInfo], object] | None = None,
    known_sites: Sequence[SiteInfo] = (),
    tracing: Tracing | None = None,
    **settings: Any,
) -> AsyncIterator[Origin]:
    app = web.Application(client_max_size=10**7)
    app.router.add_route("*", "/w/api.php", wiki.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    chosen = {
        "endpoint": f"http://127.0.0.1:{port}",
        "requests_per_minute": 6_000,
        "timeout_s": 5.0,
    } | settings
    configured = Settings(
        source=SourceSettings(contact="ops@example.org"), mediawiki=MediaWikiSettings(**chosen)
    )
    try:
        async with Origin(
            configured, save_site=save_site, known_sites=known_sites, tracing=tracing
        ) as origin:
            yield origin
    finally:
        await runner.cleanup()


async def many(origin: Origin, numbers: list[int]) -> list[Answer | OriginError]:
    async def one(number: int) -> Answer | OriginError:
        try:
            return await origin.revision(WIKI, HOST, number)
        except OriginError as error:
            return error

    async with asyncio.timeout(30):
        return list(await asyncio.gather(*map(one, numbers)))


def text(answer: Answer | OriginError) -> str | None:
    assert isinstance(answer, Found), answer
    return answer.revision.content


async def test_a_batch_is_one_request(wiki: Wiki) -> None:
    """Fifty revisions, one request; each caller gets its own; the site rides on the first request only."""
    saved: list[SiteInfo] = []
    async with origin_of(wiki, save_site=saved.append) as origin:
        wiki.gone = {13}
        answers = await many(origin, list(range(1, 51)))
        assert len(wiki.asked) == 1
        assert isinstance(answers.pop(12), Missing)
        assert [text(answer) for answer in answers] == [f"text of {n}" for n in range(1, 51) if n != 13]
        await many(origin, [60])
        assert [("meta" in query) for query in wiki.asked] == [True, False]
        assert [site.licence_name for site in saved] == ["CC"]
        assert origin.site(WIKI) == saved[0]
    request = wiki.requests[0]
    assert request.host == HOST
    assert "ops@example.org" in request.headers["User-Agent"]
    assert request.headers["Accept-Encoding"] == "gzip"
    assert wiki.asked[0]["maxlag"] == "5"


async def test_titles_pages_and_logs(wiki: Wiki) -> None:
    """Each way of asking in requests of its own; long ones as POST that says it writes nothing."""
    async with origin_of(wiki) as origin, asyncio.timeout(30):
        by_title, by_page, deleted = await asyncio.gather(
            origin.title(WIKI, HOST, "Über_uns"),
            origin.page(WIKI, HOST, 9),
            origin.deleted_page_id(WIKI, HOST, "Gone", 5, 1_000_000),
        )
        assert isinstance(by_title, Found)
        assert by_title.page.title == "Über uns"
        assert text(by_page) == "text of 1009"
        assert deleted == (77,)
        assert len(wiki.asked) == 3
        long = [f"{number} " + "語" * 60 for number in range(50)]
        wiki.asked.clear()
        found = await asyncio.gather(*(origin.title(WIKI, HOST, title) for title in long))
        assert [answer.page.title for answer in found if isinstance(answer, Found)] == long
        assert len(wiki.asked) == 1
        assert wiki.requests[-1].method == "POST"
        assert wiki.requests[-1].headers["Promise-Non-Write-API-Action"] == "true"


async def test_the_same_twice_is_asked_once(wiki: Wiki) -> None:
    """Two callers of one revision share it; a cancelled one leaves the batch alone."""
    async with origin_of(wiki) as origin:
        async with asyncio.TaskGroup() as group:
            quitter = group.create_task(origin.revision(WIKI, HOST, 3))
            callers = [group.create_task(origin.revision(WIKI, HOST, number)) for number in (3, 3, 4)]
            await asyncio.sleep(0)
            quitter.cancel()
        assert [text(task.result()) for task in callers] == ["text of 3", "text of 3", "text of 4"]
        assert [query["revids"] for query in wiki.asked] == ["3|4"]


async def test_a_host_that_is_not_allowed_is_never_contacted(wiki: Wiki) -> None:
    """Not even at an endpoint of the operator's own."""
    async with origin_of(wiki) as origin:
        for server_name in (
            "127.0.0.1",
            "localhost",
            "169.254.169.254",
            "user:pw@en.wikipedia.org",
            "evil.example",
        ):
            with pytest.raises(HostNotAllowed):
                await origin.revision(WIKI, server_name, 1)
    assert not wiki.requests


async def test_another_wikis_host(wiki: Wiki) -> None:
    """A change that names enwiki and dewiki's server is refused by dewiki's own word, once asked."""
    async with origin_of(wiki) as origin, asyncio.timeout(30):
        for _ in range(3):
            with pytest.raises(AnswerInvalid, match="another_wiki"):
                await origin.revision(WIKI, "de.wikipedia.org", 1)
        assert len(wiki.asked) == 1
        assert isinstance(await origin.revision("dewiki", "de.wikipedia.org", 1), Found)


def once(*faults: Fault) -> Fault:
    """Each fault answers one request, then the wiki is well."""
    waiting = list(faults)

    async def fault(request: web.Request, query: dict[str, str]) -> web.StreamResponse | None:
        return await waiting.pop(0)(request, query) if waiting else None

    return fault


def says(body: object, **headers: str) -> Fault:
    async def fault(_: web.Request, __: dict[str, str]) -> web.StreamResponse:
        return packed(body, **headers)

    return fault


def status(number: int, **headers: str) -> Fault:
    async def fault(_: web.Request, __: dict[str, str]) -> web.StreamResponse:
        return web.Response(status=number, text="no", headers=headers)

    return fault


async def breaks_off(request: web.Request, _: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"query":')
    assert request.transport is not None
    request.transport.abort()
    return response


async def hangs_up(request: web.Request, _: dict[str, str]) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def gzip_cut(_: web.Request, __: dict[str, str]) -> web.StreamResponse:
    body = gzip.compress(b'{"query":{}}')[:-6]
    return web.Response(body=body, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})


async def test_each_request_is_told_to_the_traced_changes_in_it(wiki: Wiki) -> None:
    """Also those that failed, with what they ended as and how many things they asked for; whoever is not
    traced gets his answer and is told of nowhere.
    """
    wiki.fault = once(status(503, **{"Retry-After": "0"}))
    journeys = [Journey(trace, 1, 1) for trace in (1, 2)]

    async def asks(origin: Origin, number: int, journey: Journey | None) -> None:
        JOURNEY.set(journey)
        assert text(await origin.revision(WIKI, HOST, number)) == f"text of {number}"

    async with origin_of(wiki, tracing=Tracing(1.0, lambda _: None)) as origin, asyncio.TaskGroup() as tasks:
        for number, journey in enumerate([*journeys, None], 1):
            tasks.create_task(asks(origin, number, journey))
    for journey, other in zip(journeys, journeys[::-1], strict=True):
        assert [(step.name, dict(step.attributes)) for step in journey.steps] == [
            ("origin", {"by": "revision", "outcome": "status_503", "batch_size": 3}),
            ("origin", {"by": "revision", "outcome": "ok", "batch_size": 3}),
        ]
        assert [[trace for trace, _ in step.links] for step in journey.steps] == [[other.trace]] * 2
        assert [step.failed for step in journey.steps] == [True, False]


@pytest.mark.parametrize(
    "fault",
    [
        says({"error": {"code": "maxlag", "lag": 5.3}}, **{"Retry-After": "0"}),
        says({"error": {"code": "ratelimited"}}, **{"Retry-After": "0"}),
        says({"error": {"code": "readonly"}}, **{"Retry-After": "0"}),
        says({"error": {"code": "internal_api_error_DBQueryError"}}),
        says({"error": {"code": "something-new"}}),
        says({"batchcomplete": True}),
        status(429, **{"Retry-After": "0"}),
        status(503, **{"Retry-After": "0"}),
        status(500),
        breaks_off,
        hangs_up,
        gzip_cut,
    ],
    ids=[
        *("maxlag", "ratelimited", "readonly", "internal", "unknown", "nothing"),
        *("429", "503", "500", "cut", "hangup", "gzip cut"),
    ],
)
async def test_passing_trouble_is_tried_again(wiki: Wiki, fault: Fault) -> None:
    """Whatever passes within a few tries never reaches the caller, and no answer is mixed up."""
    wiki.fault = once(fault)
    async with origin_of(wiki) as origin:
        answers = await many(origin, [1, 2, 3])
        assert [text(answer) for answer in answers] == ["text of 1", "text of 2", "text of 3"]
        assert len(wiki.asked) == 2
        assert origin.failing_since_s(WIKI) is None
        assert origin.any_host_answers


@pytest.mark.parametrize(
    "fault",
    [status(429, **{"Retry-After": "1"}), says({"error": {"code": "ratelimited"}}, **{"Retry-After": "1"})],
)
async def test_too_many_requests_halve_the_budget(
    wiki: Wiki, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By status or by the API's own word, where no other host is asked for a minute (here: for no time):
    after its pause things go on, at half the rate.
    """
    monkeypatch.setattr("streamer.origin.breaker.ALONE_S", 0.0)
    wiki.fault = once(fault)
    async with origin_of(wiki) as origin:
        await many(origin, [1])
        budget = REGISTRY.get_sample_value("streamer_origin_budget_requests")
        assert budget is not None
        assert 3_000 <= budget < 3_200
        async with asyncio.timeout(60):
            assert text((await many(origin, [2]))[0]) == "text of 2"


async def test_the_first_host_that_a_process_asks_does_not_speak_for_all(wiki: Wiki) -> None:
    """It can't tell yet whether others will be asked."""
    wiki.fault = once(status(429, **{"Retry-After": "1"}))
    async with origin_of(wiki) as origin:
        await many(origin, [1])
        assert REGISTRY.get_sample_value("streamer_origin_budget_requests") == 6_000


async def test_one_host_that_refuses_among_others_costs_the_rest_nothing(wiki: Wiki) -> None:
    """Neither a pause nor a part of the budget."""

    async def fault(request: web.Request, _: dict[str, str]) -> web.StreamResponse | None:
        return web.Response(status=429, headers={"Retry-After": "60"}) if request.host == HOST else None

    wiki.fault = fault
    async with origin_of(wiki) as origin:
        other = await origin.revision("dewiki", "de.wikipedia.org", 1)
        assert text(other) == "text of 1"
        refused = asyncio.ensure_future(origin.revision(WIKI, HOST, 1))
        while len(wiki.asked) < 2:
            await asyncio.sleep(0.01)
        assert text(await origin.revision("dewiki", "de.wikipedia.org", 2)) == "text of 2"
        assert REGISTRY.get_sample_value("streamer_origin_budget_requests") == 6_000
        refused.cancel()


async def test_the_lag_of_what_is_not_read_is_ignored(wiki: Wiki) -> None:
    """Wikidata reports the lag of its query service as maxlag, for hours at times; texts don't need it."""

    async def fault(_: web.Request, query: dict[str, str]) -> web.StreamResponse | None:
        lag = {"code": "maxlag", "type": "wikibase-queryservice", "lag": 5.3}
        return packed({"error": lag}) if "maxlag" in query else None

    wiki.fault = fault
    async with origin_of(wiki) as origin:
        for number in (1, 2, 3):
            assert text((await many(origin, [number]))[0]) == f"text of {number}"
        assert len(wiki.asked) == 4


async def test_saved_sites_are_not_asked_for_again(wiki: Wiki) -> None:
    """What was kept of a wiki by an earlier run is good for 24 h."""
    saved: list[SiteInfo] = []
    async with origin_of(wiki, save_site=saved.append) as origin:
        await many(origin, [1])
    async with origin_of(wiki, known_sites=saved) as origin:
        await many(origin, [2])
        assert [("meta" in query) for query in wiki.asked] == [True, False]
        assert origin.site(WIKI) == saved[0]


async def test_a_redirect_is_not_followed(wiki: Wiki) -> None:
    """It may lead anywhere: it is a failure, and what it points at is not contacted."""
    wiki.fault = status(302, Location="/w/api.php?action=evil")
    async with origin_of(wiki) as origin, asyncio.timeout(30):
        with pytest.raises(OriginUnavailable) as error:
            await origin.revision(WIKI, HOST, 1)
        assert error.value.reason == "redirect"
        assert all(query["action"] == "query" for query in wiki.asked)
        since_s = origin.failing_since_s(WIKI)
        assert since_s is not None
        assert 0.0 < Clock().monotonic_s() - since_s < 30.0
        assert not origin.any_host_answers


async def test_a_page_for_people_is_no_answer(wiki: Wiki) -> None:
    """A maintenance page with status 200 says nothing about any change."""

    async def fault(_: web.Request, __: dict[str, str]) -> web.StreamResponse:
        return web.Response(text="<h1>Back soon</h1>", content_type="text/html")

    wiki.fault = fault
    async with origin_of(wiki) as origin, asyncio.timeout(30):
        with pytest.raises(OriginUnavailable, match="not_json"):
            await origin.revision(WIKI, HOST, 1)


async def test_a_silent_host_times_out(wiki: Wiki) -> None:
    """Every await on the network has its deadline."""
    never = asyncio.Event()

    async def fault(_: web.Request, __: dict[str, str]) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    wiki.fault = once(fault)
    async with origin_of(wiki, timeout_s=0.2) as origin:
        assert text((await many(origin, [1]))[0]) == "text of 1"


@pytest.mark.parametrize("kind", ["bomb", "broken JSON", "another revision", "text missing"])
async def test_only_the_guilty_one_is_refused(wiki: Wiki, kind: str) -> None:
    """One revision whose answer can't be taken ends up alone and is told so; the others are answered."""
    bomb = gzip.compress(b"0" * 70_000_000, 1)
    answer_head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    async def fault(request: web.Request, query: dict[str, str]) -> web.StreamResponse | None:
        if "13" not in query["revids"].split("|"):
            return None
        if kind == "bomb":
            return web.Response(body=bomb, headers=answer_head)
        body = wiki.body(request.host, query)
        revision = next(p["revisions"][0] for p in body["query"]["pages"] if p["pageid"] == 13)
        if kind == "another revision":
            revision["revid"] = 99
        elif kind == "text missing":
            revision["slots"]["main"] = {"textmissing": True}
        else:
            return web.Response(body=gzip.compress(json.dumps(body).encode()[:-2]), headers=answer_head)
        return packed(body)

    wiki.fault = fault
    async with origin_of(wiki) as origin:
        numbers = list(range(1, 41))
        answers = dict(zip(numbers, await many(origin, numbers), strict=True))
        guilty = answers.pop(13)
        assert isinstance(guilty, AnswerInvalid)
        expected = {"bomb": "too_large", "broken JSON": "unparsable", "text missing": "text_missing"}
        assert guilty.reason == expected.get(kind, "another_page")
        assert {number: text(answer) for number, answer in answers.items()} == {
            number: f"text of {number}" for number in answers
        }
        assert len(wiki.asked) <= 16


async def test_truncated_results_are_asked_on(wiki: Wiki) -> None:
    """Pages that came without revisions under `continue` are asked again, the others are not."""

    async def fault(request: web.Request, query: dict[str, str]) -> web.StreamResponse | None:
        body = wiki.body(request.host, query)
        cut = sorted(body["query"]["pages"], key=lambda p: int(p["pageid"]))[4:]
        for entry in cut:
            del entry["revisions"]
        return packed(body | ({"continue": {"rvcontinue": 5, "continue": "||info"}} if cut else {}))

    wiki.fault = fault
    async with origin_of(wiki) as origin:
        answers = await many(origin, list(range(1, 11)))
        assert [text(answer) for answer in answers] == [f"text of {n}" for n in range(1, 11)]
        asked = Counter(number for query in wiki.asked for number in query["revids"].split("|"))
        assert len(wiki.asked) == 3
        assert asked["1"] == 1


async def test_a_wiki_that_takes_less_gets_less(wiki: Wiki) -> None:
    """`toomanyvalues` refuses the whole request; from then on batches fit."""
    wiki.limit = 7
    async with origin_of(wiki) as origin:
        answers = await many(origin, list(range(1, 30)))
        assert [text(answer) for answer in answers] == [f"text of {n}" for n in range(1, 30)]
        assert [len(query["revids"].split("|")) for query in wiki.asked] == [29, 7, 7, 7, 7, 1]


async def test_a_broken_host_leaves_the_budget_to_others(wiki: Wiki) -> None:
    """While one wiki fails each time, another is answered; to the broken one go, after those that were under
    way, single requests at pauses that double, however long that takes.
    """
    asked_s: list[float] = []

    async def fault(request: web.Request, _: dict[str, str]) -> web.StreamResponse | None:
        if request.host != HOST:
            return None
        asked_s.append(time.monotonic())
        return web.Response(status=503)

    wiki.fault = fault
    at_once = 3
    async with origin_of(wiki, concurrency=at_once) as origin, asyncio.timeout(30):
        broken = [asyncio.ensure_future(origin.revision(WIKI, HOST, number)) for number in range(200)]
        for number in range(1, 30):
            assert text(await origin.revision("dewiki", "de.wikipedia.org", number)) == f"text of {number}"
        assert sum(request.host == "de.wikipedia.org" for request in wiki.requests) == 29
        while len(asked_s) < at_once + 3:
            await asyncio.sleep(0.01)
        for failures in range(at_once, len(asked_s)):
            least_s = 0.5 * PAUSE_S * 2 ** (failures - 1)
            assert asked_s[failures] - asked_s[failures - 1] >= least_s, failures
        assert origin.failing_since_s(WIKI) is not None
        assert origin.failing_since_s("dewiki") is None
        assert origin.any_host_answers
        for caller in broken:
            caller.cancel()
        await asyncio.gather(*broken, return_exceptions=True)
        assert origin.waiting == 0


async def test_the_budget_holds_on_the_wire(wiki: Wiki) -> None:
    """With 5 a minute, the sixth request is not sent, retries and log look-ups counted."""
    wiki.fault = once(says({"error": {"code": "maxlag"}}, **{"Retry-After": "1"}))
    async with origin_of(wiki, requests_per_minute=5, concurrency=5) as origin:
        callers = [asyncio.ensure_future(origin.page(WIKI, HOST, 1))]
        callers += [
            asyncio.ensure_future(origin.revision(f"{name}wiki", f"{name}.wikipedia.org", 1))
            for name in ("de", "fr", "it", "nl", "pl", "sv")
        ]
        async with asyncio.timeout(30):
            while len(wiki.requests) < 5:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        assert len(wiki.requests) == 5
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def passes(_: web.Request, __: dict[str, str]) -> None:
    return None


async def test_every_request_that_a_wiki_sees_is_counted(wiki: Wiki) -> None:
    """Also where a kept connection turns out to be closed: HTTP clients like to repeat that unasked."""
    wiki.fault = once(passes, hangs_up, hangs_up)
    async with origin_of(wiki) as origin:
        for number in (1, 2):
            assert text((await many(origin, [number]))[0]) == f"text of {number}"
        assert origin.budget_used == len(wiki.requests) == 4


async def test_who_waits_at_the_end_is_told(wiki: Wiki) -> None:
    """Leaving the client while things wait and fly refuses them; nothing hangs."""
    never = asyncio.Event()

    async def fault(_: web.Request, __: dict[str, str]) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    wiki.fault = fault
    async with origin_of(wiki, concurrency=1) as origin:
        flying = asyncio.ensure_future(origin.revision(WIKI, HOST, 1))
        await wiki.was_asked.wait()
        waiting = asyncio.ensure_future(origin.revision("dewiki", "de.wikipedia.org", 1))
        await asyncio.sleep(0)
    never.set()
    for caller in (flying, waiting):
        with pytest.raises(OriginUnavailable, match="closed"):
            await caller


async def test_a_request_that_has_not_begun_is_told_too(wiki: Wiki) -> None:
    """Leaving in the very tick in which its task was made: such a task never runs a line."""
    async with origin_of(wiki, batch=1) as origin:
        caller = asyncio.ensure_future(origin.revision(WIKI, HOST, 1))
        while not origin.budget_used:
            await asyncio.sleep(0)
    with pytest.raises(OriginUnavailable, match="closed"):
        async with asyncio.timeout(30):
            await caller


async def test_an_error_of_the_body_comes_out_as_it_is(wiki: Wiki) -> None:
    """The client's task group doesn't wrap what isn't its own."""
    with pytest.raises(KeyError):
        async with origin_of(wiki):
            raise KeyError("body")
    with pytest.raises(asyncio.CancelledError):
        async with origin_of(wiki):
            raise asyncio.CancelledError


async def test_no_server_at_all(wiki: Wiki) -> None:
    """A refused connection is unavailable, with a reason that is a metric label."""
    async with origin_of(wiki, endpoint="http://127.0.0.1:1/w/api.php") as origin, asyncio.timeout(30):
        with pytest.raises(OriginUnavailable) as error:
            await origin.revision(WIKI, HOST, 1)
        assert error.value.reason == "connect"


class Loopback(AbstractResolver):
    """A name server that was lied to."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def test_without_an_endpoint_only_public_addresses() -> None:
    """A name on the allow-list that leads to loopback is not connected to."""
    async with Fetch(MediaWikiSettings(), "test", resolver=Loopback()) as fetch:
        with pytest.raises(OriginUnavailable, match="private_address"):
            await fetch.query(HOST, {}, 5.0)
