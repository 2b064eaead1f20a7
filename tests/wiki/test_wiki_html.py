"""HTML of the real wikis: what the client takes for it, what is made of it; and the sandbox's is like it."""

import asyncio
import hashlib
import json
import re
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from harness import oracle
from harness.feed import Feed
from harness.mediawiki import Wiki, WikiFarm
from harness.service import Service

from consumers.wikitext.plain import text_of
from streamer.config import MediaWikiSettings, Settings
from streamer.enrich.html_text import page_of
from streamer.origin.mediawiki import Origin
from streamer.origin.rendered import revision_of
from streamer.sandbox.pages import HIDDEN_TEXT
from streamer.sandbox.server import Sandbox, SandboxOptions

pytestmark = pytest.mark.timeout(600)

WIKI, SANDBOX, SERVER = "enproof", "ensandbox", "en.sandbox.example"
STEWARD, WRITER = "Steward", "Writer"
KEYS = {name: f"wrs_test_key_of_{name}" for name in ("rich", "plain")}

TEMPLATES = {
    "Infobox": '{| class="infobox"\n! Made\n| {{{made|}}}\n|}',
    "Navbox": '<div role="navigation" class="navbox"><ul><li>[[Other]]</li><li>[[Another]]</li></ul></div>',
    "Hatnote": '<div role="note" class="hatnote navigation-not-searchable">For more, see [[{{{1}}}]].</div>',
    "Quote": "<blockquote><p>{{{1}}}</p></blockquote>",
    "Convert": "{{{1}}}&nbsp;km ({{#expr:1}}about {{{2}}}&nbsp;mi)",
    "Fact": '<sup class="noprint Inline-Template">[<i>[[Help:Fact|citation needed]]</i>]</sup>',
    "Short": '<div class="shortdescription nomobile noexcerpt noprint" style="display:none">{{{1}}}</div>',
    "Stub": '<div class="asbox metadata plainlinks">This article is a stub.</div>',
}
ARTICLES = {
    "Lamp": """{{Short|A source of light}}{{Hatnote|Lantern}}{{Infobox|made=1801}}
A '''lamp''' gives [[light]].<ref>A book about lamps, 1901.</ref> It is seen from
{{Convert|3|2}} away.{{Fact}}

It has ''parts'':<!-- which ones? -->
* a wick
** of cotton
* a glass
# first
# second
; Oil
: what burns

== Kinds ==
{| class="wikitable"
! Kind !! Year
|-
| Gas || 1792
|}
Some are of gas, some are electric.

{{Quote|Let there be light}}

=== Electric ===
One line<br>and another. <nowiki>'''not bold'''</nowiki> &amp; so on.
[https://example.org A page about lamps] says so.

 preformatted  text
 of two lines

== References ==
<references/>
{{Navbox}}
{{Stub}}
[[Category:Light]]""",
    "Words": "\n\n".join(
        f"== Part {n} ==\nSentence {n} has [[word|words]] of ''its'' own.\n* {n}" for n in range(30)
    ),
    "Short one": "A page of one sentence.",
    "Foreign": "日本語の文章です。\n\n== 見出し ==\nالنص العربي هنا.\n\nעברית גם כן. 😀",
    "Nested": "\n".join(f"{'*' * (1 + n % 5)} item {n}" for n in range(40)),
}


async def write(wiki: Wiki, title: str, text: str) -> int:
    answer = await wiki.act(WRITER, "edit", title=title, text=text)
    number: int = answer["edit"]["newrevid"]
    return number


def settings_of(farm: WikiFarm) -> Settings:
    return Settings(
        mediawiki=MediaWikiSettings(
            endpoint=farm.endpoint,
            hosts=tuple(farm.allowed_hosts),
            requests_per_minute=60_000,
            concurrency=12,
            html_timeout_s=30.0,
        )
    )


async def test_plain_text_of_what_parsoid_renders(farm: WikiFarm) -> None:
    """Templates and all, against the oracle; each document is that of its revision."""
    wiki = farm.wikis[WIKI]
    for title, text in TEMPLATES.items():
        await write(wiki, f"Template:{title}", text)
    pages: dict[str, str] = {}
    async with Origin(settings_of(farm)) as origin:
        for title, text in ARTICLES.items():
            revision = await write(wiki, title, text)
            html = await origin.html(WIKI, wiki.server_name, revision)
            assert html is not None
            assert revision_of(html) == revision
            pages[title] = html
    found = {
        title: oracle.agreement(text_of(page_of(html).sections()), html) for title, html in pages.items()
    }
    recalls = [each.recall for each in found.values()]
    least = min(each.precision for each in found.values())
    print(f"word recall: least {min(recalls):.4f}; precision: least {least:.4f}")
    assert min(recalls) >= 0.93, found
    assert statistics.median(recalls) >= 0.96
    assert least >= 0.96, found
    lamp = text_of(page_of(pages["Lamp"]).sections())
    for gone in (
        "1801",
        "1792",
        "citation",
        "A book",
        "see Lantern",
        "Other",
        "stub",
        "source of light",
        "which",
    ):
        assert gone not in lamp
    for seen in (
        "3 km",
        "- a wick\n  - of cotton\n- a glass",
        "Let there be light",
        "One line\nand another.",
        "Kinds",
    ):
        assert seen in lamp, lamp
    assert page_of(pages["Lamp"]).abstract.startswith("A lamp gives light.")


async def told(url: str, path: str, host: str) -> tuple[int, Mapping[str, str], str]:
    headers = {"Host": host, "User-Agent": "html-test/1 (test@example.org)"}
    async with aiohttp.ClientSession(url) as session, session.get(path, headers=headers) as answer:
        return answer.status, answer.headers, await answer.text()


def marks(html: str) -> dict[str, Any]:
    """What a client goes by."""
    head, _, body = html.partition("</head>")
    return {
        "properties": set(re.findall(r'<meta property="((?:mw|dc):[^"]+)"', head))
        - {"mw:generalModules", "mw:moduleStyles"},
        "links": set(re.findall(r'<link rel="(dc:[^"]+)"', head)),
        "title": re.findall(r"<title>(.*?)</title>", head),
        "sections": re.findall(r'<section data-mw-section-id="(\d+)"', body),
        "tags": sorted(set(re.findall(r"<(p|ul|li|h2|sup|table|b|i)\b", body))),
        "types": set(re.findall(r'typeof="([^"]+)"', body)),
        "rels": set(re.findall(r'rel="(mw:WikiLink|mw:PageProp/Category|dc:references)"', body)),
    }


TEXT = "'''Bold''' and ''not''.<ref>note</ref>\n\n== H ==\n* [[one]]\n* two\n\n[[Category:C]]"


async def test_the_sandbox_answers_as_a_real_wiki_does(farm: WikiFarm) -> None:
    """To the same deeds: status, type, ETag, what the document says of itself, and the shape of errors."""
    wiki = farm.wikis[WIKI]
    await write(wiki, "Page", "first")
    older = await write(wiki, "Page", TEXT)
    newer = await write(wiki, "Page", f"{TEXT}!")
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0, pages_per_wiki=5)) as sandbox:
        assert sandbox.world is not None
        for text in ("first", TEXT, f"{TEXT}!"):
            action = "create" if text == "first" else "edit"
            async with (
                aiohttp.ClientSession(sandbox.endpoint) as session,
                session.post(
                    "/sandbox/edit", json={"wiki": SANDBOX, "action": action, "title": "Page", "text": text}
                ) as answer,
            ):
                assert answer.status == 200
        page = sandbox.world.wikis[SANDBOX].titled("Page")
        assert page is not None
        sides = (
            (farm.endpoint, wiki.server_name, older, newer),
            (sandbox.endpoint, SERVER, page.revisions[1].identifier, page.revisions[2].identifier),
        )
        real, played = [
            [
                await told(url, f"/w/rest.php/v1/revision/{revision}/html", host)
                for revision in (before, after, 99_999_999)
            ]
            for url, host, before, after in sides
        ]
        for number, (one, other) in enumerate(zip(real, played, strict=True)):
            assert one[0] == other[0] == (404 if number == 2 else 200)
            assert one[1]["Content-Type"].lower() == other[1]["Content-Type"].lower().replace(
                "; charset=utf-8", "" if number == 2 else "; charset=utf-8"
            )
            if number == 2:
                assert json.loads(one[2]).keys() == json.loads(other[2]).keys()
                continue
            for side, answer in zip(sides, (one, other), strict=True):
                assert re.fullmatch(rf'(W/)?"{side[2 + number]}/[0-9a-f-]+/view/html"', answer[1]["ETag"])
                assert revision_of(answer[2]) == side[2 + number]
            assert marks(one[2]) == marks(other[2])
        await wiki.act(STEWARD, "revisiondelete", type="revision", target="Page", ids=older, hide="content")
        page.revisions[1].hidden = HIDDEN_TEXT
        hidden = [
            (await told(url, f"/w/rest.php/v1/revision/{before}/html", host))[0]
            for url, host, before, _ in sides
        ]
        assert set(hidden) <= {403, 500}
    farm.exceptions.unlink()  # of hidden HTML, a 500


async def test_a_partner_with_html_and_one_without(farm: WikiFarm, tmp_path: Path) -> None:
    """What the service makes of an edit of a real wiki."""
    tables = {"rich": '["wikitext", "text", "html"]', "plain": '["wikitext", "text"]'}
    (tmp_path / "partners.toml").write_text(
        "\n".join(
            f"[{name}]\ncontent = {tables[name]}\n"
            f'keys = ["sha256:{hashlib.sha256(key.encode()).hexdigest()}"]\n'
            for name, key in KEYS.items()
        )
    )
    await write(farm.wikis[WIKI], "Template:Saying", TEMPLATES["Quote"].replace("1", "words"))

    async def newest(port: int, name: str) -> dict[str, Any]:
        feed = Feed(f"http://127.0.0.1:{port}/v2/articles", KEYS[name], since="2020-01-01T00:00:00Z")
        async for event in feed.articles(asyncio.Event()):
            if event.article["name"] == "Lamp":
                return dict(event.article)
        raise AssertionError

    config = farm.config().replace("missing_retry_s", "html_timeout_s = 30.0\nmissing_retry_s", 1)
    async with Service(tmp_path, config) as service, asyncio.timeout(120):
        await service.event("connected to the stream")
        revision = await write(farm.wikis[WIKI], "Lamp", "A lamp. {{Saying|words=Let there be light}}")
        port = await service.port()
        rich, plain = await asyncio.gather(newest(port, "rich"), newest(port, "plain"))
    assert revision_of(rich["article_body"]["html"]) == revision
    assert rich["article_body"]["text"] == "A lamp.\n\nLet there be light"
    assert rich["abstract"] == "A lamp."
    assert plain["article_body"] == {
        "wikitext": "A lamp. {{Saying|words=Let there be light}}",
        "text": "A lamp.",
    }
