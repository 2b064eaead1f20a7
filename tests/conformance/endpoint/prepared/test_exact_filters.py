"""Filters over articles that were made for them."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.lines import Item, vector
from tests.conformance.endpoint.reading import EVER, by_partition, read, streaming, together, upto
from tests.conformance.endpoint.service import Prepared

UNLIMITED = "limits = { requests_per_minute = 0 }"
ARTICLES = (
    Varied(0, size=1_000_000, tags=("visual", "mobile"), categories=("Birds", "Mammals")),
    Varied(1, size=999_999, bot=True, tags=("mobile",), categories=("Mammals",)),
    Varied(2, wiki="dewiki", minor=True, size=2_500_000, bot=None),
    Varied(3, wiki="dewiki", size=None, namespace=1, categories=("Birds",)),
    Varied(4, kind="delete"),
    Varied(5, wiki="dewiki", kind="delete", namespace=1),
    Varied(6, size=1, namespace=4, tags=("1", "true")),
)
CASES: tuple[tuple[str, list[tuple[str, Any]], set[int]], ...] = (
    ("a number by value", [("version.size.value", 1_000_000)], {0, 4, 5}),
    ("a whole number written as a float", [("version.size.value", 1_000_000.0)], {0, 4, 5}),
    ("a number of seven digits and more", [("version.size.value", [2.5e6, 999_999])], {1, 2, 4, 5}),
    ("a boolean", [("version.is_minor_edit", True)], {2, 4, 5}),
    ("the other boolean", [("version.editor.is_bot", False)], {0, 3, 4, 5, 6}),
    ("any element of a list", [("version.tags", "mobile")], {0, 1, 4, 5}),
    ("a string that looks like a number", [("version.tags", "1")], {4, 5, 6}),
    ("a path through objects in a list", [("categories.name", "Birds")], {0, 3, 4, 5}),
    ("several values", [("categories.name", ["Birds", "Mammals"])], {0, 1, 3, 4, 5}),
    ("two filters of one field", [("categories.name", "Birds"), ("categories.name", "Mammals")],
     {0, 1, 3, 4, 5}),
    ("filters of two fields", [("is_part_of.identifier", "dewiki"), ("categories.name", "Birds")], {3, 5}),
    ("a removal has the field", [("namespace.identifier", 1)], {3, 5}),
    ("zero", [("namespace.identifier", 0)], {0, 1, 2, 4}),
    ("case", [("categories.name", "birds")], {4, 5}),
    ("a part of a string", [("name", "Page")], set()),
    ("event type", [("event.type", "delete")], {4, 5}),
    ("nothing", [], {0, 1, 2, 3, 4, 5, 6}),
)  # fmt: skip


@pytest.fixture
async def feed(prepared: Prepared) -> Prepared:
    await prepared.write(ARTICLES)
    return prepared


def asked(filters: list[tuple[str, Any]]) -> str:
    return json.dumps([{"field": field, "value": value} for field, value in filters])


async def pages(feed: Prepared, filters: str) -> set[int]:
    """Of what is sent until the position has passed all that was written."""
    items = await read(feed.endpoint, len(ARTICLES), query={"since": EVER})
    async with streaming(feed.endpoint, query={"since": EVER, "filters": filters}) as stream:
        got = await upto(stream, vector(items[-1].id))
    return {item.object["identifier"] - feed.page(0) for item in got}


async def test_what_matches(feed: Prepared) -> None:
    """Numbers by value, booleans only as booleans, strings exactly; any element of a list; OR within a
    field, AND across; a removal passes what it lacks. Where an article lies is a field as well.
    """
    items = await read(feed.endpoint, len(ARTICLES), query={"since": EVER})
    here = items[0].place[0]
    beside = {item.object["identifier"] - feed.page(0) for item in items if item.place[0] == here}
    first = {item.object["identifier"] - feed.page(0) for item in items if item.place == (here, 0)}
    cases = [
        *CASES,
        ("a partition", [("event.partition", here)], beside),
        ("a place", [("event.partition", here), ("event.offset", 0)], first),
    ]
    got = await together(*(pages(feed, asked(filters)) for _, filters, _ in cases))
    wrong = {name: found for (name, _, wanted), found in zip(cases, got, strict=True) if found != wanted}
    assert not wrong


async def test_a_hidden_comment_never_matches(feed: Prepared) -> None:
    """Judged on what the client would be given: what a cut-off took is no longer there."""
    comment = asked([("version.comment", "a comment")])
    before = await pages(feed, comment)
    assert before == {0, 1, 2, 3, 4, 5, 6}
    await feed.withdraw(1, ("comment",))
    assert await pages(feed, comment) == before - {1}


async def test_a_filtered_resume_at_every_border(feed: Prepared) -> None:
    """Each border of what passed, and each cursor: what passes behind it, and nothing twice."""
    await feed.write(ARTICLES * 10)
    whole = await read(feed.endpoint, 11 * len(ARTICLES), query={"since": EVER})
    filters = asked([("is_part_of.identifier", "dewiki")])
    items = await read(feed.endpoint, 33, query={"since": EVER, "filters": filters})
    wanted = [item for item in whole if item.object["is_part_of"]["identifier"] == "dewiki"]
    assert by_partition(items) == by_partition(wanted)

    async def resumed(after: int) -> None:
        headers = {"Last-Event-ID": items[after - 1].id}
        rest = [item for item in items[after:] if item.name == "message"]
        async with streaming(feed.endpoint, headers=headers, query={"filters": filters}) as stream:
            found = await stream.take(lambda got: told(got) >= len(rest), within_s=60) if rest else []
            found += await stream.beat()  # which may come before the articles, on a busy machine
            assert by_partition(found) == by_partition(items[after:]), after

    def told(got: Sequence[Item]) -> int:
        return sum(item.name == "message" for item in got)

    await together(*(resumed(after) for after in range(1, len(items) + 1)))


async def test_a_quiet_filter_tells_its_position(feed: Prepared) -> None:
    """Within 5 s of moving, live, without an article; whoever resumes there reads nothing again."""
    nothing = asked([("name", "nobody")])
    async with streaming(feed.endpoint, query={"filters": nothing}) as stream:
        await stream.beat()
        await feed.write(ARTICLES[:3])
        items = await stream.take(lambda found: found[-1].name == "cursor", within_s=20.0)
    cursor = items[-1]
    assert cursor.object == {"position": cursor.id}
    bounds = await feed.bounds()
    assert vector(cursor.id) == {p: bound.end for p, bound in enumerate(bounds)} or feed.engine == "kafka"
    async with streaming(feed.endpoint, headers={"Last-Event-ID": cursor.id}) as stream:
        assert not [item for item in await stream.beat() if item.name == "message"]


async def test_what_a_partner_never_gets_is_forbidden(prepare: Callable[..., Awaitable[Prepared]]) -> None:
    """403 for a field, or a filter on it, that its `content`, `fields` or `editor` never give; a wildcard
    gives what there is.
    """
    table = f'{UNLIMITED}\ncontent = ["text"]\neditor = "none"'
    feed = await prepare(table)
    await feed.write(ARTICLES)
    for parameter, text in [
        ("fields", "article_body.wikitext"),
        ("fields", "version.editor.name"),
        ("filters", asked([("version.editor.is_bot", True)])),
        ("filters", asked([("article_body.html", "x")])),
    ]:
        problem = await feed.endpoint.problem(403, parameter=parameter, query={parameter: text})
        assert problem["type"] == "urn:streamer:problem:not_granted"
    for fields in ("version.*", "article_body.*", "article_body.text"):
        async with streaming(feed.endpoint, query={"fields": fields}):
            pass
