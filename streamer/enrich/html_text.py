"""Plain text of Parsoid's HTML: what a reader of the page reads, in the form that wikitext's text has too.

What templates say in the prose stays, since they are expanded here. Left out are tables, references,
pictures with their captions, formulas, and boxes and notes, which are known by their classes: each wiki
names its own, and those below are what the large ones share, or have instead.

Markup is hostile input: the walk is linear and keeps no stack; the parser is bounded from outside, by the
worker's limits (streamer.enrich.textworker).
"""

import re
from collections.abc import Mapping
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from consumers.wikitext.plain import Page, text_of
from consumers.wikitext.text import TEXT, Make, PlainText

# fmt: off
TAGS: Final = frozenset((
    "head", "script", "style", "noscript", "template", "iframe", "object", "canvas",  # nothing to be read
    "table",  # infoboxes, messages and navigation too, on most wikis
    "figure", "figure-inline", "figcaption", "img", "audio", "video", "svg", "map", "math",
    "nav", "form", "button", "select", "textarea", "input",
    "rp",  # brackets for who can't show what is above a character
))
HEADINGS: Final[Mapping[str, int]] = {f"h{level}": level for level in range(1, 7)}
LISTS: Final = frozenset(("ul", "ol", "dl"))
ITEMS: Final = frozenset(("li", "dd", "dt"))
BLOCKS: Final = LISTS | ITEMS | HEADINGS.keys() | frozenset((
    "body", "p", "div", "section", "blockquote", "pre", "center", "hr", "article", "aside", "details",
    "summary",
))

TYPES: Final = frozenset((
    "mw:Extension/ref", "mw:Extension/references", "mw:Extension/math", "mw:Extension/chem",
    "mw:Extension/ce", "mw:Extension/gallery", "mw:Extension/imagemap", "mw:Extension/timeline",
    "mw:Extension/score",
    "mw:Extension/graph", "mw:Extension/mapframe", "mw:Extension/maplink", "mw:Extension/hiero",
    "mw:Extension/templatestyles", "mw:Extension/inputbox", "mw:Extension/categorytree",
    "mw:Extension/templatedata", "mw:Extension/indicator", "mw:Error",
))
"""Of `typeof`: what Parsoid says that it made. The same tags are no prose in wikitext either."""
MEDIA_TYPES: Final = ("mw:File", "mw:Image", "mw:Audio", "mw:Video")
"""And what begins so (`mw:File/Thumb`); all but the first are from before version 2.5 of the HTML."""
ROLES: Final = frozenset(("navigation", "note"))
"""Boxes of links, and hatnotes."""
CLASSES: Final = frozenset((
    # what MediaWiki's own extracts leave out, which templates go by
    "noprint", "nomobile", "sortkey", "metadata", "error", "shortdescription",
    # references: marks in the text, and lists of them
    "reference", "mw-ref", "references", "mw-references-wrap", "reflist", "references-small",
    "mw-cite-backlink",
    # "citation needed" and its like, in brackets behind a word
    "Inline-Template", "need_ref_tag",
    # what leads away from the top of a page or section: "main article", "not to be confused with"
    "hatnote", "dablink", "rellink", "homonymie", "bandeau-container", "navigation-not-searchable",
    # boxes of links: at the end, at the side, to sister projects, to portals
    "navbox", "navbar", "vertical-navbox", "sidebar", "NavFrame", "side-box", "sistersitebox", "sister-box",
    "autres-projets", "itwiki_template_avviso", "portalbox", "portal-bar", "portal", "bandeau-portail",
    "succession-box", "authority-control", "catlinks", "toc", "mw-indicators",
    # facts in a box, where that is no table
    "infobox", "infobox_v2", "infobox_v3", "taxobox_v3",
    # what editors tell each other and the reader: maintenance, protection, stubs, disambiguation
    "ambox", "mbox-small", "ombox", "tmbox", "cmbox", "fmbox", "dmbox", "asbox", "stub",
    # pictures and maps
    "gallery", "thumb", "mw-kartographer-maplink", "mw-kartographer-container", "geo-nondefault",
    # the skin's, and what is in the source alone
    "mw-editsection", "mw-jump-link", "mw-empty-elt",
))
# fmt: on
IDS: Final = frozenset(("coordinates", "sous_titre_h1"))
"""The page's coordinates, which stand in a corner, and a French title under the title."""
_HIDDEN: Final = re.compile(r"display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}hidden", re.IGNORECASE)
_EMPTY_BRACKETS: Final = re.compile(r"[ \t]?\([ \t,;:\u2013-]{0,20}\)")
"""Around what was left out: a sound, a formula."""
_WHITE: Final = re.compile(r"[ \t\r\n\f]+")
MAX_DEPTH: Final = 1_000
"""Of tags in each other: the parser takes seconds for some ten thousand. No page has a hundred."""
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,30})(?:[^<>]{0,5000}>)?")
_VOID: Final = frozenset(
    ("br", "hr", "img", "input", "link", "meta", "wbr", "source", "track", "col", "area")
)
WORDS: Final = "-text"
"""How selectolax calls a node of text."""


def plain_html(html: str, make: Make = TEXT) -> PlainText:
    """Raises ValueError where tags are nested beyond MAX_DEPTH."""
    if is_deep(html):
        raise ValueError("tags are nested too deep")
    page = page_of(html)
    parts = page.sections()
    return PlainText(
        text_of(parts) if make.text else None,
        page.abstract if make.text else "",
        # sections are made of wikitext alone, for everybody: a hash that stood for the one at times and for
        # the other at times would tell of changes that nobody made
    )


def is_deep(html: str) -> bool:
    """Whether tags nest beyond MAX_DEPTH, as Parsoid's do, which closes each but the void ones."""
    depth = 0
    for match in _TAG.finditer(html):
        if match[1]:
            depth = max(0, depth - 1)
        elif match[2].lower() not in _VOID and not match[0].endswith("/>"):
            depth += 1
            if depth > MAX_DEPTH:
                return True
    return False


def page_of(html: str) -> Page:
    blocks = _Blocks()
    body = LexborHTMLParser(html).body
    if body is not None:
        _walk(body, blocks)
    return blocks.page


def _walk(top: LexborNode, blocks: "_Blocks") -> None:
    """By the nodes' own pointers: what nests a million deep is a loop like any other."""
    node, end = top, top.mem_id
    while True:
        below = None
        tag = node.tag or ""
        if tag == WORDS:
            blocks.text(node.text_content or "")
        elif tag not in TAGS and not _is_left_out(node):
            blocks.open(tag)
            below = node.first_child
            if below is None:
                blocks.close(tag)
        while below is None:
            if node.mem_id == end:
                return
            below = node.next
            if below is None:
                above = node.parent
                if above is None:
                    return
                node = above
                blocks.close(node.tag or "")
        node = below


def _is_left_out(node: LexborNode) -> bool:
    attributes = node.attributes
    if not attributes:
        return not node.is_element_node
    kinds = attributes.get("typeof")
    if kinds and any(kind in TYPES or kind.startswith(MEDIA_TYPES) for kind in kinds.split()):
        return True
    classes = attributes.get("class")
    if classes and not CLASSES.isdisjoint(classes.split()):
        return True
    style = attributes.get("style")
    if style and _HIDDEN.search(style):
        return True
    return attributes.get("role") in ROLES or attributes.get("id") in IDS


class _Blocks:
    """Is told of tags and text in their order, and makes blocks of them."""

    def __init__(self) -> None:
        self.page: Final = Page()
        self._words: list[str] = []
        self._counts: list[int] = []
        """Of each list around here: items so far; below 0 where they have no numbers."""
        self._item = ""
        """The tag of the item that has not begun."""
        self._verbatim = 0

    def text(self, text: str) -> None:
        self._words.append(text if self._verbatim else _WHITE.sub(" ", text))

    def open(self, tag: str) -> None:
        if tag == "br":
            self._words.append("\n")
        elif tag in BLOCKS:
            self._end_block()
            self._verbatim += tag == "pre"
            if tag in LISTS:
                self._counts.append(0 if tag == "ol" else -1)
            elif tag in ITEMS:
                self._item = tag
                if self._counts and self._counts[-1] >= 0:
                    self._counts[-1] += 1

    def close(self, tag: str) -> None:
        if tag not in BLOCKS:
            return
        if tag in HEADINGS:
            self.page.heading(HEADINGS[tag], self._taken())
            return
        self._end_block()
        self._verbatim -= tag == "pre"
        if tag in LISTS and self._counts:
            self._counts.pop()
            if not self._counts:
                self.page.end_list()
        elif tag in ITEMS:
            self._item = ""

    def _taken(self) -> str:
        text = _EMPTY_BRACKETS.sub("", "".join(self._words))
        self._words.clear()
        return text

    def _end_block(self) -> None:
        if not self._words:
            return
        text, item, depth = self._taken(), self._item, len(self._counts)
        if not text.strip():
            return
        self._item = ""
        if item == "li":
            self.page.item(text, max(1, depth), max(0, self._counts[-1] if self._counts else 0))
        elif item == "dt":
            self.page.term(text, max(1, depth))
        elif depth:
            self.page.indented(text, depth)
        elif self._verbatim:
            self.page.preformatted(text)
        else:
            self.page.paragraph(text)
