"""What an article says of a page, held against the wikis' own word: pictures, content models, scripts."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any, Final

import pytest
from harness.mediawiki import WikiFarm
from harness.mediawiki.following import followed
from harness.mediawiki.mirror import Mirror
from harness.mediawiki.writing import picture

WIKI, WITHOUT_PICTURES = "enproof", "deproof"
STEWARD, WRITER = "Steward", "Writer"
DEADLINE_S: Final = 60.0
WIDE: Final = 500
"""Pixels: what is small is an icon, and stands for no page."""

SCRIPTS: Final = {
    "de": ("Ängste & Öfen: „Größe“?", "Straße"),
    "ar": ("سمكة المصباح (حيوان)", "سَمَكَةٌ\u200f 12"),
    "he": ("דג המנורה (דג)", "דָּג ה\u200fמנורה"),
    "hi": ("दीपक मछली", "क्‍ष क्‌ष हिन्दी"),
    "th": ("ปลาโคมไฟ", "น้ำใจ ที่"),
    "ja": ("ランプ魚/が", "カ\u3099ラス ガラス"),
    "zh": ("燈魚", "灯鱼-{zh-hans:灯;zh-hant:燈}-"),
}
"""By language: a title, and a text with what is easily mangled (MediaWiki composes what can be composed)."""
DIRECTION: Final = {"ar": "rtl", "he": "rtl"}
ENGLISH: Final = {
    "de": "German", "ar": "Arabic", "he": "Hebrew", "hi": "Hindi", "th": "Thai", "ja": "Japanese",
    "zh": "Chinese",
}  # fmt: skip


async def save(farm: WikiFarm, title: str, text: str, wiki: str = WIKI, who: str = WRITER) -> None:
    await farm.wikis[wiki].act(who, "edit", title=title, text=text)


async def equal(farm: WikiFarm, mirror: Mirror) -> dict[tuple[str, str], Any]:
    """By wiki and title, what the partner holds, once that is what the wikis hold."""
    wrong = await mirror.differs_from(await farm.truth(), timeout_s=DEADLINE_S)
    assert not wrong, wrong
    return {(wiki, article["name"]): article for (wiki, _), article in mirror.newest.items()}


async def told(farm: WikiFarm, wiki: str) -> dict[str, Any]:
    """Each page as its wiki tells of it."""
    pages = [str(page) for (page,) in farm.wikis[wiki].rows("SELECT page_id FROM page")]
    answer = await farm.wikis[wiki].read(
        action="query", pageids="|".join(pages), prop="info|revisions", inprop="url", rvprop="content",
        rvslots="main",
    )  # fmt: skip
    return {page["title"]: page for page in answer["query"]["pages"]}


async def test_what_a_wiki_says_of_its_pages(farm: WikiFarm, tmp_path: Path, rng: random.Random) -> None:
    """The picture that it has chosen, where it chooses any; what search engines are told; what editors have
    marked; and a page that leads elsewhere.
    """
    async with followed(farm, tmp_path) as (_, mirror):
        for wiki in (WIKI, WITHOUT_PICTURES):
            await farm.wikis[wiki].act(
                STEWARD, "upload", filename="Lamp.png", comment="", text="x", ignorewarnings=1,
                file=picture(rng, WIDE),
            )  # fmt: skip
            await save(
                farm, "Lamp", "[[File:Lamp.png|thumb|500px|a lamp]] A lamp.{{cn}} {{Fact|date=1}}", wiki
            )
            await save(farm, "Lantern", "#REDIRECT [[Lamp]]", wiki)
            await save(farm, "Dark", "__NOINDEX__ nothing", wiki)
        held = await equal(farm, mirror)
        lamp = held[WIKI, "Lamp"]
        assert lamp["image"]["content_url"].startswith("https://en.proof.example/images/")
        assert (lamp["image"]["width"], lamp["image"]["height"]) == (WIDE, WIDE)
        assert not [name for (wiki, name), article in held.items() if wiki != WIKI and "image" in article]
        for wiki in (WIKI, WITHOUT_PICTURES):
            assert held[wiki, "Lamp"]["version"]["maintenance_tags"]["citation_needed_count"] == 2
            assert held[wiki, "Lantern"]["redirect_target"] == "Lamp"
            assert "abstract" not in held[wiki, "Lantern"]
            flags = {name: held[wiki, name]["version"]["noindex"] for name in ("Dark", "Lamp")}
            assert flags == {"Dark": True, "Lamp": False}


async def test_an_overtaken_revision_is_not_the_current_one(farm: WikiFarm, tmp_path: Path) -> None:
    """It says so: whoever keeps the newest text alone need not keep it."""
    async with followed(farm, tmp_path) as (_, mirror):
        with farm.gate.hold() as hold:
            await save(farm, "Page", "one")
            await asyncio.wait_for(hold.arrived.wait(), DEADLINE_S)
            await save(farm, "Page", "two")
        await equal(farm, mirror)
        ((_, versions),) = mirror.versions.items()
        assert [version["is_current"] for version in versions] == [False, True]


async def test_what_is_no_wikitext_comes_as_it_is(farm: WikiFarm, tmp_path: Path) -> None:
    """With its model and the content that the wiki holds, and with nothing that is made of prose."""
    pages = {
        "MediaWiki:Common.css": ("css", "#REDIRECT [[x]] { color: red }"),
        "MediaWiki:Common.js": ("javascript", "/* [[File:x]] */ alert('{{cn}}');"),
        "User:Steward/data.json": ("json", json.dumps({"a": [1, "ü"]}, indent=4, ensure_ascii=False)),
        "User:Steward/Plain": ("text", "'''not''' bold"),
    }
    async with followed(farm, tmp_path) as (_, mirror):
        for title, (model, content) in pages.items():
            await farm.wikis[WIKI].act(STEWARD, "edit", title=title, text=content, contentmodel=model)
        held = await equal(farm, mirror)
        truth = await told(farm, WIKI)
        for title, (model, _) in pages.items():
            article = held[WIKI, title]
            assert article["version"]["content_model"] == model
            content = truth[title]["revisions"][0]["slots"]["main"]["content"]
            assert article["article_body"] == {"wikitext": content}
            assert article["version"]["number_of_characters"] == len(content)
            assert not {"abstract", "redirect_target"} & article.keys()
            assert "maintenance_tags" not in article["version"]
            assert article["url"] == truth[title]["canonicalurl"]
            assert article["namespace"]["name"] == title.partition(":")[0]


async def test_every_script_comes_out_as_it_went_in(farm: WikiFarm, tmp_path: Path) -> None:
    """Titles, addresses, texts; and a page in another language than its wiki says so."""
    async with followed(farm, tmp_path) as (_, mirror):
        for language, (title, text) in SCRIPTS.items():
            await save(farm, title, text)
            await save(farm, f"MediaWiki:Greeting/{language}", text, who=STEWARD)
        await save(farm, "سمك", "نص", "arproof")
        held = await equal(farm, mirror)
        truth = await told(farm, WIKI)
        for language, (title, _) in SCRIPTS.items():
            article, message = held[WIKI, title], held[WIKI, f"MediaWiki:Greeting/{language}"]
            content = truth[title]["revisions"][0]["slots"]["main"]["content"]
            assert article["article_body"]["wikitext"] == content
            for one in (article, message):
                assert one["url"] == truth[one["name"]]["canonicalurl"]
                assert one["is_part_of"]["in_language"]["identifier"] == "en"
            assert message["in_language"] == {
                "identifier": language,
                "name": ENGLISH[language],
                "direction": DIRECTION.get(language, "ltr"),
            }
            isolated = f"\u2068{title}\u2069" if language in DIRECTION else title
            assert article["attribution"]["text"].startswith(f"“{isolated}” by the contributors to Proof (")
            assert article["attribution"]["revision_url"].startswith(
                "https://en.proof.example/w/index.php?title="
            )
        arabic = held["arproof", "سمك"]
        assert arabic["in_language"] == {"identifier": "ar", "name": "Arabic", "direction": "rtl"}
        assert "to \u2068برهان\u2069 (ar.proof.example), licensed under GNU" in arabic["attribution"]["text"]


@pytest.mark.parametrize("wiki", [WIKI, WITHOUT_PICTURES])
async def test_a_wiki_without_pictures_warns_and_answers(farm: WikiFarm, wiki: str) -> None:
    """With all else that was asked for, and without a continuation."""
    await save(farm, "Page", "text", wiki)
    answer = await farm.wikis[wiki].read(
        action="query", titles="Page", prop="revisions|pageimages", piprop="original"
    )
    assert "continue" not in answer
    assert answer["query"]["pages"][0]["revisions"]
    warned = "warnings" in answer
    assert warned == (wiki == WITHOUT_PICTURES)
