"""Lift Wing against a stub on loopback: batches, its budget, its deadline, and what may go wrong with it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from harness.delivering import metric

from streamer.config import ScoresSettings
from streamer.origin.liftwing import BATCH, MODEL, PATH, LiftWing

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
EN = ("enwiki", "en.wikipedia.org")


def prediction(revision: int, risk: float = 0.25, model: str = MODEL) -> dict[str, Any]:
    return {
        "model_name": model,
        "model_version": "3",
        "wiki_db": "enwiki",
        "revision_id": revision,
        "output": {"prediction": risk > 0.5, "probabilities": {"true": risk, "false": 1 - risk}},
    }


class Stub:
    """Answers as the model server does, or as `answer` does; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[dict[str, Any]]] = []
        self.answer: Answer | None = None
        self.paths: list[str] = []
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self.server = TestServer(app)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.asked.append((await request.json())["instances"])
        if self.answer is not None:
            return await self.answer(request)
        revisions = [instance["rev_id"] for instance in self.asked[-1]]
        return web.json_response({"predictions": [prediction(n, n / 1_000) for n in revisions]})


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    made = Stub()
    async with made.server:
        yield made


def lift_wing(stub: Stub, **over: Any) -> LiftWing:
    settings = {"url": str(stub.server.make_url("/")), "deadline_s": 10.0, "requests_per_minute": 600}
    return LiftWing(ScoresSettings(**{**settings, **over}), "tests")


def outcomes() -> dict[str, float]:
    words = ("scored", "unscored", "budget", "failing", "timeout", "invalid", "connect", "redirect")
    words += ("status_429", "status_500", "status_4xx", "closed")
    return {word: metric("streamer_scores_total", outcome=word) for word in words}


async def counted(asking: Awaitable[object]) -> dict[str, int]:
    """The outcomes that it counts."""
    before = outcomes()
    await asking
    return {word: int(n - before[word]) for word, n in outcomes().items() if n != before[word]}


async def test_what_is_asked_together_travels_together(stub: Stub) -> None:
    """Up to twenty revisions in a request, each language in its own; the same one twice is asked once."""
    async with lift_wing(stub) as scorer:
        found = await asyncio.gather(
            *(scorer.scores(*EN, [n]) for n in range(1, BATCH + 6)),
            scorer.scores(*EN, [1]),
            scorer.scores("dewiki", "de.wikipedia.org", [7, 8]),
        )
    assert found[4] == {5: {MODEL: 0.005}}
    assert found[-1] == {7: {MODEL: 0.007}, 8: {MODEL: 0.008}}
    assert sorted(len(batch) for batch in stub.asked) == [2, 5 + 1, BATCH]
    assert {"rev_id": 8, "lang": "de"} in min(stub.asked, key=len)
    assert set(stub.paths) == {PATH}
    assert all(len({one["lang"] for one in batch}) == 1 for batch in stub.asked)


async def test_an_address_of_ones_own(stub: Stub) -> None:
    """The whole of a model's is taken as it is."""
    async with lift_wing(stub, url=str(stub.server.make_url("/v1/models/x:predict"))) as scorer:
        assert await scorer.scores(*EN, [5])
    assert stub.paths == ["/v1/models/x:predict"]


async def test_only_wikipedias_that_were_asked_for_are_served(stub: Stub) -> None:
    """The model knows no others; a change names its server, so it is judged and never sent."""
    async with lift_wing(stub, wikis=("en*", "meta*", "test*")) as scorer:
        assert scorer.serves(*EN)
        for wiki, server in (
            ("dewiki", "de.wikipedia.org"),
            ("enwiktionary", "en.wiktionary.org"),
            ("metawiki", "meta.wikimedia.org"),
            ("testwiki", "test.wikipedia.org"),
            ("enwiki", "en.wikipedia.org.example.org"),
            ("enwiki", 'en",.wikipedia.org'),
        ):
            assert not scorer.serves(wiki, server), server
            assert await scorer.scores(wiki, server, [1]) == {}
    assert not stub.asked


async def test_what_it_cannot_score_has_none(stub: Stub) -> None:
    """Some of a batch, or all of it (422): that is an answer, and the next is asked as ever."""

    async def some(_: web.Request) -> web.Response:
        return web.json_response({"predictions": [prediction(2)], "errors": ["Could not …", 5]})

    async def none(_: web.Request) -> web.Response:
        return web.json_response({"detail": "Could not make prediction"}, status=422)

    async with lift_wing(stub) as scorer:
        stub.answer = some
        assert await counted(scorer.scores(*EN, [1, 2])) == {"scored": 1, "unscored": 1}
        stub.answer = none
        assert await counted(scorer.scores(*EN, [1, 2])) == {"unscored": 2}
        stub.answer = some
        assert await scorer.scores(*EN, [1, 2]) == {2: {MODEL: 0.25}}


async def test_beyond_the_budget_nothing_is_asked(stub: Stub) -> None:
    """Nobody waits for the next minute, nor beyond the deadline for a request of others to end."""
    async with lift_wing(stub, requests_per_minute=1, deadline_s=0.5) as scorer:
        assert await scorer.scores(*EN, [1])
        assert await counted(scorer.scores(*EN, [2])) == {"budget": 1}
    assert len(stub.asked) == 1


async def test_a_batch_waits_for_its_turn_as_long_as_it_may(stub: Stub) -> None:
    """Two requests at once; the third goes when one of them has ended, or not at all."""
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.json_response({"predictions": [prediction(1)]})

    stub.answer = hang

    async def three(scorer: LiftWing) -> list[bool]:
        servers = [f"{language}.wikipedia.org" for language in ("en", "de", "fr")]
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(scorer.scores("xwiki", server, [1])) for server in servers]
            while len(stub.asked) < 2:
                await asyncio.sleep(0.01)
            released.set()
        return [bool(task.result()) for task in asking]

    async with lift_wing(stub) as scorer:
        assert await three(scorer) == [True, True, True]


async def test_it_has_a_budget_of_its_own(stub: Stub) -> None:
    settings = ScoresSettings(url=str(stub.server.make_url("/")), requests_per_minute=1, deadline_s=0.5)
    async with LiftWing(settings, "tests") as scorer:
        assert await scorer.scores(*EN, [1])
        assert not await scorer.scores(*EN, [2])


async def test_who_does_not_answer_in_time_delays_nothing(stub: Stub) -> None:
    """The deadline is the whole of it; then the server is left in peace for a while."""
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.json_response({"predictions": []})

    stub.answer = hang
    async with lift_wing(stub, deadline_s=0.3) as scorer:
        async with asyncio.timeout(30):
            assert await scorer.scores(*EN, [1]) == {}
        revision = 2
        async with asyncio.timeout(30):  # who waits gives up a moment before the question does
            while "failing" not in await counted(scorer.scores(*EN, [revision])):
                revision += 1
    assert len(stub.asked) < revision
    released.set()


async def test_at_the_end_who_waits_is_told(stub: Stub) -> None:
    """Closed while something is asked: it has no score, and nothing is left behind."""
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.json_response({"predictions": []})

    stub.answer = hang
    async with lift_wing(stub) as scorer:
        asking = asyncio.create_task(scorer.scores(*EN, [1]))
        async with asyncio.timeout(30):
            while not stub.asked:
                await asyncio.sleep(0.01)
    assert await asking == {}
    released.set()


def told(body: bytes = b"", status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return answer


WHOLE = json.dumps({"predictions": [prediction(1)]}).encode()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (told(b"{not json"), "invalid"),
        (told(b"\xff\xfe"), "invalid"),
        (told(b"[" * 100_000), "invalid"),
        (told(b'{"predictions": 5}'), "invalid"),
        (told(b'{"predictions": [{"revision_id": 1}]}'), "invalid"),
        (told(json.dumps({"predictions": [prediction(1, 1.5)]}).encode()), "invalid"),
        (told(json.dumps({"predictions": [prediction(1, model="other")]}).encode()), "invalid"),
        (told(b" " * 300_000 + WHOLE), "invalid"),
        (told(WHOLE, **{"Content-Encoding": "gzip"}), "invalid"),
        (told(json.dumps({"predictions": [prediction(2)]}).encode()), "unscored"),
        (told(WHOLE, 429, **{"Retry-After": "30"}), "status_429"),
        (told(WHOLE, 500), "status_500"),
        (told(WHOLE, 400), "status_4xx"),
        (told(b"", 302, Location="/elsewhere"), "redirect"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_answer_is_a_count_and_no_score(
    stub: Stub, answer: Answer, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes: nothing is raised, nothing invented, no redirect followed."""
    monkeypatch.setattr("streamer.origin.breaker.PAUSE_S", 60.0)  # the second call comes before it is over
    stub.answer = answer
    async with lift_wing(stub) as scorer:
        assert await counted(scorer.scores(*EN, [1])) == {outcome: 1}
        again = await counted(scorer.scores(*EN, [1]))
        assert again == ({"unscored": 1} if outcome == "unscored" else {"failing": 1})
    assert set(stub.paths) == {PATH}


async def test_nobody_there(stub: Stub) -> None:
    """A refused connection is an outcome like others."""
    url = str(stub.server.make_url("/"))
    await stub.server.close()
    async with LiftWing(ScoresSettings(url=url, deadline_s=10.0), "tests") as scorer:
        assert await counted(scorer.scores(*EN, [1, 2])) == {"connect": 2}
