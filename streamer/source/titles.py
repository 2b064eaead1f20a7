"""Titles as the streams write them, and the namespace of a title that came without one."""

from collections.abc import Mapping
from typing import Final

CANONICAL: Final[Mapping[str, int]] = {
    "Talk": 1, "User": 2, "User talk": 3, "Project": 4, "Project talk": 5, "Wikipedia": 4,
    "Wikipedia talk": 5, "File": 6, "File talk": 7, "MediaWiki": 8, "MediaWiki talk": 9, "Template": 10,
    "Template talk": 11, "Help": 12, "Help talk": 13, "Category": 14, "Category talk": 15, "Portal": 100,
    "Portal talk": 101, "Draft": 118, "Draft talk": 119, "Module": 828, "Module talk": 829,
}  # fmt: skip
"""English names. A wiki's own names are known to its site info only."""


def with_spaces(title: str) -> str:
    """page_change and its siblings write underscores; recentchange and we write spaces."""
    return title.replace("_", " ")


def namespace_of_target(target: str, old_title: str, old_namespace: int) -> int:
    """The move log of recentchange gives no namespace for the new title, so it is inferred.

    Certain without a prefix (it is 0) and with the old title's own; by its canonical English name; else
    the old one is assumed. Enrich goes by the wiki's answer; admission looks at both places.
    """
    prefix, colon, _ = target.partition(":")
    if not colon:
        return 0
    old_prefix, old_colon, _ = old_title.partition(":")
    if old_colon and prefix == old_prefix:
        return old_namespace
    return CANONICAL.get(prefix, old_namespace)
