"""JSON schemas of what may be asked for, with the bounds that the parsers have (streamer.deliver.request,
streamer.deliver.filters, streamer.deliver.ticket_route).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from streamer.deliver import filters
from streamer.deliver.fields import ANY, MAX_CHARS, SHAPE, Kinds, Shape
from streamer.deliver.position import MAX_CHARS as MAX_ID_CHARS
from streamer.deliver.position import MAX_OFFSET
from streamer.deliver.request import MAX_FIELDS, PARTS
from streamer.deliver.ticket_route import DEFAULT_VALID_S, MAX_VALID_S
from streamer.projection import ALIASES

Schema = dict[str, Any]
PARTITION: Final = "^[0-9]{1,5}$"
TIME: Final[Schema] = {"type": "string", "format": "date-time", "examples": ["2026-11-21T12:00:00Z"]}
ID_EXAMPLE: Final = "e7c14a09.0:1043,1:999"


def article_parameters() -> dict[str, Schema]:
    """By name."""
    return {
        "since": {
            **TIME,
            "description": "Begin with what was appended to the feed at or after this time, at the earliest"
            " with what is kept; never in the future.",
        },
        "fields": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Field"},
            "maxItems": MAX_FIELDS,
            "description": "What of an article is wanted; empty or absent: all. Always there: `identifier`,"
            " `name`, `namespace.identifier`, `is_part_of.identifier`, `event`, `license`, `attribution`.",
            "examples": [["name", "version.*", "article_body.text"]],
        },
        "filters": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Filter"},
            "maxItems": filters.MAX_FILTERS,
            "description": "Which articles are wanted: all filters must match, of several for one field any."
            " Values compare by type. A list in the article matches by any of its elements. A removal"
            " (`event.type` is `delete`, or `visibility.text` or any of `event.revision.visibility` is false)"
            f" that lacks the field passes. At most {filters.MAX_VALUES:,} values in all.",
            "examples": [[{"field": "is_part_of.identifier", "value": ["enwiki", "dewiki"]}]],
        },
        "parts": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": PARTS - 1},
            "description": "Tenths of the feed's partitions; empty or absent: all.",
            "examples": [[0, 1]],
        },
        "offsets": _by_partition(
            {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET},
            "The next offset of some partitions (of `parts`, where that is given); the others begin live."
            " Beats `since` and `since_per_partition`.",
            {"0": 1043},
        ),
        "since_per_partition": _by_partition(
            TIME, "As `since`, for some partitions; the others begin live. Beats `since`.",
            {"0": "2026-11-21T12:00:00Z"},
        ),
        "last_event_id": {
            "type": "string",
            "maxLength": MAX_ID_CHARS,
            "description": "As the header `Last-Event-ID`, which beats it: resume behind the event of this"
            " id. Beats `offsets`. KafkaSSE's JSON arrays are read too.",
            "examples": [ID_EXAMPLE],
        },
        "on_gap": {
            "enum": ["fail", "continue"],
            "default": "fail",
            "description": "What to do where not everything can be resumed: 410, or, by SSE, `event: gap`"
            " and on from the earliest that is kept.",
        },
    }  # fmt: skip


def ticket_parameters() -> dict[str, Schema]:
    return {
        "valid_s": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_VALID_S,
            "default": DEFAULT_VALID_S,
            "description": "Seconds until a new connection can't be opened by it.",
        }
    }


def body_of(parameters: Mapping[str, Schema]) -> Schema:
    """The same in a JSON object, where null is "not given"."""
    return {
        "type": "object",
        "properties": {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in parameters.items()},
        "additionalProperties": False,
    }


def _by_partition(schema: Schema, says: str, example: Mapping[str, object]) -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": PARTITION},
        "additionalProperties": schema,
        "description": says,
        "examples": [example],
    }


# ── fields ─────────────────────────────────────────────────────────────────────────────────────


def components() -> dict[str, Schema]:
    """What `fields` and `filters` may name: for `components.schemas`."""
    named = dict(_leaves(SHAPE))
    free = "|".join(_free(SHAPE))
    free_name = {"type": "string", "pattern": rf"^({free})(\.[A-Za-z0-9_-]+){{1,4}}$", "maxLength": MAX_CHARS}
    wildcards = sorted({*_objects(SHAPE), *(alias for alias in ALIASES if alias.endswith(".*"))})
    by_kind: dict[Kinds, list[str]] = {}
    for name, kinds in (*named.items(), *_aliases(named)):
        by_kind.setdefault(kinds, []).append(name)
    return {
        "Field": {
            "description": "A field by its path, or all of an object's by `.*`.",
            "anyOf": [
                {"enum": sorted({*named, *(alias for alias, _ in _aliases(named)), *wildcards})},
                free_name,
            ],
        },
        "Filter": {
            "description": "`value`: what the field may be, or a list of that; of the field's own type.",
            "anyOf": [
                *(
                    _filter({"enum": sorted(names)}, kinds)
                    for kinds, names in sorted(by_kind.items(), key=lambda item: sorted(item[0]))
                ),
                _filter(free_name, ANY),
            ],
        },
    }  # fmt: skip


def _filter(field: Schema, kinds: Kinds) -> Schema:
    one: Schema = {"type": sorted(kinds) if len(kinds) > 1 else min(kinds)}
    if "string" in kinds:
        one["maxLength"] = filters.MAX_VALUE_CHARS
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": filters.MAX_VALUES}
    return {
        "type": "object",
        "properties": {
            "field": field,
            "value": {"anyOf": [one, several]},
        },
        "required": ["field", "value"],
        "additionalProperties": False,
    }  # fmt: skip


def _leaves(shape: Shape, prefix: str = "") -> Iterable[tuple[str, Kinds]]:
    if isinstance(shape, Mapping):
        for name, below in shape.items():
            yield from _leaves(below, f"{prefix}.{name}" if prefix else name)
    elif shape is not None:
        yield prefix, shape


def _objects(shape: Shape, prefix: str = "") -> Iterable[str]:
    if isinstance(shape, Mapping) or shape is None:
        if prefix:
            yield f"{prefix}.*"
        for name, below in (shape or {}).items():
            yield from _objects(below, f"{prefix}.{name}" if prefix else name)


def _free(shape: Shape, prefix: str = "") -> Iterable[str]:
    """Objects that may hold any name, as patterns."""
    if shape is None:
        yield prefix.replace(".", r"\.")
    elif isinstance(shape, Mapping):
        for name, below in shape.items():
            yield from _free(below, f"{prefix}.{name}" if prefix else name)


def _aliases(named: Mapping[str, Kinds]) -> list[tuple[str, Kinds]]:
    return [(alias, named[name]) for alias, name in ALIASES.items() if name in named]
