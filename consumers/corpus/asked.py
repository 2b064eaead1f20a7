"""What a wiki says of itself and of its pages, when it is asked: as Listed rows that equal the feed's."""

import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from consumers.corpus.page import WIKITEXT, Listed
from consumers.corpus.site import Revision, Site, licences, page_of
from consumers.credit import absolute
from consumers.errors import WikiError
from consumers.event import WIKI
from consumers.wiki import Wiki

BATCH: Final = 50
"""Pages a request, for those without rights of their own."""
LAG_US: Final = 30_000_000
"""What is told of a page was so at most so long ago: replicas lag (`maxlag`), and clocks differ."""


def site_of(wiki: Wiki) -> Site:
    """Raises WikiError."""
    answer = wiki.ask(meta="siteinfo", siprop="general|namespaces|namespacealiases|rightsinfo")
    try:
        query = msgspec.convert(answer["query"], _SiteQuery)
    except (KeyError, msgspec.ValidationError) as error:
        raise WikiError(f"{wiki.api}: its siteinfo is not as expected ({error})") from None
    general, rights = query.general, query.rightsinfo
    return Site(
        general.wikiid,
        absolute(general.server) or wiki.server,
        general.sitename,
        general.lang,
        general.articlepath,
        general.scriptpath,
        {one.id: one.name for one in query.namespaces.values()},
        {one.alias: one.id for one in query.namespacealiases},
        licences(rights.text, rights.url),
    )


def pages_of(
    wiki: Wiki, site: Site, *, ids: Sequence[int] = (), titles: Sequence[str] = (), keep_wikitext: bool = True
) -> list[Listed]:
    """As they are now, at most BATCH; a page that is not there, without content. A title that leads to
    no page says nothing. Raises WikiError.
    """
    assert len(ids) + len(titles) <= BATCH
    assert not (ids and titles)
    if not ids and not titles:
        return []
    asked = {"pageids": "|".join(map(str, ids))} if ids else {"titles": "|".join(titles)}
    found: dict[int, dict[str, Any]] = {}
    missing: set[int] = set()
    at = 1 << 62
    for answer in wiki.listed(
        **asked,
        prop="revisions|info|pageprops",
        rvprop="ids|timestamp|flags|content|sha1|contentmodel|tags",
        rvslots="main",
        ppprop="wikibase_item|disambiguation",
    ):
        at = min(at, _micros(answer.get("curtimestamp")))
        for page in answer.get("query", {}).get("pages", ()):
            number = page.get("pageid")
            if not isinstance(number, int):
                continue
            if page.get("missing"):
                missing.add(number)
            else:
                found.setdefault(number, {}).update(page)
    at -= LAG_US
    rows = [Listed(site.wiki, number, at) for number in missing.intersection(ids)]
    for number, page in found.items():
        try:
            rows.append(_row(site, msgspec.convert(page, _Page), at, keep_wikitext=keep_wikitext))
        except msgspec.ValidationError as error:
            raise WikiError(f"{wiki.api}: page {number} is not as expected ({error})") from None
    return rows


def _row(site: Site, page: "_Page", at: int, *, keep_wikitext: bool) -> Listed:
    if not page.revisions:
        raise msgspec.ValidationError("it has no revision")
    revision = page.revisions[0]
    main = revision.slots.get("main", _Slot())
    if main.content is None:
        if main.texthidden or revision.texthidden or revision.sha1hidden:
            return Listed(site.wiki, page.pageid, at, revision.revid, hidden=True)
        raise msgspec.ValidationError("its text is missing")
    if main.texthidden or revision.texthidden:  # an account with rights is shown it all the same
        return Listed(site.wiki, page.pageid, at, revision.revid, hidden=True)
    properties = page.pageprops
    given = Revision(
        page.pageid,
        page.title,
        page.ns,
        revision.revid,
        main.content,
        revision.timestamp,
        revision.sha1,
        main.contentmodel,
        revision.minor,
        _redirect_target(site, main.content) if page.redirect and main.contentmodel == WIKITEXT else None,
        page.pagelanguage,
        properties.get("wikibase_item"),
        "disambiguation" in properties,
        revision.tags,
    )
    return Listed(
        site.wiki, page.pageid, at, revision.revid, page_of(site, given, keep_wikitext=keep_wikitext)
    )


_LINK: Final = re.compile(r"\[\[\s*:?([^\[\]|\n#]{1,512})")


def _redirect_target(site: Site, content: str) -> str:
    """Of a page that the wiki says is a redirect, whatever its language's word for it."""
    found = _LINK.search(content[:4_096])
    title = " ".join(found[1].replace("_", " ").split()) if found else ""
    head, colon, rest = title.partition(":")
    if colon:
        aliases = {name.casefold(): number for name, number in site.aliases.items()}
        names = {name.casefold(): number for number, name in site.namespaces.items()}
        number = names.get(head.strip().casefold(), aliases.get(head.strip().casefold()))
        if number is not None and rest.strip():
            return f"{site.namespaces.get(number, head)}:{_capital(rest.strip())}"
    return _capital(title)


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]


def _micros(timestamp: object) -> int:
    """Of the wiki's clock; of ours where it doesn't say."""
    try:
        return int(datetime.fromisoformat(str(timestamp)).timestamp()) * 1_000_000
    except ValueError:
        return time.time_ns() // 1_000


# ── what it answers ────────────────────────────────────────────────────────────────────────────


class _General(msgspec.Struct):
    wikiid: Annotated[str, msgspec.Meta(pattern=WIKI)]
    server: str = ""
    sitename: str = ""
    lang: str = ""
    articlepath: str = "/wiki/$1"
    scriptpath: str = "/w"


class _Namespace(msgspec.Struct):
    id: int
    name: str = ""


class _Alias(msgspec.Struct):
    id: int
    alias: str


class _Rights(msgspec.Struct):
    url: str = ""
    text: str = ""


class _SiteQuery(msgspec.Struct):
    general: _General
    namespaces: dict[str, _Namespace] = {}
    namespacealiases: list[_Alias] = []
    rightsinfo: _Rights = msgspec.field(default_factory=_Rights)


class _Slot(msgspec.Struct):
    contentmodel: str = WIKITEXT
    content: str | None = None
    texthidden: bool = False


class _Revision(msgspec.Struct):
    revid: int
    timestamp: str | None = None
    minor: bool | None = None
    sha1: str | None = None
    sha1hidden: bool = False
    texthidden: bool = False
    tags: list[str] = []
    slots: dict[str, _Slot] = {}


class _Page(msgspec.Struct):
    pageid: int
    title: str
    ns: int = 0
    redirect: bool = False
    pagelanguage: str = ""
    pageprops: dict[str, str] = {}
    revisions: list[_Revision] = []
