"""What an article is, as JSON Schema (2020-12): the model's structs, with bounds, and rules between fields.

    python -m streamer.deliver.article_schema deploy/api/schema

writes both documents, which a test compares:

- `article.json`: of every article of every partner, whatever its `fields`, `content` and `editor` leave
  out, by SSE, NDJSON or from its Kafka topic. Required is what no selection takes; the rules are those that
  hold of whatever is left. `openapi.json` has the same definitions.
- `article-whole.json`: of an article of which nothing was left out. Required is what is always known; further
  rules say when the rest has to be there.

Both are closed: what they do not name is an error. A client should not be as strict, for fields are added.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from streamer.deliver import article_examples
from streamer.deliver.schemas import as_delivered, documented, required_of
from streamer.model import Article, FullArticle
from streamer.projection import OF_A_REMOVAL

Schema = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
REF: Final = "#/$defs/{name}"

_SECOND: Final = "[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
TIME: Final[Schema] = {"pattern": f"^{_SECOND}Z$"}
TIME_MS: Final[Schema] = {"pattern": rf"^{_SECOND}\.[0-9]{{3}}Z$"}
HTTPS: Final[Schema] = {"pattern": r"^https://[^\s]+$"}
WEB: Final[Schema] = {"pattern": r"^https?://[^\s]+$"}
"""Wikis name licences by addresses that were theirs when the wiki was founded."""
SHA1: Final[Schema] = {"pattern": "^[0-9a-f]{40}$"}
UUID5: Final[Schema] = {"pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"}
ID: Final[Schema] = {"minimum": 1}
COUNT: Final[Schema] = {"minimum": 0}
NAME: Final[Schema] = {"minLength": 1}
LANGUAGE: Final[Schema] = {"pattern": "^[a-z][A-Za-z0-9-]*$"}
PROBABILITY: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}
SCORE: Final[Schema] = {
    "type": "object",
    "properties": {
        "prediction": {"type": "boolean"},
        "probability": {
            "type": "object",
            "properties": {"true": PROBABILITY, "false": PROBABILITY},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}

BOUNDS: Final[Mapping[str, Mapping[str, Schema]]] = {
    "Article": {
        "name": NAME,
        "identifier": ID,
        "url": HTTPS,
        "abstract": NAME,
        "date_created": TIME,
        "date_modified": TIME,
        "date_previously_modified": TIME,
        "redirect_target": NAME,
    },
    "Attribution": {"text": NAME, "title": NAME, "revision_url": HTTPS, "history_url": HTTPS},
    "Editor": {"identifier": ID, "name": NAME, "edit_count": COUNT, "date_started": TIME},
    "Entity": {"identifier": {"pattern": "^[A-Z][1-9][0-9]*$"}, "url": HTTPS},
    "Event": {
        "identifier": UUID5,
        "sequence": ID,
        "date_created": TIME_MS,
        "date_published": TIME_MS,
        "late": {"const": True},
        "partition": COUNT,
        "offset": COUNT,
    },
    "Image": {"content_url": HTTPS, "width": ID, "height": ID},
    "Language": {"identifier": LANGUAGE, "name": NAME},
    "Licence": {"name": NAME, "url": {"anyOf": [{"const": ""}, WEB]}, "identifier": NAME},
    "Link": {"name": NAME, "url": HTTPS},
    "MaintenanceTags": dict.fromkeys(
        ("citation_needed_count", "pov_count", "clarification_needed_count", "update_count"), COUNT
    ),
    "Namespace": {"identifier": COUNT},
    "PreviousPlace": {"name": NAME},
    "PreviousVersion": {"identifier": ID, "number_of_characters": COUNT, "sha1": SHA1},
    "Project": {"identifier": {"pattern": "^[a-z0-9_-]+$"}, "name": NAME, "url": HTTPS},
    "Protection": {"type": NAME, "level": NAME, "expiry": {"pattern": f"^(infinity|{_SECOND}Z)$"}},
    "RevisionVisibility": {"identifier": ID},
    "Size": {"value": COUNT, "unit_text": {"const": "B"}},
    "Version": {
        "identifier": ID,
        "parent_identifier": COUNT,
        "number_of_characters": COUNT,
        "sha1": SHA1,
        "content_model": NAME,
        "tags": {"items": {"type": "string", **NAME}},
        "scores": {"additionalProperties": SCORE},
    },
}
"""By struct and field: beyond the type."""


def definitions(ref: str = REF, *, whole: bool = False, is_internal: bool = False) -> dict[str, Schema]:
    """By name. `whole`: of articles of which nothing was left out; `is_internal`: before they are routed."""
    found = documented(Article, ref)
    if is_internal:
        found |= documented(FullArticle, ref)
        found["Article"] = found.pop("FullArticle")
    for name, schema in found.items():
        for field, bound in BOUNDS.get(name, {}).items():
            if field in schema["properties"]:
                schema["properties"][field] |= bound
    as_delivered(found)
    if whole:
        for name, required in required_of(Article).items():
            if name in found:
                found[name]["required"] = required
    article = found["Article"]
    article["allOf"] = [*RULES, *(WHOLE_RULES if whole else ())]
    return found


def document(*, whole: bool = False, is_internal: bool = False) -> Schema:
    """Closed, and by itself."""
    found = definitions(whole=whole, is_internal=is_internal)
    for schema in found.values():
        schema["additionalProperties"] = False
    article = found.pop("Article")
    name = "article-whole" if whole else "article"
    return {
        "$schema": DIALECT,
        "$id": f"urn:streamer:{name}",
        "title": "An article of which nothing was left out" if whole else "An article, as partners get it",
        **article,
        "$defs": dict(sorted(found.items())),
        "examples": list(article_examples.EXAMPLES.values()),
    }


def encoded(*, whole: bool = False) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document(whole=whole)), indent=1) + b"\n"


FILES: Final[Mapping[str, bool]] = {"article.json": False, "article-whole.json": True}
"""To whether they are of whole articles."""


# ── rules ──────────────────────────────────────────────────────────────────────────────────────


def _rule(says: str, when: Schema, then: Schema) -> Schema:
    return {"$comment": says, "if": when, "then": then}


def _with(name: str, schema: Schema) -> Schema:
    """That it is there, and so."""
    return {"required": [name], "properties": {name: schema}}


def _at(path: str, schema: Schema) -> Schema:
    for name in reversed(path.split(".")):
        schema = _with(name, schema)
    return schema


def _only(*names: str) -> Schema:
    return {"propertyNames": {"enum": sorted(names)}}


def _without(*names: str) -> Schema:
    return {"properties": dict.fromkeys(names, False)}


HIDDEN: Final = OF_A_REMOVAL | {"version", "visibility", "date_modified"}
_IS_STATED: Final[Schema] = {
    "properties": {"event": {"properties": {"late": False}}},
    "anyOf": [
        _at("event.type", {"const": "update"}),
        {
            "allOf": [
                _at("event.type", {"const": "visibility-change"}),
                _at("visibility.text", {"const": True}),
            ]
        },
    ],
}
"""Of a page that is there, with its text."""

RULES: Final = (
    _rule(
        "A removal has no text, no comment, no editor, and nothing that was made of them.",
        _at("event.type", {"const": "delete"}),
        {
            **_only(*OF_A_REMOVAL, "version"),
            "properties": {"version": _only("identifier")},
        },
    ),
    _rule(
        "Hidden text leaves no hash, no abstract, no tags, no sizes.",
        _at("visibility.text", {"const": False}),
        {
            **_only(*HIDDEN),
            "properties": {"version": _only("identifier", "is_current", "parent_identifier")},
        },
    ),
    _rule(
        "A hidden comment is not there.",
        _at("visibility.comment", {"const": False}),
        {"properties": {"version": _without("comment")}},
    ),
    _rule(
        "Nor is a hidden editor.",
        _at("visibility.editor", {"const": False}),
        {"properties": {"version": _without("editor")}},
    ),
    _rule(
        "A page's first revision has none before it.",
        _at("version.parent_identifier", {"const": 0}),
        _without("previous_version", "date_previously_modified"),
    ),
    _rule(
        "When a page was made is told by the event that made it.",
        {"required": ["date_created"]},
        {"properties": {"event": {"properties": {"kind": {"const": "create"}}}}},
    ),
    _rule(
        "What was deleted is a removal.",
        _at("event.kind", {"const": "delete"}),
        {"properties": {"event": {"properties": {"type": {"const": "delete"}}}}},
    ),
    _rule(
        "What was hidden or shown again is no update.",
        _at("event.kind", {"const": "visibility"}),
        {"properties": {"event": {"properties": {"type": {"enum": ["visibility-change", "delete"]}}}}},
    ),
    _rule(
        "Of other content than wikitext there is the content alone.",
        _at("version.content_model", {"not": {"const": "wikitext"}}),
        {
            "properties": {
                "abstract": False,
                "redirect_target": False,
                "article_body": _without("text", "sections", "infoboxes"),
                "version": _without("maintenance_tags"),
            }
        },
    ),
    _rule(
        "A redirect has no prose.",
        {"required": ["redirect_target"]},
        {"properties": {"abstract": False, "article_body": {"properties": {"text": {"const": ""}}}}},
    ),
)
"""Of whatever is left of an article."""

WHOLE_RULES: Final = (
    _rule(
        "A page that is there has its text, its licence, and what the wiki says of it.",
        _IS_STATED,
        {
            "required": [
                "article_body", "attribution", "date_modified", "is_disambiguation", "license", "protection",
                "version", "visibility",
            ],
            "properties": {
                "article_body": {"required": ["wikitext"]},
                "version": {
                    "required": [
                        "content_model", "is_current", "is_minor_edit", "noindex", "number_of_characters",
                        "parent_identifier", "size", "tags",
                    ]
                },
            },
        },
    ),
    _rule(
        "A comment that is not hidden is there, empty where nothing was said.",
        {"allOf": [_IS_STATED, _at("visibility.comment", {"const": True})]},
        {"properties": {"version": {"required": ["comment"]}}},
    ),
    _rule(
        "So is an editor.",
        {"allOf": [_IS_STATED, _at("visibility.editor", {"const": True})]},
        {"properties": {"version": {"required": ["editor"]}}},
    ),
    _rule(
        "A revision that has one before it names it.",
        {"allOf": [_IS_STATED, _at("version.parent_identifier", {"minimum": 1})]},
        {"required": ["previous_version"]},
    ),
)  # fmt: skip
"""Of an article of which nothing was left out."""


if __name__ == "__main__":
    for file, is_whole in FILES.items():
        (Path(sys.argv[1]) / file).write_bytes(encoded(whole=is_whole))
