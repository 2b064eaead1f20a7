"""MediaWiki's export XML (schemas 0.10 and 0.11), read by expat a part at a time: pages as Listed rows.

A dump is its head (`<siteinfo>`) and pages. Parts end between two pages, so that each can be read by another
process (consumers.corpus.pieces cuts them). Of a page the newest revision counts. No DTD, no entities but
XML's own five, no text above MAX_TEXT_CHARS: a dump is as hostile as whoever made it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from consumers.corpus.page import WIKITEXT, Listed
from consumers.corpus.site import Revision, Site, page_of
from consumers.corpus.xml import Path, Xml
from consumers.errors import DumpError
from consumers.event import is_wiki

MAX_HEAD_BYTES: Final = 1 << 20
LAG_US: Final = 3_600_000_000
"""Of the replicas that dumps are made from, and of whoever looked at the clock."""
END_OF_HEAD: Final = b"</siteinfo>"
ROOT: Final = b"<mediawiki>"

_PAGE: Final = ("mediawiki", "page")
_REVISION: Final = (*_PAGE, "revision")
_SITEINFO: Final = ("mediawiki", "siteinfo")
_FIELDS: Final = frozenset(
    {(*_PAGE, name) for name in ("title", "ns", "id")}
    | {(*_REVISION, name) for name in ("id", "timestamp", "model", "sha1", "text")}
    | {(*_SITEINFO, name) for name in ("sitename", "dbname", "base")}
    | {(*_SITEINFO, "namespaces", "namespace")}
)


class Read(NamedTuple):
    """Of one part."""

    rows: list[Listed]
    unreadable: int
    """Pages whose text the dump lacks without saying that it is hidden: the wiki could not load it."""
    newest: str
    """The newest revision's time in it, RFC 3339; "" where it has none."""
    closed: bool
    """Whether the dump's end is in it."""


class _Head(Xml):
    def __init__(self, file: str) -> None:
        super().__init__(file, "byte", 0, _FIELDS)
        self.language = ""
        self.values: dict[str, str] = {}
        self.namespaces: dict[int, str] = {}

    def opened(self, path: Path, attributes: dict[str, str]) -> None:
        if len(path) == 1:
            if path != ("mediawiki",):
                raise self.error(f"begins with <{path[0][:40]}>, a dump of a wiki with <mediawiki>")
            self.language = attributes.get("xml:lang", "")

    def field(self, path: Path, text: str, attributes: dict[str, str]) -> None:
        if path[-1] == "namespace":
            self.namespaces[_number(attributes.get("key", ""), self.error, least=-(1 << 31))] = text
        else:
            self.values[path[-1]] = text.strip()


def head_of(file: str, data: bytes) -> Site:
    """Of a dump's first bytes, up to and with END_OF_HEAD. Raises DumpError."""
    head = _Head(file)
    head.feed(data)
    wiki, base = head.values.get("dbname", ""), urlsplit(head.values.get("base", ""))
    if not wiki:
        raise head.error("<siteinfo> names no wiki (<dbname>): dumps of schema 0.10 and newer do")
    if not is_wiki(wiki):
        raise head.error(f"<siteinfo> calls its wiki {wiki[:80]!a}, which is no database name")
    path, _, _ = base.path.rpartition("/")
    return Site(
        wiki,
        f"{base.scheme}://{base.netloc}" if base.netloc else "",
        head.values.get("sitename", ""),
        head.language,
        article_path=f"{unquote(path)}/$1",
        namespaces=head.namespaces,
    )


class Pages(Xml):
    """Of the parts' XML after the head. `at` is when the dump was begun, µs; None: a row is as of its
    revision's time, before which the page was not so. Pages of other `namespaces` are passed over.
    """

    def __init__(
        self,
        site: Site,
        file: str,
        where: str,
        start: int,
        *,
        at: int | None,
        keep_wikitext: bool = True,
        namespaces: Sequence[int] | None = None,
    ) -> None:
        super().__init__(file, where, start - len(ROOT), _FIELDS)
        self._site, self._at, self._keep_wikitext = site, at, keep_wikitext
        self._namespaces = namespaces
        self._rows: list[Listed] = []
        self._unreadable = 0
        self._newest = ""
        self._is_closed = False
        self._new_page()
        self.feed(ROOT)

    def read(self) -> Read:
        """After all of a part was fed."""
        if not self._is_closed:
            if self._path != ("mediawiki",):
                raise self.error("ends within a page: is it whole?")
            closed = False
            self.feed(b"</mediawiki>", final=True)
        else:
            closed = True
            self.feed(b"", final=True)
        self.let_go()
        return Read(self._rows, self._unreadable, self._newest, closed)

    def _new_page(self) -> None:
        self._title, self._namespace, self._page = "", 0, 0
        self._redirect: str | None = None
        self._best: _Revision | None = None

    def opened(self, path: Path, attributes: dict[str, str]) -> None:
        if path == _PAGE:
            self._new_page()
        elif path == _REVISION:
            self._revision = _Revision()
        elif path == (*_PAGE, "redirect"):
            self._redirect = attributes.get("title", "")
        elif path == (*_REVISION, "minor"):
            self._revision.is_minor = True
        elif len(path) == 2 and path != _PAGE:
            raise self.error(f"has <{path[-1][:40]}> where pages are: not a dump of pages")

    def field(self, path: Path, text: str, attributes: dict[str, str]) -> None:
        name = path[-1]
        if len(path) == len(_PAGE) + 1:
            if name == "title":
                self._title = text
            elif name == "ns":
                self._namespace = _number(text, self.error, least=-(1 << 31))
            else:
                self._page = _number(text, self.error)
                self._about = f"page {self._page}"
        elif name == "id":
            self._revision.number = _number(text, self.error)
        elif name == "text":
            self._revision.take(text, attributes, self.error)
        elif name == "timestamp":
            self._revision.timestamp = text
        elif name == "sha1":
            self._revision.sha1 = _hex(text)
        else:
            self._revision.model = text

    def closed(self, path: Path) -> None:
        if path == _REVISION:
            if self._best is None or self._revision.number > self._best.number:
                self._best = self._revision
        elif path == _PAGE:
            self._end_page()
        elif path == ("mediawiki",):
            self._is_closed = True

    def _end_page(self) -> None:
        best = self._best
        if not self._page or not self._title or best is None or not best.number:
            raise self.error("a page without id, title or revision")
        self._newest = max(self._newest, best.timestamp)
        if self._namespaces is not None and self._namespace not in self._namespaces:
            return
        if best.is_unreadable:
            self._unreadable += 1
            return
        at = (_micros(best.timestamp, self.error) if self._at is None else self._at) - LAG_US
        if best.content is None:
            self._rows.append(Listed(self._site.wiki, self._page, at, best.number, hidden=True))
            return
        revision = Revision(
            self._page,
            self._title,
            self._namespace,
            best.number,
            best.content,
            best.timestamp,
            best.sha1,
            best.model,
            best.is_minor,
            self._redirect,
        )
        page = page_of(self._site, revision, keep_wikitext=self._keep_wikitext)
        self._rows.append(Listed(self._site.wiki, self._page, at, best.number, page))


class _Revision:
    """While it is read."""

    def __init__(self) -> None:
        self.number = 0
        self.timestamp = ""
        self.model = WIKITEXT
        self.sha1: str | None = None
        self.is_minor = False
        self.content: str | None = None
        self.is_unreadable = True

    def take(self, text: str, attributes: dict[str, str], error: "Error") -> None:
        if "deleted" in attributes:
            self.is_unreadable = False
            return
        if not text and attributes.get("bytes", "0") != "0":
            if "location" in attributes or "id" in attributes:
                raise error("holds no texts: this is a stub, take `pages-articles`")
            return
        self.content, self.is_unreadable = text, False


Error = Callable[[str], DumpError]


def _number(text: str, error: Error, least: int = 1) -> int:
    try:
        number = int(text) if len(text) < 20 and text.isascii() else least - 1
    except ValueError:
        number = least - 1
    if not least <= number < 1 << 62:
        raise error("has a number that is none")
    return number


def _hex(sha1: str) -> str | None:
    """A dump's is of base 36."""
    if not sha1 or len(sha1) > 31 or not (sha1.isascii() and sha1.isalnum()):
        return None
    return f"{int(sha1, 36):040x}"


def _micros(timestamp: str, error: Error) -> int:
    try:
        return int(datetime.fromisoformat(timestamp).timestamp()) * 1_000_000
    except ValueError:
        raise error("has a time that is none") from None
