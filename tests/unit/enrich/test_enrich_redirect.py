"""Where redirects lead, and what is none."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from streamer.enrich.article import Stamp, article_of, is_redirect
from streamer.model import Visibility, encode_value

Make = Callable[..., Any]
GERMAN = {
    "namespaces": {-1: "Spezial", 0: "", 2: "Benutzer", 4: "Wikipedia", 6: "Datei", 14: "Kategorie"},
    "aliases": {"Benutzerin": 2, "WP": 4},
    "language": "de",
}
WORDS = {"namespaces": {0: "", 2: "User", 14: "Category"}, "cased": (0, 14)}
TURKISH = {"language": "tr"}


def target(change: Any, found: Any) -> str | None:
    article = article_of(change, found, Visibility(), Stamp(1, 1))
    told: dict[str, Any] = msgspec.json.decode(encode_value(article))
    assert is_redirect(found) or "redirect_target" not in told
    return told.get("redirect_target")


@pytest.mark.parametrize(
    ("content", "leads_to", "site"),
    [
        ("#REDIRECT [[Other page]]", "Other page", {}),
        ("#redirect [[other_page]]", "Other page", {}),
        ("#REDIRECT [[Foo#Section|shown]] {{R}}", "Foo", {}),
        ("#REDIRECT [[AT&amp;T]]", "AT&T", {}),
        ("#REDIRECT [[Caf%C3%A9]]", "Café", {}),
        ("#REDIRECT [[éclair]]", "Éclair", {}),
        ("#redirect\n\n[[X]]", "X", {}),
        ("#REDIRECT: [[X]]", "X", {}),
        ("\n\t#REDIRECT[[X]]", "X", {}),
        ("#REDIRECT<!-- [[old]] --> [[New]]", "New", {}),
        ("<!-- was #REDIRECT [[Old]] -->#REDIRECT [[New]]", "New", {}),
        ("#REDIRECT [[\u200eMarked\u200e]]", "Marked", {}),
        ("#REDIRECT [[2001: a film]]", "2001: a film", {}),
        ("#REDIRECT [[:de:Foo]]", "de:Foo", {}),
        ("#REDIRECT [[ category: foo bar]]", "Category:Foo bar", {}),
        ("#REDIRECT [[user:ada]]", "Benutzer:Ada", GERMAN),
        ("#WEITERLEITUNG [[:kategorie:Foo_bar#Teil|x]]", "Kategorie:Foo bar", GERMAN),
        ("#WEITERLEITUNG [[wp:hilfe]]", "Wikipedia:Hilfe", GERMAN),
        ("#WEITERLEITUNG [[Image:x.jpg]]", "Datei:X.jpg", GERMAN),
        ("#перенаправление[[Москва]]", "Москва", {}),
        ("#अनुप्रेषित [[क]]", "क", {}),
        ("#ail-cyfeirio [[Cymru]]", "Cymru", {}),
        ("#重定向 [[北京]]", "北京", {}),
        ("#REDIRECT [[lamp]]", "lamp", WORDS),
        ("#REDIRECT [[user:ada]]", "User:Ada", WORDS),
        ("#YÖNLENDİR [[izmir]]", "İzmir", TURKISH),
        ("#REDIRECT [[ßa]]", "ßa", {}),
        ("#REDIRECT [[ქართული]]", "ქართული", {}),
        # no redirects, or to nowhere
        ("# first [[item]]\n# second", None, {}),
        ("#1 [[item]]", None, {}),
        ("#see also the [[item]]", None, {}),
        ("#REDIRECT nowhere", None, {}),
        ("#REDIRECT nowhere\n[[X]]", None, {}),
        ("#REDIRECT [[]] [[X]]", None, {}),
        ("#REDIRECT [[#Section]]", None, {}),
        ("#REDIRECT [[{{PAGENAME}}]]", None, {}),
        ("#REDIRECT [[%FF]]", None, {}),
        (f"#{'a' * 41} [[X]]", None, {}),
        ("Text with a [[link]]", None, {}),
    ],
)
def test_where_it_leads(
    change: Make, found: Make, content: str, leads_to: str | None, site: dict[str, Any]
) -> None:
    """As its wiki would write the title: the word before it may be in any language."""
    page = found(5, 1, content=content, is_redirect=True)
    assert target(change("edit", 5), replace(page, site=replace(page.site, **site))) == leads_to


@pytest.mark.parametrize("content", ["#REDIRECT [[X]]", "#redirect : [[X]]"])
def test_a_revision_of_what_is_none_any_more(change: Make, found: Make, content: str) -> None:
    """It is known by the English word alone; another one may stand in a list."""
    assert target(change("edit", 5), found(5, 1, content=content, last_revision=9)) == "X"
    assert not is_redirect(found(5, 1, content=content.replace("R", "W").replace("r", "w")))


@pytest.mark.parametrize("opening", ["<!--", "#" * 9, "#a", "[["])
def test_what_is_made_to_be_slow(found: Make, opening: str) -> None:
    """Only a page's beginning is looked at, once."""
    assert not is_redirect(found(5, 1, content=opening * 500_000, is_redirect=True))
