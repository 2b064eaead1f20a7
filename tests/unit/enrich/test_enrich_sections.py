"""Sections and infoboxes: what they hold, and that a section's hash tells whether somebody changed it."""

import random

import pytest
from harness.wikitext import LANGUAGES, article

from consumers.wikitext.plain import Page, Section, text_of
from consumers.wikitext.text import Make, PlainText, plain_text
from consumers.wikitext.text import sections_of as told_of

ALL = Make(text=True, sections=True, infoboxes=True)


def sections_of(wikitext: str) -> list[tuple[list[str], int, str]]:
    made = plain_text(wikitext, make=ALL)
    assert made.sections is not None
    return [(section.path, section.level, section.text) for section in made.sections]


def test_sections_have_the_headings_above_them() -> None:
    """The lead comes first, even if it is empty; a level may be left out; equal headings stay in order."""
    assert sections_of("lead\n== A ==\na\n==== B ====\nb\n=== C ===\n== ''A'' ==\n* [[x|d]]") == [
        ([], 0, "lead"),
        (["A"], 2, "a"),
        (["A", "B"], 4, "b"),
        (["A", "C"], 3, ""),
        (["A"], 2, "- d"),
    ]
    assert sections_of("a<h2 id=x>B</h2>c\n<H3>''D''</H3>") == [
        ([], 0, "a"),
        (["B"], 2, "c"),
        (["B", "D"], 3, ""),
    ]
    assert sections_of("== A ==") == [([], 0, ""), (["A"], 2, "")]
    assert sections_of("x") == [([], 0, "x")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_sections_joined_are_the_text(language: str) -> None:
    made = plain_text(article(language), make=ALL)
    assert made.sections
    parts = [part for one in made.sections for part in (*one.path[-1:], one.text) if part]
    assert "\n\n".join(parts) == made.text
    assert made.text == plain_text(article(language)).text
    assert max(one.level for one in made.sections) > 1
    assert made.abstract
    assert made.sections[0].text.startswith(made.abstract)


def test_a_hash_is_of_what_is_read() -> None:
    """White space and the form of Unicode don't count, path and text do; it is the same in years to come."""
    one = Section(("A",), 2, "caf\u00e9 is\n\nopen")
    assert one.hash == Section(("A",), 2, "cafe\u0301  is open ").hash
    assert one.hash == "f01c0f0c4aa8080aa9e95afd3fe90982"
    others = (
        Section(("A",), 2, "caf\u00e9 is open."),
        Section(("B",), 2, one.text),
        Section(("A", "A"), 2, one.text),
        Section((), 2, "A " + one.text),
    )
    assert len({one.hash, *(other.hash for other in others)}) == 5


WORDS = (
    *("harbour", "[[ship|boat]]", "''old''", "{{nowrap|three docks}}", "月港", "منارة"),
    *("<ref>a note</ref>", "A&amp;B", "<nowiki>==</nowiki>", "<!-- c -->", "{{Unseen|a=b}}"),
)


def edited(wikitext: str, rng: random.Random) -> tuple[str, int]:
    """One paragraph more, somewhere; and which heading's section it is in, 0: the lead."""
    lines = wikitext.split("\n")
    headings = [at for at, line in enumerate(lines) if line.startswith("==")]
    section = rng.randrange(len(headings) + 1)
    # right before the next heading, where no list, table or tag is open
    at = headings[section] if section < len(headings) else len(lines)
    words = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 8)))
    lines[at:at] = ["", f"New {words} here.", ""]
    return "\n".join(lines), section


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_edit_changes_the_hash_of_its_section_only(language: str, rng: random.Random) -> None:
    """Random paragraphs in random sections of real-looking articles."""
    wikitext = article(language)
    for _ in range(15):
        before = plain_text(wikitext, make=ALL).sections
        wikitext, section = edited(wikitext, rng)
        after = plain_text(wikitext, make=ALL).sections
        assert before
        assert after
        changed = [
            at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old.hash != new.hash
        ]
        assert changed == [section]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_heading_that_changes_changes_those_below_it(language: str, rng: random.Random) -> None:
    """Whose path has it; and no others."""
    wikitext = article(language)
    before = plain_text(wikitext, make=ALL).sections
    assert before
    at = rng.randrange(1, len(before))
    heading = before[at].path[-1]
    lines = wikitext.split("\n")
    (line,) = [
        number
        for number, line in enumerate(lines)
        if line.startswith("==") and plain_text(line).text == heading
    ]
    lines[line] = lines[line].replace(heading, f"{heading} X")
    after = plain_text("\n".join(lines), make=ALL).sections
    assert after
    changed = {
        number for number, (old, new) in enumerate(zip(before, after, strict=True)) if old.hash != new.hash
    }
    assert changed == {
        number for number, one in enumerate(before) if one.path[: len(before[at].path)] == before[at].path
    }
    assert at in changed


MAKES = [
    Make(text, sections, infoboxes)
    for text in (False, True)
    for sections in (False, True)
    for infoboxes in (False, True)
]
WITHIN_BOXES = (
    "{{Bio\n|Nome=Ida\n|Attività=attrice\n|PostNazionalità = , nota come {{Lingue|en|Moss}} e {{X|a|b}}}}",
    "words {{Infobox inline|{{foo|uno|due}}}} and {{Carte vue|{{foo|uno|due}}}} more",
)


@pytest.mark.parametrize("wikitext", [*map(article, LANGUAGES), *WITHIN_BOXES], ids=lambda text: text[:8])
def test_what_one_asks_for_changes_nothing_of_what_another_gets(wikitext: str, rng: random.Random) -> None:
    """Text, sections, hashes and boxes are the same whatever else is made; on pages of random edits, too."""
    for _ in range(3):
        whole = plain_text(wikitext, make=ALL)
        for make in MAKES:
            assert plain_text(wikitext, make=make) == PlainText(
                whole.text if make.text else None,
                whole.abstract if make.text else "",
                whole.sections if make.sections else None,
                whole.infoboxes if make.infoboxes else None,
            )
        wikitext = edited(wikitext, rng)[0]


def test_what_is_not_read_changes_no_hash() -> None:
    """References, comments, categories, images, spelling of links."""
    quiet = "lead\n== A ==\n[[x|a]] b\n[[Category:C]]"
    loud = "lead<ref>r</ref><!-- c -->\n== A ==\n[[File:y.jpg|thumb]]\n''[[z|a]]''  b{{Citation needed}}\n"
    assert [s.hash for s in plain_text(quiet, make=ALL).sections or ()] == [
        s.hash for s in plain_text(loud, make=ALL).sections or ()
    ]


def test_a_page_may_be_told_again() -> None:
    """Nothing of one page is left in the next."""
    page = Page()
    page.paragraph("a")
    page.item("b")
    page.heading(3, "c")
    first = page.sections()
    assert text_of(first) == "a\n\n- b\n\nc"
    assert told_of(first)
    assert first[1] == (("c",), 3, "")


# ── infoboxes ──────────────────────────────────────────────────────────────────────────────────


def boxes_of(wikitext: str) -> list[tuple[str, dict[str, str]]]:
    made: PlainText = plain_text(wikitext, make=ALL)
    assert made.infoboxes is not None
    return [(box.name, {field.key: field.value for field in box.fields}) for box in made.infoboxes]


def test_an_infobox_is_keys_and_plain_values() -> None:
    """In order; links, templates, references and files as in text, a line for each item, nothing empty."""
    markup = """{{Infobox settlement
| name = '''Larkhaven'''<ref>r</ref> | native_name = {{lang|nrn|Lerkhefn}}
| image = [[File:Harbour.jpg|thumb|a [[b]] c]] | map = map.svg
| population = {{formatnum:48210}} {{small|({{as of|2020}})}}
| area={{convert|112|km2|sqmi}} | founded = {{Start date|1642|5|3}}
| twin = {{ubl|[[Ostermoor]]|[[x|Port Élan]]}}
| rivers =
* [[Lark]]
* ''Hune''<br />(small)
| mayor = {{flagicon|NM}} {{unknown|Ida|Moss}} | url = {{URL|https://a.example/?b=c}}
| empty = | 1 = first
| coordinates = {{coord|52|31|N}}
}}
text"""
    assert boxes_of(markup) == [
        (
            "Infobox settlement",
            {
                "name": "Larkhaven",
                "native_name": "Lerkhefn",
                "image": "Harbour.jpg",
                "map": "map.svg",
                "population": "48210 (2020)",
                "area": "112 km2",
                "founded": "1642-05-03",
                "twin": "Ostermoor\nPort Élan",
                "rivers": "Lark\nHune\n(small)",
                "mayor": "Ida Moss",
                "coordinates": "52 31 N",
            },
        )
    ]
    assert plain_text(markup, make=ALL).text == "text"


VALUES = {
    "a place": ("{{coord|51|N|1|W|type:city_region:GB|display=inline,title}}", "51 N 1 W"),
    "a file": ("\n [[File:A=b c.jpg|thumb|a [[b]] c]]", "A=b c.jpg"),
    "a file within a template": ("{{nowrap|[[File:a.jpg]]}}", None),
    "a category": ("[[Category:B]]", None),
    "a name": ("{{native name|fr|Nom}}", "Nom"),
    "a height": ("{{height|m=1.8|precision=0}} {{height|ft=6|in=1}}", "1.8 m 6 ft 1 in"),
    "a box": ("{{Infobox b|c=d|e}}", None),
    "a word of a box": ("{{Infobox b|e}}", "e"),
}


@pytest.mark.parametrize(("markup", "value"), VALUES.values(), ids=VALUES.keys())
def test_values_of_an_infobox(markup: str, value: str | None) -> None:
    """What text leaves out tells a fact here. A box within is one of its own, not a value."""
    made = boxes_of(f"{{{{Infobox a|x={markup}}}}}")
    assert made[0] == ("Infobox a", {"x": value} if value else {})


def test_a_file_is_a_value_of_infoboxes_only() -> None:
    """Not of what else has arguments, nor of words."""
    markup = (
        "a = [[File:b.jpg]] c =[[File:{{nowrap|d}}.jpg]] {{quote|text=[[File:e.jpg]]}} "
        "{{nowrap|f=[[File:g.jpg]]|h}}\n{{x|=[[File:i.jpg]]\nj"
    )
    assert plain_text(markup, make=ALL).text == "a = c = h\n\nj"


NAMED = (
    *("Infobox person", "infobox_Person", "Taxobox", "Automatic taxobox", "Speciesbox", "Infobox Ort", "Bio"),
    *("Ficha de persona", "Карточка персоны", "Infoboks by", "Polityk infobox", "基礎情報 国", "信息框/人物"),
    *("صندوق معلومات شخص", "ज्ञानसन्दूक नगर", "กล่องข้อมูล เมือง", "جعبه شهر", "Bilgi kutusu kişi"),
    *("Tietolaatikko kaupunki", "Картка:Місто"),
)


@pytest.mark.parametrize("name", NAMED)
def test_an_infobox_is_known_by_its_name(name: str) -> None:
    """In the language of its wiki, wherever it stands, and in a line."""
    assert boxes_of(f"words\n{{{{{name}|a=b}}}}\nmore") == [(name.replace("_", " "), {"a": "b"})]


def test_or_by_its_shape() -> None:
    """Before the first word, three arguments with names, each on a line."""
    shaped = "{{יישוב\n|שם=נמל\n|שטח=112\n|מדינה=[[ארץ]]\n}}"
    assert boxes_of(f"{{{{Short description|x}}}}\n{shaped}\n'''text'''") == [
        ("יישוב", {"שם": "נמל", "שטח": "112", "מדינה": "ארץ"})
    ]
    assert boxes_of(f"text\n{shaped}") == []
    assert boxes_of("{{Use dates|date=May|a=b|c=d}}\ntext") == []
    assert boxes_of("{{Notice\n|a=b\n|c=d\n}}\ntext") == []


def test_boxes_come_in_order_with_those_within_them() -> None:
    markup = "{{Infobox a|x=1|module={{Infobox b|y=2}}}}\n{{Infobox c|z=3}}"
    assert boxes_of(markup) == [
        ("Infobox a", {"x": "1"}),
        ("Infobox b", {"y": "2"}),
        ("Infobox c", {"z": "3"}),
    ]


def test_boxes_are_bounded() -> None:
    """In number, fields and length of values; text is what it is all the same."""
    many = "{{Infobox a|x=1}}" * 50
    wide = "{{Infobox a" + "".join(f"|k{n}=v" for n in range(1_000)) + "}}"
    long = f"{{{{Infobox a|x={'word ' * 5_000}}}}}"
    assert len(boxes_of(many)) == 20
    assert len(boxes_of(wide)[0][1]) == 200
    assert len(boxes_of(long)[0][1]["x"]) <= 2_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_article_of_the_corpus_has_its_box(language: str) -> None:
    made = plain_text(article(language), make=ALL)
    assert made.infoboxes is not None
    (box,) = made.infoboxes
    assert len(box.fields) >= 3
    assert not any(mark in field.value for field in box.fields for mark in ("[[", "{{", "''", "<"))
