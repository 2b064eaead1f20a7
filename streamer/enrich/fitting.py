"""An article as its record, made smaller where it would be too large for one."""

import dataclasses
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from consumers.wikitext.text import smaller
from streamer.enrich.article import Stamp, article_of, with_parts
from streamer.enrich.outcome import Answered
from streamer.log.base import MAX_RECORD_BYTES
from streamer.metrics import ENRICH_HTML, ORIGIN_LISTS
from streamer.model import Article, Change, Hint, Visibility, encode_value

MARGIN_BYTES: Final = 64 * 1024
"""Key, headers and framing of a record, far beyond what they are."""


def fitting(
    change: Change, answered: Answered, visibility: Visibility, stamp: Stamp, hint: Hint | None
) -> tuple[Article, bytes] | None:
    """The article and its value; None where the page is too large without all that can be left out."""
    whole: Article | None = None
    for each in _smaller(answered):
        if whole is None:
            article = whole = article_of(
                change,
                each.found,
                visibility,
                stamp,
                hint=hint,
                plain=each.plain,
                html=each.html,
                from_html=each.from_html,
            )
        else:  # the rest is the same, and of megabytes of text it takes its time
            article = with_parts(
                whole, change, each.found, plain=each.plain, html=each.html, from_html=each.from_html
            )
        value = encode_value(article)
        if len(value) <= MAX_RECORD_BYTES - MARGIN_BYTES:
            return article, value
    return None


def _smaller(answered: Answered) -> Iterator[Answered]:
    """It, and what can be left of it: first goes what only those have who ask for it, so that it takes
    nothing from the others.
    """
    yield answered
    if answered.html is not None:
        ENRICH_HTML.labels("too_large").inc()
        answered = dataclasses.replace(answered, html=None, from_html=None)
        yield answered
    page = answered.found.page
    if page.lists:
        ORIGIN_LISTS.labels("too_large").inc(len(page.lists))
        answered = dataclasses.replace(answered, found=replace(answered.found, page=replace(page, lists={})))
    for plain in smaller(answered.plain):
        yield dataclasses.replace(answered, plain=plain)
