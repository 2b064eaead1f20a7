"""`filters` of a request: parsed once, equal where they mean the same, and judged by the article's bytes.

    [{"field": "is_part_of.identifier", "value": "enwiki"},
     {"field": "version.tags", "value": ["mw-rollback", "mw-undo"]}]

Filters on different fields are all to be met, of several values for one field any. Values compare by
type: a string is never a number, a number never a boolean, and 1 is 1.0. A path goes through lists, and a
list matches by any of its elements.

What is judged is what the client would be given before its `fields`: a comment that was hidden meanwhile
is not there to be matched. Who got a page must learn that it is gone, so a removal passes each filter on
a field that it lacks; any other record that lacks it does not match.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw

from streamer.cutoffs import PARTS
from streamer.deliver.fields import BOOLEAN, NUMBER, STRING, Kinds, Path, is_name, leaf
from streamer.deliver.problems import field_unknown, invalid, shown
from streamer.errors import FieldUnknown

PARAMETER: Final = "filters"
MAX_FILTERS: Final = 100
MAX_VALUES: Final = 1_000
"""Of all filters together."""
MAX_VALUE_CHARS: Final = 1_000
DIGEST_BYTES: Final = 16

Value = str | int | float | bool
Object = dict[str, Raw]
_objects: Final = msgspec.json.Decoder(Object)
_lists: Final = msgspec.json.Decoder(list[Raw])
_scalars: Final = msgspec.json.Decoder()
OBJECT, LIST, TEXT, TRUE, FALSE, NULL = b'{["tfn'
"""How JSON values begin; anything else is a number."""
LACKED, OTHER, MET = range(3)
"""What an article says of a field: nothing, other values, one of those wanted."""


@dataclass(frozen=True, slots=True)
class Values:
    """What one field may be: three sets, since Python's 1 is equal to its True."""

    strings: frozenset[str] = frozenset()
    numbers: frozenset[int | float] = frozenset()
    booleans: frozenset[bool] = frozenset()

    def hold(self, part: Raw, start: int) -> bool:
        """Whether this JSON value, which begins with the byte `start`, is one of them."""
        if start in (TRUE, FALSE):
            return (start == TRUE) in self.booleans
        wanted: frozenset[str] | frozenset[int | float] = self.strings if start == TEXT else self.numbers
        try:
            return bool(wanted) and _scalars.decode(part) in wanted
        except (msgspec.DecodeError, UnicodeDecodeError):  # a number beyond all numbers
            return False


class Filters:
    """Compiled once per request. Equal ones compare equal, so that their verdicts are shared."""

    __slots__ = ("__weakref__", "_branches", "_key", "digest", "fields")

    def __init__(self, wanted: Mapping[Path, Values]) -> None:
        self._key = tuple(sorted(wanted.items(), key=lambda item: item[0]))
        self.digest = _digest(self._key)
        """Equal filters have equal ones, and only they."""
        self._branches = _tree(self._key)
        self.fields = tuple(".".join(path) for path, _ in self._key)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Filters) and self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def match(self, data: bytes, *, is_delete: bool = False) -> bool:
        """Whether this article is wanted. `is_delete`: its headers say that it is one. Raises
        msgspec.DecodeError where `data` is no JSON object.
        """
        article = _objects.decode(data)
        said = bytearray(len(self._key))
        for name, node in self._branches.items():
            if name in article:
                node.look(article[name], said)
                if OTHER in said:
                    return False
        return LACKED not in said or is_delete or is_removal(article)


def _digest(wanted: tuple[tuple[Path, Values], ...]) -> bytes:
    said = [
        (
            path,
            sorted(values.strings),
            sorted(int(n) if isinstance(n, float) and n.is_integer() else n for n in values.numbers),
            sorted(values.booleans),
        )
        for path, values in wanted
    ]
    return blake2b(repr(said).encode(), digest_size=DIGEST_BYTES).digest()


class _Node:
    """A name in the paths of filters: what is wanted of it, and of what lies below it."""

    __slots__ = ("below", "index", "values")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.index = 0
        self.values: Values | None = None

    def look(self, part: Raw, said: bytearray) -> None:
        """Notes what this part of an article says to the filters from here on down."""
        start = memoryview(part)[0]
        if start == OBJECT:
            if self.below:
                found = _objects.decode(part)
                for name, node in self.below.items():
                    if name in found:
                        node.look(found[name], said)
        elif start == LIST:
            for element in _lists.decode(part):
                self.look(element, said)
        elif self.values is not None and start != NULL and said[self.index] != MET:
            said[self.index] = MET if self.values.hold(part, start) else OTHER


def _tree(wanted: tuple[tuple[Path, Values], ...]) -> dict[str, _Node]:
    root = _Node()
    for index, (path, values) in enumerate(wanted):
        node = root
        for name in path:
            node = node.below.setdefault(name, _Node())
        node.index, node.values = index, values
    return root.below


def is_removal(article: Object) -> bool:
    """A delete, or a record that says that its text is hidden, or that text, comment or editor of a revision
    were. As route judges it (streamer.route.rules), but not by the absence of a text, which a partner's own
    projection may leave out; `event` is always there.
    """
    event = _below(article, "event")
    said = _below(_below(event, "revision"), "visibility")
    return (
        _is(event, "type", b'"delete"')
        or any(_is(said, part, b"false") for part in PARTS)
        or _is(_below(article, "visibility"), "text", b"false")
    )


def _below(parent: Object, name: str) -> Object:
    part = parent.get(name)
    return _objects.decode(part) if part is not None and memoryview(part)[0] == OBJECT else {}


def _is(parent: Object, name: str, value: bytes) -> bool:
    return name in parent and bytes(parent[name]) == value


# ── from a request ─────────────────────────────────────────────────────────────────────────────


def parse_filters(value: object) -> Filters | None:
    """None where nothing is filtered. Raises a 422 that never repeats a value."""
    if value is None or value == []:
        return None
    if not isinstance(value, list) or len(value) > MAX_FILTERS:
        raise invalid(PARAMETER, f'is a list of at most {MAX_FILTERS} objects {{"field": …, "value": …}}')
    wanted: dict[Path, list[Value]] = {}
    for item in value:
        path, values = _filter(item)
        wanted.setdefault(path, []).extend(values)
    if sum(map(len, wanted.values())) > MAX_VALUES:
        raise invalid(PARAMETER, f"more than {MAX_VALUES} values in all")
    return Filters({path: _values(values) for path, values in wanted.items()})


def _filter(item: object) -> tuple[Path, list[Value]]:
    if not isinstance(item, dict) or item.keys() != {"field", "value"}:
        raise invalid(PARAMETER, 'each filter is an object with "field" and "value", and nothing else')
    field = item["field"]
    if not is_name(field):
        raise invalid(PARAMETER, "a field is named as in `name` or `version.identifier`")
    try:
        path, kinds = leaf(field)
    except FieldUnknown as error:
        raise field_unknown(PARAMETER, error) from None
    value = item["value"]
    values = value if isinstance(value, list) else [value]
    if not values:
        raise invalid(
            PARAMETER, f"the list of values of '{shown(field)}' is empty; leave the filter out for any value"
        )
    for one in values:
        _check(field, kinds, one)
    return path, values


def _check(field: str, kinds: Kinds, value: object) -> None:
    if isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
        raise invalid(PARAMETER, f"a value of '{shown(field)}' is longer than {MAX_VALUE_CHARS} characters")
    kind = STRING if isinstance(value, str) else BOOLEAN if isinstance(value, bool) else NUMBER
    if not isinstance(value, str | int | float) or not kind <= kinds:
        types = " or a ".join(sorted(kinds))
        raise invalid(PARAMETER, f"'{shown(field)}' holds a {types}; another type of value would never match")


def _values(values: list[Value]) -> Values:
    return Values(
        frozenset(value for value in values if isinstance(value, str)),
        frozenset(
            value for value in values if isinstance(value, int | float) and not isinstance(value, bool)
        ),
        frozenset(value for value in values if isinstance(value, bool)),
    )
