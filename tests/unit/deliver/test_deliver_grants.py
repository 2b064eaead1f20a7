"""What a partner asks for by name and can never get."""

import json

import pytest
from msgspec.structs import replace

from streamer.deliver.grants import refuse_not_granted
from streamer.deliver.problems import Problem
from streamer.deliver.request import parse
from streamer.partners import Partner
from streamer.privacy import Policy
from streamer.projection import FIELDS, Tree
from streamer.route.feed import projection_of
from streamer.userspaces import UserSpaces

MASKED = Partner(name="r", editor="pseudonym")
SPACES = UserSpaces()
SPACES.take("x", {}, {})
LEAN = Partner(name="p", fields=("url", "version.*", "article_body.*"), content=("text",), editor="none")


def verdict(partner: Partner, **parameters: object) -> str:
    """The parameter that is refused, "" where none is."""
    ask = parse(parameters, fmt="sse", last_event_id="", partitions=10, now_ms=0)
    try:
        refuse_not_granted(ask, partner)
    except Problem as problem:
        return problem.parameter if (problem.status, problem.code) == (403, "not_granted") else "?"
    return ""


@pytest.mark.parametrize(
    ("field", "granted"),
    [
        ("url", True),
        ("abstract", False),
        ("name", True),
        ("event.offset", True),
        ("license.name", True),
        ("namespace.identifier", True),
        ("namespace.name", False),
        ("version.tags", True),
        ("version.comment", True),
        ("version.editor.name", False),
        ("version.scores.m.probability", True),
        ("article_body.text", True),
        ("article_body.wikitext", False),
        ("attribution.text", True),
        ("attribution.revision_url", False),
        ("image.contentUrl", False),
    ],
)
def test_a_named_field_has_to_be_granted(field: str, granted: bool) -> None:
    """By the partner's `fields`, `content` and `editor`; in `fields` and in `filters` alike."""
    assert verdict(LEAN, fields=[field]) == ("" if granted else "fields")
    value = 1 if field.endswith((".identifier", ".offset")) else "x"
    assert verdict(LEAN, filters=[{"field": field, "value": value}]) == ("" if granted else "filters")


def test_a_wildcard_gives_what_there_is() -> None:
    """It is not refused for what of it is missing."""
    assert verdict(LEAN, fields=["version.editor.*", "article_body.*", "main_entity.*"]) == ""


@pytest.mark.parametrize("part", ["sections", "infoboxes"])
def test_a_part_of_the_text_that_a_partner_does_not_have_is_refused_whole(part: str) -> None:
    """Named, or by its own wildcard, which would give nothing for good."""
    having = Partner(name="p", content=("text", "sections", "infoboxes"))
    for name in (f"article_body.{part}.*", f"article_body.{part}.{'text' if part == 'sections' else 'name'}"):
        assert verdict(having, fields=[name]) == ""
        assert verdict(Partner(name="p"), fields=[name]) == "fields"
        assert verdict(replace(having, fields=("article_body.text",)), fields=[name]) == "fields"
        assert verdict(replace(having, fields=("article_body.*",)), fields=[name]) == ""


def test_a_list_that_a_partner_does_not_have_is_refused_whole() -> None:
    """Its wildcard would give nothing for good; it is had by `lists`, or by a name among `fields`."""
    everything = Partner(name="p", lists=("templates",))
    for partner in (LEAN, Partner(name="p"), everything):
        assert verdict(partner, fields=["categories.*"]) == "fields"
        assert verdict(partner, fields=["categories.name"]) == "fields"
        assert verdict(partner, filters=[{"field": "categories.name", "value": "x"}]) == "filters"
    assert verdict(everything, fields=["templates.*", "templates.url"]) == ""
    assert verdict(everything, filters=[{"field": "templates.name", "value": "x"}]) == ""
    named = Partner(name="p", fields=("url", "redirects.name"), lists=("templates",))
    assert verdict(named, fields=["templates.url", "redirects.name", "redirects.*"]) == ""
    assert verdict(named, fields=["redirects.url"]) == "fields"


def test_who_has_no_restriction_may_ask_for_all_that_is_made() -> None:
    """But for the parts of the text that its `content` leaves out."""
    assert (
        verdict(Partner(name="p"), fields=["version.editor.name", "article_body.text", "image.width"]) == ""
    )
    assert verdict(Partner(name="p"), fields=["article_body.html"]) == "fields"
    assert verdict(Partner(name="p", content=("html",)), fields=["article_body.html"]) == ""


def test_what_is_granted_is_what_a_projection_leaves() -> None:
    """Field by field: of an article that has everything, exactly the granted ones come through."""

    def whole(tree: Tree) -> dict[str, object]:
        return {
            name: "x" if below is None else whole(below) if below else {"m": "x"}
            for name, below in tree.items()
        }

    def leaves(value: object, at: str = "") -> dict[str, bool]:
        if not isinstance(value, dict):
            return {at[1:]: True}
        found: dict[str, bool] = {}
        for name, below in value.items():
            found |= leaves(below, f"{at}.{name}")
        return found

    article = whole(FIELDS)
    lean = Partner(name="q", fields=("version.editor.name", "main_entity.*"), content=())
    listing = Partner(name="l", lists=("categories",), content=("sections", "infoboxes"))
    picking = Partner(name="l", fields=("redirects.name", "url"), lists=("templates",))
    for partner in (LEAN, MASKED, lean, listing, picking):
        projection = projection_of(partner, Policy.of(partner.editor, partner.name, b"secret", SPACES))
        left = leaves(json.loads(projection.apply(json.dumps(article).encode())))
        for field in leaves(article):
            assert (verdict(partner, fields=[field]) == "") == left.get(field, False), field
