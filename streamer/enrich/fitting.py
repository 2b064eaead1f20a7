"""An article as its record, made smaller where it would be too large for one."""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from streamer.enrich.article import Stamp, article_of
from streamer.enrich.outcome import Answered
from streamer.enrich.text import PlainText, smaller
from streamer.log.base import MAX_RECORD_BYTES
from streamer.metrics import ORIGIN_LISTS
from streamer.model import Article, Change, Hint, Visibility, encode_value
from streamer.origin.answer import Found

MARGIN_BYTES: Final = 64 * 1024
"""Key, headers and framing of a record, far beyond what they are."""


def fitting(
    change: Change, answered: Answered, visibility: Visibility, stamp: Stamp, hint: Hint | None
) -> tuple[Article, bytes] | None:
    """The article and its value; None where the page is too large without all that can be left out."""
    for found, plain in _smaller(answered):
        article = article_of(change, found, visibility, stamp, hint=hint, plain=plain)
        value = encode_value(article)
        if len(value) <= MAX_RECORD_BYTES - MARGIN_BYTES:
            return article, value
    return None


def _smaller(answered: Answered) -> Iterator[tuple[Found, PlainText | None]]:
    """It, and what can be left of it: first goes what only those have who ask for it, so that it takes
    nothing from the others.
    """
    found, plain = answered.found, answered.plain
    yield found, plain
    if found.page.lists:
        ORIGIN_LISTS.labels("too_large").inc(len(found.page.lists))
        found = replace(found, page=replace(found.page, lists={}))
    for less in smaller(plain):
        yield found, less
