"""Globs of wikis' database names, as the operator and the partners write them: `enwiki`, `*wiktionary`."""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Final

WIKIS_REMEMBERED: Final = 4_096
"""There are some 1,000; the names come from outside, so their number is bounded."""
_GLOB: Final = re.compile(r"[A-Za-z0-9_*?\[\]!-]+")


def check_globs(globs: Iterable[str]) -> None:
    """Raises ValueError for one that matches nothing, such as a host."""
    for glob in globs:
        if not _GLOB.fullmatch(glob):
            raise ValueError(
                f'"{glob}" can match no wiki; database names are meant, as enwiki or *wiktionary'
            )


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Of names by globs; none: any name."""
    patterns = [translate(glob) for glob in globs]
    if not patterns:
        return lambda _: True
    either = re.compile("|".join(patterns))

    @lru_cache(WIKIS_REMEMBERED)
    def matches(name: str) -> bool:
        return either.match(name) is not None

    return matches
