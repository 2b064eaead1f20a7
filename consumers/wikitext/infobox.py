"""Infoboxes: the table of facts that stands beside an article, as key and value.

Told by its name, in the language of its wiki, or by its shape: before any word of the article, with three
or more named arguments, each on a line of its own.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from consumers.wikitext import names
from consumers.wikitext.prose import name_of
from consumers.wikitext.templates import Arguments, Call

MAX_BOXES: Final = 20
MAX_FIELDS: Final = 200
MAX_KEY_CHARS: Final = 200
MAX_VALUE_CHARS: Final = 2_000
MAX_CHARS: Final = 100_000
"""Of all values of a page."""
_NAMES: Final = re.compile("|".join(map(re.escape, names.listed(names.INFOBOX))))
_STARTS: Final = names.listed(names.INFOBOX_START)
_FIELD_LINE: Final = re.compile(r"\n[ \t]*\|[ \t]*[^\s|=][^|=\n]{0,80}=")
_NAME: Final = re.compile(r"\s{0,20}([^|{}\[\]<>\n]{1,200})")
MIN_FIELDS: Final = 3
LOOKED_AT_CHARS: Final = 4_000
"""Of a body, for its shape."""


class Box(NamedTuple):
    name: str
    """Of the template, without its namespace, as it is written."""
    fields: list[tuple[str, str]]
    """Key and plain value, in order; those without a value are left out."""


class Boxes:
    """Of one page, in the order in which they begin. `plain` makes plain text of a value's markup."""

    def __init__(self, plain: Callable[[str], str]) -> None:
        self._plain = plain
        self._found: list[tuple[int, Box]] = []
        self._chars = 0
        self._looked_at = 0
        """Of the parts of the page before a box."""
        self._has_words = False

    def offer(self, call: Call) -> None:
        """Keeps it, where it is one."""
        if len(self._found) >= MAX_BOXES or "=" not in call.body:
            return
        if not is_name(name_of(call.body)) and (call.depth or not self._is_shaped(call)):
            return
        args = Arguments(call.body)
        fields: list[tuple[str, str]] = []
        for key, markup in args.named.items():
            if len(fields) >= MAX_FIELDS or self._chars >= MAX_CHARS:
                break
            if not markup or not key or len(key) > MAX_KEY_CHARS:
                continue
            value = self._plain(markup[: 4 * MAX_VALUE_CHARS])[:MAX_VALUE_CHARS].rstrip()
            if value:
                self._chars += len(value)
                fields.append((key, value))
        self._found.append((call.start, Box(" ".join(args.name.replace("_", " ").split()), fields)))

    def _is_shaped(self, call: Call) -> bool:
        lines = _FIELD_LINE.findall(call.body, 0, LOOKED_AT_CHARS)
        return len(lines) >= MIN_FIELDS and not self._has_words_before(call.before)

    def _has_words_before(self, parts: list[str]) -> bool:
        """Of what no template is around: that only grows, and each part is looked at once."""
        if not self._has_words:
            self._has_words = any(any(map(str.isalnum, part)) for part in parts[self._looked_at :])
            self._looked_at = len(parts)
        return self._has_words

    def found(self) -> list[Box]:
        return [box for _, box in sorted(self._found)]


def is_name(name: str) -> bool:
    """As `name_of` tells it."""
    return _NAMES.search(name) is not None or name.partition(" ")[0] in _STARTS


def is_box_by_name(call: Call) -> bool:
    return "=" in call.body and is_name(name_of(call.body))


def is_named_box(source: str, at: int) -> bool:
    """Whether the body that begins there does so with the name of one."""
    match = _NAME.match(source, at)
    return match is not None and is_name(name_of(match[1]))
