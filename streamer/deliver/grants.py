"""What a partner's own table keeps from it for good: who asks for that by name is told so, instead of getting
nothing.
"""

from collections.abc import Iterable

from streamer.deliver.problems import Problem, shown
from streamer.deliver.request import Ask
from streamer.partners import PAGE_LISTS, Partner
from streamer.privacy import WITHHELD
from streamer.projection import ALIASES, Tree, selection


def refuse_not_granted(ask: Ask, partner: Partner) -> None:
    """Raises the 403 of `fields` and `filters`. A wildcard gives what there is: it is refused where that is
    nothing for good, a list or a part of the text that the partner does not have.
    """
    granted = selection(partner.selected) if partner.fields else None
    for parameter, names in _named(ask):
        for name in names:
            path = ALIASES.get(name, name).split(".")
            if path[-1] == "*":
                is_granted = _has(partner, path[:-1]) and (len(path) == 2 or _gives(granted, path[:-1]))
            else:
                is_granted = _gives(granted, path) and _leaves(partner, path)
            if not is_granted:
                raise Problem(
                    403,
                    "not_granted",
                    f"{parameter}: this feed never holds '{shown(name)}'; "
                    "what it holds is agreed with its operator (fields, lists, content, editor)",
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


def _has(partner: Partner, path: list[str]) -> bool:
    """A list, or a part of `article_body`; or it is neither."""
    if path[0] == "article_body" and len(path) > 1:
        return path[1] in partner.content
    return path[0] not in PAGE_LISTS or path[0] in partner.page_lists


def _leaves(partner: Partner, path: list[str]) -> bool:
    """Whether its `lists`, `content` and `editor` do."""
    if not _has(partner, path):
        return False
    withheld = WITHHELD[partner.editor]
    return not any(".".join(path[:depth]) in withheld for depth in range(1, len(path) + 1))
