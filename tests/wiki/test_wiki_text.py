"""Text made of wikitext beside what the real MediaWiki's Parsoid renders of it, as an oracle reads that.

Every page is an article that this project invented, with each construct of markup; its templates are made on
the wiki, under names that wikis have.
"""

import statistics
from typing import Final

import pytest
from harness.mediawiki import Wiki, WikiFarm
from harness.mediawiki.deed import save
from harness.wikitext import LANGUAGES, TEMPLATES, Score, article, read_by_oracle, score, used

from streamer.enrich.text import Origin, origin_of, plain_text

pytestmark = pytest.mark.timeout(300)  # it is the fixture that takes long

WRITER: Final = "Writer"
WIKIS: Final = {"de": "deproof", "ar": "arproof"}
MEDIAN_RECALL, LEAST_RECALL = 0.98, 0.95
MEDIAN_PRECISION, LEAST_PRECISION = 0.98, 0.95


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
        text = plain_text(wikitext, await origin(wiki, title)).text
        assert text is not None
        scores[language] = score(text, read_by_oracle(html))
    print()
    for language, found in scores.items():
        print(f"{language}  {found}")
    recalls = [each.recall for each in scores.values()]
    precisions = [each.precision for each in scores.values()]
    for name, values in (("recall", recalls), ("precision", precisions)):
        print(f"{name}: median {statistics.median(values):.3f}, least {min(values):.3f}")
    assert statistics.median(recalls) >= MEDIAN_RECALL
    assert min(recalls) >= LEAST_RECALL
    assert statistics.median(precisions) >= MEDIAN_PRECISION
    assert min(precisions) >= LEAST_PRECISION
