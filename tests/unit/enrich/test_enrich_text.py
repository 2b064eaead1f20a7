"""Plain text: what stays, what goes, and what hostile markup costs."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.enrich.text import (
    MAX_ABSTRACT_CHARS,
    TooDeep,
    _without_structures,
    _without_well_formed,
    plain_text,
)
from streamer.enrich.textpool import MAX_INPUT_CHARS, TextPool

PAGE = """{{Infobox|a={{b|c}}|pic=[[File:x.jpg]]}}
'''Berlin''' ({{IPA|x}}) is the [[capital city|capital]] of [[Germany]].<ref name="a">foo {{cite|x}}</ref>
<ref name="a"/>[[Datei:X.jpg|mini|ein [[Link]] darin]]
It has [https://x.example people] &amp; rivers.<!-- no one -->

== History ==
{| class="wikitable"
|-
| cell || {{c}}
|}
* ''one''
# two [[:Category:Kept]] [[Category:Gone]]
<gallery>
File:a.jpg|caption
</gallery>
__NOTOC__ last<br/>line <nowiki/>
"""


def test_what_a_reader_reads() -> None:
    """Link text, headings and list items stay; templates, tables, refs, files, categories, comments go."""
    text, abstract = plain_text(PAGE, ["Datei", "Kategorie"])
    assert text == (
        "Berlin is the capital of Germany.\n\nIt has people & rivers.\n\nHistory\n\n"
        "one\ntwo Category:Kept\n\nlast\nline"
    )
    assert abstract == "Berlin is the capital of Germany."


def test_an_abstract_is_bounded_and_before_the_first_heading() -> None:
    """The first paragraph, cut at a word."""
    assert plain_text("== H ==\nafter").abstract == ""
    long = plain_text("word " * 1_000).abstract
    assert len(long) <= MAX_ABSTRACT_CHARS
    assert long.endswith("word")


SLOW = "{{a|{b}" * 5_000 + "}}" * 5_000
"""For the parser alone: single braces keep the quick way off."""

HOSTILE = {
    "parameters": "{{{a|" * 3_000,
    "unclosed tables": "{|\n|a\n" * 3_000,
    "unclosed links": "[[" * 20_000,
    "unclosed templates": "{{a|" * 20_000,
    "files": "[[File:a|" * 5_000,
    "refs": "<ref>" * 50_000,
    "cut refs": "<ref " * 50_000,
    "quotes": "'''''a" * 30_000,
    "external": "[http://a b" * 20_000,
    "headings": "= a\n=" * 50_000,
    "tags": "<b " * 100_000,
    "entities": "&#" * 100_000,
    "spaces": " \t" * 200_000,
    "comment": "<!-- " * 100_000,
}


@pytest.mark.parametrize("markup", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_markup_is_read_in_bounded_time(markup: str) -> None:
    """Markup that takes other parsers seconds to minutes; the bound here is wide, for slow machines."""
    start = time.process_time()
    plain_text(markup)
    assert time.process_time() - start < 2.0


@given(st.text(alphabet="{}[]|<>!-/refab='\n*#:&; ", max_size=200))
def test_no_markup_is_too_strange(markup: str) -> None:
    """Whatever is written, some text comes out, and no marker of ours or of the parser's."""
    try:
        text, abstract = plain_text(markup)
    except TooDeep:
        return
    assert "\x00" not in text
    assert len(abstract) <= MAX_ABSTRACT_CHARS


def test_endless_nesting_is_refused_at_once() -> None:
    """What would keep a parser busy for seconds is given up after a few passes."""
    with pytest.raises(TooDeep):
        plain_text("{{" * 20_000 + "}}" * 20_000)


WORDS = st.text(alphabet="abc ", min_size=1, max_size=6).filter(str.strip)
MARKUP = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(" ".join),
        inner.map(lambda x: f"{{{{t|x={x}}}}}"),
        inner.map(lambda x: f"{{{{#if: y | {x} }}}}"),
        inner.map(lambda x: f"{{{{{{p|{x}}}}}}}"),
        WORDS.map(lambda x: f"[[{x}]]"),
        st.tuples(WORDS, WORDS).map(lambda two: f"[[{two[0]}|{two[1]}]]"),
        inner.map(lambda x: f"[[File:a.jpg|thumb|{x}]]"),
        WORDS.map(lambda x: f"[[Category:{x}]]"),
        WORDS.map(lambda x: f"[[:Category:{x}]]"),
        inner.map(lambda x: f"\n{{|\n|-\n| {x}\n|}}\n"),
    ),
    max_leaves=12,
)


@given(MARKUP)
def test_well_formed_markup_reads_as_the_parser_reads_it(markup: str) -> None:
    """The quick way and wikitextparser agree wherever brackets match."""
    dropped = {"file", "category"}
    quick = _without_structures(_without_well_formed(markup, dropped), dropped)
    assert quick.split() == _without_structures(markup, dropped).split()


async def test_a_worker_that_takes_too_long_is_replaced() -> None:
    """The page goes without text, the next one has its own again."""
    async with TextPool(workers=1, timeout_s=0.2) as pool:
        assert await pool.extract(SLOW) is None
        answer = await pool.extract("'''next'''")
    assert answer
    assert answer.text == "next"


async def test_a_page_beyond_the_bound_goes_without_text() -> None:
    """No worker is even started for it; an empty page needs none either."""
    async with TextPool(workers=1) as pool:
        assert await pool.extract("x" * (MAX_INPUT_CHARS + 1)) is None
        assert await pool.extract("") == ("", "")
        assert pool._all[0]._process is None


def test_real_wikitext(shared_data: Path) -> None:
    """What a real MediaWiki served comes out without markup."""
    import json  # noqa: PLC0415 - one use

    answer = json.loads((shared_data / "mediawiki-1.39/api/revisions_redirect_resolved.json").read_text())
    content = answer["body"]["query"]["pages"][0]["revisions"][0]["slots"]["main"]["content"]
    text = plain_text(content).text
    assert text.startswith("Probe text with ünïcödé 日本語 😀")
    assert "[[" not in text
    assert "Category" not in text
