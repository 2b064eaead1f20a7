"""An article in pieces of the size of an embedding, whose names stay as long as what they say does. Pure.

A chunk is what stands below a heading, or a part of it (`cut`). Its id is made of the wiki, the page, the
headings above it and its text: an edit gives new ids to the chunks that it touched and to no others, a
heading that changes to those below it, and a move to none.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple
from unicodedata import normalize

from msgspec import Struct

from consumers.corpus.cut import pieces
from consumers.corpus.page import WIKITEXT, Page, headings_of
from consumers.wikitext.text import ANYWHERE

ID_CHARS: Final = 32
"""128 bits in hex."""
MISSED: Final = 3
"""So far ahead a heading is looked for: a text that was made of HTML may lack one of the wikitext's."""


class Chunk(Struct, frozen=True):
    id: str
    path: tuple[str, ...]
    """Headings from the top down to its own; () of the lead."""
    text: str
    """At most cut.MAX_CHARS, never empty."""

    @property
    def passage(self) -> str:
        """What is embedded: its headings and its text. Not the title, which may change."""
        return f"{' > '.join(self.path)}\n\n{self.text}" if self.path else self.text


class Edit(NamedTuple):
    """From the chunks that were there to those that are."""

    added: list[Chunk]
    removed: list[str]
    kept: list[str]


def chunks(page: Page) -> list[Chunk]:
    """Of what a reader reads, in order; none of a redirect. The same text twice below the same headings is
    two chunks.
    """
    found: list[Chunk] = []
    times: Counter[tuple[str, ...]] = Counter()
    for path, text in _sections(page):
        for piece in pieces(text):
            said = (
                *map(_normal, path),
                "",
                _normal(piece),
            )  # no heading is empty: nothing else is like it
            found.append(Chunk(_id(page, said, times[said]), path, piece))
            times[said] += 1
    return found


def edit(before: Collection[str], after: Sequence[Chunk]) -> Edit:
    """`before`: ids."""
    was, now = set(before), {chunk.id for chunk in after}
    return Edit(
        [chunk for chunk in after if chunk.id not in was],
        [each for each in before if each not in now],
        [each for each in before if each in now],
    )


def _sections(page: Page) -> Iterator[tuple[tuple[str, ...], str]]:
    """The page's own text below the headings that its wikitext has: what the feed made of a wiki's pictures
    and categories, whose names only that wiki knows, is not made again.
    """
    if not page.text:
        return
    if page.sections is not None:
        yield from ((tuple(section.path), section.text) for section in page.sections)
        return
    headings = page.headings or []
    if page.wikitext and page.content_model == WIKITEXT:
        headings = headings_of(page.wikitext, ANYWHERE)
    path: tuple[str, ...] = ()
    blocks: list[str] = []
    passed = 0
    for block in page.text.split("\n\n"):
        ahead = enumerate(headings[passed : passed + MISSED], passed)
        found = next((number for number, heading in ahead if heading[-1] == block), None)
        if found is None:
            blocks.append(block)
            continue
        yield path, "\n\n".join(blocks)
        path, blocks, passed = tuple(headings[found]), [], found + 1
    yield path, "\n\n".join(blocks)


def _id(page: Page, said: Sequence[str], time: int) -> str:
    named = "\n".join((page.wiki, str(page.page), *said, str(time)))
    return hashlib.sha256(named.encode("utf-8", "replace")).hexdigest()[:ID_CHARS]


def _normal(text: str) -> str:
    return " ".join(normalize("NFC", text).split())
