"""What editors have marked as wanting, counted by the names of templates."""

import time
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from consumers.wikitext.languages import NAMES as LANGUAGES
from consumers.wikitext.languages import language_name
from streamer.enrich.maintenance import ENGLISH, NAMES, TEMPLATES_MOST, maintenance_tags

NONE = {f"{tag}_count": 0 for tag in ENGLISH}


def counts(wikitext: str, language: str = "en") -> Any:
    return msgspec.to_builtins(maintenance_tags(wikitext, language))


@pytest.mark.parametrize(
    ("wikitext", "tag"),
    [
        ("So it is.{{citation needed|date=May 2026}}", "citation_needed"),
        ("So it is.{{Cn}}", "citation_needed"),
        ("So it is.{{ citation_needed |reason=x}}", "citation_needed"),
        ("So it is.{{CITATION NEEDED}}", "citation_needed"),
        ("So it is.{{Template:Fact}}", "citation_needed"),
        ("So it is.{{cn\n|date=May 2026}}", "citation_needed"),
        ("{{cn<!-- since May -->|date=x}}", "citation_needed"),
        ("{{Infobox|born={{cn}}}}", "citation_needed"),
        ("{{POV section}}", "pov"),
        ("{{NPOV}}", "pov"),
        ("{{clarify|what?}}", "clarification_needed"),
        ("{{Update|part=all}}", "update"),
    ],
)
def test_a_template_by_any_of_its_names(wikitext: str, tag: str) -> None:
    """With or without parameters, however it is written."""
    assert counts(wikitext) == NONE | {f"{tag}_count": 1}


@pytest.mark.parametrize(
    "wikitext",
    [
        "",
        "citation needed",
        "[[Citation needed]]",
        "{{Citation needed for all of this}}",
        "{{lc|Citation needed}}",
        "<!-- {{cn}} -->",
        "<!-- {{cn}}",
        "<nowiki>{{cn}}</nowiki>",
        "<NoWiki >{{cn}}</NoWiki>",
        "{{cn",
        "{cn}",
        "{{#if:cn}}",
    ],
)
def test_what_is_none(wikitext: str) -> None:
    """Other templates, links, and what no reader sees."""
    assert counts(wikitext) == NONE


def test_each_is_counted() -> None:
    """As often as it stands there."""
    assert counts("a{{cn}} b{{cn}}{{cn}} {{POV}} {{Outdated}} {{clarify}}") == {
        "citation_needed_count": 3, "pov_count": 1, "clarification_needed_count": 1, "update_count": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("language", "wikitext"),
    [
        ("de", "{{Belege fehlen}}"),
        ("fr", "{{Référence nécessaire|x}}"),
        ("es", "{{cita requerida}}"),
        ("ru", "{{Нет АИ|1|2}}"),
        ("ja", "{{要出典|date=x}}"),
        ("zh", "{{來源請求}}"),
        ("he", "{{דרוש מקור}}"),
        ("ml", "{{തെളിവ്}}"),
        ("no", "{{Trenger referanse}}"),
        ("de", "{{Citation needed}}"),
        ("he", "{{fact}}"),
    ],
)
def test_in_the_wikis_own_language(language: str, wikitext: str) -> None:
    """And in English, which the wikis of the table understand beside."""
    assert counts(wikitext, language)["citation_needed_count"] == 1


def test_what_is_not_known_is_absent() -> None:
    """A language whose names nobody has told us, and kinds of a language that are not known: 0 would be said
    of what was not looked for.
    """
    assert maintenance_tags("{{cn}}", "xh") is UNSET
    assert counts("{{cn}}", "he") == {"citation_needed_count": 1}


def test_no_name_has_two_meanings() -> None:
    """In none of the languages."""
    for language, kinds in NAMES.items():
        names = [
            name.lower()
            for tag, own in kinds.items()
            for name in f"{ENGLISH[tag]}, {own}".split(", ")
            if name
        ]
        assert len(names) == len(set(names)), language


@pytest.mark.parametrize(
    "unit", ["{{", "{{a", "{{cn}}", "<!--", "<nowiki>", "{{" + " " * 60, "{{a\n", "</nowiki", "<nowiki "]
)
def test_hostile_markup_costs_little(unit: str) -> None:
    """Two megabytes of it take a fraction of a second, and no more is counted than an article can have."""
    wikitext = unit * (2_000_000 // len(unit))
    began = time.process_time()
    found = counts(wikitext)
    assert time.process_time() - began < 4
    assert found["citation_needed_count"] <= TEMPLATES_MOST


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("en", "English"), ("de", "German"), ("ar", "Arabic"), ("he", "Hebrew"), ("hi", "Hindi"),
        ("th", "Thai"), ("ja", "Japanese"), ("zh", "Chinese"), ("zh-hant", "Traditional Chinese"),
        ("zh-Hant", "Traditional Chinese"), ("kk-cyrl", "Kazakh (Cyrillic script)"), ("xx", ""), ("", ""),
        ("xx-cyrl", ""), ("be-tarask", "Belarusian (Taraškievica orthography)"),
    ],
)  # fmt: skip
def test_languages_have_english_names(code: str, name: str) -> None:
    """As CLDR calls them; what is not in the table has none."""
    assert language_name(code) == name
    assert len(LANGUAGES) > 450
