"""A page as a corpus holds it, and what is made of an event of the feed."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import Struct

from consumers.event import Article, Licence
from consumers.wikitext.structure import Section
from consumers.wikitext.text import ANYWHERE, Make, Origin, plain_text

WIKITEXT: Final = "wikitext"
EXTRACTOR: Final = "wikitext-1"
"""Of a text made here; its number goes up where the same wikitext gives another text."""
FROM_FEED: Final = "feed"
"""Of a text that the feed brought."""
_SECTIONS: Final = Make(text=False, sections=True)
UNKNOWN_REVISION: Final = 0
"""Of a removal that does not say which revision was the last."""

Gone = Literal["deleted", "hidden"]


class Page(Struct, frozen=True, omit_defaults=True):
    """Of a page that is there and whose text may be read."""

    wiki: str
    """Database name, e.g. `enwiki`."""
    page: int
    """The page's id on its wiki."""
    revision: int
    title: str
    """With spaces and namespace."""
    url: str
    namespace: int
    text: str
    """Plain text; "" of a redirect and of what no text can be made of."""
    language: str = ""
    """A language code; "" where it is not known."""
    wikitext: str | None = None
    """The revision's content whatever its model, where it was given and is kept."""
    sections: list[Section] | None = None
    """Where the feed brought them and no wikitext to make them of."""
    headings: list[list[str]] | None = None
    """Each with those above it, where there is neither of the two: of the wikitext, which was not kept."""
    wikidata: str | None = None
    date_created: str | None = None
    """When the page was made; only known of pages whose beginning was seen. RFC 3339."""
    date_modified: str | None = None
    """Of the revision."""
    licence: list[Licence] = []
    attribution: str = ""
    """A sentence to show with the text."""
    revision_url: str | None = None
    history_url: str | None = None
    redirect_target: str | None = None
    """Its title; None: no redirect."""
    is_disambiguation: bool = False
    sha1: str | None = None
    """Of the revision's content, in hex."""
    content_model: str = WIKITEXT
    extractor: str = EXTRACTOR
    tags: list[str] = []
    is_minor: bool | None = None
    revert_risk: float | None = None
    """Probability that the revision will be reverted, where a model said so."""
    is_revert: bool = False
    is_reverted: bool = False


class Told(Struct, frozen=True):
    """What an event of the feed says of a page."""

    wiki: str
    page: int
    sequence: int
    revision: int
    """UNKNOWN_REVISION where a removal doesn't say."""
    gone: Gone | None = None
    content: Page | None = None
    """None where it is gone."""
    late: bool = False
    hides: int = 0
    """A revision whose text this event hides, be it the newest or not; 0: none. A removal hides all."""
    happened: int = 0
    """When it happened on the wiki: µs since 1970; 0: not known."""


class Listed(Struct, frozen=True):
    """What a dump, or a wiki that was asked, says of a page as of some moment."""

    wiki: str
    page: int
    at: int
    """µs since 1970: the page was so then, or at some moment since. When the dump was begun, or the wiki
    asked, less what its replicas may have lagged behind.
    """
    revision: int = 0
    """0 where the page is not there."""
    content: Page | None = None
    """None: no such page, or its text is hidden."""
    hidden: bool = False

    @property
    def gone(self) -> Gone | None:
        if self.content is not None:
            return None
        return "hidden" if self.hidden else "deleted"


Change = Told | Listed


def told(
    article: Article, *, keep_wikitext: bool = True, origin: Callable[[Article], Origin] = lambda _: ANYWHERE
) -> Told:
    """Of one event. `origin` is asked where a text has to be made here: a wiki's own names of its namespaces
    tell pictures and categories from text.
    """
    event, version = article.event, article.version
    wiki = article.is_part_of.identifier
    revision = version.identifier if version else UNKNOWN_REVISION
    gone: Gone | None = None
    if event.type == "delete":
        gone = "deleted"
    elif article.visibility is not None and not article.visibility.text:
        gone = "hidden"
    return Told(
        wiki,
        article.identifier,
        event.sequence,
        revision,
        gone,
        None if gone else _content(article, origin, keep_wikitext=keep_wikitext),
        event.late,
        event.revision.identifier if event.revision and not event.revision.visibility.text else 0,
        _microseconds(event.date_created),
    )


def _microseconds(date: str) -> int:
    """Of RFC 3339; 0 of anything else, for nothing but a measurement hangs on it."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return 0
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


def _content(article: Article, origin: Callable[[Article], Origin], *, keep_wikitext: bool) -> Page:
    version, body, credit = article.version, article.article_body, article.attribution
    wikitext = body.wikitext if body else None
    text, extractor = body.text if body else None, FROM_FEED
    model = (version and version.content_model) or WIKITEXT
    if text is None:
        is_prose = model == WIKITEXT and article.redirect_target is None
        made = plain_text(wikitext, origin(article)).text if wikitext and is_prose else None
        text, extractor = made or "", EXTRACTOR
    language = article.in_language or article.is_part_of.in_language
    sections = body.sections if body and (wikitext is None or not keep_wikitext) else None
    headings = None
    if wikitext and text and model == WIKITEXT and sections is None and not keep_wikitext:
        headings = headings_of(wikitext, origin(article))
    return Page(
        wiki=article.is_part_of.identifier,
        page=article.identifier,
        revision=version.identifier if version else 0,
        title=article.name,
        url=article.url,
        namespace=article.namespace.identifier,
        text=text,
        language=language.identifier if language else "",
        wikitext=wikitext if keep_wikitext else None,
        sections=sections,
        headings=headings,
        wikidata=article.main_entity.identifier if article.main_entity else None,
        date_created=article.date_created,
        date_modified=article.date_modified,
        licence=article.license or [],
        attribution=credit.text if credit else "",
        revision_url=credit.revision_url if credit else None,
        history_url=credit.history_url if credit else None,
        redirect_target=article.redirect_target,
        is_disambiguation=bool(article.is_disambiguation),
        sha1=version.sha1 if version else None,
        content_model=model,
        extractor=extractor,
        tags=(version and version.tags) or [],
        is_minor=version.is_minor_edit if version else None,
        revert_risk=_revert_risk(version.scores) if version and version.scores else None,
        is_revert=bool(version and version.reverts),
        is_reverted=bool(version and version.is_reverted),
    )


def headings_of(wikitext: str, origin: Origin) -> list[list[str]]:
    """In order, each with those above it."""
    sections = plain_text(wikitext, origin, _SECTIONS).sections or []
    return [section.path for section in sections if section.path]


def _revert_risk(scores: Mapping[str, object]) -> float | None:
    """Of the first model that says so; a score of a shape that is not known is none."""
    for name in sorted(scores):
        try:
            score = msgspec.convert(scores[name], _Score)
        except msgspec.ValidationError:
            continue
        return score.probability.yes
    return None


class _Probability(Struct, frozen=True):
    yes: float = msgspec.field(name="true")


class _Score(Struct, frozen=True):
    probability: _Probability
