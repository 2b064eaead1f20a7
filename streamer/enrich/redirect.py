"""Where a redirect leads, as the wiki itself would name that page. Pure.

The word is localised (`#WEITERLEITUNG`), and not told by the wiki; English is understood by all of them.
"""

import html
import re
import unicodedata
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from streamer.origin.answer import SiteInfo

LOOKED_AT: Final = 4_096
WORD_CHARS: Final = 40
CANONICAL: Final[Mapping[str, int]] = {
    "media": -2, "special": -1, "talk": 1, "user": 2, "user talk": 3, "project": 4, "project talk": 5,
    "file": 6, "file talk": 7, "image": 6, "image talk": 7, "mediawiki": 8, "mediawiki talk": 9,
    "template": 10, "template talk": 11, "help": 12, "help talk": 13, "category": 14, "category talk": 15,
}  # fmt: skip
"""Understood by every wiki beside its own names."""
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_STARTS: Final = ("#", "<!--")
_REDIRECT: Final = re.compile(
    rf"#([^\s\[\]:#]{{1,{WORD_CHARS}}})\s*:?\s*\[\[([^\[\]|\n]{{1,512}})(?=\||\]\])"
)
_JOINERS: Final = frozenset("-'\u00b7\u2019\u200c\u200d")
"""Within words, beside letters and their marks."""
_DIRECTION: Final = dict.fromkeys((0x200E, 0x200F, *range(0x202A, 0x202F)))
"""Marks that MediaWiki takes out of titles."""
_NOT_IN_TITLES: Final = frozenset("<>[]{}|\ufffd")
"""The last one is what percent-encoding has left that is no UTF-8."""
_OTHER_WIKI: Final = re.compile(r"[a-z][a-z-]{0,15}:\S", re.ASCII)
_DOTTED: Final = frozenset({"tr", "az", "kaa"})
"""Languages whose capital of `i` has a dot."""


def link_of(wikitext: str, *, any_word: bool) -> str | None:
    """What stands in the link of a redirect; None: it is none. `any_word`: the page is known to be one, by
    whatever word.
    """
    head = wikitext[:LOOKED_AT].lstrip()
    if not head.startswith(_STARTS):  # as nearly all pages, whose every comment need not be looked for
        return None
    match = _REDIRECT.match(_COMMENT.sub("", head).lstrip())
    if match is None:
        return None
    word = match[1]
    if word.isascii() and word.lower() == "redirect":
        return match[2]
    return match[2] if any_word and all(map(_is_of_a_word, word)) else None


def _is_of_a_word(char: str) -> bool:
    return char.isalpha() or unicodedata.category(char).startswith("M") or char in _JOINERS


def title_of(link: str, site: SiteInfo) -> str:
    """The title that a link names, without the section; "" where it names none."""
    text = html.unescape(unquote(link)).translate(_DIRECTION).partition("#")[0]
    text = " ".join(text.replace("_", " ").split()).lstrip(": ")
    if not _NOT_IN_TITLES.isdisjoint(text):
        return ""
    head, colon, rest = text.partition(":")
    namespace = _namespaces(site).get(head.strip().casefold()) if colon else None
    if namespace is None:
        return text if _OTHER_WIKI.match(text) else _capital(text, 0, site)
    title = _capital(rest.strip(), namespace, site)
    name = site.namespaces.get(namespace) or head.strip()
    return f"{name}:{title}" if title else ""


def _namespaces(site: SiteInfo) -> dict[str, int]:
    own = {name.casefold(): number for number, name in site.namespaces.items() if name}
    return {**CANONICAL, **{name.casefold(): number for name, number in site.aliases.items()}, **own}


def _capital(title: str, namespace: int, site: SiteInfo) -> str:
    if not title or namespace in site.cased:
        return title
    first = title[0]
    upper = "\u0130" if first == "i" and site.language in _DOTTED else first.upper()
    # wikis leave alone what has no capital of one letter, and Georgian, whose capitals begin no word
    is_plain = len(upper) == 1 and not "\u10d0" <= first <= "\u10ff"
    return (upper if is_plain else first) + title[1:]
