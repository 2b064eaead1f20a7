"""The form of plain text, the same whatever it is made of.

Blocks stand apart by one blank line: a paragraph, a list, what was preformatted, and a heading, which is one
line without any mark. In a paragraph all white space is one space, and a new line is a break that a reader
sees (`<br>`, a poem). A list has a line for each item: `- ` for a bullet, `1. ` for a number, counted by its
place, each level two spaces further in; a term of a definition list is a line as it is, its definition and
whatever is indented stands two spaces further in for each level. No line ends in white space.

A page is its lead, which may be empty, and a section for each heading that has words, in order. Joined by
blank lines, their headings and texts are the page's text.

This module imports nothing of ours: it is also loaded by the worker (consumers.wikitext.text).
"""

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple
from unicodedata import normalize

MAX_ABSTRACT_CHARS: Final = 2_000
MAX_DEPTH: Final = 10
"""Further in no item is shown: a page of breaks deep in lists would be many times as long as it is."""
HASH_CHARS: Final = 32
"""128 bits in hex."""


class Section(NamedTuple):
    path: tuple[str, ...]
    """Headings from the top down to its own; () of the lead."""
    level: int
    """Of its heading, 1 to 6; 0 of the lead."""
    text: str
    """Below its heading, up to the next heading of whatever level; may be empty."""

    @property
    def hash(self) -> str:
        """Of path and text in NFC with all white space as one space: the same until somebody changes what is
        read there. An edit of another section changes it only where that one's heading is in its path.
        """
        parts = (*self.path, "", self.text)  # no heading is empty: nothing else gives the same lines
        told = "\n".join(" ".join(normalize("NFC", part).split()) for part in parts)
        return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:HASH_CHARS]


class Page:
    """Given its blocks from top to bottom. Each is tidied here; an empty one is nothing."""

    def __init__(self) -> None:
        self._sections: list[Section] = []
        self._path: list[tuple[int, str]] = []
        self._level = 0
        self._blocks: list[str] = []
        self._list: list[str] = []
        self.abstract = ""
        """The first paragraph of the lead, at most MAX_ABSTRACT_CHARS; "" where there is none."""

    def heading(self, level: int, text: str) -> None:
        text = " ".join(tidy(text).split("\n"))
        if not text:
            return
        self._end_section()
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, text))
        self._level = level

    def paragraph(self, text: str) -> None:
        """New lines in it are breaks."""
        text = tidy(text)
        if not text:
            return
        self._end_list()
        self._blocks.append(text)
        if not self.abstract and not self._level:
            self.abstract = abstract(text)

    def preformatted(self, text: str) -> None:
        """Lines and the spaces in them stay as they are."""
        lines = [line.rstrip() for line in text.replace("\u00a0", " ").split("\n")]
        text = "\n".join(lines).strip("\n")
        if text:
            self._end_list()
            self._blocks.append(text)

    def item(self, text: str, depth: int = 1, number: int = 0) -> None:
        """Of a list; `depth` from 1, `number` 0: a bullet."""
        self._line(depth - 1, f"{number}. " if number else "- ", text)

    def term(self, text: str, depth: int = 1) -> None:
        self._line(depth - 1, "", text)

    def indented(self, text: str, depth: int = 1) -> None:
        """A definition, or what stands further in."""
        self._line(depth, "", text)

    def end_list(self) -> None:
        """What is told next is another list."""
        self._end_list()

    def sections(self) -> list[Section]:
        """Of the page, which is complete."""
        self._end_section()
        self._blocks, self._list = [], []
        sections, self._sections = self._sections, []
        return sections

    def _line(self, depth: int, mark: str, text: str) -> None:
        text = tidy(text)
        if text:
            inset = "  " * min(depth, MAX_DEPTH)
            further = "\n" + inset + " " * len(mark)
            self._list.append(inset + mark + text.replace("\n", further))

    def _end_list(self) -> None:
        if self._list:
            self._blocks.append("\n".join(self._list))
            self._list = []

    def _end_section(self) -> None:
        self._end_list()
        path = tuple(text for _, text in self._path)
        self._sections.append(Section(path, self._level, "\n\n".join(self._blocks)))
        self._blocks = []


def text_of(sections: Iterable[Section]) -> str:
    """Of the page."""
    parts: list[str] = []
    for section in sections:
        parts += (part for part in (*section.path[-1:], section.text) if part)
    return "\n\n".join(parts)


def tidy(text: str) -> str:
    """Runs of spaces become one, none are left at the ends of lines; empty lines go."""
    if "\n" not in text:
        return " ".join(text.split())
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def abstract(paragraph: str) -> str:
    """Cut at a space, where it has one."""
    if len(paragraph) <= MAX_ABSTRACT_CHARS:
        return paragraph
    cut = paragraph[:MAX_ABSTRACT_CHARS]
    return cut.rpartition(" ")[0] or cut
