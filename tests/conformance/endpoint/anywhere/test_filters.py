"""Filters against a judge of the suite's own, with values that the feed really holds."""

import json
import random
from collections import defaultdict
from typing import Any

import pytest

from tests.conformance.endpoint.judge import Filter, passes, values_at
from tests.conformance.endpoint.lines import Item, vector
from tests.conformance.endpoint.reading import (
    EVER,
    FORMATS,
    Format,
    by_partition,
    read,
    streaming,
    together,
    upto,
)
from tests.conformance.endpoint.wire import Endpoint

SOME = 100
DRAWN = 20
FIELDS = (
    "name",
    "identifier",
    "namespace.identifier",
    "is_part_of.identifier",
    "in_language.identifier",
    "event.type",
    "event.kind",
    "event.partition",
    "version.is_minor_edit",
    "version.size.value",
    "version.tags",
    "version.editor.is_bot",
    "categories.name",
    "visibility.text",
)


def held(items: list[Item]) -> dict[str, list[Any]]:
    """What the feed has to offer for each field."""
    found: dict[str, list[Any]] = defaultdict(list)
    for item in items:
        for field in FIELDS:
            found[field] += [v for v in values_at(item.object, field) if v not in found[field]]
    return found


def drawn(rng: random.Random, values: dict[str, list[Any]]) -> list[Filter]:
    """One to three filters; now and then two of the same field, or several values."""
    filters = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        field = rng.choice([field for field in FIELDS if values[field]])
        some = rng.sample(values[field], min(len(values[field]), rng.choice((1, 1, 2, 3))))
        if field == "version.size.value":
            some = [int(value) if rng.random() < 0.5 else float(value) for value in some]
        several = len(some) > 1 or rng.random() < 0.2
        filters.append({"field": field, "value": some if several else some[0]})
    return filters


async def filtered(
    endpoint: Endpoint, filters: list[Filter], end: dict[int, int], **asked: Any
) -> list[Item]:
    query = {"since": EVER, "filters": json.dumps(filters), **asked}
    async with streaming(endpoint, query=query) as stream:
        return await upto(stream, end)


async def test_filters_choose_what_the_judge_would(endpoint: Endpoint, rng: random.Random) -> None:
    """Drawn ones, each over the same stretch of the feed: those articles, in their order, as they are."""
    whole = await read(endpoint, SOME, query={"since": EVER})
    end = vector(whole[-1].id)
    values = held(whole)
    asked = [drawn(rng, values) for _ in range(DRAWN)]
    readings = await together(*(filtered(endpoint, filters, end) for filters in asked))
    for filters, got in zip(asked, readings, strict=True):
        wanted = [item for item in whole if passes(item.object, filters)]
        assert by_partition(got) == by_partition(wanted), filters


@pytest.mark.parametrize("fmt", FORMATS)
async def test_filters_hold_in_both_formats_and_in_bodies(endpoint: Endpoint, fmt: Format) -> None:
    """By POST: what comes matches, and is what the other format gives."""
    whole = await read(endpoint, SOME, query={"since": EVER})
    wiki = whole[0].object["is_part_of"]["identifier"]
    filters = [{"field": "is_part_of.identifier", "value": [wiki]}]
    wanted = by_partition(item for item in whole if passes(item.object, filters))
    body = {"since": EVER, "filters": filters}
    got = by_partition(await read(endpoint, 5, fmt, method="POST", body=body))
    for partition, lines in got.items():
        assert lines[: len(wanted[partition])] == wanted[partition][: len(lines)]


async def test_a_filter_that_matches_nothing_still_moves_on(endpoint: Endpoint) -> None:
    """Removals pass what they have no field for; of the rest nothing comes, but the position does, so that a
    resume does not read it all again; the resume itself, without the filter, has nothing of what was passed.
    """
    whole = await read(endpoint, SOME, query={"since": EVER})
    end = vector(whole[-1].id)
    filters = [{"field": "version.comment", "value": "this is nobody's comment"}]
    query = {"since": EVER, "filters": json.dumps(filters)}
    async with streaming(endpoint, query=query) as stream:
        items = await stream.take(
            lambda found: (
                bool(found[-1].id)
                and all(vector(found[-1].id)[partition] >= offset for partition, offset in end.items())
            )
        )
    assert all(passes(item.object, filters) for item in items if item.name == "message")
    reached = vector(items[-1].id)
    async with streaming(endpoint, headers={"Last-Event-ID": items[-1].id}) as stream:
        rest = await stream.take(lambda found: found[-1].name != "message" or len(found) > 20)
    assert all(item.place[1] >= reached[item.place[0]] for item in rest if item.name == "message")


async def test_filters_and_fields(endpoint: Endpoint) -> None:
    """Judged on the whole article, whatever of it is asked for."""
    whole = await read(endpoint, SOME, query={"since": EVER})
    filters = [{"field": "event.type", "value": "update"}]
    got = await filtered(endpoint, filters, vector(whole[-1].id), fields="name")
    wanted = sorted(item.place for item in whole if item.object["event"]["type"] == "update")
    assert sorted(item.place for item in got) == wanted
    assert not any("article_body" in item.object for item in got)


async def test_no_filters(endpoint: Endpoint) -> None:
    """An empty list is none."""
    whole = await read(endpoint, 20, query={"since": EVER})
    got = await filtered(endpoint, [], vector(whole[-1].id))
    assert by_partition(got) == by_partition(whole)


async def test_a_field_that_is_none_is_named(endpoint: Endpoint) -> None:
    """In Enterprise's words, the parameter named."""
    for field, words in [
        ("nmae", "field with name 'nmae' not found"),
        ("version.nmae", "field with name 'version.nmae' not found"),
        ("version", "version"),
    ]:
        asked = json.dumps([{"field": field, "value": "x"}])
        problem = await endpoint.problem(422, parameter="filters", query={"filters": asked})
        assert words in str(problem["message"])
