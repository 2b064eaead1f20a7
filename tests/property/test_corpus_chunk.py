"""Passages: all of the text, none too long, and whose ids change only where the text does."""

import random
import statistics
import unicodedata
from collections.abc import Sequence

import msgspec
import pytest
from harness.edits import HEADING, chain, cost, long_article
from harness.wikitext import LANGUAGES, article
from hypothesis import given
from hypothesis import strategies as st

from consumers.corpus.chunk import Chunk, chunks, edit
from consumers.corpus.cut import MAX_CHARS, pieces
from consumers.corpus.page import Page
from consumers.corpus.site import Revision, Site, page_of
from consumers.wikitext.structure import Section
from consumers.wikitext.text import Make, plain_text

GOAL = 0.10
TEXTS = st.text(st.sampled_from("ab \n.。!?क्षกำ 字す\u0301\u200d👩é"), max_size=400)


def page(wikitext: str, *, title: str = "A title", wiki: str = "enwiki", number: int = 1) -> Page:
    text = plain_text(wikitext).text or ""
    return Page(wiki, number, 1, title, f"https://en.example/wiki/{title}", 0, text, wikitext=wikitext)


def ids(found: Sequence[Chunk]) -> list[str]:
    return [chunk.id for chunk in found]


@given(TEXTS, st.integers(16, 60))
def test_pieces_are_all_of_the_text(text: str, at_most: int) -> None:
    """Nothing is lost or told twice but white space, none is empty or too long, wide characters counting
    twice, and no mark is parted from its letter.
    """
    found = pieces(text, at_most)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(piece and piece == piece.strip() for piece in found)
    wide = "。字す"
    assert all(len(piece) + sum(map(piece.count, wide)) <= at_most for piece in found)
    at = 0
    for piece in found[1:]:
        at = text.find(piece, at)
        first = unicodedata.category(piece[0])[0]
        assert first != "M" or text[at - 1 : at].isspace() or len(text) > at_most


@pytest.mark.parametrize("language", LANGUAGES)
def test_passages_are_all_of_an_article(language: str, rng: random.Random) -> None:
    """In order, each below its headings; ids are unique and the same every time."""
    for wikitext in (article(language), long_article(language, rng)):
        content = page(wikitext)
        found = chunks(content)
        sections = plain_text(wikitext, make=Make(sections=True)).sections
        assert sections is not None
        told = "".join("".join(section.text.split()) for section in sections)
        assert "".join("".join(chunk.text.split()) for chunk in found) == told
        assert len(set(ids(found))) == len(found)
        assert chunks(content) == found
        assert all(len(chunk.text) <= MAX_CHARS for chunk in found)
        paths = [tuple(section.path) for section in sections if section.text]
        assert list(dict.fromkeys(chunk.path for chunk in found)) == list(dict.fromkeys(paths))


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_edit_changes_what_is_around_it(language: str, rng: random.Random) -> None:
    """A word put anywhere into a long section of any script: in four of five cases no more than two passages
    come and two go, never more than a few; all others are kept.
    """
    text = "\n\n".join(long_article(language, rng, sections=1) for _ in range(32))
    before = chunks(page(text))
    assert len(before) > 15
    touched = []
    for _ in range(40):
        at = rng.randrange(len(text))
        diff = edit(ids(before), chunks(page(f"{text[:at]} moon {text[at:]}")))
        assert len(diff.added) >= 1
        assert len(diff.kept) + len(diff.removed) == len(before)
        touched.append(max(len(diff.added), len(diff.removed)))
    touched.sort()
    assert touched[31] <= 2
    assert touched[-1] <= len(before) // 2


def test_a_heading_changes_what_is_below_it(rng: random.Random) -> None:
    """And nothing else, its subsections being below it."""
    text = long_article("en", rng)
    before = chunks(page(text))
    heading = next(match for match in HEADING.finditer(text) if len(match[1]) == 2)
    renamed = f"{text[: heading.start(2)]}Another name{text[heading.end(2) :]}"
    diff = edit(ids(before), chunks(page(renamed)))
    below = [chunk.id for chunk in before if heading[2] in chunk.path]
    assert below
    assert len(below) < len(before)
    assert sorted(diff.removed) == sorted(below)
    assert len(diff.added) == len(below)


def test_names_hold_the_page_but_not_its_title(rng: random.Random) -> None:
    """A move changes no id; the same text on another page, or another wiki, has others."""
    text = long_article("de", rng)
    found = ids(chunks(page(text)))
    assert ids(chunks(page(text, title="Another title"))) == found
    assert not set(ids(chunks(page(text, number=2)))) & set(found)
    assert not set(ids(chunks(page(text, wiki="dewiki")))) & set(found)


def test_the_same_text_twice_is_two_passages() -> None:
    """Below the same headings; when one of them goes the other one keeps its name."""
    twice = "== A ==\nThe same.\n\n== B ==\nOther.\n\n== A ==\nThe same."
    first, other, second = ids(chunks(page(twice)))
    assert len({first, other, second}) == 3
    assert edit([first, other, second], chunks(page("== B ==\nOther.\n\n== A ==\nThe same."))).removed == [
        second
    ]


def test_white_space_and_unicode_forms_are_no_change() -> None:
    """As in the hashes of the feed's sections."""
    one = Page("frwiki", 1, 1, "T", "u", 0, "x", sections=[Section(["É"], 2, "Un café  noir", "")])
    other = msgspec.structs.replace(one, sections=[Section(["E\u0301"], 2, "Un cafe\u0301 noir", "")])
    assert ids(chunks(one)) == ids(chunks(other))


def test_what_has_no_sections_is_one() -> None:
    """A feed with text alone; a redirect has no passages."""
    alone = Page("enwiki", 1, 1, "T", "u", 0, "Only text.\n\nOf two paragraphs.")
    assert [(chunk.path, chunk.text) for chunk in chunks(alone)] == [((), alone.text)]
    assert chunks(msgspec.structs.replace(alone, text="", wikitext="#REDIRECT [[X]]")) == []


def test_edits_embed_a_tenth_of_what_they_edit() -> None:
    """Summed over chains of edits of invented articles in eight languages: characters embedded anew are at
    most a tenth of the characters of the articles; windows of a fixed size need more than twice as much.
    """
    costs = []
    for language in LANGUAGES:
        rng = random.Random(language)
        text = long_article(language, rng)
        for revised in chain(text, rng, 40):
            costs.append(cost(text, revised.text))
            text = revised.text
    articles = sum(each.article for each in costs)
    embedded = sum(each.embedded for each in costs)
    assert embedded / articles <= GOAL
    assert sum(each.windows for each in costs) > 2 * embedded
    assert statistics.median(each.embedded / each.article for each in costs if each.is_of_text) <= 1.5 * GOAL


def test_a_text_of_the_feed_stands_below_its_headings() -> None:
    """The wiki's own names of pictures are known to the feed alone: its text is cut, whatever English names
    would leave of the wikitext; a heading that the text lacks is passed over.
    """
    wikitext = (
        "Ein Anfang.\n\n[[Datei:X.jpg|mini|Ein Bild]]\n== Leben ==\nA.\n=== Jugend ===\nB.\n== Werk ==\nC."
    )
    text = "Ein Anfang.\n\nLeben\n\nA.\n\nB.\n\nWerk\n\nC."
    content = msgspec.structs.replace(page(wikitext, wiki="dewiki"), text=text)
    assert [(chunk.path, chunk.text) for chunk in chunks(content)] == [
        ((), "Ein Anfang."),
        (("Leben",), "A.\n\nB."),
        (("Werk",), "C."),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_without_its_wikitext_has_the_same_passages(language: str) -> None:
    """Its headings are kept in place of it, be it of a dump or of the feed: nothing is embedded again when
    one follows the other.
    """
    wikitext = article(language)
    content = page(wikitext)
    dump = Revision(1, "A title", 0, 1, wikitext)
    site = Site("enwiki", "https://en.example")
    of_dump = page_of(site, dump, keep_wikitext=False)
    assert of_dump.wikitext is None
    assert ids(chunks(of_dump)) == ids(chunks(content))
