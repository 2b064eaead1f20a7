"""Text of a real article's wikitext beside what an oracle reads of its HTML."""

from pathlib import Path

from harness.wikitext import read_by_oracle, score
from msgspec import json

from consumers.wikitext.text import Origin, plain_text

RUSSIAN = Origin("Squirrel", ("Файл", "Категория"))


def test_a_real_article_reads_as_its_html_does(shared_data: Path) -> None:
    """Both as one answer of Wikimedia Enterprise has them. The corpus of this project is measured in
    tests/wiki, where the real MediaWiki renders it.
    """
    line = (shared_data / "enterprise-article.ndjson").read_bytes().splitlines()[0]
    body = json.decode(line)["article_body"]
    found = score(plain_text(body["wikitext"], RUSSIAN).text or "", read_by_oracle(body["html"]))
    print(f"\n{found}")
    assert found.recall > 0.97
    assert found.precision > 0.97
