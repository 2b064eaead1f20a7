"""Characters that are no markup: what `<nowiki>` holds, and line breaks that stay; and entities.

They travel as noncharacters of Unicode, which no text has (what a page holds of them is removed first).
"""

import re
from html import unescape
from html.entities import html5
from typing import Final

_MARKUP: Final = "[]{}|=*#:;<>_'\n!&"
_FIRST: Final = 0xFDD0
_LITERAL: Final = {ord(char): _FIRST + at for at, char in enumerate(_MARKUP)}
_INNER: Final = {ord(char): _LITERAL[ord(char)] for char in "|="}
BREAK: Final = chr(_FIRST + 30)
"""A line break within a paragraph."""
FILE: Final = chr(_FIRST + 29)
"""Around the name of a file that is all of an argument."""
PREFORMATTED: Final = chr(_FIRST + 31)
"""At the start of a line that is one literal block."""
_BACK: Final = {chr(code): chr(char) for char, code in _LITERAL.items()} | {BREAK: "\n", PREFORMATTED: ""}
_ENTITY: Final = re.compile(r"&(?:(#[0-9]{1,8}|#[xX][0-9A-Fa-f]{1,7})|(\w{1,40}));")
_FOREIGN: Final = re.compile("[\ufdd0-\ufdef]")


def cleaned(source: str) -> str:
    """A page as it comes."""
    return _FOREIGN.sub("", source) if _FOREIGN.search(source) else source


def literal(text: str) -> str:
    """Means nothing to any step from here on."""
    return text.translate(_LITERAL)


def argument(text: str) -> str:
    """May stand in a template's argument without ending it or naming it."""
    return text.translate(_INNER)


def restored(text: str) -> str:
    return _FOREIGN.sub(lambda match: _BACK.get(match[0], ""), text)


def has_literals(text: str) -> bool:
    """Where there are none, nothing has to be restored: on other scripts than Latin that takes long."""
    return _FOREIGN.search(text) is not None


def entities(text: str) -> str:
    """As characters. Without its semicolon it is none, as in the query of an address."""
    return _ENTITY.sub(_entity, text.replace("&#10;", " ")) if "&" in text else text


def _entity(match: re.Match[str]) -> str:
    return unescape(match[0]) if match[1] else html5.get(f"{match[2]};", match[0])
