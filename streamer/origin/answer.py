"""What a wiki says of a page and of a revision, as the stages see it."""

from msgspec import Struct

from streamer.model import Image, Protection
from streamer.origin.pagelists import Lists, size_of


class SiteInfo(Struct, frozen=True):
    """A wiki's own word about itself, kept 24 h."""

    wiki: str
    """The database name that the host itself gave (`wikiid`): an answer is judged by it."""
    server_name: str
    name: str
    """`sitename`."""
    language: str
    direction: str
    namespaces: dict[int, str]
    licence_name: str
    licence_url: str
    article_path: str
    """e.g. `/wiki/$1`."""
    script_path: str
    """e.g. `/w`."""
    server: str
    """Base URL with scheme, e.g. `https://en.wikipedia.org`."""
    fetched_ms: int
    aliases: dict[str, int] = {}
    """Further names of namespaces: short ones, and those for women and men."""
    cased: tuple[int, ...] = ()
    """Namespaces whose titles may begin with a small letter, as on Wiktionaries."""


class PageAnswer(Struct, frozen=True):
    """The page as it was when asked. Titles with spaces and namespace."""

    page_id: int
    namespace: int
    title: str
    last_revision: int
    content_model: str = ""
    language: str = ""
    direction: str = ""
    is_redirect: bool = False
    is_disambiguation: bool = False
    main_entity: str = ""
    protection: tuple[Protection, ...] = ()
    lists: Lists = {}
    """Those that were asked for and are whole."""
    noindex: bool = False
    image: Image | None = None


class RevisionAnswer(Struct, frozen=True):
    """One revision. `content` is None where it is hidden."""

    identifier: int
    parent: int
    edited_ms: int
    minor: bool
    size: int
    sha1: str
    """Hex; "" where hidden."""
    content: str | None
    content_model: str = ""
    comment: str = ""
    user: str = ""
    user_id: int = 0
    is_anonymous: bool = False
    is_temporary: bool = False
    tags: tuple[str, ...] = ()
    text_hidden: bool = False
    comment_hidden: bool = False
    user_hidden: bool = False
    suppressed: bool = False


class Found(Struct, frozen=True):
    """`asked_ms` is the wall clock just before the request was sent: what was asked before a removal was
    read is judged `gone`.
    """

    site: SiteInfo
    page: PageAnswer
    revision: RevisionAnswer
    asked_ms: int

    @property
    def held_bytes(self) -> int:
        """What it takes to keep it, about."""
        revision = self.revision
        return revision.size + len(revision.content or "") + size_of(self.page.lists)


class Missing(Struct, frozen=True):
    """The wiki said that there is no such page or revision. One try; the caller counts tries."""

    asked_ms: int
    site: SiteInfo | None = None


Answer = Found | Missing
"""Anything else is an exception: OriginUnavailable (try again), AnswerInvalid and HostNotAllowed (never)."""
