"""`prop=categories|templates|redirects`: lists of pages, cut after so many entries of all together. Pure.

As MediaWiki does it: categories and templates go by page id, redirects by the title that they lead to, each
page whole before the next one; what goes on names the first entry that was not told, and of redirects only
what tells the titles apart that were asked for.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from streamer.sandbox.pages import Page, Readable, categories
from streamer.sandbox.params import ApiError, Params

Json = dict[str, object]
DEFAULT: Final = 10
MOST: Final = 20
"""What `max` means. Wikimedia's is 500; here a batch is to need several requests."""
PREFIXES: Final[Mapping[str, str]] = {"categories": "cl", "templates": "tl", "redirects": "rd"}
_TEMPLATE: Final = re.compile(r"\{\{\s*([^{}|#<>\[\]\n]+?)\s*(?=[|}\n])")
Key = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    key: Key
    page_id: int
    title: str
    namespace: int


@dataclass(slots=True)
class PageLists:
    """Of the pages that one request asks for; `titles` are all of them, be there a page or not."""

    wiki: Readable
    params: Params
    pages: Collection[Page]
    titles: Collection[tuple[int, str]]

    def add(self, name: str, described: Mapping[int, Json]) -> str:
        """To the pages; returns where to go on, "" at the end."""
        prefix = PREFIXES[name]
        make: dict[str, Callable[[], Iterable[_Entry]]] = {
            "categories": self._categories,
            "templates": self._templates,
            "redirects": self._redirects,
        }
        entries = sorted(make[name]())
        token = self.params.get(f"{prefix}continue")
        if token and entries:
            start = _parsed(token, entries[0].key)
            entries = [entry for entry in entries if entry.key >= start]
        limit = self.params.number(f"{prefix}limit", DEFAULT, most=MOST)
        for entry in entries[:limit]:
            listed = described[entry.page_id].setdefault(name, [])
            assert isinstance(listed, list)
            listed.append({"ns": entry.namespace, "title": entry.title})
        return "|".join(map(str, entries[limit].key)).replace(" ", "_") if len(entries) > limit else ""

    def _categories(self) -> Iterable[_Entry]:
        for page in self.pages:
            for title in categories(self.wiki, page.current.text):
                yield _Entry((page.identifier, _key(title.partition(":")[2])), page.identifier, title, 14)

    def _templates(self) -> Iterable[_Entry]:
        for page in self.pages:
            if page.current.model != "wikitext":
                continue
            for title in sorted({self._template(name) for name in _TEMPLATE.findall(page.current.text)}):
                namespace = self.wiki.site.namespace_of(title)
                name = _key(title.partition(":")[2] if namespace else title)
                yield _Entry((page.identifier, namespace, name), page.identifier, title, namespace)

    def _template(self, name: str) -> str:
        if name.startswith(":"):
            return self.wiki.normalised(name[1:])
        if self.wiki.site.namespace_of(name):
            return self.wiki.normalised(name)
        return self.wiki.normalised(f"Template:{name}")

    def _redirects(self) -> Iterable[_Entry]:
        has_spaces = len({namespace for namespace, _ in self.titles}) > 1
        has_names = len({_name(*title) for title in self.titles}) > 1
        for page in self.pages:
            for leads in self.wiki.redirects_to(page.title):
                name = _key(_name(page.namespace, page.title))
                place = (*((page.namespace,) if has_spaces else ()), *((name,) if has_names else ()))
                yield _Entry((*place, leads.identifier), page.identifier, leads.title, leads.namespace)


def _name(namespace: int, title: str) -> str:
    return title.partition(":")[2] if namespace else title


def _key(title: str) -> str:
    return title.replace(" ", "_")


def _parsed(token: str, like: Key) -> Key:
    """As a key of that shape."""
    parts = token.split("|")
    try:
        if len(parts) == len(like):
            return tuple(
                int(part) if isinstance(of, int) else part for part, of in zip(parts, like, strict=True)
            )
    except ValueError:
        pass
    raise ApiError(
        "badcontinue",
        "Invalid continue param. You should pass the original value returned by the previous query.",
    )
