"""What filters mean, and what is none."""

import gc
import json
import weakref
from typing import Any

import pytest

from streamer.deliver.encode import Frame
from streamer.deliver.fields import SHAPE, Shape
from streamer.deliver.filters import MAX_FILTERS, MAX_VALUE_CHARS, MAX_VALUES, Filters, parse_filters
from streamer.deliver.problems import Problem
from streamer.deliver.rendering import Rendering
from streamer.deliver.wanted import Wanted
from streamer.projection import FIELDS, Tree
from tests.conformance.endpoint.judge import passes


def filters(*asked: tuple[str, object]) -> Filters:
    parsed = parse_filters([{"field": field, "value": value} for field, value in asked])
    assert parsed is not None
    return parsed


def match(article: dict[str, Any], *asked: tuple[str, object]) -> bool:
    article.setdefault("event", {"type": "update"})
    return filters(*asked).match(json.dumps(article).encode())


def refused(value: object) -> Problem:
    with pytest.raises(Problem) as caught:
        parse_filters(value)
    assert (caught.value.status, caught.value.parameter) == (422, "filters")
    return caught.value


@pytest.mark.parametrize(
    ("value", "wanted", "matches"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1.0, 1, True),
        (1_000_000, 1_000_000, True),
        (1e6, 1_000_000, True),
        (1_234_567_890, 1_234_567_890, True),
        (2**53 + 1, 2**53 + 1, True),
        (2**53 + 1, 2**53, False),
        (2**70, 2**70, True),
        (0, False, False),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (False, False, True),
        (False, True, False),
        ("1", 1, False),
        (1, "1", False),
        ("true", True, False),
        ("Straße", "Straße", True),
        ("strasse", "Straße", False),
        ('"\\\n\u2028', '"\\\n\u2028', True),
        (None, "", False),
        ("", "", True),
        ([1, "a"], "a", True),
        ([1, "a"], "b", False),
        ([], "a", False),
        ({"a": 1}, 1, False),
    ],
)
def test_values_compare_by_type(value: object, wanted: object, matches: bool) -> None:
    """Numbers by value, strings exactly, booleans with booleans; null is no value."""
    assert match({"version": {"scores": {"m": value}}}, ("version.scores.m", wanted)) is matches


def test_fields_are_all_to_be_met_and_values_any() -> None:
    """AND over fields; OR over the values of one field, in a list or in several filters."""
    article = {"name": "A", "identifier": 1_000_001, "version": {"tags": ["x", "y"]}}
    assert match(article, ("name", "A"), ("identifier", 1_000_001))
    assert not match(article, ("name", "A"), ("identifier", 2))
    assert match(article, ("name", ["B", "A"]), ("version.tags", ["y", "z"]))
    assert match(article, ("name", "B"), ("name", "A"))
    assert not match(article, ("name", "B"), ("name", "C"))


def test_paths_go_through_lists() -> None:
    """Any element's field counts; two filters may be met by two elements."""
    article = {"categories": [{"name": "A", "url": "1"}, {"url": "2"}, {"name": "C"}]}
    assert match(article, ("categories.name", "C"))
    assert not match(article, ("categories.name", "B"))
    assert match(article, ("categories.name", "A"), ("categories.url", "2"))
    assert not match({"categories": []}, ("categories.name", "A"))


@pytest.mark.parametrize(
    "removal",
    [
        {"event": {"type": "delete"}},
        {"event": {"type": "visibility-change", "revision": {"visibility": {"text": False}}}},
        {"event": {"type": "visibility-change", "revision": {"visibility": {"comment": False}}}},
        {"event": {"type": "update", "revision": {"visibility": {"text": True, "editor": False}}}},
        {"event": {"type": "update"}, "visibility": {"text": False}},
    ],
)
def test_a_removal_passes_what_it_lacks(removal: dict[str, Any]) -> None:
    """But not a filter on what it says; a record that lacks the text, and is none, does not pass."""
    removal["name"] = "A"
    assert match(removal, ("version.tags", "x"), ("article_body.text", "y"))
    assert match(removal, ("version.tags", "x"), ("name", "A"))
    assert not match(removal, ("version.tags", "x"), ("name", "B"))
    assert not match({"name": "A", "visibility": {"text": True}}, ("version.tags", "x"))
    shown_again = {"event": {"type": "visibility-change", "revision": {"visibility": {"text": True}}}}
    assert not match(shown_again, ("version.tags", "x"))
    assert filters(("version.tags", "x")).match(b'{"event":{}}', is_delete=True)


@pytest.mark.parametrize(
    ("article", "is_removal"),
    [
        ({"event": {"type": "delete"}}, True),
        ({"visibility": {"text": False}}, True),
        ({"visibility": {"text": False}, "article_body": {"wikitext": "x"}}, True),
        ({"event": {"type": "visibility-change", "revision": {"visibility": {"text": False}}}}, True),
        (
            {
                "event": {"type": "visibility-change", "revision": {"visibility": {"text": False}}},
                "visibility": {"text": True},
                "article_body": {"wikitext": "an older revision was hidden"},
            },
            True,
        ),
        ({"event": {"type": "visibility-change", "revision": {"visibility": {"comment": False}}}}, True),
        ({"event": {"type": "update", "revision": {"visibility": {"text": True, "editor": False}}}}, True),
        ({"event": {"type": "visibility-change", "revision": {"visibility": {"text": True}}}}, False),
        ({"event": {"type": "visibility-change"}, "visibility": {"text": True, "comment": False}}, False),
        ({"event": {"type": "update", "revision": None}, "visibility": None}, False),
        ({"visibility": {"text": 0}}, False),
        ({"name": "no text is no removal"}, False),
    ],
)
def test_the_suites_judge_knows_the_same_removals(article: dict[str, Any], *, is_removal: bool) -> None:
    """What the conformance suite holds any server against: it passes what it lacks, if and only if."""
    article.setdefault("event", {"type": "update"})
    assert match(article, ("version.tags", "x")) is is_removal
    assert passes(article, [{"field": "version.tags", "value": "x"}]) is is_removal


def test_equal_filters_are_one() -> None:
    """Whatever their order and however often a value is said; types stay apart, though Python's 1 is True."""
    one = filters(("name", ["a", "b"]), ("identifier", 1), ("image.contentUrl", "u"))
    other = filters(
        ("image.content_url", "u"), ("identifier", [1.0, 1]), ("name", "b"), ("name", ["a", "b", "a"])
    )
    assert one == other
    assert hash(one) == hash(other)
    scores = [filters(("version.scores.m", value)) for value in (1, True, "1", "true", [1, True])]
    assert len(set(scores)) == len(scores)


def test_nothing_filtered() -> None:
    """An empty list is no filter, as Enterprise's SDKs write it."""
    assert parse_filters([]) is None
    assert parse_filters(None) is None


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("nmae", "field with name 'nmae' not found"),
        ("version.nmae", "field with name 'version.nmae' not found"),
        ("name.x", "field with name 'name.x' not found"),
        ("version", "'version' is an object; filter by one of its fields, as in 'version.identifier'"),
        ("categories", "'categories' is an object; filter by one of its fields, as in 'categories.name'"),
        ("version.scores", "'version.scores' is an object; filter by one of its fields, as in"),
        ("version.*", "'version.*' is a wildcard"),
        ("version.scores.*.x", "is a wildcard"),
    ],
)
def test_what_is_no_field_is_told_by_its_name(field: str, message: str) -> None:
    """In Enterprise's words where it has some."""
    assert message in refused([{"field": field, "value": "x"}]).detail


@pytest.mark.parametrize(
    "value",
    [
        "x",
        {},
        True,
        ["x"],
        [[]],
        [{"field": "name"}],
        [{"value": "x"}],
        [{"field": "name", "value": "x", "op": "="}],
        [{"field": 1, "value": "x"}],
        [{"field": "", "value": "x"}],
        [{"field": "<script>", "value": "x"}],
        [{"field": "a" * 300, "value": "x"}],
        [{"field": "name", "value": None}],
        [{"field": "name", "value": {}}],
        [{"field": "name", "value": []}],
        [{"field": "name", "value": ["x", None]}],
        [{"field": "name", "value": [["x"]]}],
        [{"field": "name", "value": 1}],
        [{"field": "name", "value": True}],
        [{"field": "identifier", "value": "1"}],
        [{"field": "identifier", "value": True}],
        [{"field": "event.offset", "value": "1"}],
        [{"field": "version.is_minor_edit", "value": 1}],
        [{"field": "version.is_minor_edit", "value": [True, "true"]}],
        [{"field": "version.tags", "value": 1}],
        [{"field": "event.kind", "value": 1}],
        [{"field": "name", "value": "x" * (MAX_VALUE_CHARS + 1)}],
        [{"field": "name", "value": "x"}] * (MAX_FILTERS + 1),
        [{"field": "name", "value": ["x"] * (MAX_VALUES // 2 + 1)}] * 2,
    ],
)
def test_what_can_never_match_is_refused(value: object) -> None:
    """422, whatever the shape; what was asked for is not repeated where it does not look like a field."""
    problem = refused(value)
    assert "<script>" not in problem.detail
    assert "aaaa" not in problem.detail


def test_what_is_just_allowed() -> None:
    """As many filters, values and characters as the bounds say."""
    assert parse_filters([{"field": "name", "value": "x" * MAX_VALUE_CHARS}])
    assert parse_filters([{"field": "name", "value": ["x"] * (MAX_VALUES // MAX_FILTERS)}] * MAX_FILTERS)


def test_every_field_has_its_types() -> None:
    """What can be asked for in `fields` can be filtered by, and nothing else."""

    def names(shape: Shape | Tree, at: str = "") -> set[str]:
        if not isinstance(shape, dict) or not shape:
            return {at}
        return set().union(*(names(below, f"{at}.{name}") for name, below in shape.items()))

    assert names(SHAPE) == names(FIELDS)


def test_a_number_beyond_all_numbers_matches_nothing() -> None:
    """Of another writer's making; it is no error."""
    for number in (b"1e999", b"-1" + b"0" * 5_000):
        data = b'{"event":{},"version":{"scores":{"m":%b}}}' % number
        assert not filters(("version.scores.m", 1)).match(data)


def wanted(asked: Filters | None) -> Wanted:
    return Wanted(frozenset({0}), asked, None, "ndjson", "identity")


def framed(data: bytes) -> Frame:
    head = b"id: e7c14a09.0:1\ndata: "
    return Frame("enwiki:1", 1, 1, 0, 0, head + data + b"\n\n", len(head), frozenset())


def test_a_frame_is_judged_once_for_equal_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many feeds ask, and in whatever order they say it."""
    judged: list[bytes] = []
    match = Filters.match

    def counted(self: Filters, data: bytes, *, is_delete: bool = False) -> bool:
        judged.append(data)
        return match(self, data, is_delete=is_delete)

    monkeypatch.setattr(Filters, "match", counted)
    rendering = Rendering([framed(b'{"name":"%b"}' % name) for name in (b"A", b"C", b"B")])
    for _ in range(3):
        for asked in (filters(("name", ["A", "B"])), filters(("name", "B"), ("name", "A"))):
            (part,) = rendering.parts(wanted(asked))
            assert part.data == b'{"name":"A"}\n{"name":"B"}\n'
    assert len(judged) == 3


def test_equal_filters_have_one_digest_and_no_others() -> None:
    """However they are said: order, doubles and 1.0 for 1 mean the same; types, paths and values do not."""
    one = filters(("name", ["A", "B"]), ("version.identifier", [1, 2]))
    same = filters(("version.identifier", 2.0), ("name", ["B", "A", "A"]), ("version.identifier", 1))
    assert one == same
    assert hash(one) == hash(same)
    others = [
        filters(("name", ["A", "B"])),
        filters(("name", ["A", "B"]), ("version.identifier", [1, 3])),
        filters(("name", ["A", "B', 'C"]), ("version.identifier", [1, 2])),
        filters(("name", ["AB"]), ("version.identifier", [1, 2])),
        filters(("abstract", ["A", "B"]), ("version.identifier", [1, 2])),
        filters(("version.scores.m", 1)),
        filters(("version.scores.m", True)),
        filters(("version.scores.m", "1")),
        filters(("version.scores.m", 1.5)),
    ]
    assert len({each.digest for each in (one, *others)}) == 1 + len(others)


def test_a_batch_keeps_nothing_of_the_clients() -> None:
    """Filters may be 300 kB each, and whoever asked with them may be gone."""
    rendering = Rendering([framed(b'{"name":"A"}')])
    asked = filters(("name", [f"{number:01000d}" for number in range(300)]))
    gone = weakref.ref(asked)
    assert rendering.parts(wanted(asked)) == []
    del asked
    gc.collect()
    assert gone() is None


def test_what_is_thought_of_a_revision_can_be_filtered_by() -> None:
    """Each by its own type; another type is refused, as a value that could never match."""
    article = {
        "version": {
            "tags": ["mw-undo"],
            "size_change": -1_000_000,
            "is_reverted": True,
            "reverts": {"oldest_identifier": 3, "newest_identifier": 4},
            "scores": {
                "revertrisk": {"prediction": False, "probability": {"true": 0.25, "false": 0.75}},
                "revertrisk-multilingual": {"prediction": True},
            },
        }
    }
    for field, value in (
        ("version.tags", "mw-undo"),
        ("version.size_change", -1_000_000),
        ("version.size_change", -1e6),
        ("version.is_reverted", True),
        ("version.reverts.newest_identifier", [5, 4]),
        ("version.scores.revertrisk.prediction", False),
        ("version.scores.revertrisk.probability.true", 0.25),
        ("version.scores.revertrisk-multilingual.prediction", True),
    ):
        assert match(article, (field, value)), field
    for field, value in (
        ("version.tags", "mw-rollback"),
        ("version.size_change", 1_000_000),
        ("version.reverts.restored_identifier", 2),
        ("version.scores.revertrisk.prediction", True),
        ("version.scores.revertrisk.prediction", "false"),
        ("version.scores.revertrisk-wikidata.prediction", True),
    ):
        assert not match(article, (field, value)), field
    for field, value in (
        ("version.size_change", "1"),
        ("version.is_reverted", 1),
        ("version.reverts.newest_identifier", "4"),
        ("version.reverts", 4),
    ):
        refused([{"field": field, "value": value}])
