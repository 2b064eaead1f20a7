"""Invented articles in eight languages, the templates that they use, and what an oracle reads of their HTML.

The oracle is mwparserfromhtml (Wikimedia Research): what it takes for prose, headings and lists of Parsoid's
HTML is what should have been made of the wikitext.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent / "corpus"
LANGUAGES: Final = ("en", "de", "ar", "he", "hi", "th", "ja", "zh")

_BOX: Final = '<table class="infobox">\n<tr><td>{{{name|{{{Name|{{{1|}}}}}}}}}</td></tr>\n</table>'
_HATNOTE: Final = '<div class="hatnote" role="note">See {{{1|}}}</div>'
_NAVBOX: Final = '<div class="navbox" role="navigation">{{{title|}}} {{{list1|}}}</div>'
_WANTED: Final = '<sup class="noprint">[[Project:Sources|<span title="no source">source?</span>]]</sup>'

TEMPLATES: Final[Mapping[str, str]] = {
    "Lang": '<span lang="{{{1}}}">{{{2}}}</span>',
    "Nowrap": '<span style="white-space:nowrap">{{{1}}}</span>',
    "Small": "<small>{{{1}}}</small>",
    "IPA": '<span class="IPA">{{{1}}}</span>',
    "Convert": "{{{1}}} {{{2}}} {{{3|}}} {{{4|}}} {{{5|}}}",
    "Circa": "c.&nbsp;{{{1}}}",
    "Frac": "{{{1}}}&frasl;{{{2}}}",
    "'": "'",
    "Snd": "&nbsp;&ndash; ",
    "Anchor": '<span id="{{{1}}}"></span>',
    "Efn": "<ref group=note>{{{1}}}</ref>",
    "הערה": "<ref>{{{1}}}</ref>",
    "Reflist": '<references /><references group="note" />',
    "Ubl": "<ul><li>{{{1}}}</li><li>{{{2}}}</li></ul>",
    "Start date": "{{{3|}}} {{{2|}}} {{{1}}}",
    "Zitat": "<blockquote>{{{1}}}</blockquote>",
    "ציטוט": "<blockquote>{{{1}}}</blockquote>",
    "إنج": "<small>{{{1}}}</small>",
    "仮リンク": "[[{{{1}}}]]",
    "Le": "[[{{{1}}}]]",
    "Short description": '<div class="shortdescription" style="display:none">{{{1}}}</div>',
    **dict.fromkeys(("Cite web", "Cite book", "Literatur"), "<cite>{{{title|{{{Titel|}}}}}}</cite>"),
    **dict.fromkeys(
        ("About", "Main", "Hauptartikel", "مفصلة", "ערך מורחב", "मुख्य", "บทความหลัก", "脚注ヘルプ"), _HATNOTE,
    ),
    **dict.fromkeys(
        ("Infobox settlement", "Infobox Ort", "صندوق معلومات مدينة", "יישוב", "ज्ञानसन्दूक नगर",
         "กล่องข้อมูล เมือง", "基礎情報 市", "信息框 城市"), _BOX,
    ),
    **dict.fromkeys(("Navbox", "Navigationsleiste", "شريط"), _NAVBOX),
    **dict.fromkeys(
        ("Citation needed", "Belege fehlen", "مصدر", "उद्धरण आवश्यक", "ต้องการอ้างอิง", "要出典", "来源请求"),
        _WANTED,
    ),
    **dict.fromkeys(("مراجع", "הערות שוליים"), ""),
}  # fmt: skip
"""As wikis make them, in a line."""

NOT_TEXT: Final = frozenset(
    {
        "Category", "Citation", "Comment", "Infobox", "InlineCleanup", "Math", "Media-audio", "Media-img",
        "Media-video", "Messagebox", "Navigation", "Note", "Reference", "Table", "Wikitable",
    }
)  # fmt: skip
"""By the oracle's names. Its own default leaves out headings, lists and transcluded paragraphs as well."""
_NOT_READ: Final = re.compile(
    r"<(title)>.*?</title>"
    r"|<(div|ol)\b[^>]*class=\"[^\"]*(?:shortdescription|mw-references)[^\"]*\".*?</\2>"
    r"|<(figure)\b.*?</figure>|<ul\b[^>]*class=\"gallery.*?</ul>",
    re.DOTALL,
)
_MARK: Final = re.compile(r"^ *(?:- |\d+\. )", re.MULTILINE)


def article(language: str) -> str:
    return (FOLDER / f"{language}.wiki").read_text("utf-8")


def used(wikitext: str) -> list[str]:
    """Of TEMPLATES. Those of it that are not there a wiki shows as red links."""
    names = {name.strip().casefold() for name in re.findall(r"\{\{([^|{}\n]+)", wikitext)}
    return [name for name in TEMPLATES if name.casefold() in names]


def read_by_oracle(html: str) -> str:
    from mwparserfromhtml.parse.article import WikiStew  # noqa: PLC0415 - half a second of imports

    return "\n".join(
        WikiStew(_NOT_READ.sub("", html).replace("</dt><dd", "</dt>\n<dd")).to_plaintext(
            exclude_elements=NOT_TEXT
        )
    )


def words(text: str) -> Counter[str]:
    """Between spaces and punctuation; each character of scripts that are written without spaces."""
    spaced: list[str] = []
    for char in _MARK.sub("", text):
        kind = unicodedata.category(char)[0]
        if kind in "PSZC":
            spaced.append(" ")
        elif "\u0e00" <= char <= "\u0e7f" or "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff":
            spaced += (" ", char, " ")
        else:
            spaced.append(char)
    return Counter("".join(spaced).casefold().split())


@dataclass(frozen=True, slots=True)
class Score:
    recall: float
    precision: float
    lost: Counter[str]
    extra: Counter[str]

    def __str__(self) -> str:
        lost, extra = (" ".join(list(counter)[:12]) for counter in (self.lost, self.extra))
        return f"recall {self.recall:.3f}  precision {self.precision:.3f}  lost: {lost}  extra: {extra}"


def score(text: str, oracle: str) -> Score:
    """Of multisets of words."""
    ours, theirs = words(text), words(oracle)
    both = (ours & theirs).total()
    return Score(both / max(1, theirs.total()), both / max(1, ours.total()), theirs - ours, ours - theirs)
