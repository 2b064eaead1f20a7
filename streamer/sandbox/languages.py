"""Invented text in several languages: words that mean nothing, in the right scripts.

Nothing here is anybody's text, so it can be printed, published and committed without a licence. The
shape is real: headings, links, references, templates, lists and tables, because what reads the feed
must cope with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

NAMESPACES: Final[Mapping[int, str]] = {
    -2: "Media",
    -1: "Special",
    0: "",
    1: "Talk",
    2: "User",
    3: "User talk",
    4: "Project",
    5: "Project talk",
    6: "File",
    7: "File talk",
    8: "MediaWiki",
    9: "MediaWiki talk",
    10: "Template",
    11: "Template talk",
    12: "Help",
    13: "Help talk",
    14: "Category",
    15: "Category talk",
}
"""The canonical names, which every wiki understands beside its own."""


@dataclass(frozen=True, slots=True)
class Language:
    code: str
    name: str
    rtl: bool
    syllables: str
    """Separated by spaces."""
    space: str
    stop: str
    redirect: str
    namespaces: Mapping[int, str]
    """The wiki's own names where they differ from the canonical ones."""


ENGLISH: Final = Language(
    "en",
    "English",
    rtl=False,
    syllables="bra len to mir ash wick dor fen gal hol ive kest lor nim oth pel quar ren sil tam ul",
    space=" ",
    stop=".",
    redirect="#REDIRECT",
    namespaces={4: "Sandbox", 5: "Sandbox talk"},
)
GERMAN: Final = Language(
    "de",
    "Deutsch",
    rtl=False,
    syllables="brü len schaft mör ig wald döh fen gan heim eich kess lau nim ohl pfei quel reß städ tum",
    space=" ",
    stop=".",
    redirect="#WEITERLEITUNG",
    namespaces={
        1: "Diskussion",
        2: "Benutzer",
        3: "Benutzer Diskussion",
        4: "Spielwiese",
        5: "Spielwiese Diskussion",
        6: "Datei",
        10: "Vorlage",
        11: "Vorlage Diskussion",
        12: "Hilfe",
        14: "Kategorie",
        15: "Kategorie Diskussion",
    },
)
ARABIC: Final = Language(
    "ar",
    "العربية",
    rtl=True,
    syllables="با لم نو سي در كا طم هو قي رص زا عل فو مي تن شا",
    space=" ",
    stop=".",
    redirect="#تحويل",
    namespaces={
        1: "نقاش",
        2: "مستخدم",
        3: "نقاش المستخدم",
        4: "ملعب",
        5: "نقاش الملعب",
        6: "ملف",
        10: "قالب",
        12: "مساعدة",
        14: "تصنيف",
    },
)
JAPANESE: Final = Language(
    "ja",
    "日本語",
    rtl=False,
    syllables="か みね ソラ 川 れん 森 ヒト 浜 きよ 岳 つる 砂 ノベ 星 ほし 里",
    space="",
    stop="。",
    redirect="#転送",
    namespaces={
        1: "ノート",
        2: "利用者",
        3: "利用者 会話",
        4: "砂場",
        6: "ファイル",
        14: "カテゴリ",
    },
)
HEBREW: Final = Language(
    "he",
    "עברית",
    rtl=True,
    syllables="בר לו נע סי דר כה טם הו קי רץ זא על פו מי תן שא",  # noqa: RUF001 - Hebrew
    space=" ",
    stop=".",
    redirect="#הפניה",
    namespaces={
        1: "שיחה",
        2: "משתמש",
        3: "שיחת משתמש",
        4: "ארגז חול",
        6: "קובץ",
        10: "תבנית",
        14: "קטגוריה",
    },
)


def namespace_name(language: Language, namespace: int) -> str:
    return language.namespaces.get(namespace, NAMESPACES[namespace])


class Author:
    """Writes texts of one language; all chance comes from `rng`, so the same seed writes the same."""

    def __init__(self, language: Language, rng: Random) -> None:
        self._language = language
        self._rng = rng
        self._syllables = language.syllables.split()

    def word(self) -> str:
        rng = self._rng
        return "".join(rng.choice(self._syllables) for _ in range(rng.randint(1, 3)))

    def words(self, count: int) -> str:
        return self._language.space.join(self.word() for _ in range(count))

    def title(self) -> str:
        text = self.words(self._rng.randint(1, 3))
        return text[:1].upper() + text[1:]

    def sentence(self) -> str:
        text = self.words(self._rng.randint(5, 14))
        return text[:1].upper() + text[1:] + self._language.stop

    def paragraph(self) -> str:
        return " ".join(self.sentence() for _ in range(self._rng.randint(2, 5)))

    def comment(self) -> str:
        """Comments hold what breaks parsers: section links, bidi marks, quotes, tabs, astral characters."""
        rng = self._rng
        text = self.words(rng.randint(1, 6))
        return rng.choice(
            (
                text,
                f"/* {self.title()} */ {text}",
                f'[[{self.title()}]] - "{text}" & <b>',
                f"\u200e{text}\u200f 😀",
                f"{text}\t{self.word()}",
                "",
            )
        )

    def article(self, title: str) -> str:
        rng = self._rng
        category = namespace_name(self._language, 14)
        lead = (
            f"{{{{Infobox\n| name = {title}\n| {self.word()} = {rng.randint(1, 2000)}\n}}}}\n"
            f"'''{title}''' {self.sentence()}<ref>{self.words(4)}, {rng.randint(1900, 2020)}</ref> "
            f"[[{self.title()}]] [[{self.title()}|{self.word()}]] {self.paragraph()}"
        )
        sections = [lead, *(self.section() for _ in range(rng.randint(1, 4)))]
        sections.append(f"[[{category}:{self.title()}]]\n[[{category}:{self.title()}]]")
        return "\n\n".join(sections)

    def section(self) -> str:
        rng = self._rng
        head = f"== {self.title()} ==\n"
        shape = rng.randrange(4)
        if shape == 0:
            return head + "\n".join(f"* {self.sentence()}" for _ in range(3))
        if shape == 1:
            rows = "\n".join(f"|-\n| {self.word()} || {rng.randint(1, 999)}" for _ in range(3))
            return f'{head}{{| class="wikitable"\n! {self.word()} !! {self.word()}\n{rows}\n|}}'
        quote = f"{self.paragraph()}\n\n{{{{quote|{self.sentence()}}}}}"
        if shape == 2:
            # Line separators are legal in a page and split lines in clients that are not careful.
            return f"{head}{quote}\u2028{self.sentence()}"
        steps = f"# {self.sentence()}\n# {self.sentence()} ''{self.word()}''"
        return f"{head}{quote}\n\n=== {self.title()} ===\n{steps}"

    def revised(self, text: str) -> str:
        """An ordinary edit: a sentence added, a paragraph replaced, or a section added before the end."""
        rng = self._rng
        parts = text.split("\n\n")
        spot = rng.randrange(len(parts))
        shape = rng.randrange(3)
        if shape == 0 or len(parts) > 30:
            parts[spot] = parts[spot] if parts[spot].startswith("[[") else self.paragraph()
            parts[0] += f" {self.sentence()}" if len(parts[0]) < 4_000 else ""
        elif shape == 1:
            parts.insert(max(1, spot), self.section())
        else:
            parts.insert(max(1, spot), self.paragraph())
        revised = "\n\n".join(parts)
        return revised if revised != text else f"{text}\n\n{self.sentence()}"

    def vandalised(self, text: str) -> str:
        return f"{self.word().upper() * 5}!!!\n\n{text[: len(text) // 3]}"
