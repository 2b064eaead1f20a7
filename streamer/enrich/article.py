"""The article object, from a change and what the wiki answered. Pure.

Body, SHA-1, tags, size, comment and editor are the revision's; title, lists, protection, language and
main entity are the page's at fetch. What is not known without a further request is absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from msgspec import UNSET
from msgspec.structs import replace

from consumers.wikitext.languages import language_name
from consumers.wikitext.text import PlainText
from streamer.enrich.address import page_url
from streamer.enrich.attribution import attribution_of
from streamer.enrich.licence import licences
from streamer.enrich.maintenance import maintenance_tags
from streamer.enrich.redirect import link_of, title_of
from streamer.enrich.signs import reverts_of, scores_of, size_change_of, tags_of
from streamer.model import (
    EVENT_TYPE,
    REVERTED_TAG,
    Article,
    ArticleBody,
    Change,
    Direction,
    Editor,
    EditorFigures,
    Entity,
    Event,
    EventType,
    FromHtml,
    FullArticle,
    Hint,
    Language,
    Link,
    Maybe,
    Namespace,
    PreviousPlace,
    PreviousVersion,
    Project,
    RevisionVisibility,
    Size,
    Version,
    Visibility,
    rfc3339,
    rfc3339_ms,
)
from streamer.origin.answer import Found, RevisionAnswer, SiteInfo
from streamer.partners import PageList

ENTITY_URL: Final = "https://www.wikidata.org/entity/"
ADMIN_GROUP: Final = "sysop"
WIKITEXT: Final = "wikitext"
_DIRECTIONS: Final[Mapping[str, Direction]] = {direction: direction for direction in get_args(Direction)}
BY_REVISION: Final = ("create", "edit")
"""The kinds whose change is its revision: bot and minor flags of the change are the revision's."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the commit gives to a record."""

    sequence: int
    published_ms: int
    late: bool = False


def least_revision(change: Change) -> int:
    """Below which an answer is from before the change; 0: it doesn't say. A move writes a revision, a restore
    tells the page's newest; what is hidden may be an imported revision, whose number says nothing.
    """
    return change.revision if change.meant in ("move", "restore") else 0


def visibility_of(change: Change, revision: RevisionAnswer, told: Visibility) -> Visibility:
    """What may be shown of an answer: what the API shows, less what the stream has hidden (`told`)."""
    if change.meant == "visibility" and change.visibility and revision.identifier == change.revision:
        told = Visibility(
            text=told.text and change.visibility.text,
            editor=told.editor and change.visibility.editor,
            comment=told.comment and change.visibility.comment,
        )
    return Visibility(
        text=told.text and not revision.text_hidden and revision.content is not None,
        editor=told.editor and not revision.user_hidden and not change.user_removed,
        comment=told.comment and not revision.comment_hidden,
    )


def article_of(
    change: Change,
    found: Found,
    visibility: Visibility,
    stamp: Stamp,
    *,
    hint: Hint | None = None,
    plain: PlainText | None = None,
    html: str | None = None,
    from_html: PlainText | None = None,
) -> Article:
    """With text hidden, the record says so, and nothing that came from text, comment or editor."""
    if not visibility.text:
        return _hidden(change, found, visibility, stamp)
    site, page, revision = found.site, found.page, found.revision
    content = revision.content or ""
    return FullArticle(
        name=page.title,
        identifier=page.page_id,
        url=page_url(site, change.server_name, page.title),
        namespace=_namespace(site, page.namespace),
        is_part_of=_project(site, change),
        event=_event(change, stamp, EVENT_TYPE[change.kind], site, _told(change)),
        date_created=rfc3339(revision.edited_ms) if _created(change, revision) else UNSET,
        date_modified=rfc3339(revision.edited_ms),
        date_previously_modified=_previously(revision, hint),
        version=_version(change, found, visibility, content, hint),
        previous_version=_previous_version(change, revision, hint),
        in_language=_language(page.language or site.language, page.direction or site.direction),
        main_entity=Entity(page.main_entity, ENTITY_URL + page.main_entity) if page.main_entity else UNSET,
        license=licences(site),
        visibility=visibility,
        protection=list(page.protection),
        attribution=attribution_of(site, page.title, revision.identifier),
        redirect_target=_redirect_target(found) or UNSET,
        is_disambiguation=page.is_disambiguation,
        image=page.image or UNSET,
        **_parts(change, found, plain, html, from_html),
    )


def with_parts(
    article: Article,
    change: Change,
    found: Found,
    *,
    plain: PlainText | None,
    html: str | None,
    from_html: PlainText | None,
) -> Article:
    """What `article_of` makes of these, from what it has made of others."""
    if article.article_body is UNSET:
        return article
    return replace(article, **_parts(change, found, plain, html, from_html))


def _parts(
    change: Change,
    found: Found,
    plain: PlainText | None,
    html: str | None,
    from_html: PlainText | None,
) -> dict[str, Any]:
    """What can be left out where an article is too large."""
    return {
        "abstract": plain.abstract if plain and plain.abstract else UNSET,
        "categories": _links(change, found, "categories"),
        "templates": _links(change, found, "templates"),
        "redirects": _links(change, found, "redirects"),
        "article_body": _body(found.revision.content or "", plain, html),
        "from_html": _from_html(from_html) if from_html else UNSET,
    }


def _links(change: Change, found: Found, name: PageList) -> list[Link] | Maybe:
    titles = found.page.lists.get(name)
    if titles is None:
        return UNSET
    return [Link(title, page_url(found.site, change.server_name, title)) for title in titles]


def _body(content: str, plain: PlainText | None, html: str | None) -> ArticleBody:
    given = UNSET if html is None else html
    if plain is None:
        return ArticleBody(wikitext=content, html=given)
    return ArticleBody(
        wikitext=content,
        html=given,
        text=UNSET if plain.text is None else plain.text,
        sections=UNSET if plain.sections is None else plain.sections,
        infoboxes=UNSET if plain.infoboxes is None else plain.infoboxes,
    )


def _from_html(plain: PlainText) -> FromHtml:
    return FromHtml(text=UNSET if plain.text is None else plain.text, abstract=plain.abstract or UNSET)


def removal_of(change: Change, page_id: int, site: SiteInfo | None, stamp: Stamp) -> Article:
    """Of a deleted page: what it was called, and that it is gone. No comment: it would quote the text."""
    return Article(
        name=change.title,
        identifier=page_id,
        url=page_url(site, change.server_name, change.title),
        namespace=_namespace(site, change.namespace),
        is_part_of=_project(site, change),
        event=_event(change, stamp, "delete", site, UNSET),
        version=Version(identifier=change.revision) if change.revision else UNSET,
        in_language=_language(site.language, site.direction) if site else UNSET,
    )


def hidden_of(
    change: Change, page_id: int, told: RevisionVisibility, site: SiteInfo | None, stamp: Stamp
) -> Article:
    """Of a page whose newest revision is hidden, where the wiki says nothing that could be told with it."""
    return Article(
        name=change.title,
        identifier=page_id,
        url=page_url(site, change.server_name, change.title),
        namespace=_namespace(site, change.namespace),
        is_part_of=_project(site, change),
        event=_event(change, stamp, "visibility-change", site, told),
        version=Version(identifier=told.identifier),
        in_language=_language(site.language, site.direction) if site else UNSET,
        visibility=told.visibility,
    )


def _hidden(change: Change, found: Found, visibility: Visibility, stamp: Stamp) -> Article:
    """No SHA-1 (it betrays short texts), no tags, no comment, no editor."""
    page, revision, site = found.page, found.revision, found.site
    told = _told(change)
    return Article(
        name=page.title,
        identifier=page.page_id,
        url=page_url(site, change.server_name, page.title),
        namespace=_namespace(site, page.namespace),
        is_part_of=_project(site, change),
        event=_event(
            change,
            stamp,
            "visibility-change",
            site,
            RevisionVisibility(revision.identifier, visibility) if told is UNSET else told,
        ),
        date_modified=rfc3339(revision.edited_ms),
        version=Version(
            identifier=revision.identifier,
            is_current=page.last_revision == revision.identifier,
            parent_identifier=revision.parent,
        ),
        in_language=_language(page.language or site.language, page.direction or site.direction),
        visibility=visibility,
    )


def _told(change: Change) -> RevisionVisibility | Maybe:
    if change.meant != "visibility":
        return UNSET
    return RevisionVisibility(change.revision, change.visibility or Visibility())


def _event(
    change: Change,
    stamp: Stamp,
    event_type: EventType,
    site: SiteInfo | None,
    revision: RevisionVisibility | Maybe,
) -> Event:
    previous = change.previous
    return Event(
        identifier=change.identifier,
        type=event_type,
        kind=change.kind,
        sequence=stamp.sequence,
        date_created=rfc3339_ms(change.edited_ms),
        date_published=rfc3339_ms(stamp.published_ms),
        late=True if stamp.late else UNSET,
        previous=PreviousPlace(previous.title, _namespace(site, previous.namespace)) if previous else UNSET,
        revision=revision,
    )


def _namespace(site: SiteInfo | None, identifier: int) -> Namespace:
    name = site.namespaces.get(identifier) if site else None
    return Namespace(identifier, UNSET if name is None else name)


def _project(site: SiteInfo | None, change: Change) -> Project:
    if site is None:
        return Project(change.wiki, url=f"https://{change.server_name}")
    return Project(
        change.wiki,
        name=site.name or UNSET,
        url=site.server or UNSET,
        in_language=_language(site.language, site.direction),
    )


def _language(code: str, direction: str) -> Language | Maybe:
    if not code:
        return UNSET
    return Language(code, language_name(code) or UNSET, _DIRECTIONS.get(direction, UNSET))


def _is_made_by(change: Change, revision: RevisionAnswer) -> bool:
    """Whether the revision is what the change wrote. A redirect that a move left is told without its number
    and asked by title: without a parent it is the mover's, else a later edit's.
    """
    if change.cause == "redirect":
        return revision.parent == 0
    return change.kind in BY_REVISION and change.revision == revision.identifier


def _created(change: Change, revision: RevisionAnswer) -> bool:
    return change.kind == "create" and _is_made_by(change, revision)


def _version(
    change: Change, found: Found, visibility: Visibility, content: str, hint: Hint | None
) -> Version:
    revision = found.revision
    tags = tags_of(revision, hint)
    model = model_of(found)
    return Version(
        identifier=revision.identifier,
        comment=revision.comment if visibility.comment else UNSET,
        tags=tags,
        is_minor_edit=revision.minor,
        number_of_characters=len(content),
        size=Size(revision.size),
        scores=scores_of(hint),
        editor=_editor(change, revision, hint.editor if hint else None) if visibility.editor else UNSET,
        is_current=found.page.last_revision == revision.identifier,
        parent_identifier=revision.parent,
        sha1=revision.sha1 or (hint.sha1 if hint else "") or UNSET,
        content_model=model or UNSET,
        size_change=size_change_of(revision, _parent_size(change, revision, hint)),
        reverts=reverts_of(hint),
        is_reverted=True if REVERTED_TAG in tags else UNSET,
        noindex=found.page.noindex,
        maintenance_tags=maintenance_tags(content, found.site.language) if model == WIKITEXT else UNSET,
    )


def _parent_size(change: Change, revision: RevisionAnswer, hint: Hint | None) -> int | None:
    size = hint.parent_size if hint else None
    return change.parent_size if size is None and _is_made_by(change, revision) else size


def _editor(change: Change, revision: RevisionAnswer, figures: EditorFigures | None) -> Editor:
    figures = figures or EditorFigures()
    is_bot = figures.is_bot
    if is_bot is None and _is_made_by(change, revision):
        is_bot = change.bot
    groups = figures.groups
    return Editor(
        identifier=revision.user_id or UNSET,
        name=revision.user or UNSET,
        edit_count=UNSET if figures.edit_count is None else figures.edit_count,
        groups=UNSET if groups is None else list(groups),
        is_bot=UNSET if is_bot is None else is_bot,
        is_anonymous=revision.is_anonymous,
        is_admin=UNSET if groups is None else ADMIN_GROUP in groups,
        is_temporary=revision.is_temporary or bool(figures.is_temporary),
        date_started=UNSET if figures.registered_ms is None else rfc3339(figures.registered_ms),
    )


def _previously(revision: RevisionAnswer, hint: Hint | None) -> str | Maybe:
    if hint is None or hint.parent_edited_ms is None or not revision.parent:
        return UNSET
    return rfc3339(hint.parent_edited_ms)


def _previous_version(change: Change, revision: RevisionAnswer, hint: Hint | None) -> PreviousVersion | Maybe:
    if not revision.parent:
        return UNSET
    size = _parent_size(change, revision, hint)
    return PreviousVersion(
        revision.parent,
        size=UNSET if size is None else Size(size),
        sha1=(hint.parent_sha1 if hint else "") or UNSET,
    )


def model_of(found: Found) -> str:
    """The revision's content model; "" where the wiki did not say."""
    return found.revision.content_model or found.page.content_model


def is_redirect(found: Found) -> bool:
    """Of the revision, in wikitext. The keyword is localised, and what the page is now says whether it is
    one; English is understood by all wikis, so a page that is an article again is known by it.
    """
    return _redirect_link(found) is not None


def _redirect_link(found: Found) -> str | None:
    if model_of(found) != WIKITEXT:
        return None
    return link_of(found.revision.content or "", any_word=found.page.is_redirect)


def _redirect_target(found: Found) -> str:
    link = _redirect_link(found)
    return title_of(link, found.site) if link else ""
