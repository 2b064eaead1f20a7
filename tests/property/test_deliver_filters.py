"""Filters against a naive reading of the contract, and against whatever a client may send in their place."""

import json
import random
from collections.abc import Iterator
from typing import Any, Final

from streamer.deliver.fields import SHAPE, Kinds, Shape
from streamer.deliver.filters import Filters, parse_filters
from streamer.deliver.problems import Problem
from streamer.deliver.request import parameters_of, parse

ROUNDS: Final = 10_000
ARTICLES: Final = 300
STRINGS: Final = ("", "1", "true", "a", "é", '"\\\n', "\u2028", "a" * 50)
NUMBERS: Final = (0, 1, -1, 1.5, 1_000_000, 1_000_000.0, 12_345_678, 2**53 + 1, 1e300)
BOOLEANS: Final = (True, False)
POOLS: Final[dict[str, tuple[Any, ...]]] = {"string": STRINGS, "number": NUMBERS, "boolean": BOOLEANS}
SCORES: Final = ("m", "m.probability.true", "other-1")


def fields_of(shape: Shape, at: str = "") -> Iterator[tuple[str, Kinds]]:
    if shape is None:
        for name in SCORES:
            yield f"{at}{name}", frozenset({"string", "number", "boolean"})
    elif isinstance(shape, frozenset):
        yield at[:-1], shape
    else:
        for name, below in shape.items():
            yield from fields_of(below, f"{at}{name}.")


FIELDS: Final = list(fields_of(SHAPE))


def invented(shape: Shape, rng: random.Random) -> Any:
    """Mostly of the model's types; now and then null, a list, an empty one, or another type altogether."""
    dice = rng.random()
    if dice < 0.03:
        return None
    if dice < 0.15:
        return [invented(shape, rng) for _ in range(rng.randrange(4))]
    if shape is None:
        shape = {
            "m": {"probability": {"true": frozenset({"number"})}} if dice < 0.5 else frozenset({"number"})
        }
    if isinstance(shape, frozenset):
        kind = rng.choice(list(POOLS)) if dice < 0.2 else next(iter(shape))
        return rng.choice(POOLS[kind])
    return {name: invented(below, rng) for name, below in shape.items() if rng.random() < 0.8}


def article_of(rng: random.Random) -> dict[str, Any]:
    article: Any = None
    while not isinstance(article, dict):
        article = invented(SHAPE, rng)
    event = article["event"] = {"type": rng.choice(["update", "visibility-change", "delete"]), "offset": 3}
    if rng.random() < 0.3:
        event["revision"] = {"visibility": {"text": rng.choice(BOOLEANS)}}
    article["visibility"] = {"text": rng.random() < 0.7}
    if rng.random() < 0.2:
        del article["visibility"]
    return article


def asked(rng: random.Random) -> list[dict[str, Any]]:
    """A list of filters that a client could well mean."""
    found = []
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        field, kinds = rng.choice(FIELDS)
        values = [rng.choice(POOLS[rng.choice(sorted(kinds))]) for _ in range(rng.choice([1, 2, 5]))]
        found.append(
            {"field": field, "value": values if len(values) > 1 or rng.random() < 0.3 else values[0]}
        )
        if rng.random() < 0.1:
            found.append({"field": field, "value": values[0]})
    return found


# ── the naive reading ──────────────────────────────────────────────────────────────────────────


def values_at(value: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            yield from values_at(element, path)
    elif not path:
        if value is not None and not isinstance(value, dict):
            yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from values_at(value[path[0]], path[1:])


def same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, str) or isinstance(other, str):
        return type(one) is type(other) and one == other
    return bool(one == other)


def removed(article: dict[str, Any]) -> bool:
    hidden = [
        *article["event"].get("revision", {}).get("visibility", {}).values(),
        article.get("visibility", {}).get("text"),
    ]
    return article["event"]["type"] == "delete" or False in hidden


def naive(article: dict[str, Any], filters: list[dict[str, Any]]) -> bool:
    wanted: dict[str, list[Any]] = {}
    for one in filters:
        values = one["value"] if isinstance(one["value"], list) else [one["value"]]
        wanted.setdefault(one["field"], []).extend(values)
    for field, values in wanted.items():
        there = list(values_at(article, field.split(".")))
        if not there and removed(article):
            continue
        if not any(same(value, other) for value in there for other in values):
            return False
    return True


def test_filters_match_what_they_say(rng: random.Random) -> None:
    """Ten thousand of them, each on three articles; the same in another order are equal to them."""
    articles = [article_of(rng) for _ in range(ARTICLES)]
    encoded = [
        (article, json.dumps(article, ensure_ascii=rng.random() < 0.5).encode()) for article in articles
    ]
    passed = 0
    for _ in range(ROUNDS):
        filters = asked(rng)
        compiled = parse_filters(filters)
        assert compiled is not None
        for article, data in rng.sample(encoded, 3):
            wanted = naive(article, filters)
            assert compiled.match(data) is wanted, (filters, article)
            passed += wanted
        again = [dict(one) for one in filters]
        rng.shuffle(again)
        again.append(rng.choice(again))
        assert parse_filters(again) == compiled
        assert hash(parse_filters(again)) == hash(compiled)
    assert (
        ROUNDS / 20 < passed < 3 * ROUNDS - ROUNDS / 20
    )  # neither all nor nothing, or it would prove little


JUNK: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1e300, 10**400, "", "x", "version.*", "*", "a.b.c", "__class__", "name\n", "é",
    "\x00", "x" * 2_000, [], {}, [[]], [{}], {"field": "name"}, {"field": "name", "value": "x"},
    ["a", 1, None], [[["a"]]], {"$ne": 1},
)  # fmt: skip


def spoilt(value: Any, rng: random.Random) -> Any:
    """Another value at some place, a name more or less, twice the same, one level too deep."""
    if rng.random() < 0.25:
        return rng.choice(JUNK)
    if isinstance(value, list) and value:
        copy = list(value)
        at = rng.randrange(len(copy))
        copy[at] = spoilt(copy[at], rng)
        return copy * rng.choice([1, 1, 1, 60])
    if isinstance(value, dict) and value:
        copied = dict(value)
        name = rng.choice(sorted(copied))
        del copied[name]
        copied[rng.choice([name, name, name, "Field", "op", ""])] = spoilt(value[name], rng)
        return copied
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice([".", ".*", "*", " ", "\u202e", "'", "x"]) + value[at:]
    return [value]


def spoilt_text(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(["", "{", "]", '"', "\\", "1e999", "\ud800", "[" * 2_000]) + text[at + 1 :]


def test_what_is_no_filter_is_a_problem(rng: random.Random) -> None:
    """Ten thousand broken ones, in a query and in a body: each is understood, or 422 (400 for a body that is
    no JSON) naming `filters`; and what is understood can be judged by. Never another exception.
    """
    articles = [json.dumps(article_of(rng)).encode() for _ in range(50)]
    refused: list[tuple[int, str, bool]] = []
    for _ in range(ROUNDS):
        text = json.dumps(spoilt(asked(rng), rng))
        if rng.random() < 0.3:
            text = spoilt_text(text, rng)
        in_query = rng.random() < 0.5
        try:
            if in_query:
                parameters = parameters_of([("filters", text)], b"")
            else:
                parameters = parameters_of([], b'{"filters":%b}' % text.encode(errors="surrogatepass"))
            ask = parse(parameters, fmt="sse", last_event_id="", partitions=10, now_ms=0)
        except Problem as problem:
            refused.append((problem.status, problem.parameter, in_query))
            continue
        assert ask.filters is None or isinstance(ask.filters, Filters)
        if ask.filters is not None:
            ask.filters.match(rng.choice(articles))
    assert ROUNDS / 2 < len(refused) < ROUNDS
    assert set(refused) == {(422, "filters", True), (422, "filters", False), (400, "", False)}
