"""Content that is no wikitext, from the wiki's answer to the article: it comes through as what it is."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from harness.schema import checked_whole

from streamer.enrich.article import Stamp, article_of, is_redirect, visibility_of
from streamer.model import Visibility, encode_value
from streamer.origin.answer import Found, SiteInfo
from streamer.origin.parse import Asked, Reply, read_pages

Make = Callable[..., Any]
CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"
NAMESPACES = {
    0: "", 2: "User", 6: "File", 8: "MediaWiki", 10: "Template", 120: "Property", 146: "Lexeme",
    828: "Module",
}  # fmt: skip
ITEM = json.dumps({"type": "item", "id": "Q9", "labels": {"he": {"language": "he", "value": "דג"}}})
LEXEME = json.dumps({"type": "lexeme", "id": "L7", "lemmas": {"en": {"language": "en", "value": "lamp"}}})
MODELS = {
    "Q9": (0, "wikibase-item", ITEM),
    "Property:P9": (120, "wikibase-property", ITEM.replace("item", "property")),
    "Lexeme:L7": (146, "wikibase-lexeme", LEXEME),
    "Module:Lamp/data": (828, "Scribunto", "-- {{cn}} #REDIRECT [[x]]\nreturn { ['a'] = [[b]] }\n"),
    "Template:Lamp/styles.css": (10, "sanitized-css", "#REDIRECT [[x]] { color: red }"),
    "MediaWiki:Common.js": (8, "javascript", "/* #REDIRECT */mw.loader.load('//x');"),
    "User:A/data.json": (2, "json", '{\n    "ü": [1, 2]\n}'),
    "User:A/plain": (2, "text", "#REDIRECT [[A]]"),
}


def site(**over: Any) -> SiteInfo:
    fields: dict[str, Any] = {
        "wiki": "wikidatawiki", "server_name": "www.wikidata.org", "name": "Wikidata", "language": "en",
        "direction": "ltr", "namespaces": NAMESPACES, "licence_name": "Creative Commons CC0",
        "licence_url": CC0, "article_path": "/wiki/$1", "script_path": "/w",
        "server": "https://www.wikidata.org", "fetched_ms": 0,
    }  # fmt: skip
    return SiteInfo(**fields | over)


def answered(title: str, namespace: int, slots: dict[str, Any], site: SiteInfo, **page: Any) -> Found:
    """What the API tells of it, read as the service reads it."""
    revision = {
        "revid": 70, "parentid": 69, "user": "A", "userid": 7, "timestamp": "2026-11-21T07:32:51Z",
        "size": 4, "sha1": "ab" * 20, "slots": slots, "comment": "c", "tags": [],
    }  # fmt: skip
    told = {
        "pageid": 5, "ns": namespace, "title": title, "contentmodel": slots["main"]["contentmodel"],
        "pagelanguage": "en", "pagelanguagedir": "ltr", "lastrevid": 70, "revisions": [revision], **page,
    }  # fmt: skip
    body = json.dumps({"query": {"pages": [told]}}).encode()
    asked = Asked(site.wiki, site.server_name, 1, site)
    found = read_pages(Reply(body), "revision", [70], asked).answers[70]
    assert isinstance(found, Found)
    return found


def article(change: Make, found: Found, **of: Any) -> dict[str, Any]:
    site = found.site
    one = change("edit", 70, wiki=site.wiki, server_name=site.server_name)
    made = article_of(one, found, visibility_of(one, found.revision, Visibility()), Stamp(1, 1), **of)
    return checked_whole(msgspec.json.decode(encode_value(made), type=dict[str, Any]))


@pytest.mark.parametrize("title", MODELS)
def test_it_has_its_model_its_place_and_its_content(change: Make, title: str) -> None:
    """As the wiki holds it; and nothing that is made of prose, though it may look like wikitext."""
    namespace, model, content = MODELS[title]
    found = answered(title, namespace, {"main": {"contentmodel": model, "content": content}}, site())
    made = article(change, found)
    assert made["name"] == title
    assert made["namespace"] == {"identifier": namespace, "name": NAMESPACES[namespace]}
    assert made["url"] == f"https://www.wikidata.org/wiki/{title}"
    assert made["version"]["content_model"] == model
    assert made["article_body"] == {"wikitext": content}
    assert made["version"]["number_of_characters"] == len(content)
    assert not {"abstract", "redirect_target"} & made.keys()
    assert "maintenance_tags" not in made["version"]
    assert made["license"][0]["identifier"] == "CC0-1.0"
    assert not is_redirect(found)


def test_what_a_file_has_beside_its_text_is_left_out(change: Make) -> None:
    """Commons keeps structured data in a slot of its own: only the main one is asked for, only it is told."""
    slots = {
        "main": {"contentmodel": "wikitext", "content": "A lamp."},
        "mediainfo": {"contentmodel": "wikibase-mediainfo", "content": '{"id":"M5"}'},
    }
    made = article(change, answered("File:Lamp.jpg", 6, slots, site(wiki="commonswiki", name="Commons")))
    assert made["article_body"]["wikitext"] == "A lamp."
    assert "M5" not in str(made)


# ── what the page is said to be ────────────────────────────────────────────────────────────────


def lamp(**page: Any) -> Found:
    return answered("Lamp", 0, {"main": {"contentmodel": "wikitext", "content": "A lamp."}}, site(), **page)


@pytest.mark.parametrize(
    ("original", "image"),
    [
        (
            {"source": "https://upload.example/Lamp.jpg", "width": 800, "height": 600},
            {"content_url": "https://upload.example/Lamp.jpg", "width": 800, "height": 600},
        ),
        (
            {"source": "//upload.example/Lamp.jpg", "width": 800, "height": 600},
            {"content_url": "https://upload.example/Lamp.jpg", "width": 800, "height": 600},
        ),
        (
            {"source": "https://upload.example/Lamp.oga", "width": 0, "height": 0},
            {"content_url": "https://upload.example/Lamp.oga"},
        ),
        (
            {"source": "https://upload.example/Lamp.oga", "width": False, "height": False},
            {"content_url": "https://upload.example/Lamp.oga"},
        ),
        ({"width": 800, "height": 600}, None),
        ({"source": None}, None),
        ("Lamp.jpg", None),
        ([], None),
        (None, None),
    ],
)
def test_a_picture_is_told_where_the_wiki_tells_one(change: Make, original: object, image: object) -> None:
    """What else an extension may say costs no article."""
    assert article(change, lamp(original=original)).get("image") == image


def test_search_engines_are_told_what_the_page_says(change: Make) -> None:
    """Properties without a value are there or not."""
    assert article(change, lamp(pageprops={"noindex": ""}))["version"]["noindex"] is True
    assert article(change, lamp(pageprops={}))["version"]["noindex"] is False
    assert article(change, lamp())["version"]["noindex"] is False


def test_a_newer_revision_is_told_of(change: Make) -> None:
    """`is_current` is what the wiki said when it was asked."""
    assert article(change, lamp(lastrevid=71))["version"]["is_current"] is False
    assert article(change, lamp())["version"]["is_current"] is True


def test_more_pictures_than_come_at_once_are_not_asked_for() -> None:
    """What is there is an answer; what is not there for another reason is still asked for again."""
    asked = Asked("wikidatawiki", "www.wikidata.org", 1, site())
    body = {"continue": {"picontinue": "9", "continue": "||"}, "query": {"pages": []}}
    reading = read_pages(Reply(json.dumps(body).encode()), "revision", [70], asked)
    assert (reading.unreached, reading.unanswered) == ([], [70])
    body["continue"] = {"picontinue": "9", "rvcontinue": "70", "continue": "||"}
    reading = read_pages(Reply(json.dumps(body).encode()), "revision", [70], asked)
    assert (reading.unreached, reading.unanswered) == ([70], [])
