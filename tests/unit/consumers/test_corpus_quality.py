"""What is taken into a snapshot, how long a text is, and on which side a page lies."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness.partner_pages import corpus, in_all_languages, page, text_in
from harness.wikitext import LANGUAGES
from msgspec.structs import replace

from consumers.corpus.columns import entry_of
from consumers.corpus.page import Page
from consumers.corpus.quality import STUB, Filters, fingerprint, length
from consumers.corpus.snapshot import snapshot, taken
from consumers.corpus.split import SHARE, split_of
from consumers.corpus.state import State

SENTENCE = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "ar": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "ja": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "zh": "人人生而自由,在尊严和权利上一律平等。",
}
"""Of the Universal Declaration of Human Rights, article 1."""


def left_out(state: State, filters: Filters) -> dict[str, int]:
    counts: Counter[str] = Counter()
    list(taken(state, filters, SHARE, counts))
    return counts


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_sentence_is_about_as_long_in_each_language(language: str) -> None:
    """By characters Chinese would have a third of the English, by bytes Hindi thrice as much."""
    assert 0.7 < length(SENTENCE[language]) / length(SENTENCE["en"]) < 1.6
    assert length(SENTENCE["en"]) == len(SENTENCE["en"])


def test_a_length_is_of_characters() -> None:
    """Han is three, kana and Hangul two, half-width kana too, what else there is one; also beyond the BMP."""
    assert [length(text) for text in ("", "aé—", "漢", "あア", "한", "ｱ", "𠀀", "😀", "ก็", "〇々")] == [
        0, 3, 3, 4, 2, 2, 3, 1, 2, 2,
    ]  # fmt: skip


def test_articles_with_a_text_are_taken(tmp_path: Path) -> None:
    """Without a word of the caller's: no other namespace, no other content model, nothing without text, each
    text once.
    """
    pages = [
        page("en", 1),
        page("en", 2, "", redirect_target="Elsewhere"),
        page("en", 3, namespace=1),
        page("en", 4, "{}", content_model="json"),
        page("en", 5, ""),
        page("en", 6, text_in("en")),
        page("en", 7, text_in("en")),
        page("en", 8, "A stub."),
        page("en", 9, "May mean:", is_disambiguation=True),
    ]
    with corpus(tmp_path / "c.db", pages) as state:
        made = snapshot(state, tmp_path / "s")
    assert made.rows == 4
    assert made.left_out == {"content model": 1, "duplicates": 1, "namespace": 1, "no text": 2}


def test_flags_say_what_filters_go_by() -> None:
    """A redirect or a disambiguation is no stub, however short; Chinese is no stub for being dense."""
    flags = {
        name: (entry.is_redirect, entry.is_disambiguation, entry.is_stub)
        for name, entry in (
            ("article", entry_of(page("en", 1), 1, "train")),
            ("stub", entry_of(page("en", 1, "x" * (STUB - 1)), 1, "train")),
            ("redirect", entry_of(page("en", 1, "", redirect_target="B"), 1, "train")),
            ("disambiguation", entry_of(page("en", 1, "B", is_disambiguation=True), 1, "train")),
            ("dense", entry_of(page("zh", 1, "漢" * (STUB // 3 + 1)), 1, "train")),
        )
    }
    assert flags == {
        "article": (False, False, False),
        "stub": (False, False, True),
        "redirect": (True, False, False),
        "disambiguation": (False, True, False),
        "dense": (False, False, False),
    }


@pytest.mark.parametrize(
    ("filters", "reason", "out"),
    [
        (Filters(without=("stubs",)), "stubs", page("en", 1, "Short.")),
        (Filters(without=("disambiguations",)), "disambiguations", page("en", 1, is_disambiguation=True)),
        (Filters(without=("redirects",), without_text=True), "redirects", page("en", 1, redirect_target="B")),
        (Filters(languages=("de", "th")), "language", page("en", 1)),
        (Filters(languages=("de",)), "language", replace(page("en", 1), language="")),
        (Filters(min_length=100), "too short", page("th", 1, "ก" * 99)),
        (Filters(max_length=99), "too long", page("zh", 1, "漢" * 34)),
        (Filters(namespaces=(0, 4)), "namespace", page("en", 1, namespace=10)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_filter_leaves_out_what_it_names(filters: Filters, reason: str, out: Page, tmp_path: Path) -> None:
    """And counts it under its name; an article of another kind stays."""
    stays = page("de", 7)
    if filters.max_length:
        stays = page("de", 7, "x" * filters.max_length)
    assert filters.reason(stays, length(stays.text)) is None
    with corpus(tmp_path / "c.db", [out, stays]) as state:
        assert left_out(state, filters) == {reason: 1}


def test_redirects_can_be_had() -> None:
    """Their titles are of use to who resolves links."""
    redirect = page("en", 1, "", redirect_target="B")
    assert Filters(without_text=True).reason(redirect, 0) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_of_the_same_text_one_page_stays(language: str, tmp_path: Path) -> None:
    """White space and the composition of characters make no other text; a letter does. The first one stays,
    by wiki and page id, in whichever order they came.
    """
    import unicodedata  # noqa: PLC0415

    text = text_in(language)
    same: list[dict[str, Any]] = [
        {"text": text},
        {"text": unicodedata.normalize("NFD", text)},
        {"text": f" {text.replace(' ', '  ')}\n"},
    ]
    pages = [page(language, number, **more) for number, more in zip((30, 4, 500), same, strict=True)]
    other = page(language, 9, text + "x")
    for name, order in (("a", [*pages, other]), ("b", [other, *reversed(pages)])):
        with corpus(tmp_path / f"{name}.db", order) as state:
            made = snapshot(state, tmp_path / name)
            assert (made.rows, made.left_out) == (2, {"duplicates": 2})
            full = snapshot(state, tmp_path / f"{name}-full", Filters(duplicates=True))
            assert full.rows == 4
    assert fingerprint(text) != fingerprint(text + "x")


def test_a_page_never_changes_sides() -> None:
    """Its side is by its wiki and id: fixed here for good, and a larger share only adds to a smaller one."""
    sides = [split_of(wiki, number, 0.2) for wiki in ("enwiki", "thwiki") for number in range(1, 13)]
    assert "".join(side[0] for side in sides) == "tvtttvtttvttttttvtttvttt"
    for number in range(2_000):
        if split_of("dewiki", number, 0.01) == "validation":
            assert split_of("dewiki", number, 0.05) == "validation"
    assert {split_of("dewiki", number, 0) for number in range(99)} == {"train"}
    assert {split_of("dewiki", number, 1) for number in range(99)} == {"validation"}


def test_a_share_is_about_what_was_asked_for() -> None:
    """In each wiki."""
    for wiki in ("enwiki", "jawiki"):
        drawn = sum(split_of(wiki, number, 0.05) == "validation" for number in range(20_000))
        assert 900 < drawn < 1_100


def test_edits_and_moves_leave_a_page_on_its_side(tmp_path: Path) -> None:
    """Also a Wikidata item that it is given."""
    pages = in_all_languages(20)
    with corpus(tmp_path / "c.db", pages) as state:
        before = {(e.wiki, e.page_id): e.split for e in taken(state, Filters(), 0.2, Counter())}
    edited = [page(p.language, p.page, "new", title="Moved", wikidata="Q1", revision=9_999) for p in pages]
    with corpus(tmp_path / "d.db", edited) as state:
        after = {(e.wiki, e.page_id): e.split for e in taken(state, Filters(), 0.2, Counter())}
    assert before == after
    assert len(set(before.values())) == 2
