"""Edits of wikitext as readers make them, chains of revisions, and what each costs to embed."""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from consumers.corpus.chunk import chunks, edit
from consumers.corpus.page import Page
from consumers.wikitext.text import plain_text
from harness.wikitext import article

HEADING = re.compile(r"^(=+) *([^=\n]+?) *\1[ \t]*$", re.MULTILINE)
WORD = re.compile(r"\w{4,}")
STOP = re.compile(r"[.!?。！？।۔](?=\s|$)|[。！？]")
NOT_PROSE: Final = ("=", "{", "|", "[[", "<", "*", "#", ":", ";", "!", "}", "__", "\n")


class Revised(NamedTuple):
    kind: str
    text: str


class Cost(NamedTuple):
    """Of one edit, in characters."""

    article: int
    """Of its plain text afterwards."""
    embedded: int
    """Of passages that are new, with the headings above them."""
    windows: int
    """The same of windows of a fixed size."""
    is_of_text: bool
    """Whether any passage came or went."""


WINDOW: Final = 1_000


def cost(before: str, after: str) -> Cost:
    """Of two wikitexts of a page."""
    was, now = page_of_wikitext(before), page_of_wikitext(after)
    diff = edit([chunk.id for chunk in chunks(was)], chunks(now))
    return Cost(
        len(now.text),
        sum(len(chunk.passage) for chunk in diff.added),
        sum(len(window) for window in _windows(now.text) - _windows(was.text)),
        bool(diff.added or diff.removed),
    )


def page_of_wikitext(wikitext: str) -> Page:
    text = plain_text(wikitext).text or ""
    return Page("enwiki", 1, 1, "Title", "https://en.example/wiki/Title", 0, text, wikitext=wikitext)


def _windows(text: str) -> set[str]:
    return {text[at : at + WINDOW] for at in range(0, len(text), WINDOW)}


def long_article(language: str, rng: random.Random, sections: int = 8) -> str:
    """Of the sentences of the invented one of that language, with numbers, so that none is twice the same."""
    text = plain_text(article(language)).text or ""
    sentences = [each.strip() for each in re.split(r"(?<=[.!?।؟])\s|(?<=。)|\n+", text) if len(each) > 15]
    parts = []
    for number in range(sections):
        if number:
            marks = "=" * (2 + number % 2)
            parts.append(f"{marks} {rng.choice(sentences)[:14].strip()} {number} {marks}")
        for _ in range(rng.randrange(2, 5)):
            said = [
                f"{rng.choice(sentences)[:-1]} {rng.randrange(10_000)}." for _ in range(rng.randrange(3, 9))
            ]
            parts.append(" ".join(said))
    return "\n\n".join(parts)


Kind = Callable[[str, random.Random], str]


def chain(text: str, rng: random.Random, edits: int) -> Iterator[Revised]:
    """So many revisions, each of the one before; the first is not given again."""
    history = [text]
    kinds, weights = zip(*[(kind, weight) for kind, (weight, _) in KINDS.items()], strict=True)
    while len(history) <= edits:
        (kind,) = rng.choices(kinds, weights)
        if kind == "revert":
            if len(history) < 3:
                continue
            after = history[-2]
        else:
            after = KINDS[kind][1](history[-1], rng)
        if after != history[-1]:
            history.append(after)
            yield Revised(kind, after)


def _typo(text: str, rng: random.Random) -> str:
    """Two letters of a word change places."""
    start, paragraph = _paragraph(text, rng)
    words = list(WORD.finditer(paragraph))
    if not words:
        return _word(text, rng)
    at = start + rng.choice(words).start() + 1
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _word(text: str, rng: random.Random) -> str:
    """A word, or some letters, of the article once more."""
    start, paragraph = _paragraph(text, rng)
    at = start + len(paragraph) // 2
    _, other = _paragraph(text, rng)
    return text[:at] + other[: rng.randrange(2, 8)] + text[at:]


def _sentence(text: str, rng: random.Random) -> str:
    start, paragraph = _paragraph(text, rng)
    stops = [match.end() for match in STOP.finditer(paragraph)] or [len(paragraph)]
    at = start + rng.choice(stops)
    return f"{text[:at]} {_said(text, rng)}{text[at:]}"


def _paragraph_added(text: str, rng: random.Random) -> str:
    start, paragraph = _paragraph(text, rng)
    at = start + len(paragraph)
    said = " ".join(_said(text, rng) for _ in range(rng.randrange(2, 6)))
    return f"{text[:at]}\n\n{said}{text[at:]}"


def _paragraph_removed(text: str, rng: random.Random) -> str:
    """Not of an article that has little else."""
    if len(_paragraphs(text)) < 4:
        return _paragraph_added(text, rng)
    start, paragraph = _paragraph(text, rng)
    return text[:start] + text[start + len(paragraph) :].lstrip("\n")


def _reference(text: str, rng: random.Random) -> str:
    start, paragraph = _paragraph(text, rng)
    at = start + len(paragraph)
    return f"{text[:at]}<ref>{{{{cite web|title=Source {rng.randrange(10**6)}}}}}</ref>{text[at:]}"


def _heading(text: str, rng: random.Random) -> str:
    headings = list(HEADING.finditer(text))
    if not headings:
        return _section(text, rng)
    chosen = rng.choice(headings)
    start, end = chosen.span(2)
    return f"{text[:start]}{chosen[2]} {_said(text, rng)[:6].strip()}{text[end:]}"


def _section(text: str, rng: random.Random) -> str:
    headings = [match.start() for match in HEADING.finditer(text)] or [len(text)]
    at = rng.choice(headings)
    title = _said(text, rng)[:12].strip(" =*#:;")
    said = " ".join(_said(text, rng) for _ in range(rng.randrange(3, 8)))
    return f"{text[:at]}\n== {title or 'More'} ==\n{said}\n\n{text[at:]}"


def _category(text: str, rng: random.Random) -> str:
    return f"{text}\n[[Category:Number {rng.randrange(10**6)}]]"


KINDS: Final[dict[str, tuple[int, Kind]]] = {
    "typo": (22, _typo),
    "word": (12, _word),
    "sentence": (16, _sentence),
    "paragraph added": (6, _paragraph_added),
    "paragraph removed": (4, _paragraph_removed),
    "reference": (16, _reference),
    "heading renamed": (3, _heading),
    "section added": (3, _section),
    "category": (8, _category),
    "revert": (10, lambda text, _: text),
}
"""Weights, in percent: of our choosing, no wiki publishes such figures."""


def _paragraphs(text: str) -> Sequence[tuple[int, str]]:
    found = []
    for match in re.finditer(r"[^\n]+", text):
        line = match[0]
        if not line.startswith(NOT_PROSE) and len(line) >= 40:
            found.append((match.start(), line))
    return found


def _paragraph(text: str, rng: random.Random) -> tuple[int, str]:
    """Where a line of prose begins, and the line; the longer ones more often."""
    found = _paragraphs(text) or [(0, text.partition("\n")[0])]
    (chosen,) = rng.choices(found, [len(line) for _, line in found])
    return chosen


def _said(text: str, rng: random.Random) -> str:
    """A sentence made of the article's own words, or letters where it has no spaces."""
    _, paragraph = _paragraph(text, rng)
    parts = paragraph.split()
    if len(parts) > 8:
        return " ".join(rng.sample(parts, rng.randrange(6, min(len(parts), 18)))).strip(".") + "."
    length = min(len(paragraph), 60)
    at = rng.randrange(len(paragraph) - length + 1)
    return paragraph[at : at + length].strip(".。") + "。"
