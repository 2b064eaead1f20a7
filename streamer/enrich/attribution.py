"""What the licence asks for: who wrote it, where, and on which terms. Pure.

The sentence is English, the titles are of all scripts. A title that runs from right to left, put into it as
it is, would take the quotation marks, commas, brackets and numbers beside it along: `“…”, 4.0` shows in
another order than it was written. So a part with such letters is isolated (U+2068 … U+2069, Unicode's annex
9): it has the direction of its own first letter, and nothing around it moves. Parts without any stay as
they are, so that sentences from left to right are plain text.
"""

import unicodedata
from typing import Final

from streamer.enrich.address import history_url, revision_url
from streamer.enrich.licence import licences
from streamer.model import Attribution, Licence
from streamer.origin.answer import SiteInfo

ISOLATE: Final = "\u2068"
"""The direction of what follows is that of its first letter."""
END: Final = "\u2069"
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL"})


def attribution_of(site: SiteInfo, title: str, revision: int) -> Attribution:
    licence = licences(site)
    return Attribution(
        text=sentence(title, site.name, site.server_name, licence),
        title=title,
        revision_url=revision_url(site, title, revision),
        history_url=history_url(site, title),
        license=licence,
    )


def sentence(title: str, wiki: str, server_name: str, licence: list[Licence]) -> str:
    """`“Title” by the contributors to Wikipedia (en.wikipedia.org), licensed under CC … (https://…).`"""
    where = f"{isolated(wiki)} ({server_name})" if wiki else server_name
    text = f"\u201c{isolated(title)}\u201d by the contributors to {where}"
    if licence:
        text += ", licensed under " + " and ".join(_named(one) for one in licence)
    return f"{text}."


def _named(licence: Licence) -> str:
    name = isolated(licence.name)
    return f"{name} ({licence.url})" if licence.url and licence.url != licence.name else name


def isolated(part: str) -> str:
    if part.isascii() or all(unicodedata.bidirectional(letter) not in _RIGHT_TO_LEFT for letter in part):
        return part
    return f"{ISOLATE}{part}{END}"
