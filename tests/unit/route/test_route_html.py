"""Partners with HTML and partners without: each has its own text, and nobody what is between them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from harness.articles import Page

from streamer.log.base import Record
from streamer.log.local import LocalLog
from streamer.model import encode_value
from streamer.route.rebuilder import Rebuilder
from streamer.runtime import topic_specs
from tests.unit.route.test_route_settling import Settled
from tests.unit.route.test_route_stage import SETTINGS

PARTNERS = {
    "all": 'content = ["wikitext", "text", "html"]\n',
    "alone": 'content = ["html"]\n',
    "words": 'content = ["text", "html"]\nfields = ["abstract", "article_body.*"]\n',
    "nameless": 'content = ["text", "html"]\neditor = "none"\n',
    "settled": 'content = ["html", "text"]\nsettle = "10m"\n',
    "divided": 'content = ["html", "sections"]\n',
    "plain": "",
    "parts": 'content = ["wikitext", "sections"]\n',
    "wikitext": 'content = ["wikitext"]\n',
    "plain-settled": 'settle = "10m"\n',
    "everything": 'fields = ["article_body.*", "abstract", "name"]\n',
}
"""By table. Those from `plain` on have no HTML."""
WITH_HTML = ("divided", "all", "alone", "words", "nameless", "settled")
TEXT = "seen\u2028by all"


def with_html(record: Record, *, text: bool = True) -> Record:
    """As enrich writes it where somebody has HTML."""
    assert record.value is not None
    article = msgspec.json.decode(record.value)
    article["abstract"] = "some text"
    article["article_body"]["sections"] = [{"text": "of wikitext"}]
    article["article_body"]["html"] = "<p>seen by <b>all</b>"
    if text:
        article["from_html"] = {"text": TEXT, "abstract": "seen"}
    return replace(record, value=encode_value(article))


def without_html(record: Record) -> Record:
    assert record.value is not None
    article = msgspec.json.decode(record.value)
    article["abstract"] = "some text"
    article["article_body"]["sections"] = [{"text": "of wikitext"}]
    return replace(record, value=encode_value(article))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Settled]:
    file = tmp_path / "partners.toml"
    file.write_text("\n".join(f"[{name}]\n{table}" for name, table in PARTNERS.items()))
    now = [1_800_000_000_000]
    async with LocalLog(tmp_path / "log.db", clock=lambda: now[0], clean_every_s=3600) as log:
        await log.ensure_topics(topic_specs(SETTINGS))
        yield Settled(log, file, now)


async def settled(place: Settled, number: int) -> None:
    settling = [name for name, table in PARTNERS.items() if "settle" in table]
    for name in PARTNERS.keys() - set(settling):
        await place.settled(name, number)
    for name in settling:
        await place.looked(name)
    place.later(11 * 60_000)
    for name in PARTNERS:
        await place.settled(name, number)


async def bodies(place: Settled, name: str) -> list[dict[str, object]]:
    stored = [one for one in await place.stored(name) if one.value is not None]
    return [msgspec.json.decode(one.value) for one in stored if one.value is not None]


async def test_each_partner_has_the_text_of_what_it_has(place: Settled) -> None:
    """HTML's for whom has HTML, wikitext's for the others, whose articles are to the byte what they would be
    if nobody had HTML; `from_html` is in no topic of a partner, settled, rebuilt or not.
    """
    pages = [Page(number, page_id=number) for number in range(1, 7)]
    gone = Page(8, page_id=2, kind="delete")
    async with place.routing():
        await place.log.append([with_html(page.record(place.topics)) for page in pages[:4]])
        await place.log.append([with_html(pages[4].record(place.topics), text=False)])
        await place.log.append([without_html(pages[5].record(place.topics))])
        await place.publish(gone)
        await settled(place, 7)
    for name in PARTNERS:
        for article in await bodies(place, name):
            assert "from_html" not in article
            if article["event"]["type"] == "delete":  # type: ignore[index] # an object
                assert "article_body" not in article
                continue
            expected: dict[str, object] = {
                "wikitext": "some text",
                "text": "some text",
                "html": "<p>seen by <b>all</b>",
                "sections": [{"text": "of wikitext"}],
            }
            abstract = "some text"
            number = article["identifier"]
            if name in WITH_HTML and number in (1, 2, 3, 4):
                expected["text"] = TEXT
                abstract = "seen"
            if name not in WITH_HTML or number == 6:
                del expected["html"]
            content = {
                "all": {"wikitext", "text", "html"},
                "alone": {"html"},
                "words": {"text", "html"},
                "nameless": {"text", "html"},
                "settled": {"text", "html"},
                "divided": {"html", "sections"},
                "parts": {"wikitext", "sections"},
                "wikitext": {"wikitext"},
            }.get(name, {"wikitext", "text"})
            assert article["article_body"] == {part: expected[part] for part in expected if part in content}
            assert article["abstract"] == abstract


async def test_who_has_no_html_receives_what_it_would_without_the_others(place: Settled) -> None:
    """To the byte."""
    pages = [Page(number, page_id=number) for number in range(1, 4)]
    async with place.routing():
        await place.log.append([with_html(page.record(place.topics)) for page in pages])
        await place.log.append([without_html(page.record(place.topics)) for page in pages])
        await settled(place, 6)
    for name in PARTNERS.keys() - set(WITH_HTML):
        for page in pages:
            values = [
                one.value
                for one in await place.stored(name)
                if one.value and msgspec.json.decode(one.value)["identifier"] == page.page_id
            ]
            assert len(values) == 2
            assert values[0] == values[1]


async def test_a_feed_that_is_made_anew_holds_nothing_of_it(place: Settled) -> None:
    """A rebuild goes by the same articles."""
    async with place.routing():
        await place.log.append(
            [with_html(Page(number, page_id=number).record(place.topics)) for number in range(1, 4)]
        )
        await place.settled("all", 3)
        for name in ("all", "plain"):
            async with asyncio.timeout(30):
                await Rebuilder(place.log, SETTINGS, name, lambda _: None).run(
                    None, wait=True, rules=lambda: ""
                )
    for name in ("all", "plain"):
        articles = await bodies(place, name)
        assert len(articles) == 3
        assert not any("from_html" in article for article in articles)
        assert all(("html" in article["article_body"]) == (name == "all") for article in articles)  # type: ignore[operator]
