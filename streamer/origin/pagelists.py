"""The lists of a page that ride along with its revision, as an answer has them: pure.

A wiki cuts each list after so many entries of all pages together and says how to go on with it (`clcontinue`,
…), list by list: what it says so of may lack entries of any of the pages, and is told complete otherwise.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from streamer.partners import PAGE_LISTS, PageList

PREFIXES: Final[Mapping[PageList, str]] = {"categories": "cl", "templates": "tl", "redirects": "rd"}
"""Of the parameters of each. Hidden categories are among the categories: the wiki files by them too."""
Lists = dict[PageList, tuple[str, ...]]
"""Titles with namespace, in the wiki's order."""
ENTRY_BYTES: Final = 64
"""What an entry takes beside its characters."""
_CONTINUE: Final = "continue"


class _Titled(Struct):
    title: str


class PageLists(Struct):
    """What of them an answer says of one page: a list that is empty is left out there."""

    categories: tuple[_Titled, ...] = ()
    templates: tuple[_Titled, ...] = ()
    redirects: tuple[_Titled, ...] = ()

    def titles(self, name: PageList) -> tuple[str, ...]:
        listed: tuple[_Titled, ...] = getattr(self, name)
        return tuple(entry.title for entry in listed)


def size_of(lists: Lists) -> int:
    """In bytes, about."""
    return sum(size_of_titles(titles) for titles in lists.values())


def size_of_titles(titles: Iterable[str]) -> int:
    return sum(len(title) + ENTRY_BYTES for title in titles)


def in_order(names: Iterable[PageList]) -> list[PageList]:
    wanted = frozenset(names)
    return [name for name in PAGE_LISTS if name in wanted]


def left_of(names: Iterable[PageList], more: Mapping[str, object]) -> dict[PageList, str]:
    """By list, what the wiki wants to hear to go on with it."""
    tokens = {name: more.get(PREFIXES[name] + _CONTINUE) for name in names}
    return {name: str(token) for name, token in tokens.items() if token is not None}


BESIDE: Final = frozenset({"picontinue"})
"""What is left of pictures is not asked for: a wiki tells those of 50 pages at once, as many as are usually
asked for.
"""


def is_cut(more: Mapping[str, object]) -> bool:
    """Whether something was cut that is asked for again."""
    named = more.keys() - {_CONTINUE}
    lists = {prefix + _CONTINUE for prefix in PREFIXES.values()}
    return bool(named - lists - BESIDE) if named else bool(more)
