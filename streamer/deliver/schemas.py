"""JSON schemas (2020-12) of what partners get, made from the structs that make it; what is particular to
articles is in streamer.deliver.article_schema.

A struct's docstring and those of its fields are the descriptions: what is said of them in the code is what
partners read.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from types import ModuleType
from typing import Any, Final, Literal, get_args, get_type_hints

import msgspec
from msgspec import Struct, UnsetType

from streamer.deliver.figures import Status
from streamer.projection import ALWAYS, Tree

Schema = dict[str, Any]
REF: Final = "#/components/schemas/{name}"
DATE_TIMES: Final = frozenset({"date_created", "date_modified", "date_previously_modified", "date_published",
                               "date_started", "since", "time"})  # fmt: skip
GapReason = Literal["expired", "recreated"]
ByeReason = Literal["slow", "drain", "expired"]


class Cursor(Struct, frozen=True):
    """`event: cursor`. The position moves without an article for this client; its `id:` is to be kept."""

    position: str


class Gap(Struct, frozen=True):
    """`event: gap`, with `on_gap=continue` alone. Something between the position that was asked for and
    `position` is lost to this client: retention took it, or the feed was made anew.
    """

    reason: GapReason
    position: str
    """Where the stream goes on, as an id."""


class Bye(Struct, frozen=True):
    """`event: bye`. The server ends the stream here, on an event border; resume by the last id."""

    reason: ByeReason
    """`slow`: the client fell behind what is kept for it. `drain`: the server stops. `expired`: the key was
    revoked, or the feed is gone.
    """


ARTICLE: Final = (
    "An article as it now is, or that it is gone (`event.type` `delete`). Fields that are not required are"
    " absent where they do not apply or are not known, and never null; what the partner's `content` and"
    " `fields`, or the request's `fields`, leave out is absent too."
)
UNLESS_LEFT_OUT: Final = "Always there unless `fields` leaves them out: "


def components() -> dict[str, Schema]:
    """Of all but articles, by name, for `components.schemas`."""
    found: dict[str, Schema] = {}
    for kind in (Status, Cursor, Gap, Bye):
        found |= documented(kind)
    return found


def documented(kind: type[Struct], ref: str = REF) -> dict[str, Schema]:
    """The struct and all that it holds."""
    _, found = msgspec.json.schema_components([kind], schema_hook=_untyped, ref_template=ref)
    home = sys.modules[kind.__module__]
    told = dict(_docstrings(home))
    for module in {known.__module__ for name in found if (known := vars(home).get(name))}:
        told |= _docstrings(sys.modules[module])
    for name, schema in found.items():
        _describe(schema, told.get(name, {}))
        schema.pop("title", None)
    return found


def _untyped(_: type) -> Schema:
    """What the model leaves open: the scores."""
    return {"type": "object"}


def _describe(schema: Schema, said: Mapping[str, str]) -> None:
    if "" in said:
        schema["description"] = said[""]
    for name, field in schema.get("properties", {}).items():
        if name in DATE_TIMES:
            field["format"] = "date-time"
        if name in said:
            field["description"] = said[name]


PLACE: Final[Mapping[str, str]] = {
    "partition": "Of the feed. Absent in Kafka, whose records have it beside them; as `offset`.",
    "offset": "In its partition.",
}
"""What deliver adds to `event`."""


def as_delivered(schemas: dict[str, Schema]) -> None:
    """An article as a partner has it: with its place in the feed, and required is only what no selection of
    fields can take.
    """
    event = schemas["Event"]
    for name, says in PLACE.items():
        event["properties"][name] = {"type": "integer", "minimum": 0, "description": says}
    schemas["Article"]["description"] = ARTICLE
    kept: Mapping[str, Iterable[str] | None] = {
        "Article": ALWAYS,
        "Event": None,
        "Namespace": _below("namespace"),
        "Project": _below("is_part_of"),
        "Licence": None,
        "Visibility": (),
        "Attribution": (
            "text",
            "title",
            "history_url",
            "license",
        ),  # the link to the revision goes with the editors
    }
    for name, schema in schemas.items():
        always = kept.get(name, ())
        required = schema.get("required", [])
        loose = [] if always is None else [field for field in required if field not in always]
        schema["required"] = [field for field in required if field not in loose]
        if loose and name != "Attribution":
            said = f"{UNLESS_LEFT_OUT}{', '.join(f'`{field}`' for field in loose)}."
            schema["description"] = f"{schema.get('description', '')} {said}".strip()


def required_of(kind: type[Struct]) -> dict[str, list[str]]:
    """Of the struct and all that it holds: the fields that are there where nothing was left out."""
    hints = get_type_hints(kind)
    found = {kind.__name__: [name for name, hint in hints.items() if UnsetType not in get_args(hint)]}
    waiting = list(hints.values())
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, type) and issubclass(hint, Struct):
            found |= required_of(hint)
        waiting += get_args(hint)
    return found


def _below(name: str) -> Tree:
    below = ALWAYS[name]
    assert below is not None
    return below


@cache
def _docstrings(module: ModuleType) -> Mapping[str, Mapping[str, str]]:
    """Of each class, by field; "" is the class itself. Those of fields are in the source alone."""
    found: dict[str, dict[str, str]] = {}
    try:
        source = inspect.getsource(module)
    except OSError:  # an installation without sources: a document without these words is better than none
        return found
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        said = found[node.name] = {}
        if text := ast.get_docstring(node):
            said[""] = _joined(text)
        for field, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = _text(after)
                if text:
                    said[field.target.id] = _joined(text)
    return found


def _text(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def _joined(text: str) -> str:
    return " ".join(text.split())


GAP_REASONS: Final = get_args(GapReason)
BYE_REASONS: Final = get_args(ByeReason)
