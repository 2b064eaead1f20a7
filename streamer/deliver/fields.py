"""The fields that a client may name, and the types that the values of a field can have.

Derived from the model's Structs, so that a field that is added there can be filtered by.
"""

import re
from collections.abc import Mapping
from types import UnionType
from typing import Final, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Struct, UnsetType

from streamer.errors import FieldUnknown
from streamer.model import Article
from streamer.projection import ALIASES

Kind = Literal["string", "number", "boolean"]
Kinds = frozenset[Kind]
Shape = Mapping[str, "Shape"] | Kinds | None
"""An object's fields; the types of a value (of each value, where it is a list); None: any value or
object, of any name.
"""
Path = tuple[str, ...]

MAX_CHARS: Final = 200
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_-]+|\.\*){0,9}", re.ASCII)
"""What may be a field's name; anything else is refused without being repeated."""

STRING: Final[Kinds] = frozenset({"string"})
NUMBER: Final[Kinds] = frozenset({"number"})
BOOLEAN: Final[Kinds] = frozenset({"boolean"})
ANY: Final[Kinds] = STRING | NUMBER | BOOLEAN
_KIND: Final[Mapping[object, Kinds]] = {str: STRING, int: NUMBER, float: NUMBER, bool: BOOLEAN}
_NOT_IN_MODEL: Final[Shape] = {
    "event": {"partition": NUMBER, "offset": NUMBER},
}
"""The types of `streamer.projection.NOT_HERE`."""


def is_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= MAX_CHARS and NAME.fullmatch(name) is not None


def leaf(field: str) -> tuple[Path, Kinds]:
    """Where the values of a field stand, and their types. Raises FieldUnknown for what is no field, or an
    object.
    """
    path = tuple(ALIASES.get(field, field).split("."))
    shape: Shape = SHAPE
    is_free = False  # whether it stands in an object that may hold any name
    for name in path:
        if name == "*":
            raise FieldUnknown(field, f"'{field}' is a wildcard; a filter names one field")
        if shape is None:
            is_free = True
            continue
        if isinstance(shape, frozenset) or name not in shape:
            raise FieldUnknown(field, f"field with name '{field}' not found")
        shape = shape[name]
    if isinstance(shape, frozenset):
        return path, shape
    if is_free:
        return path, ANY
    example = f"{field}.{next(iter(shape))}" if shape else f"{field}.NAME"
    raise FieldUnknown(field, f"'{field}' is an object; filter by one of its fields, as in '{example}'")


def _shape(hint: object) -> Shape:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        (shape,) = [_shape(arg) for arg in get_args(hint) if arg not in (UnsetType, type(None))]
        return shape
    if origin is list:
        return _shape(get_args(hint)[0])
    if origin is Literal:
        return frozenset[Kind]().union(*(_KIND[type(value)] for value in get_args(hint)))
    if origin is dict:
        return None
    if isinstance(hint, type) and issubclass(hint, Struct):
        return {name: _shape(below) for name, below in get_type_hints(hint).items()}
    return _KIND[hint]


def _merged(one: Shape, other: Shape) -> Shape:
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return one
    both = dict(one)
    for name, shape in other.items():
        both[name] = _merged(one[name], shape) if name in one else shape
    return both


SHAPE: Final[Shape] = _merged(_shape(Article), _NOT_IN_MODEL)
