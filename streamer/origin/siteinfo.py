"""A wiki's own word about itself: how it is read, and how long it is kept."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field

from consumers.credit import absolute
from streamer.origin.answer import SiteInfo

SITE_KEPT_MS: Final = 24 * 3_600_000
SITES_KEPT: Final = 4096
"""Wikimedia has some thousand wikis; beyond that, names are being invented."""


class General(Struct):
    wikiid: str
    sitename: str = ""
    lang: str = ""
    rtl: bool = False
    server: str = ""
    articlepath: str = "/wiki/$1"
    scriptpath: str = "/w"


class NamespaceInfo(Struct):
    id: int
    name: str = ""
    case: str = ""


class NamespaceAlias(Struct):
    id: int
    alias: str = ""


class Rights(Struct):
    url: str = ""
    text: str = ""


class SiteQuery(Struct):
    """The parts of `query` that `meta=siteinfo` fills."""

    general: General | None = None
    namespaces: dict[str, NamespaceInfo] = field(default_factory=dict)
    namespacealiases: list[NamespaceAlias] = field(default_factory=list)
    rightsinfo: Rights | None = None


def site_info(query: SiteQuery, server_name: str, now_ms: int) -> SiteInfo | None:
    """None where the answer holds none. `server_name` is the one that was asked."""
    general = query.general
    if general is None:
        return None
    rights = query.rightsinfo or Rights()
    server = general.server or f"//{server_name}"
    return SiteInfo(
        wiki=general.wikiid,
        server_name=server_name,
        name=general.sitename,
        language=general.lang,
        direction="rtl" if general.rtl else "ltr",
        namespaces={namespace.id: namespace.name for namespace in query.namespaces.values()},
        licence_name=rights.text,
        licence_url=absolute(rights.url),
        article_path=general.articlepath,
        script_path=general.scriptpath,
        server=absolute(server),
        fetched_ms=now_ms,
        aliases={alias.alias: alias.id for alias in query.namespacealiases},
        cased=tuple(each.id for each in query.namespaces.values() if each.case == "case-sensitive"),
    )


class Sites:
    """By server name: what it says of itself is true of the server, whatever wiki a change names."""

    def __init__(self, known: Iterable[SiteInfo] = ()) -> None:
        self._by_server: Final[dict[str, SiteInfo]] = {}
        self._by_wiki: Final[dict[str, SiteInfo]] = {}
        for site in sorted(known, key=lambda site: site.fetched_ms):
            self.put(site)

    def put(self, site: SiteInfo) -> None:
        if len(self._by_server) >= SITES_KEPT and site.server_name not in self._by_server:
            oldest = next(iter(self._by_server))
            gone = self._by_server.pop(oldest)
            if self._by_wiki.get(gone.wiki) is gone:
                del self._by_wiki[gone.wiki]
        self._by_server[site.server_name] = site
        self._by_wiki[site.wiki] = site

    def of_server(self, server_name: str) -> SiteInfo | None:
        return self._by_server.get(server_name)

    def of_wiki(self, wiki: str) -> SiteInfo | None:
        return self._by_wiki.get(wiki)

    def is_fresh(self, server_name: str, now_ms: int) -> bool:
        """Within 24 h either way: a clock that stepped back doesn't keep it for ever."""
        site = self._by_server.get(server_name)
        return site is not None and abs(now_ms - site.fetched_ms) < SITE_KEPT_MS
