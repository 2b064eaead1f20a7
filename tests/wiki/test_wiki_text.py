"""Text made of wikitext beside what the real MediaWiki's Parsoid renders of it, as an oracle reads that.

Every page is an article that this project invented, with each construct of markup; its templates are made on
the wiki, under names that wikis have.
"""

import io
import json
import re
import statistics
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Final

import pytest
from harness.mediawiki import Wiki, WikiFarm
from harness.mediawiki.deed import save
from harness.wikitext import LANGUAGES, TEMPLATES, Score, article, read_by_oracle, score, used

from consumers.wikitext.text import Make, Origin, origin_of, plain_text

pytestmark = pytest.mark.timeout(300)  # it is the fixture that takes long

WRITER: Final = "Writer"
WIKIS: Final = {"de": "deproof", "ar": "arproof"}
TO_WIKITEXT: Final = "/w/rest.php/coredev/v0/transform/html/to/wikitext"
NAMES: Final = ("Fichier", "Catégorie", "Datei", "Kategorie", "Categoria")
"""Of files and categories, on the wikis that the articles are from."""
NOT_ARTICLES: Final = frozenset({"Main_page"})
"""Made of other pages."""


async def rendered(wiki: Wiki, title: str, wikitext: str) -> str:
    """Its HTML by Parsoid."""
    edit = await save(wiki, WRITER, title, wikitext)
    reply = await wiki.ask(f"/w/rest.php/v1/revision/{edit['newrevid']}/html")
    assert reply.status == 200, reply.body[:500]
    return reply.body.decode()


async def origin(wiki: Wiki, title: str) -> Origin:
    answer = await wiki.read(action="query", meta="siteinfo", siprop="namespaces|namespacealiases")
    query = answer["query"]
    return origin_of(
        title,
        {int(key): value["name"] for key, value in query["namespaces"].items()},
        {each["alias"]: each["id"] for each in query["namespacealiases"]},
    )


async def test_text_is_what_a_reader_of_the_real_wiki_reads(farm: WikiFarm) -> None:
    """Words that the oracle finds in Parsoid's HTML are in the text, and no others."""
    scores: dict[str, Score] = {}
    made: set[tuple[str, str]] = set()
    for language in LANGUAGES:
        wiki = farm.wikis[WIKIS.get(language, "enproof")]
        title = f"Article {language}"
        wikitext = article(language)
        for template in used(wikitext):
            if (wiki.name, template) not in made:
                await save(wiki, WRITER, f"Template:{template}", TEMPLATES[template])
                made.add((wiki.name, template))
        html = await rendered(wiki, title, wikitext)
        text, _, sections, _ = plain_text(wikitext, await origin(wiki, title), Make(sections=True))
        assert text is not None
        assert [(one.level, one.path[-1]) for one in (sections or ())[1:]] == headings(html)
        scores[language] = score(text, read_by_oracle(html))
    judge(scores, recall=(0.99, 0.98), precision=(0.99, 0.98))


async def test_text_of_real_articles(farm: WikiFarm, shared_data: Path) -> None:
    """Real articles, whose wikitext the real Parsoid makes of their HTML again. What the oracle reads in them
    beyond what is text here are sources in lists, notes on top and boxes of sister projects, so that recall
    says less than precision.
    """
    wiki = farm.wikis["enproof"]
    scores: dict[str, Score] = {}
    for file in sorted((shared_data / "parsoid").glob("*.html")):
        html = file.read_text("utf-8")
        body = re.search(r"<body.*?</body>", html, re.DOTALL)
        if file.stem in NOT_ARTICLES or body is None or "mw:Transclusion" not in html:
            continue  # saved with the skin around it, so that Parsoid knows nothing of its templates
        reply = await wiki._php.ask(
            wiki.server_name,
            TO_WIKITEXT,
            method="POST",
            headers={"Content-Type": "application/json"},
            data=io.BytesIO(json.dumps({"html": f"<html><head></head>{body[0]}</html>"}).encode()),
        )
        if reply.status != 200:
            continue  # a template's own page, whose parts are not told
        # some of the files are indented, which no wikitext is
        wikitext = re.sub(r"^[ \t]+", "", reply.body.decode(), flags=re.MULTILINE)
        text, _, sections, _ = plain_text(wikitext, Origin(hidden=NAMES), Make(sections=True))
        assert text is not None
        assert [(one.level, one.path[-1]) for one in (sections or ())[1:]] == headings(html)
        scores[file.stem] = score(text, read_by_oracle(html))
    assert len(scores) >= 8
    judge(scores, recall=(0.95, 0.86), precision=(0.99, 0.93))


def headings(html: str) -> list[tuple[int, str]]:
    """Level and words of each, as a reader of the page has them."""
    found = re.findall(r"<h([1-6])\b[^>]*>(.*?)</h\1>", html, re.DOTALL)
    told = ((int(level), " ".join(unescape(re.sub(r"<[^>]*>", "", inner)).split())) for level, inner in found)
    return [(level, words) for level, words in told if words]


def judge(
    scores: Mapping[str, Score], *, recall: tuple[float, float], precision: tuple[float, float]
) -> None:
    """Median and least of each."""
    print()
    for name, found in scores.items():
        print(f"{name:45} {found}")
    recalls = [each.recall for each in scores.values()]
    precisions = [each.precision for each in scores.values()]
    for name, values in (("recall", recalls), ("precision", precisions)):
        print(f"{name}: median {statistics.median(values):.3f}, least {min(values):.3f}")
    assert statistics.median(recalls) >= recall[0]
    assert min(recalls) >= recall[1]
    assert statistics.median(precisions) >= precision[0]
    assert min(precisions) >= precision[1]
