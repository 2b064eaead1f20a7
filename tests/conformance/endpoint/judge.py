"""What filters mean, once more and on its own: the service's judge is not asked.

JSON values, so numbers by value, strings exactly, booleans only as booleans; a list matches if any element
does, and a path goes through lists. Filters on one field are alternatives, those on different ones must
all hold. A removal (a delete, or what says that a text, comment or editor is hidden) that lacks the field
passes.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Filter = Mapping[str, Any]


def values_at(value: Any, path: str) -> Iterator[Any]:
    """All that stands there, lists taken apart."""
    if isinstance(value, list):
        for element in value:
            yield from values_at(element, path)
    elif not path:
        if not isinstance(value, dict) and value is not None:
            yield value
    elif isinstance(value, dict):
        name, _, rest = path.partition(".")
        if name in value:
            yield from values_at(value[name], rest)


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, bool) or isinstance(theirs, bool):
        return mine is theirs
    if isinstance(mine, str) or isinstance(theirs, str):
        return type(mine) is type(theirs) and mine == theirs
    return bool(mine == theirs)


def is_removal(article: Mapping[str, Any]) -> bool:
    """A delete, or what says that the article's text is hidden, or that anything of a revision was: maybe of
    an older one, in a record that restates the article, text and all.
    """
    return "delete" in values_at(article, "event.type") or any(
        any(value is False for value in values_at(article, path))
        for path in (
            "visibility.text",
            *(f"event.revision.visibility.{part}" for part in ("text", "comment", "editor")),
        )
    )


def passes(article: Mapping[str, Any], filters: Sequence[Filter]) -> bool:
    wanted: dict[str, list[Any]] = defaultdict(list)
    for one in filters:
        value = one["value"]
        wanted[one["field"]] += value if isinstance(value, list) else [value]
    for field, values in wanted.items():
        found = list(values_at(article, field))
        if not found:
            if not is_removal(article):
                return False
        elif not any(same(mine, theirs) for mine in found for theirs in values):
            return False
    return True
