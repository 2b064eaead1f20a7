"""What a query names, as far as the queries of our dashboards go: no braces and no quotes within strings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

STRING: Final = re.compile(r'"[^"]*"')
RANGE: Final = re.compile(r"\[[^\]]*\]")
GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
SELECTOR: Final = re.compile(r"([A-Za-z_:][\w:]*)\s*\{([^}]*)\}")
MATCHER: Final = re.compile(r"([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)")
BARE: Final = re.compile(r"(?<![\w.])([A-Za-z_:][\w:]*)(?!\s*\()(?![\w:])")
OPERATORS: Final = frozenset({"and", "or", "unless", "bool", "offset"})


@dataclass(frozen=True, slots=True)
class Named:
    """A metric as it stands there, and the labels that its selector asks about."""

    metric: str
    labels: frozenset[str]


def metrics(query: str) -> list[Named]:
    return list(_metrics(query))


def groupings(query: str) -> frozenset[str]:
    """Labels that are summed by, or matched on."""
    words = (word.strip() for found in GROUPING.findall(query) for word in found.split(","))
    return frozenset(word for word in words if word)


def _metrics(query: str) -> Iterator[Named]:
    text = GROUPING.sub(" ", RANGE.sub("", STRING.sub("", query)))
    for name, asked in SELECTOR.findall(text):
        yield Named(name, frozenset(MATCHER.findall(asked)))
    for name in BARE.findall(SELECTOR.sub(" ", text)):
        if name not in OPERATORS:
            yield Named(name, frozenset())
