"""What editors have marked in an article as wanting: `version.maintenance_tags`, counted in its wikitext.

A template is known by its name alone, so only in languages whose names are in the table; redirects that are
not in it are not counted. English names count in every language of the table: most wikis understand them.
What stands in comments and `nowiki` does not count, and what comes with another template is not seen.

Sources: of citations the configuration of Citation Hunt (github.com/eggpi/citationhunt), which its editors in
each language keep; of the rest, and of the English redirects, the wikis' own pages on these templates.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice
from typing import Final, Literal

from msgspec import UNSET

from streamer.model import MaintenanceTags, Maybe

Tag = Literal["citation_needed", "pov", "clarification_needed", "update"]
TEMPLATES_MOST: Final = 10_000
"""Of an article, that are looked at: more than MediaWiki expands. It bounds what hostile markup costs."""
SHORTEST_CHARS: Final = len("{{P}")
"""Of what is taken for a template."""

ENGLISH: Final[Mapping[Tag, str]] = {
    "citation_needed": (
        "Citation needed, Cn, Fact, Facts, Citation-needed, Citationneeded, Citeneeded, Cite needed, Cneeded,"
        " Citation required, Citation requested, Citation missing, Needs citation, Need citation, Needcite,"
        " Source needed, Source?, Ref?, Ref needed, Reference needed, Refneeded, Uncited inline, Prove it,"
        " Citation needed span, Cn span, Citation needed lead"
    ),
    "pov": (
        "POV, NPOV, POV check, POV-check, POV section, POV-section, POV lead, POV-lead, POV intro,"
        " POV statement, POV-statement, POV inline, POV-inline, Neutrality, Neutrality disputed, Bias"
    ),
    "clarification_needed": (
        "Clarify, Clarification needed, Clarification, Clarify me, Clarifyme, Clarify inline, Clarify-inline,"
        " Clarify span, Clarify section, Unclear, Unclear inline, Huh"
    ),
    "update": (
        "Update, Updates needed, Update needed, Needs update, Need update, Out of date, Out-of-date,"
        " Outofdate, Outdated, Obsolete, Update section, Update-section, Updatesection,"
        " Update inline, Update-inline, Update after"
    ),
}
NAMES: Final[Mapping[str, Mapping[Tag, str]]] = {
    "en": dict.fromkeys(ENGLISH, ""),
    "bn": {"citation_needed": "তথ্যসূত্র প্রয়োজন, সত্যতা"},
    "ca": {"citation_needed": "Citació necessària, CC"},
    "cs": {"citation_needed": "Doplňte zdroj, Fakt/dne, Není ve zdroji"},
    "de": {
        "citation_needed": "Belege fehlen, Belege",
        "pov": "Neutralität",
        "update": "Veraltet",
    },
    "el": {"citation_needed": "Εκκρεμεί παραπομπή"},
    "es": {
        "citation_needed": "Cita requerida, Añadir referencias",
        "pov": "No neutralidad",
        "clarification_needed": "Aclarar",
        "update": "Desactualizado, Actualizar",
    },
    "fi": {"citation_needed": "Lähde, Lähde tarkemmin, Kenen mukaan"},
    "fr": {
        "citation_needed": "Référence nécessaire, Refnec, Référence souhaitée, Refsou, Inédit",
        "pov": "Désaccord de neutralité, Non neutre",
        "clarification_needed": "Pas clair",
        "update": "Mettre à jour, Obsolète",
    },
    "he": {"citation_needed": "דרוש מקור"},
    "it": {
        "citation_needed": "Citazione necessaria, Senza fonte",
        "pov": "P",
        "clarification_needed": "Chiarire",
        "update": "Aggiornare",
    },
    "ja": {
        "citation_needed": "要出典, 出典の明記, 要出典範囲",
        "pov": "観点, 中立的観点",
        "clarification_needed": "要説明",
        "update": "更新",
    },
    "lv": {"citation_needed": "Nepieciešama atsauce"},
    "ml": {"citation_needed": "തെളിവ്"},
    "nb": {"citation_needed": "Trenger referanse, Referanse"},
    "nl": {"citation_needed": "Bron?", "pov": "Neutraliteit", "update": "Verouderd"},
    "nn": {"citation_needed": "Treng kjelde"},
    "pl": {"citation_needed": "Fakt"},
    "pt": {
        "citation_needed": "Carece de fontes, Sem-fontes, Sem-fontes-bpv, Sem-fontes-sobre",
        "pov": "Parcial",
        "clarification_needed": "Esclarecer",
        "update": "Desatualizado",
    },
    "ro": {"citation_needed": "Necesită citare"},
    "ru": {
        "citation_needed": "Нет АИ, Нет АИ 2, Нет источника",
        "pov": "Нейтральность",
        "clarification_needed": "Уточнить",
        "update": "Обновить, Устарело",
    },
    "sv": {"citation_needed": "Kb, Källa behövs, Referens behövs"},
    "zh": {
        "citation_needed": "來源請求, 来源请求, Unreferenced",
        "pov": "中立",
        "clarification_needed": "",
        "update": "更新",
    },
}
"""By the wiki's language: own names, beside the English ones. A kind that is not there is not counted."""
SAME: Final[Mapping[str, str]] = {"no": "nb", "simple": "en"}

_TEMPLATE: Final = re.compile(r"\{\{([^{}|<>\[\]#\n]{1,60})[|}\n<]")
_UNSEEN: Final = re.compile(r"<!--.*?(?:-->|\Z)|<nowiki\s*>.*?(?:</nowiki\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_MAY_HIDE: Final = re.compile(r"<(?:!--|[nN])")
"""Without this nothing in a text is unseen; it is looked for in a fifth of the time."""
_PREFIX: Final = re.compile(r"(?:template|vorlage|modèle|plantilla|шаблон)\s*:\s*", re.IGNORECASE)


def maintenance_tags(wikitext: str, language: str) -> MaintenanceTags | Maybe:
    """`language` is the wiki's: its templates are named in it, whatever the page is written in."""
    known = SAME.get(language, language)
    kinds = NAMES.get(known)
    if kinds is None:
        return UNSET
    counts = dict.fromkeys(kinds, 0)
    if "{{" in wikitext:
        tags = _tags(known)
        shown = _UNSEEN.sub("", wikitext) if _MAY_HIDE.search(wikitext) else wikitext
        for name, count in Counter(_named(shown)).items():
            tag = tags.get(_key(name))
            if tag is not None:
                counts[tag] += count
    return MaintenanceTags(**{f"{tag}_count": count for tag, count in counts.items()})


def _named(wikitext: str) -> list[str]:
    """What its first TEMPLATES_MOST templates are called."""
    if len(wikitext) <= TEMPLATES_MOST * SHORTEST_CHARS:
        return _TEMPLATE.findall(wikitext)
    return [match[1] for match in islice(_TEMPLATE.finditer(wikitext), TEMPLATES_MOST)]


@cache
def _tags(language: str) -> Mapping[str, Tag]:
    """By the key of a name."""
    return {_key(name): tag for tag, own in NAMES[language].items() for name in _names((ENGLISH[tag], own))}


def _names(lists: Iterable[str]) -> Iterable[str]:
    for names in lists:
        yield from filter(None, names.split(", "))


def _key(name: str) -> str:
    """Wikis tell apart no underscores and no first letters; redirects make nearly all cases the same."""
    key = name.replace("_", " ").strip().lower()
    if ":" in key:
        key = _PREFIX.sub("", key, count=1)
    return key
