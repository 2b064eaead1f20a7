"""The published schema of an article: it is the code's own, it is strict, and each of its rules can fail."""

import copy
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from harness.feed import Feed
from harness.kafka_readers import _articles as kafka_articles
from harness.schema import SCHEMAS, checked, checked_value, checked_whole
from harness.served import read_lines
from jsonschema import Draft202012Validator

from streamer.deliver import article_schema, openapi
from streamer.deliver.article_examples import EXAMPLES
from streamer.deliver.article_schema import FILES, document, encoded
from streamer.model import Article
from streamer.privacy import Policy
from streamer.projection import FIELDS, Projection, Tree
from tests.conformance.endpoint.lines import Item

WHOLE = document(whole=True)
Spoil = Callable[[dict[str, Any]], None]


def both(schema: dict[str, Any]) -> Callable[[object], bool]:
    """What two validators that share no code say; they never differ."""
    fast = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    slow = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)

    def is_valid(article: object) -> bool:
        verdicts = {fast.is_valid(article), slow.is_valid(article)}
        assert len(verdicts) == 1, verdicts
        return verdicts.pop()

    return is_valid


PARTNERS_VALID, WHOLE_VALID = both(document()), both(WHOLE)


@pytest.mark.parametrize("name", FILES)
def test_the_published_copy_is_the_codes_own(name: str) -> None:
    """After a change of the model: python -m streamer.deliver.article_schema deploy/api/schema"""
    assert (SCHEMAS / name).read_bytes() == encoded(whole=FILES[name])
    assert {file.name for file in SCHEMAS.iterdir()} == FILES.keys()
    Draft202012Validator.check_schema(msgspec.json.decode((SCHEMAS / name).read_bytes()))


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_valid(example: str) -> None:
    """As a partner has it that leaves nothing out, so as any partner has it too."""
    assert WHOLE_VALID(EXAMPLES[example])
    assert PARTNERS_VALID(EXAMPLES[example])


def test_the_examples_together_have_what_feeds_have() -> None:
    """Those, at least, that an ordinary feed has."""
    had = set[str]().union(*(leaves(example) for example in EXAMPLES.values()))
    assert not had - names(FIELDS)
    for field in ("image.width", "version.scores", "redirect_target", "event.previous", "protection.expiry"):
        assert field in had


def leaves(value: object, path: str = "") -> set[str]:
    """The paths that an article has."""
    if isinstance(value, Mapping) and path != "version.scores":
        found = {path} if path else set[str]()
        return found.union(*(leaves(below, f"{path}.{name}".strip(".")) for name, below in value.items()))
    if isinstance(value, list):
        return {path}.union(*(leaves(below, path) for below in value))
    return {path}


def names(tree: Tree, path: str = "") -> set[str]:
    found = set[str]()
    for name, below in tree.items():
        found |= {f"{path}{name}"} | names(below or {}, f"{path}{name}.")
    return found


def test_nothing_internal_is_published() -> None:
    """Neither the fields that articles have before they are routed nor what only these hold."""
    model = {field.name for field in msgspec.structs.fields(Article)}
    for schema in (document(), WHOLE):
        assert schema["properties"].keys() == model
    described = openapi.document()["components"]["schemas"]
    assert described["Article"]["properties"].keys() == model
    assert document(is_internal=True)["properties"].keys() == model | {"from_html"}


def test_every_object_is_closed_and_every_field_that_may_be_absent_says_so() -> None:
    """In its own words, in those of what it holds, or in those of a field beside it that names it."""
    schema = WHOLE
    for name, one in {"Article": schema, **schema["$defs"]}.items():
        assert one["additionalProperties"] is False, name
        for field in one["properties"].keys() - set(one.get("required", ())):
            said = one["properties"][field]
            below = schema["$defs"].get(said.get("$ref", "").rpartition("/")[2], {})
            beside = any(f"`{field}`" in other.get("description", "") for other in one["properties"].values())
            assert said.get("description") or below.get("description") or beside, f"{name}.{field}: nothing"


def test_openapi_has_the_same_definitions() -> None:
    """One source: only that articles by SSE and NDJSON have their place, and that it is open."""
    described = openapi.document()["components"]["schemas"]
    for name, one in {"Article": document(), **document()["$defs"]}.items():
        twin = described[name]
        assert twin["properties"].keys() == one["properties"].keys()
        more = {"partition", "offset"} if name == "Event" else set()
        assert set(twin.get("required", ())) == set(one.get("required", ())) | more


# ── what partners leave out ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["full", "pseudonym", "none"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_whatever_a_partner_leaves_out_what_is_left_is_valid(example: str, kind: Any) -> None:
    """Each field alone, each part of the content, removed, told beside, hidden."""
    value = msgspec.json.encode(EXAMPLES[example])
    policy = Policy.of(kind, "acme", b"x" * 32, Policy().spaces)
    asked = [(f,) for f in wanted()]
    projections = [Projection(fields, policy=policy) for fields in ((), *asked)]
    projections += [Projection(content=(part,), policy=policy) for part in ("text", "wikitext", "html")]
    for projection in projections:
        assert PARTNERS.is_valid(msgspec.json.decode(projection.apply(value)))
    for how in ({"removed": True}, {"beside": True}, {"hides": frozenset({"comment", "editor"})}):
        assert PARTNERS.is_valid(msgspec.json.decode(projections[0].apply(value, **how)))  # type: ignore[arg-type]


PARTNERS = jsonschema_rs.Draft202012Validator(document(), validate_formats=True)


def wanted() -> list[str]:
    """Each field at the top, with all that it holds."""
    return [name if below is None else f"{name}.*" for name, below in FIELDS.items()]


# ── it can fail ────────────────────────────────────────────────────────────────────────────────


def put(path: str, value: object) -> Spoil:
    def spoil(article: dict[str, Any]) -> None:
        *above, last = path.split(".")
        at: Any = article
        for name in above:
            at = at.setdefault(name, {}) if isinstance(at, dict) else at[int(name)]
        at[last] = value

    return spoil


def take(path: str) -> Spoil:
    def spoil(article: dict[str, Any]) -> None:
        *above, last = path.split(".")
        at: Any = article
        for name in above:
            at = at[name]
        del at[last]

    return spoil


WRONG: dict[str, tuple[str, Spoil]] = {
    "a field that nobody knows": ("edit", put("colour", "blue")),
    "one below": ("edit", put("version.colour", "blue")),
    "null for what is absent": ("edit", put("abstract", None)),
    "no name": ("edit", take("name")),
    "no sequence": ("edit", take("event.sequence")),
    "a date with fractions": ("edit", put("date_modified", "2026-11-21T12:00:00.000Z")),
    "a date with an offset": ("edit", put("date_created", "2026-11-21T12:00:00+00:00")),
    "a time without fractions": ("edit", put("event.date_published", "2026-11-21T12:00:00Z")),
    "no day of any month": ("edit", put("event.date_published", "2026-11-41T12:00:00.000Z")),
    "a SHA-1 in base 36": ("edit", put("version.sha1", "phoiac9h4m842xq45sp7s6u21eteeq1")),
    "an address without https": ("edit", put("url", "//en.wikipedia.org/wiki/X")),
    "an address with a space": ("edit", put("url", "https://en.wikipedia.org/wiki/X Y")),
    "an identifier of another kind": ("edit", put("event.identifier", "event-7")),
    "a kind that is none": ("edit", put("event.kind", "rename")),
    "late, and not": ("edit", put("event.late", False)),
    "a direction that is none": ("edit", put("in_language.direction", "auto")),
    "a number as text": ("edit", put("identifier", "7")),
    "a count below zero": ("edit", put("version.maintenance_tags.pov_count", -1)),
    "a probability beyond one": ("edit", put("version.scores.revertrisk.probability.true", 1.5)),
    "a score of another shape": ("edit", put("version.scores.revertrisk.certainty", 1)),
    "a tag that is none": ("edit", put("version.tags", [7])),
    "a protection that ends at some time": ("edit", put("protection.0.expiry", "tomorrow")),
    "a removal with text": ("delete", put("article_body", {"wikitext": "x"})),
    "a removal with a comment": ("delete", put("version.comment", "x")),
    "a removal with an abstract": ("delete", put("abstract", "x")),
    "a removal that is an update": ("delete", put("event.type", "update")),
    "hidden text that is there": ("visibility", put("article_body", {"wikitext": "x"})),
    "hidden text with its hash": ("visibility", put("version.sha1", "ab" * 20)),
    "hidden text with an abstract": ("visibility", put("abstract", "x")),
    "hidden text with tags": ("visibility", put("version.tags", [])),
    "a hidden comment that is there": ("edit", put("visibility.comment", False)),
    "a hidden editor who is there": ("edit", put("visibility.editor", False)),
    "what was hidden as an update": ("visibility", put("event.type", "update")),
    "a first revision with one before": ("create", put("previous_version", {"identifier": 7})),
    "a page made by an edit": ("edit", put("date_created", "2026-11-21T12:00:00Z")),
    "an item with text": ("Wikidata item", put("article_body.text", "x")),
    "an item with an abstract": ("Wikidata item", put("abstract", "x")),
    "an item that leads elsewhere": ("Wikidata item", put("redirect_target", "Q2")),
    "a redirect with prose": ("redirect", put("article_body.text", "x")),
}  # fmt: skip
"""Of whatever a partner leaves out."""
MISSING: dict[str, tuple[str, Spoil]] = {
    "an edit without its body": ("edit", take("article_body")),
    "an edit without its licence": ("edit", take("license")),
    "an edit without its attribution": ("edit", take("attribution")),
    "an edit without its visibility": ("edit", take("visibility")),
    "a body without wikitext": ("edit", take("article_body.wikitext")),
    "a comment that is not hidden": ("edit", take("version.comment")),
    "an editor who is not hidden": ("edit", take("version.editor")),
    "a parent that is not named": ("edit", take("previous_version")),
    "no address": ("edit", take("url")),
    "a revision link": ("edit", take("attribution.revision_url")),
    "a unit": ("edit", take("version.size.unit_text")),
}
"""Of which nothing was to be left out."""


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    """By both schemas, and by the check that every test's articles go through, which says where."""
    example, spoil = WRONG[name]
    article = copy.deepcopy(EXAMPLES[example])
    spoil(article)
    assert not PARTNERS_VALID(article)
    assert not WHOLE_VALID(article)
    with pytest.raises(AssertionError, match=r"not what article\.json says: [a-z_.0-9 ]+: "):
        checked(article)


@pytest.mark.parametrize("name", MISSING)
def test_what_a_partner_may_leave_out_is_missed_in_a_whole_article(name: str) -> None:
    """So the two are told apart."""
    example, spoil = MISSING[name]
    article = copy.deepcopy(EXAMPLES[example])
    spoil(article)
    assert PARTNERS_VALID(article)
    assert not WHOLE_VALID(article)


def test_every_bound_is_of_a_field_that_there_is() -> None:
    """A field that was renamed keeps its bounds."""
    definitions = article_schema.definitions()
    for name, fields in article_schema.BOUNDS.items():
        assert not fields.keys() - definitions[name]["properties"].keys(), name


def test_articles_of_enterprise_have_no_field_that_a_client_of_ours_would_miss(shared_data: Path) -> None:
    """What their article has at the top, ours may have too; but for one field of theirs that is no longer in
    their own documentation's list.
    """
    (line,) = (shared_data / "enterprise-article.ndjson").read_bytes().splitlines()[:1]
    theirs = leaves(msgspec.json.decode(line)) - {"additional_entities"}
    assert {field for field in theirs if not field.startswith("additional_entities")} <= names(FIELDS)


# ── every reader of the tests looks ────────────────────────────────────────────────────────────


def by_feed(data: bytes) -> None:
    Feed("", "")._take([b"id: x", b"data: " + data, b""])


def by_kafka(data: bytes) -> None:
    kafka_articles([data, None, b"{}"])


def by_value(data: bytes) -> None:
    checked_value(data)


def by_conformance(data: bytes) -> None:
    Item("message", "", data).checked()


async def served_line(line: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield line + b"\n"

    await read_lines("x", chunks(), {}, ())


@pytest.mark.parametrize("read", [by_feed, by_kafka, by_value, by_conformance])
def test_each_reader_finds_a_wrong_article(read: Callable[[bytes], None]) -> None:
    """And takes a right one."""
    article = copy.deepcopy(EXAMPLES["edit"])
    read(msgspec.json.encode(article))
    article["version"]["sha1"] = "?"
    with pytest.raises(AssertionError, match=r"version\.sha1: "):
        read(msgspec.json.encode(article))


@pytest.mark.parametrize("before", [b"data: ", b"", b"  "])
async def test_so_does_the_one_that_reads_in_every_way(before: bytes) -> None:
    """SSE and NDJSON, behind heartbeats too."""
    article = copy.deepcopy(EXAMPLES["edit"])
    await served_line(before + msgspec.json.encode(article))
    article["version"]["sha1"] = "?"
    with pytest.raises(AssertionError, match=r"version\.sha1: "):
        await served_line(before + msgspec.json.encode(article))


def test_articles_before_they_are_routed_are_held_against_all_of_it() -> None:
    """What a partner may leave out is missed there; its place in a feed it does not have yet."""
    article = copy.deepcopy(EXAMPLES["edit"])
    del article["event"]["partition"], article["event"]["offset"]
    checked_whole(article)
    del article["license"]
    checked(article)
    with pytest.raises(AssertionError, match="license"):
        checked_whole(article)
