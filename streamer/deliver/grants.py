"""What a partner's own table keeps from it for good: who asks for that by name is told so, instead of getting
nothing.
"""

from collections.abc import Iterable

from streamer.deliver.problems import Problem, shown
from streamer.deliver.request import Ask
from streamer.partners import Partner
from streamer.projection import ALIASES, HIDDEN_WITH_EDITOR, Tree, selection


def refuse_not_granted(ask: Ask, partner: Partner) -> None:
    """Raises the 403 of `fields` and `filters`. A wildcard is never refused: it gives what there is."""
    granted = selection(partner.fields) if partner.fields else None
    for parameter, names in _named(ask):
        for name in names:
            path = ALIASES.get(name, name).split(".")
            if path[-1] != "*" and not (_gives(granted, path) and _leaves(partner, path)):
                raise Problem(
                    403,
                    "not_granted",
                    f"{parameter}: this feed never holds '{shown(name)}'; "
                    "what it holds is agreed with its operator (fields, content, editor)",
                    parameter=parameter,
                )


def _named(ask: Ask) -> Iterable[tuple[str, Iterable[str]]]:
    if ask.projection is not None:
        yield "fields", ask.projection.fields
    if ask.filters is not None:
        yield "filters", ask.filters.fields


def _gives(granted: Tree | None, path: list[str]) -> bool:
    """Whether a partner's `fields` hold this one, or a part of it."""
    for name in path:
        if granted is None:
            return True
        if name not in granted:
            return False
        granted = granted[name]
    return True


def _leaves(partner: Partner, path: list[str]) -> bool:
    """Whether its `content` and `editor` do."""
    if path[0] == "article_body":
        return path[1] in partner.content
    return partner.editor != "none" or path[1:2] == [] or path[1] not in HIDDEN_WITH_EDITOR.get(path[0], ())
