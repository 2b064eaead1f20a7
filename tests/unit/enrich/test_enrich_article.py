"""The article object, field by field, from invented answers."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from harness.schema import checked_whole
from msgspec.structs import replace

from consumers.credit import encode_title, licence_identifier
from consumers.wikitext.text import PlainText
from streamer.enrich.article import Stamp, article_of, removal_of, visibility_of
from streamer.enrich.memory import Contents
from streamer.enrich.signals import signal_of
from streamer.model import EditorFigures, Hint, Signal, Visibility, encode_value

Make = Callable[..., Any]
SHOWN = Visibility()
STAMP = Stamp(sequence=17, published_ms=3_000_500)


def as_json(article: object) -> dict[str, Any]:
    return checked_whole(msgspec.json.decode(encode_value(article), type=dict[str, Any]))


def build(change: Any, found: Any, told: Visibility = SHOWN, **more: Any) -> dict[str, Any]:
    return as_json(article_of(change, found, visibility_of(change, found.revision, told), STAMP, **more))


def test_every_field_that_needs_no_further_request(change: Make, found: Make) -> None:
    """An edit with its hint gives the whole object."""
    hint = Hint(
        "testwiki", 1, 5, 0, parent=4, parent_sha1="cd" * 20, parent_size=10, parent_edited_ms=500_000,
        editor=EditorFigures(edit_count=3, groups=("sysop", "user"), registered_ms=0),
        scores={"revertrisk-language-agnostic": 0.75},
    )  # fmt: skip
    answer = found(
        5, 1, title="Ä b", language="de", direction="ltr", main_entity="Q42", tags=("t",), minor=True
    )
    article = build(change("edit", 5, bot=True), answer, hint=hint, plain=PlainText("Text.", "Abstract."))
    assert article == {
        "name": "Ä b",
        "identifier": 1,
        "url": "https://test.example.org/wiki/%C3%84_b",
        "namespace": {"identifier": 0, "name": ""},
        "is_part_of": {
            "identifier": "testwiki",
            "name": "Testpedia",
            "url": "https://test.example.org",
            "in_language": {"identifier": "en", "name": "English", "direction": "ltr"},
        },
        "event": {
            "identifier": article["event"]["identifier"],
            "type": "update",
            "kind": "edit",
            "sequence": 17,
            "date_created": "1970-01-01T00:33:20.000Z",
            "date_published": "1970-01-01T00:50:00.500Z",
        },
        "abstract": "Abstract.",
        "date_modified": "1970-01-01T00:16:40Z",
        "date_previously_modified": "1970-01-01T00:08:20Z",
        "version": {
            "identifier": 5,
            "comment": "Comment 5",
            "tags": ["t"],
            "is_minor_edit": True,
            "number_of_characters": 10,
            "size": {"value": 10.0, "unit_text": "B"},
            "scores": {"revertrisk": {"prediction": True, "probability": {"true": 0.75, "false": 0.25}}},
            "editor": {
                "identifier": 7,
                "name": "Someone",
                "edit_count": 3,
                "groups": ["sysop", "user"],
                "is_bot": True,
                "is_anonymous": False,
                "is_admin": True,
                "is_temporary": False,
                "date_started": "1970-01-01T00:00:00Z",
            },
            "is_current": True,
            "parent_identifier": 4,
            "sha1": "ab" * 20,
            "content_model": "wikitext",
            "size_change": 0,
            "noindex": False,
            "maintenance_tags": {
                "citation_needed_count": 0,
                "pov_count": 0,
                "clarification_needed_count": 0,
                "update_count": 0,
            },
        },
        "previous_version": {
            "identifier": 4,
            "size": {"value": 10.0, "unit_text": "B"},
            "sha1": "cd" * 20,
        },
        "in_language": {"identifier": "de", "name": "German", "direction": "ltr"},
        "main_entity": {"identifier": "Q42", "url": "https://www.wikidata.org/entity/Q42"},
        "article_body": {"wikitext": "Text of 5.", "text": "Text."},
        "license": [
            {
                "name": "Creative Commons Attribution-Share Alike 4.0",
                "url": "https://creativecommons.org/licenses/by-sa/4.0/",
                "identifier": "CC-BY-SA-4.0",
            }
        ],
        "visibility": {"text": True, "editor": True, "comment": True},
        "protection": [],
        "attribution": {
            "text": "“Ä b” by the contributors to Testpedia (test.example.org), licensed under Creative"
            " Commons Attribution-Share Alike 4.0 (https://creativecommons.org/licenses/by-sa/4.0/).",
            "title": "Ä b",
            "revision_url": "https://test.example.org/w/index.php?title=%C3%84_b&oldid=5",
            "history_url": "https://test.example.org/w/index.php?title=%C3%84_b&action=history",
            "license": article["license"],
        },
        "is_disambiguation": False,
    }


def test_a_page_of_no_bytes_is_an_article_with_empty_text(change: Make, found: Make) -> None:
    """Blanking is an edit like any other."""
    article = build(change("edit", 5), found(5, 1, content="", size=0), plain=PlainText("", ""))
    assert article["article_body"] == {"wikitext": "", "text": ""}
    assert article["version"]["number_of_characters"] == 0
    assert article["version"]["size"]["value"] == 0
    assert article["visibility"]["text"] is True
    assert "abstract" not in article


def test_date_created_only_at_create(change: Make, found: Make) -> None:
    """Only the change that made the page knows when."""
    assert build(change("create", 5), found(5, 1, parent=0))["date_created"] == "1970-01-01T00:16:40Z"
    assert "date_created" not in build(change("edit", 5), found(5, 1))
    assert "previous_version" not in build(change("create", 5), found(5, 1, parent=0))


def test_a_redirect_that_a_move_left_is_the_movers(change: Make, found: Make) -> None:
    """A bot's move leaves a bot's redirect, though the change has no revision; what is found with a parent is
    a later edit by somebody else.
    """
    left = change("create", cause="redirect", bot=True, is_redirect=True)
    article = build(left, found(7, 2, parent=0, is_redirect=True, content="#REDIRECT [[New]]"))
    assert article["version"]["editor"]["is_bot"] is True
    assert "date_created" in article
    edited = build(left, found(8, 2, parent=7))
    assert "is_bot" not in edited["version"]["editor"]
    assert "date_created" not in edited


def test_a_removed_user_stays_removed(change: Make, found: Make) -> None:
    """Whatever the API says of a user that the stream has removed, the article has no editor."""
    article = build(change("edit", 5, user_removed=True), found(5, 1))
    assert "editor" not in article["version"]
    assert article["visibility"] == {"text": True, "editor": False, "comment": True}


@pytest.mark.parametrize("told_by", ["api", "stream"])
def test_hidden_comment_and_editor_are_left_out(change: Make, found: Make, told_by: str) -> None:
    """By the API's word or by the stream's: the text stays, the rest goes, and visibility says so."""
    if told_by == "api":
        article = build(change("edit", 5), found(5, 1, comment_hidden=True, user_hidden=True))
    else:
        article = build(change("edit", 5), found(5, 1), Visibility(editor=False, comment=False))
    assert article["visibility"] == {"text": True, "editor": False, "comment": False}
    assert "Someone" not in str(article)
    assert "Comment" not in str(article)
    assert article["article_body"]["wikitext"] == "Text of 5."


def test_a_hidden_record_holds_nothing_of_the_revision(change: Make, found: Make) -> None:
    """Neither text nor hash, comment, editor, tags or abstract."""
    article = build(
        change("edit", 5), found(5, 1, text_hidden=True), plain=PlainText("Text of 5.", "Text of 5.")
    )
    assert article["event"]["type"] == "visibility-change"
    for secret in ("Text of", "abab", "Comment", "Someone"):
        assert secret not in str(article)


def test_an_unhidden_revision_restates_the_page(change: Make, found: Make) -> None:
    """A visibility change that shows text again carries the article and what can be seen."""
    article = build(change("visibility", 5, visibility=Visibility()), found(5, 1))
    assert article["event"]["type"] == "visibility-change"
    assert article["event"]["revision"]["visibility"]["text"] is True
    assert article["article_body"]["wikitext"] == "Text of 5."


def test_a_removal_without_site_info(change: Make) -> None:
    """A wiki that was never asked can still lose a page: the name, the place, no text."""
    article = as_json(removal_of(change("delete", title="A b"), 9, None, STAMP))
    assert article["url"] == "https://test.example.org/wiki/A_b"
    assert article["event"]["type"] == "delete"
    assert article["is_part_of"] == {"identifier": "testwiki", "url": "https://test.example.org"}
    assert not {"article_body", "version", "abstract"} & set(article)


@pytest.mark.parametrize(
    ("url", "identifier"),
    [
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.en", "CC-BY-SA-4.0"),
        ("//creativecommons.org/licenses/by/2.5/", "CC-BY-2.5"),
        ("https://creativecommons.org/licenses/by-sa/3.0/us/", "CC-BY-SA-3.0-US"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://www.gnu.org/licenses/fdl-1.3.html", "GFDL-1.3"),
        ("https://example.org/ours", ""),
    ],
)
def test_licence_identifiers(url: str, identifier: str) -> None:
    """Each wiki's own URL says which licence it is."""
    assert licence_identifier(url) == identifier


def test_titles_are_encoded_as_mediawiki_does() -> None:
    """Its own links leave these characters as they are, and escape the rest."""
    assert encode_title("AC/DC: a (b), c?! d&e+f'g") == "AC/DC:_a_(b),_c%3F!_d%26e%2Bf%27g"


def told(hint: Hint) -> Signal | None:
    return signal_of(hint, Contents().take(hint))


def test_which_hints_are_signals() -> None:
    """A revert names its ends; the tag counts when it is new; without a page there is nothing to tell."""
    reverting = told(Hint("w", 1, 9, 5, reverted_oldest=6, reverted_newest=8))
    assert reverting
    assert (reverting.by, reverting.reverted) == (9, (6, 8))
    single = told(Hint("w", 1, 9, 5, reverted_newest=8))
    assert single
    assert single.reverted == (8,)
    tagged = told(Hint("w", 1, 9, 5, tags=("mw-reverted",), previous_tags=()))
    assert tagged
    assert (tagged.by, tagged.reverted) == (0, (9,))
    assert told(Hint("w", 1, 9, 5, tags=("mw-reverted", "x"), previous_tags=("mw-reverted",))) is None
    assert told(Hint("w", 0, 9, 5, reverted_newest=8)) is None
    assert told(Hint("w", 1, 9, 5)) is None


def test_the_same_content_again_is_a_revert() -> None:
    """Of all that came between; by what hints say of a revision and of the one before it. A null edit reverts
    nothing, a hint that comes twice says the same, pages and wikis are apart.
    """
    contents = Contents()
    a, b, c = (letter * 40 for letter in "abc")

    def reverted(revision: int, parent: int, sha1: str, parent_sha1: str = "", **of: object) -> object:
        hint = Hint(
            str(of.get("wiki", "w")), 1, revision, 5, parent=parent, sha1=sha1, parent_sha1=parent_sha1
        )
        signal = signal_of(hint, contents.take(hint))
        return signal and (signal.by, signal.reverted)

    assert reverted(20, 10, b, a) is None
    assert reverted(30, 20, c, b) is None
    assert reverted(40, 30, a, c) == (40, (11, 39))
    assert reverted(40, 30, a, c) == (40, (11, 39))
    assert reverted(50, 40, a, a) is None
    assert reverted(60, 50, b) == (60, (21, 59))
    assert reverted(70, 60, a, wiki="v") is None


def test_contents_are_remembered_as_far_as_the_wikis_do() -> None:
    """Fifteen of a page."""
    contents = Contents()
    hints = [Hint("w", 1, n, 5, parent=n - 1, sha1=f"{n:02x}" * 20) for n in range(1, 30)]
    assert all(contents.take(hint) is None for hint in hints)
    assert contents.take(replace(hints[2], revision=40, parent=29)) is None
    assert contents.take(replace(hints[20], revision=50, parent=40)) == (21, 22, 40, True)


def test_lists_of_the_page_are_links(change: Make, found: Make) -> None:
    """In the wiki's order, by its own addresses; one that is empty is an empty list, one that is not whole is
    no list.
    """
    lists = {"categories": ("Category:B ü", "Category:A"), "redirects": ()}
    article = build(change("edit", 5), found(5, 1, lists=lists))
    assert article["categories"] == [
        {"name": "Category:B ü", "url": "https://test.example.org/wiki/Category:B_%C3%BC"},
        {"name": "Category:A", "url": "https://test.example.org/wiki/Category:A"},
    ]
    assert article["redirects"] == []
    assert "templates" not in article


def test_what_has_no_text_has_no_lists(change: Make, found: Make) -> None:
    """Neither a removal nor a revision whose text is hidden: categories and templates come from it."""
    lists = {"categories": ("Category:A",), "templates": (), "redirects": ()}
    hidden = build(change("edit", 5), found(5, 1, lists=lists, text_hidden=True, content=None))
    removal = as_json(removal_of(change("delete", 5), 1, None, STAMP))
    assert not lists.keys() & (hidden.keys() | removal.keys())
