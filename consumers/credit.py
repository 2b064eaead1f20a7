"""What a wiki's licence asks for: who wrote it, where, and on which terms; and addresses as the wiki writes
them. Pure. The service makes every article's attribution by it, and a corpus those of dumps.

The sentence is English, the titles are of all scripts. A title that runs from right to left, put into it as
it is, would take the quotation marks, commas, brackets and numbers beside it along: `“…”, 4.0` shows in
another order than it was written. So a part with such letters is isolated (U+2068 … U+2069, Unicode's annex
9): it has the direction of its own first letter, and nothing around it moves. Parts without any stay as
they are, so that sentences from left to right are plain text.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, Protocol
from urllib.parse import quote

ISOLATE: Final = "\u2068"
"""The direction of what follows is that of its first letter."""
END: Final = "\u2069"
UNENCODED: Final = ";@$!*(),/~:"
"""What MediaWiki's wfUrlencode leaves as it is, beside letters, digits, `-`, `_` and `.`."""
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL"})
_CREATIVE_COMMONS: Final = re.compile(
    r"creativecommons\.org/licenses/(by(?:-nc)?(?:-nd|-sa)?)/(\d\.\d)(?:/([a-z]{2,3})(?=/|$))?", re.IGNORECASE
)
_PUBLIC_DOMAIN: Final = re.compile(r"creativecommons\.org/publicdomain/zero/(\d\.\d)", re.IGNORECASE)
_GFDL: Final = re.compile(r"gnu\.org/(?:copyleft/fdl|licenses/(?:old-licenses/)?fdl-(\d\.\d))", re.IGNORECASE)


class Terms(Protocol):
    """A licence, whoever's."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...


def encode_title(title: str) -> str:
    return quote(title.replace(" ", "_"), safe=UNENCODED)


def absolute(url: str) -> str:
    """Wikis may name themselves without a scheme (`//en.wikipedia.org`)."""
    return f"https:{url}" if url.startswith("//") else url


def licence_identifier(url: str) -> str:
    """SPDX-like, e.g. `CC-BY-SA-4.0`; "" where the URL names no licence we know."""
    if match := _CREATIVE_COMMONS.search(url):
        ported = f"-{match[3].upper()}" if match[3] else ""
        return f"CC-{match[1].upper()}-{match[2]}{ported}"
    if match := _PUBLIC_DOMAIN.search(url):
        return f"CC0-{match[1]}"
    if match := _GFDL.search(url):
        return f"GFDL-{match[1]}" if match[1] else "GFDL"
    return ""


def sentence(title: str, wiki: str, server_name: str, licences: Sequence[Terms]) -> str:
    """`“Title” by the contributors to Wikipedia (en.wikipedia.org), licensed under CC … (https://…).`"""
    where = f"{isolated(wiki)} ({server_name})" if wiki else server_name
    text = f"\u201c{isolated(title)}\u201d by the contributors to {where}"
    if licences:
        text += ", licensed under " + " and ".join(_named(one) for one in licences)
    return f"{text}."


def _named(licence: Terms) -> str:
    name = isolated(licence.name)
    return f"{name} ({licence.url})" if licence.url and licence.url != licence.name else name


def isolated(part: str) -> str:
    if part.isascii() or all(unicodedata.bidirectional(letter) not in _RIGHT_TO_LEFT for letter in part):
        return part
    return f"{ISOLATE}{part}{END}"
