"""What a partner holds that does nothing but apply what it receives."""

import hashlib
from collections.abc import Iterable, Mapping

from prove.wiki import Json, PageKey, Truth

Mirror = Mapping[PageKey, Truth]


def page_of(article: Json) -> PageKey:
    project, page = article["is_part_of"], article["identifier"]
    assert isinstance(project, dict)
    assert isinstance(page, int)
    return str(project["identifier"]), page


def event_of(article: Json) -> Json:
    event = article["event"]
    assert isinstance(event, dict)
    return event


def sequence_of(article: Json) -> int:
    sequence = event_of(article)["sequence"]
    assert isinstance(sequence, int)
    return sequence


def state_of(article: Json) -> Truth:
    """What it says of its page."""
    deleted = event_of(article)["type"] == "delete"
    body = article.get("article_body")
    shown = isinstance(body, dict) and not deleted
    text = str(body["wikitext"]) if isinstance(body, dict) else ""
    return Truth(str(article["name"]), deleted, hashlib.sha1(text.encode()).hexdigest() if shown else None)


def mirror_of(articles: Iterable[Json]) -> dict[PageKey, Truth]:
    """By `event.sequence` alone, in whatever order they came; what is `late` never replaces a page."""
    newest: dict[PageKey, Json] = {}
    for article in articles:
        page = page_of(article)
        if event_of(article).get("late"):
            continue
        if page not in newest or sequence_of(article) > sequence_of(newest[page]):
            newest[page] = article
    return {page: state_of(article) for page, article in newest.items()}
