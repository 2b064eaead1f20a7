"""A wiki's word about itself, and the page that a corpus makes of a revision: as the feed would tell it.

A dump's head brings names and namespaces; the wiki's API also its language, its licence and its namespaces'
aliases. What neither says stays empty: better nothing than a guess.
"""

from urllib.parse import urlsplit

from msgspec import Struct

from consumers.corpus.page import WIKITEXT, Page, headings_of
from consumers.credit import absolute, encode_title, licence_identifier, sentence
from consumers.event import Licence
from consumers.wikitext.text import Origin, origin_of, plain_text


class Site(Struct, frozen=True):
    wiki: str
    """Database name, e.g. `enwiki`."""
    server: str
    """With scheme, e.g. `https://en.wikipedia.org`."""
    name: str = ""
    language: str = ""
    article_path: str = "/wiki/$1"
    script_path: str = "/w"
    namespaces: dict[int, str] = {}
    aliases: dict[str, int] = {}
    licence: list[Licence] = []

    @property
    def server_name(self) -> str:
        return urlsplit(self.server).netloc

    def url(self, title: str) -> str:
        return self.server + self.article_path.replace("$1", encode_title(title))

    def script(self, title: str, query: str) -> str:
        return f"{self.server}{self.script_path}/index.php?title={encode_title(title)}&{query}"

    def origin(self, title: str, namespace: int) -> Origin:
        return origin_of(title, self.namespaces, self.aliases, namespace)

    def attribution(self, title: str) -> str:
        return sentence(title, self.name, self.server_name, self.licence)


class Revision(Struct, frozen=True):
    """A page's newest one, as a dump or the wiki gives it. `content` None: it can't be read."""

    page: int
    title: str
    namespace: int
    revision: int
    content: str | None = None
    timestamp: str | None = None
    """RFC 3339."""
    sha1: str | None = None
    """Hex."""
    model: str = WIKITEXT
    is_minor: bool | None = None
    redirect_target: str | None = None
    language: str = ""
    """Where the page's is not the wiki's."""
    wikidata: str | None = None
    is_disambiguation: bool = False
    tags: list[str] = []


def page_of(site: Site, revision: Revision, *, keep_wikitext: bool = True) -> Page:
    """Of a revision whose content is there; its text is made here."""
    assert revision.content is not None
    title = revision.title
    origin = site.origin(title, revision.namespace)
    is_prose = revision.model == WIKITEXT and revision.redirect_target is None and bool(revision.content)
    return Page(
        wiki=site.wiki,
        page=revision.page,
        revision=revision.revision,
        title=title,
        url=site.url(title),
        namespace=revision.namespace,
        text=plain_text(revision.content, origin).text or "" if is_prose else "",
        language=revision.language or site.language,
        wikitext=revision.content if keep_wikitext else None,
        headings=headings_of(revision.content, origin) if is_prose and not keep_wikitext else None,
        wikidata=revision.wikidata,
        date_modified=revision.timestamp,
        licence=site.licence,
        attribution=site.attribution(title),
        revision_url=site.script(title, f"oldid={revision.revision}"),
        history_url=site.script(title, "action=history"),
        redirect_target=revision.redirect_target,
        is_disambiguation=revision.is_disambiguation,
        sha1=revision.sha1,
        content_model=revision.model,
        tags=revision.tags,
        is_minor=revision.is_minor,
    )


def licences(name: str, url: str) -> list[Licence]:
    """Empty where the wiki states none."""
    if not name and not url:
        return []
    url = absolute(url)
    identifier = licence_identifier(url)
    return [Licence(name or identifier or url, url, identifier or None)]
