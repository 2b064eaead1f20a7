"""Plain text of Parsoid's HTML: what a reader sees, judged by another program; what hostile markup costs."""

import asyncio
import random
import statistics
import time
from pathlib import Path

import msgspec
import pytest
from harness import oracle

from consumers.wikitext.plain import text_of
from streamer.enrich.html_text import MAX_DEPTH, is_deep, page_of, plain_html
from streamer.enrich.textpool import TextPool
from streamer.origin.fetch import MAX_HTML_BYTES
from streamer.sandbox.server import Sandbox, SandboxOptions

MEDIAN_RECALL = 0.96
LEAST_RECALL = 0.93
LEAST_PRECISION = 0.96

HEAD = (
    '<!DOCTYPE html><html about="https://x.example/wiki/Special:Redirect/revision/3"><head><base'
    ' href="//x.example/wiki/"><title>Lamp</title></head>'
)
PAGE = f"""{HEAD}<body><section data-mw-section-id="0">
<div class="shortdescription nomobile" style="display:none">Source of light</div>
<div role="note" class="hatnote navigation-not-searchable">For the town, see Lampe.</div>
<table class="infobox" typeof="mw:Transclusion"><tr><td>Invented 1801</td></tr></table>
<p class="mw-empty-elt"></p>
<figure typeof="mw:File/Thumb"><img alt="x"><figcaption>A lamp at dusk</figcaption></figure>
<p id="mwAg">A <b>lamp</b>
gives&nbsp;light<sup typeof="mw:Extension/ref" class="mw-ref reference"><a href="#n">[1]</a></sup> for <span
 typeof="mw:Transclusion" about="#mwt1">3&nbsp;m (9.8&nbsp;ft)</span> around
(<span typeof="mw:File"><a>play</a></span>).<sup class="noprint Inline-Template">[<i>citation needed</i>]
</sup></p>
<style>.x {{color: red}}</style><!-- nobody reads this --><link rel="mw:PageProp/Category" href="./C">
</section><section data-mw-section-id="1"><h2 id="Kinds">Kinds<span class="mw-editsection">[edit]</span></h2>
<ul><li>Oil
<ol><li>old</li><li>very old</li></ol></li><li><p>Gas</p></li></ul>
<dl><dt>Wick</dt><dd>what burns</dd></dl>
<blockquote typeof="mw:Transclusion"><p>Let there be<br>light.</p></blockquote>
<pre>a  b
  c</pre>
<span typeof="mw:Extension/math"><math><mi>E</mi></math></span>
</section><section data-mw-section-id="2"><h3>Notes</h3>
<div class="mw-references-wrap" typeof="mw:Extension/references"><ol><li>Book</li></ol></div>
<div role="navigation" class="navbox"><ul><li>Lanterns</li></ul></div>
</section></body></html>"""
PLAIN = """A lamp gives light for 3 m (9.8 ft) around.

Kinds

- Oil
  1. old
  2. very old
- Gas

Wick
  what burns

Let there be
light.

a  b
  c

Notes"""


def text(html: str) -> str:
    return text_of(page_of(html).sections())


def test_what_a_reader_sees() -> None:
    """What templates say in the prose, link text, headings, list items; no tables, references, pictures with
    captions, formulas, hatnotes, navigation, comments, nor what is not shown.
    """
    assert text(PAGE) == PLAIN
    assert page_of(PAGE).abstract == "A lamp gives light for 3 m (9.8 ft) around."


def test_sections_have_their_headings_and_levels() -> None:
    """The lead first, each other with the path of headings down to it."""
    assert [(part.path, part.level) for part in page_of(PAGE).sections()] == [
        ((), 0),
        (("Kinds",), 2),
        (("Kinds", "Notes"), 3),
    ]


@pytest.mark.parametrize("html", ["", "<", "<p>", "</body>", "\x00", "<html></html>", "no markup at all"])
def test_what_is_no_document_is_no_failure(html: str) -> None:
    """There is text or none."""
    assert text(html) in {"", "no markup at all", "\ufffd", "<"}


def measured(pages: dict[str, str]) -> None:
    """The goals, of all of them; the figures are told."""
    found = {name: oracle.agreement(text(html), html) for name, html in pages.items()}
    recalls, precisions = [a.recall for a in found.values()], [a.precision for a in found.values()]
    for name, figures in (("recall", recalls), ("precision", precisions)):
        print(f"word {name}: median {statistics.median(figures):.4f}, least {min(figures):.4f}")
    worst = min(found, key=lambda name: found[name].recall)
    assert min(recalls) >= LEAST_RECALL, (worst, found[worst].missed)
    assert statistics.median(recalls) >= MEDIAN_RECALL
    worst = min(found, key=lambda name: found[name].precision)
    assert min(precisions) >= LEAST_PRECISION, (worst, found[worst].added)


def test_real_articles_against_the_oracle(shared_data: Path) -> None:
    """All of Parsoid's that were recorded, and what Wikimedia Enterprise gives. Left out are three pages of
    which there is only the skin's HTML, a template, and a main page, which is made of boxes alone.
    """
    pages = {path.name: path.read_text() for path in sorted((shared_data / "parsoid").glob("*.html"))}
    articles = {
        name: html
        for name, html in pages.items()
        if "mw:htmlVersion" in html and 'mw:pageNamespace" content="0"' in html and "isMainPage" not in html
    }
    assert len(articles) >= 9
    for line in (shared_data / "enterprise-article.ndjson").read_bytes().splitlines():
        article = msgspec.json.decode(line)
        articles[article["name"]] = article["article_body"]["html"]
    measured(articles)


async def test_invented_articles_against_the_oracle() -> None:
    """In five languages, as the sandbox renders them."""
    from streamer.sandbox.parsoid import document  # noqa: PLC0415 - beside what it is compared with

    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0, pages_per_wiki=12)) as sandbox:
        assert sandbox.world is not None
        pages = {
            f"{name}:{page.title}": document(wiki.site, page, page.current)
            for name, wiki in sandbox.world.wikis.items()
            for page in wiki.pages.values()
            if page.current.model == "wikitext" and not page.is_redirect
        }
    assert len(pages) > 20
    measured(pages)


HOSTILE = {
    "deep": "<div>" * 200_000,
    "deep and closed": "<i>" * 100_000 + "x" + "</i>" * 100_000,
    "formatting": "".join(f"<b id={number}><p>" for number in range(20_000)),
    "lists": "<ul><li>" * 100_000,
    "classes": f'<p class="{"x " * 500_000}">y',
    "brackets": "<p>" + "(" * 500_000,
    "spaces": "<p>" + " \n" * 500_000 + "x",
    "headings": "<h2>a</h2>" * 100_000,
    "style": '<p style="' + "display " * 100_000 + '">x',
    "typeof": '<p typeof="' + "mw:x " * 100_000 + '">x',
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_markup_costs_a_bounded_time(name: str) -> None:
    """Whatever it is made of, the next page has its text; where it took too long that worker is gone."""
    async with TextPool(workers=1, timeout_s=0.5) as pool:
        assert await pool.extract_html("<p>first") is not None
        async with asyncio.timeout(60):
            await pool.extract_html(HOSTILE[name])
        found = await pool.extract_html("<p>next")
        assert found is not None
        assert found.text == "next"


def test_what_nests_too_deep_is_not_parsed() -> None:
    """Which would take seconds for 200 kB; what only has many tags is."""
    begun_s = time.process_time()
    for html in ("<div>" * 40_000, "<i>" * 40_000 + "</i>" * 40_000, '<DIV title="<">' * 40_000):
        with pytest.raises(ValueError, match="too deep"):
            plain_html(html)
    assert time.process_time() - begun_s < 2.0
    flat = "<p>a<br>b<img><link /><meta><wbr/><math><mspace /></math> <i title='/'>c</i></p>"
    assert plain_html(flat * 2_000).text == "\n\n".join(["a\nb c"] * 2_000)
    assert plain_html("<div>" * MAX_DEPTH + "x" + "</div>" * MAX_DEPTH).text == "x"
    assert not is_deep(PAGE)


async def test_html_and_wikitext_share_the_workers(rng: random.Random) -> None:
    """In any order, each gets its own answer."""
    async with TextPool(workers=2) as pool:
        for number in range(20):
            if rng.random() < 0.5:
                found = await pool.extract_html(f"<p>page <b>{number}</b></p>")
            else:
                found = await pool.extract(f"page '''{number}'''")
            assert found is not None
            assert (found.text, found.abstract) == (f"page {number}", f"page {number}")


@pytest.mark.soak
async def test_the_largest_document_has_its_text() -> None:
    """As large as one may be, of ordinary markup."""
    block = PAGE.partition("<body>")[2].partition("</body>")[0]
    html = f"{HEAD}<body>{block * (MAX_HTML_BYTES // len(block.encode()))}</body>"
    async with TextPool(workers=1, timeout_s=10.0) as pool:
        found = await pool.extract_html(html)
    assert found is not None
    assert found.text.startswith("A lamp gives light")
