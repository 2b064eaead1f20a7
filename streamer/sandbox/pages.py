"""What a wiki consists of: sites, users, pages, revisions, log entries; and what the API reads them by."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Protocol

from streamer.sandbox.languages import NAMESPACES

HIDDEN_TEXT: Final = 1
HIDDEN_COMMENT: Final = 2
HIDDEN_USER: Final = 4
SUPPRESSED: Final = 8
"""MediaWiki's bits; the last one says that administrators may not look either."""

INVALID_IN_TITLES: Final = frozenset("[]{}|#<>")


class WikiError(Exception):
    """What was asked can't be done in the present state; the message says why."""


@dataclass(slots=True)
class User:
    """`identifier` is 0 for someone without an account, whose name is then an address."""

    name: str
    identifier: int = 0
    groups: tuple[str, ...] = ("*",)
    is_bot: bool = False
    is_temporary: bool = False
    edit_count: int = 0
    registered_ms: int = 0


@dataclass(frozen=True, slots=True)
class Deed:
    """Who does something, what they say about it, and when."""

    user: User
    comment: str
    time_ms: int


@dataclass(frozen=True)
class Site:
    """What a wiki says about itself."""

    wiki: str
    server_name: str
    name: str
    language: str
    rtl: bool
    licence_name: str
    licence_url: str
    namespaces: Mapping[int, str]

    def namespace_of(self, title: str) -> int:
        """By the prefix, the wiki's own or a canonical one."""
        prefix, colon, _ = title.partition(":")
        return self._numbers.get(prefix.strip().lower(), 0) if colon else 0

    def normalised(self, title: str) -> str:
        """As MediaWiki writes it: spaces, the wiki's own namespace name, a capital at the start."""
        text = " ".join(title.replace("_", " ").split())
        namespace = self.namespace_of(text)
        if namespace:
            rest = text.partition(":")[2].strip()
            return f"{self.namespaces[namespace]}:{rest[:1].upper()}{rest[1:]}"
        return text[:1].upper() + text[1:]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        names = {name.lower(): number for number, name in NAMESPACES.items() if number}
        return names | {name.lower(): number for number, name in self.namespaces.items() if number}


@dataclass
class Revision:
    identifier: int
    parent: int
    page_id: int
    edited_ms: int
    user: User | None
    """None: removed for good."""
    comment: str
    text: str
    minor: bool = False
    model: str = "wikitext"
    tags: list[str] = field(default_factory=list)
    hidden: int = 0

    @cached_property
    def sha1(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def size(self) -> int:
        return len(self.text.encode())


@dataclass
class Page:
    identifier: int
    namespace: int
    title: str
    revisions: list[Revision]
    protection: list[dict[str, str]] = field(default_factory=list)
    main_entity: str = ""
    is_disambiguation: bool = False
    image: str = ""
    """The name of the file that stands for it; "": none."""

    @property
    def current(self) -> Revision:
        return self.revisions[-1]

    @property
    def is_redirect(self) -> bool:
        return self.current.model == "wikitext" and self.current.text.startswith(REDIRECTS)

    @property
    def leads_to(self) -> str:
        """Of a redirect: the title as its text has it."""
        return self.current.text.partition("[[")[2].partition("]]")[0]


REDIRECTS: Final = ("#REDIRECT", "#WEITERLEITUNG", "#تحويل", "#転送", "#הפניה")


@dataclass(frozen=True, slots=True)
class LogEntry:
    identifier: int
    type: str
    action: str
    page_id: int
    """Of the page it happened to, which may be gone."""
    namespace: int
    title: str
    params: Mapping[str, object]
    user: User | None
    comment: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class RecentChange:
    """A line of `list=recentchanges`."""

    identifier: int
    type: str
    namespace: int
    title: str
    page_id: int
    time_ms: int
    user: User | None
    comment: str
    revision: Revision | None = None
    old_size: int = 0
    log: LogEntry | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    revision: Revision
    old_title: str
    old_namespace: int
    redirect: Page | None
    overwritten: LogEntry | None
    """The deletion of the redirect that was in the way."""
    log: LogEntry


class Readable(Protocol):
    """What the API answers from: an invented wiki or a recorded one."""

    @property
    def site(self) -> Site: ...
    @property
    def logs(self) -> Sequence[LogEntry]: ...
    @property
    def changes(self) -> Sequence[RecentChange]: ...
    def revision(self, identifier: int) -> tuple[Page, Revision] | None: ...
    def titled(self, title: str) -> Page | None: ...
    def page(self, identifier: int) -> Page | None: ...
    def normalised(self, title: str) -> str: ...
    def redirects_to(self, title: str) -> Sequence[Page]: ...


def categories(wiki: Readable, text: str) -> list[str]:
    """Titles of the categories that the text names, sorted, each once."""
    found = set()
    for link in text.split("[[")[1:]:
        title = link.partition("]]")[0].partition("|")[0]
        if not title.startswith(":") and wiki.site.namespace_of(title) == 14:
            found.add(wiki.normalised(title))
    return sorted(found)
