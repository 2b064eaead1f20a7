"""Articles in every script that the feed has: names, directions, addresses, and texts as they are."""

import unicodedata
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from harness.schema import checked_whole
from msgspec.structs import replace

from consumers.wikitext.text import origin_of, plain_text
from streamer.enrich.article import Stamp, article_of, visibility_of
from streamer.model import Visibility, encode_value
from streamer.sandbox.founding import found_site
from streamer.sandbox.languages import ARABIC, ENGLISH, GERMAN, HEBREW, JAPANESE, Author, Language

Make = Callable[..., Any]
LICENCE = ("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/")
HINDI = Language(
    "hi", "हिन्दी", rtl=False, syllables="क्ष दीप मछ ली र्य हिं त्र न्द पो षु झ़ ढी", space=" ", stop="।",
    redirect="#पुनर्प्रेषित", namespaces={1: "वार्ता", 2: "सदस्य", 10: "साँचा", 14: "श्रेणी"},
)  # fmt: skip
THAI = Language(
    "th", "ไทย", rtl=False, syllables="ปลา โคม ไฟ น้ำ ใจ ที่ ก็ เสือ ฤๅ ษี ญี่ ปุ่น", space="", stop=" ",
    redirect="#เปลี่ยนทาง", namespaces={1: "พูดคุย", 2: "ผู้ใช้", 10: "แม่แบบ", 14: "หมวดหมู่"},
)  # fmt: skip
CHINESE = Language(
    "zh", "中文", rtl=False, syllables="燈 魚 灯 鱼 龍 湖 山 𠮷 體 体 中 文", space="", stop="。",
    redirect="#重定向", namespaces={2: "User", 14: "Category"},
)  # fmt: skip
LANGUAGES = {one.code: one for one in (ENGLISH, GERMAN, ARABIC, HEBREW, HINDI, THAI, JAPANESE, CHINESE)}
NAMES = {
    "en": "English", "de": "German", "ar": "Arabic", "he": "Hebrew", "hi": "Hindi", "th": "Thai",
    "ja": "Japanese", "zh": "Chinese",
}  # fmt: skip
EACH = pytest.mark.parametrize("code", LANGUAGES)


def article(change: Make, found: Make, language: Language, title: str, text: str, **page: Any) -> Any:
    site = found_site(language, LICENCE)
    answer = found(
        5, 1, title=title, content=text, size=len(text.encode()), language=language.code,
        direction="rtl" if language.rtl else "ltr", **page,
    )  # fmt: skip
    answer = replace(
        answer,
        site=replace(
            answer.site,
            wiki=site.wiki, server_name=site.server_name, name=site.name, language=site.language,
            direction="rtl" if site.rtl else "ltr", namespaces=dict(site.namespaces),
            server=f"https://{site.server_name}",
        ),
    )  # fmt: skip
    one = change("edit", 5, wiki=site.wiki, server_name=site.server_name)
    made = article_of(
        one,
        answer,
        visibility_of(one, answer.revision, Visibility()),
        Stamp(1, 1),
        plain=plain_text(text, origin_of(title, dict(site.namespaces), {})),
    )
    return checked_whole(msgspec.json.decode(encode_value(made), type=dict[str, Any]))


@EACH
def test_language_name_direction_and_namespace(change: Make, found: Make, code: str) -> None:
    """Of the page and of its wiki; the namespace is called as on the wiki."""
    language = LANGUAGES[code]
    space = language.namespaces.get(10, "Template")
    made = article(change, found, language, f"{space}:X", "text", namespace=10)
    expected = {"identifier": code, "name": NAMES[code], "direction": "rtl" if language.rtl else "ltr"}
    assert made["in_language"] == made["is_part_of"]["in_language"] == expected
    assert made["namespace"] == {"identifier": 10, "name": space}


@EACH
def test_addresses_lead_back_to_the_title(change: Make, found: Make, code: str) -> None:
    """In UTF-8, percent-encoded, with underscores, whatever the title's script."""
    title = Author(LANGUAGES[code], Random(code)).title() + " (x/y): 2?"
    made = article(change, found, LANGUAGES[code], title, "text")
    path = made["url"].removeprefix(f"https://{code}.sandbox.example/wiki/")
    assert path.isascii()
    assert "?" not in path
    assert unquote(path).replace("_", " ") == title
    for link in (made["attribution"]["revision_url"], made["attribution"]["history_url"]):
        assert f"?title={path}&" in link


@EACH
def test_invented_pages_come_out_whole(change: Make, found: Make, code: str, rng: Random) -> None:
    """Their wikitext to the letter; of each sentence's letters and marks none is lost or put elsewhere."""
    author = Author(LANGUAGES[code], rng)
    title, sentences = author.title(), [author.sentence().strip() for _ in range(5)]
    text = f"'''{title}''' {sentences[0]}\n\n" + "\n\n".join(sentences[1:])
    made = article(change, found, LANGUAGES[code], title, text)
    assert made["article_body"]["wikitext"] == text
    assert made["version"]["number_of_characters"] == len(text)
    for sentence in sentences:
        assert sentence in made["article_body"]["text"]
    assert made["abstract"].startswith(title)


MARKS = {
    "Arabic with its vowels": "سَمَكَةٌ فِي البَحْر",
    "Arabic in presentation forms": "ﷲ ﻻ",
    "Hebrew with points": "דָּג הַמְּנוֹרָה",
    "a mark behind a bracket": "דג (fish)\u200f 12",
    "marks around English": "\u200fדג\u200e Lamp \u200f",
    "isolates": "דג \u2067סוד\u2069 \u2066x\u2069",
    "a joiner": "क्‍ष र्‍य",
    "a non-joiner": "می\u200cخواهم क्\u200cष",
    "Thai marks, stacked": "ที่ น้ำ ก็",
    "kana, decomposed": "カ\u3099 ハ\u309a",
    "letters beyond the plane": "𠮷野家 𞤀𞤣",
    "a variant's selector": "葛\U000e0100 ☎\ufe0f",
    "a family": "👨\u200d👩\u200d👧",
}


@pytest.mark.parametrize("name", MARKS)
def test_marks_that_belong_to_the_text_stay(change: Make, found: Make, name: str) -> None:
    """No normal form is made, no mark of direction is taken out: a reader sees by them."""
    text = f"x {MARKS[name]} y."
    made = article(change, found, LANGUAGES["en"], "X", text)
    assert made["article_body"]["wikitext"] == text
    assert made["article_body"]["text"] == text
    assert len(made["article_body"]["text"]) == made["version"]["number_of_characters"]


def test_titles_are_as_the_wiki_composes_them(change: Make, found: Make) -> None:
    """Letters with their marks in one; so are their addresses."""
    made = article(change, found, GERMAN, unicodedata.normalize("NFC", "O\u0308fen"), "text")
    assert made["url"].endswith("/wiki/%C3%96fen")
