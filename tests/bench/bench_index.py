"""What an edit costs a retrieval index: `python -m tests.bench.bench_index [--json FILE] [--edits N]`.

Chains of revisions of articles, edited as readers do (tests/harness/edits.py says how, and how often), cut
into passages before and after each edit. Told is how many characters are embedded anew in percent of the
characters of the articles, summed over the edits; the median of edits that change any passage apart; beside
it what windows of 1,000 characters need, and the whole article whenever its text changed.

- `real articles`: those of the recordings, written to a real MediaWiki, edited there by its API and read back
  as it stores them. Left out where there is no MediaWiki or are no recordings.
- `invented articles`: of the tests, in eight languages, of about 9,000 characters.
- `sandbox`: as the sandbox edits its own, which are short: every edit replaces or adds a paragraph or more.

And what it takes: characters that are cut a second, and that the embedders take.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from consumers.corpus.chunk import chunks
from consumers.corpus.embed import embedded, embedder
from streamer.enrich.html_text import page_of
from streamer.sandbox.languages import Author
from streamer.sandbox.world import LANGUAGES as SANDBOX

sys.path.append(str(Path(__file__).resolve().parent.parent))  # `harness`, as the tests name it
from harness.edits import Cost, chain, cost, long_article, page_of_wikitext
from harness.mediawiki import WikiFarm, absent
from harness.wikitext import LANGUAGES

Results = dict[str, float]
WIKI: Final = "enproof"
WRITER: Final = "Writer"
LEAST_CHARS: Final = 2_000
"""Of the recordings' articles; the others are pages of templates and stubs."""
SANDBOX_REVISIONS: Final = 12
"""Before the first that counts: an article of the sandbox begins with a few sentences."""


def shared() -> Path:
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("STREAMER_SHARED_DATA") or root.parent / "shared" / "data")


def recorded() -> dict[str, str]:
    """Wikitext by title: headings and paragraphs of what Parsoid rendered, and one as it was recorded."""
    found: dict[str, str] = {}
    for path in sorted((shared() / "parsoid").glob("*.html")):
        parts: list[str] = []
        for section in page_of(path.read_text()).sections():
            marks = "=" * max(section.level, 2)
            parts += [f"{marks} {section.path[-1]} {marks}"] if section.path else []
            parts.append(section.text)
        found[path.stem.replace("_", " ").replace(":", " ")] = "\n\n".join(part for part in parts if part)
    articles = shared() / "enterprise-article.ndjson"
    for line in articles.read_text().splitlines() if articles.is_file() else ():
        article = json.loads(line)
        found[article["name"]] = article["article_body"]["wikitext"]
    return {title: text for title, text in found.items() if len(text) >= LEAST_CHARS}


async def on_the_wiki(articles: dict[str, str], edits: int) -> list[list[str]]:
    """Wikitexts of all revisions as the wiki gives them, oldest first, by article."""
    with tempfile.TemporaryDirectory() as folder:
        async with WikiFarm(Path(folder) / "farm", origin=Path(folder)) as farm:
            wiki = farm.wikis[WIKI]
            chains = []
            for title, text in articles.items():
                await wiki.act(WRITER, "edit", title=title, text=text, createonly=1)
                for revised in chain(text, random.Random(title), edits):
                    await wiki.act(
                        WRITER, "edit", title=title, text=revised.text, nocreate=1, summary=revised.kind
                    )
                answer = await wiki.read(
                    action="query",
                    titles=title,
                    prop="revisions",
                    rvprop="content",
                    rvslots="main",
                    rvlimit=edits + 1,
                    rvdir="newer",
                )
                revisions = answer["query"]["pages"][0]["revisions"]
                chains.append([revision["slots"]["main"]["content"] for revision in revisions])
    return chains


def of_the_tests(edits: int) -> Iterator[list[str]]:
    for language in LANGUAGES:
        rng = random.Random(language)
        text = long_article(language, rng)
        yield [text, *(revised.text for revised in chain(text, rng, edits))]


def of_the_sandbox(edits: int) -> Iterator[list[str]]:
    for language, _ in SANDBOX:
        author = Author(language, random.Random(language.code))
        texts = [author.article(author.title())]
        for _ in range(SANDBOX_REVISIONS + edits):
            texts.append(author.revised(texts[-1]))
        yield texts[SANDBOX_REVISIONS:]


def told(chains: Iterable[Sequence[str]]) -> Results:
    costs: list[Cost] = []
    for texts in chains:
        costs += (cost(before, after) for before, after in pairwise(texts))
    articles = sum(each.article for each in costs)
    of_text = [each for each in costs if each.is_of_text]

    def percent(part: float, whole: float) -> float:
        return round(100 * part / whole, 2)

    return {
        "edits": len(costs),
        "of the text": len(of_text),
        "mean article chars": round(articles / len(costs)),
        "embedded %": percent(sum(each.embedded for each in costs), articles),
        "median of text edits %": percent(
            statistics.median(each.embedded / each.article for each in of_text), 1
        ),
        "windows %": percent(sum(each.windows for each in costs), articles),
        "whole articles %": percent(sum(each.article for each in of_text), articles),
    }


def speed() -> Results:
    """Of one core, in millions of characters a second."""
    pages = [page_of_wikitext(long_article(language, random.Random(language))) for language in LANGUAGES]
    start = time.process_time()
    found = [chunk for _ in range(5) for page in pages for chunk in chunks(page)]
    total = sum(len(chunk.text) for chunk in found)
    results: Results = {
        "wikitext to passages MB chars/s": round(total / (time.process_time() - start) / 1e6, 2)
    }
    passages = [chunk.passage for chunk in found]
    for name in ("hashing", "wordllama"):
        chosen = embedder(name)
        start = time.process_time()
        embedded(chosen, passages)
        results[f"{name} MB chars/s"] = round(total / (time.process_time() - start) / 1e6, 2)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--edits", type=int, default=40, help="of each article (default: %(default)s)")
    arguments = parser.parse_args()
    results: dict[str, Results] = {}
    articles = recorded()
    if reason := absent() or (None if articles else "there are no recordings"):
        print(f"real articles: left out, {reason}")
    else:
        results["real articles"] = told(asyncio.run(on_the_wiki(articles, arguments.edits)))
    results["invented articles"] = told(of_the_tests(arguments.edits))
    results["sandbox"] = told(of_the_sandbox(arguments.edits))
    results["speed"] = speed()
    for name, rows in results.items():
        print(name)
        for row, value in rows.items():
            print(f"  {row:50} {value:>10}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
