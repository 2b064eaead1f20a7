"""What links leave: their text. Files and categories leave nothing, nor do links to other languages."""

import re
from collections.abc import Container, Iterable
from functools import lru_cache
from typing import Final

from consumers.wikitext.literal import FILE, argument

MAX_NESTED: Final = 20
"""Links in captions of files in captions: deeper than any page is, and a bound for what is made of them."""
# from the inside out: a text has no link of its own; single brackets are text, also the first of three, and
# nothing is gone back over
_LINK: Final = re.compile(
    r"\[\[([^\[\]{}|\n]{1,1000})(?:\|((?:[^\[\]]++|\[(?!\[)|\](?!\])|\](?=\]\](?!\])))*+))?\]\]",
)
_ADDRESS: Final = r"\[(?:(?:https?:|ftps?:|sftp:|ircs?:|git:)?//|mailto:|news:|tel:|urn:)[^\s\[\]<>]{1,2000}"
_EXTERNAL: Final = re.compile(_ADDRESS + r"(?:[ \t]{1,10}([^\[\]\n]{0,1000}))?\]")
_SEE_EXTERNAL: Final = re.compile(
    rf" \((?:see|siehe|voir|ver|vedi|zie|se|см\.?):?[ \t]{{1,5}}{_ADDRESS}\]\)", re.IGNORECASE
)
"""Which is not left as words that point nowhere."""
_FILE: Final = re.compile(r"[^<>\n]{1,250}\.[A-Za-z0-9]{2,5}")
_VALUE_CHARS: Final = 20
"""White space between `=` and a value."""
_NAMED_FILE: Final = re.compile(f"{FILE}([^{FILE}\n]{{0,300}}){FILE}")
_LEFT: Final = re.compile(r"\[\[([^\[\]{}|:\n]{1,100}):[^\n]*|\[\[|\]\]")
NOT_LANGUAGES: Final = frozenset(
    {"mw", "voy", "doi", "rfc", "bug", "wmf", "hdl", "oeis", "pmid", "git", "svn"}
)
"""Prefixes of other places that are as short as a language's code."""
_PIPE_TRICK: Final = re.compile(
    r"[ _]?[(\uff08][^()\uff08\uff09]{0,200}[)\uff09]$|, .{0,200}$|\u060c .{0,200}$"
)
_ENGLISH: Final = ("file", "image", "media", "category")


class Links:
    """Of one wiki. `hidden` are its own names of the namespaces of files, media and categories, with aliases;
    `names` those of all its namespaces, none of which is a language; `languages` the codes of those.
    """

    def __init__(
        self, hidden: Iterable[str] = (), names: Iterable[str] = (), languages: Container[str] = ()
    ) -> None:
        self._languages = languages
        self._hidden = frozenset(_folded(name) for name in (*_ENGLISH, *hidden) if name)
        self._names = frozenset(_folded(name) for name in names if name) | NOT_LANGUAGES

    def without_links(self, source: str) -> str:
        if "[[" not in source:
            return source
        for _ in range(MAX_NESTED):
            source, found = _LINK.subn(self._shown, source)
            if not found or "[[" not in source:
                break
        return source

    def without_leftovers(self, source: str) -> str:
        """What never closes: a file's with the rest of its line."""
        if "[[" not in source and "]]" not in source:
            return source
        return _LEFT.sub(lambda match: "" if self._is_hidden(match[1]) else match[0].strip("[]"), source)

    def _is_hidden(self, name: str | None) -> bool:
        return name is None or _folded(name) in self._hidden

    def _shown(self, match: re.Match[str]) -> str:
        target, text = match.groups()
        if ":" in target:
            prefix = target.partition(":")[0]
            folded = _folded(prefix)
            if folded in self._hidden:
                return _file(match, target)
            if prefix in self._languages and folded not in self._names:
                return ""
        if text is None:
            shown: str = target.strip().removeprefix(":")
        elif text.strip():
            shown = text
        else:
            shown = _PIPE_TRICK.sub("", target.removeprefix(":").rpartition(":")[2].strip())
        return argument(shown) if "=" in shown or "|" in shown else shown


def _file(match: re.Match[str], target: str) -> str:
    """Nothing, but as the value of an argument, which may be an infobox's."""
    name = target.partition(":")[2].strip()
    start = match.start()
    if not match.string[max(0, start - _VALUE_CHARS) : start].rstrip().endswith("="):
        return ""
    return f"{FILE}{argument(name)}{FILE}" if _FILE.fullmatch(name) else ""


def without_files(source: str) -> str:
    return _NAMED_FILE.sub("", source) if FILE in source else source


def with_files(source: str) -> str:
    """Of an infobox: their names as words."""
    return source.replace(FILE, "") if FILE in source else source


@lru_cache(maxsize=4_096)
def _folded(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


def without_external(source: str) -> str:
    """Their labels stay; those without one show a number, which is left out."""
    if "[" not in source:
        return source
    return _EXTERNAL.sub(lambda match: match[1] or "", _SEE_EXTERNAL.sub("", source))
