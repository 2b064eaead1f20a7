"""What a reader sees of a template, for those that mark up words in a sentence. By well-known names, and by
shape: one argument, amid a sentence, not stuck to the word before it as notes are.

What a template makes of itself is not known without asking the wiki, so all others leave nothing.
"""

import re
from collections.abc import Callable
from typing import Final

from consumers.wikitext import names
from consumers.wikitext.bio import bio_of
from consumers.wikitext.templates import Arguments, Call

Shown = Callable[[Arguments], str]

_SIGNS: Final = {
    **{
        sign: sign
        for sign in ("'", "'s", '"', "\u2019", "-", "\u2013", "\u2014", "=", "er", "re", "e", "1er", "1re")
    },
    **dict.fromkeys(("ndash", "en dash", "endash"), "\u2013"),
    **dict.fromkeys(("mdash", "em dash", "emdash"), "\u2014"),
    **dict.fromkeys(("snd", "snds", "spnd", "spaced ndash", "spaced en dash", "nbndash"), " \u2013 "),
    **dict.fromkeys(("nbsp", "space", "spaces", "spc", "thinsp"), " "),
    **dict.fromkeys(("\u00b7", "dot", "middot", "\u2022", "bullet", "*"), " \u00b7"),
    **dict.fromkeys(("av jc", "av. j.-c."), "av. J.-C."),
    **dict.fromkeys(("ap jc", "apr. j.-c."), "apr. J.-C."),
    "((": "{{",
    "))": "}}",
    "pi": "\u03c0",
    "zwnj": "\u200c",
    "zwj": "\u200d",
    "okina": "\u02bb",
}
_UNIT_WORDS: Final = frozenset({"to", "-", "\u2013", "and", "or", "by", "x", "\u00d7", "+"})
_UNITS: Final = frozenset(
    {"m", "cm", "mm", "km", "ft", "in", "mi", "kg", "g", "t", "lb", "lbs", "st", "stlb"}
)
_PLACES: Final = frozenset({"coord", "coordinates", "coordinate"})
"""What stands in a corner of the page, but in an infobox."""
_NUMBER: Final = re.compile(r"[\d.,/+\u2212e-]{1,40}")
_NAMESPACE: Final = re.compile(r"(?:template|vorlage|modèle|шаблон|subst|safesubst) ?: ?")
_BEFORE: Final = frozenset(
    " \t\n\u00a0([\u00ab\u201c\u201e\u2018\u300c\u300e\uff08\u2013\u2014-/'\"|=>:;,*#\u060c}"
)
MAX_NAME_CHARS: Final = 60
_FUNCTIONS: Final = frozenset({"lc", "uc", "lcfirst", "ucfirst", "formatnum"})


_TEXT_KEYS: Final = frozenset({"lt", "text", "texte", "texto", "testo", "tekst", "текст"})
_TRANSLATION_KEYS: Final = frozenset({"übersetzung"})
_ORDINAL: Final = re.compile(
    r"(?:[0-9]{1,4}|[ivxlcdm]{1,9})(?:er|re|e|ère|nd|de|th|st|rd|º|ª)(?: siècle)?(?: av\. j\.-c\.)?"
)
_LIST: Final = re.compile(r"\s{0,20}[*#]")
_LEAST_CHARS: Final = 2
"""A letter alone tells a template what to show; a character of another script may be a word."""


def _first(args: Arguments) -> str:
    return next((each for each in map(str.strip, args.positional) if each), "")


def _labelled(args: Arguments) -> str:
    """By the name of its text, with its translation; else the first."""
    named = args.named
    if not named:
        return _first(args)
    keys = [key for key in named if key.casefold() in _TEXT_KEYS and named[key]]
    keys += [key for key in named if key.casefold() in _TRANSLATION_KEYS]
    return "\n\n".join(named[key] for key in keys) or _first(args)


def _last(args: Arguments) -> str:
    return args.named.get("texte") or next((e for e in map(str.strip, reversed(args.positional)) if e), "")


def _second(args: Arguments) -> str:
    return (
        args.positional[1].strip()
        if len(args.positional) > 1 and args.positional[1].strip()
        else _first(args)
    )


def _all(args: Arguments) -> str:
    return " ".join(each for each in map(str.strip, args.positional) if each)


def _list(args: Arguments) -> str:
    return "\n" + "\n".join(f"* {each}" for each in map(str.strip, args.positional) if each) + "\n"


def _convert(args: Arguments) -> str:
    """`5|km|mi`: what is converted, with its unit; `5|to|10|km` a range, `5|ft|10|in` both."""
    shown: list[str] = []
    for word in map(str.strip, args.positional):
        after_unit = bool(shown) and not _NUMBER.fullmatch(shown[-1]) and shown[-1] not in _UNIT_WORDS
        if after_unit and not _NUMBER.fullmatch(word):
            break
        shown.append("\u2013" if word == "-" else word)
    return " ".join(shown).replace(" \u2013 ", "\u2013")


def _century(args: Arguments) -> str:
    """French `s|XIX|e`; where it is something else, it marks up words."""
    if len(args.positional) == 1:
        return _first(args)
    return "".join(map(str.strip, args.positional[:2])) + " siècle"


def _fraction(args: Arguments) -> str:
    """`1|2`, `3|1|2`, or `2` for a half."""
    *whole, above, below = (
        ["1", *args.positional] if len(args.positional) == 1 else [*args.positional, "", ""][:3]
    )
    if not below:
        whole, above, below = [], whole[0] if whole else "", above
    return " ".join([*whole, f"{above}\u2044{below}"]) if above and below else above


def _value(args: Arguments) -> str:
    return f"{_first(args)} {args.named.get('u') or args.named.get('ul') or ''}".rstrip()


def _circa(args: Arguments) -> str:
    return "c. " + "\u2013".join(map(str.strip, args.positional))


def date_of(args: Arguments) -> str:
    """`1970|1|2` as ISO 8601, for how the wiki writes it is not known; else as it is given."""
    given = [each for each in map(str.strip, args.positional) if each][:3]
    if not given or not (len(given[0]) == 4 and given[0].isdecimal()):
        return " ".join(given)
    numbers: list[str] = []
    for each in given:
        if not each.isdecimal():
            break
        numbers.append(each.zfill(2))
    return "-".join(numbers)


_SHOWN: Final[dict[str, Shown]] = {
    name: shown
    for table, shown in (
        (names.FIRST, _labelled),
        (names.LAST, _last),
        (names.SECOND, _second),
        (names.ALL, _all),
        (names.LISTS, _list),
        (names.CONVERT, _convert),
        (names.CENTURY, _century),
        (names.FRACTION, _fraction),
        (names.VALUE, _value),
        (names.CIRCA, _circa),
        (names.DATE, date_of),
        ("bio", bio_of),
    )
    for name in names.listed(table)
}
_UNSEEN: Final = frozenset(names.listed(names.UNSEEN))
_FIRST_OF: Final = ("lang-", "langue-", "link-", "ill-", "internal link helper/")
"""How names begin that end in a language."""


def name_of(body: str) -> str:
    """As wikis compare them, without a namespace; "" where it can't be one."""
    name = body.partition("|")[0]
    if len(name) > 4 * MAX_NAME_CHARS:
        return ""
    name = " ".join(name.replace("_", " ").split()).casefold()
    if ":" in name:
        name = _NAMESPACE.sub("", name, count=1)
    return name if len(name) <= MAX_NAME_CHARS else ""


def prose_of(call: Call, *, within_box: bool) -> str:
    """`within_box`: a value of an infobox is told by all its words, for no sentence would be broken."""
    body = call.body
    name = name_of(body)
    if not name or (name in _UNSEEN and not (within_box and name in _PLACES)) or name[0] == "#":
        return ""
    if "|" not in body:
        sign = _SIGNS.get(name)
        return sign if sign is not None else _function(name, body)
    args = Arguments(body)
    shown = _SHOWN.get(name) or (_first if name.startswith(_FIRST_OF) else None)
    if shown:
        return shown(args)
    if within_box:
        return _fact(name, args)
    return f"{args.name.strip()} {_all(args)}" if _ORDINAL.fullmatch(name) else _by_shape(call, args)


def _fact(name: str, args: Arguments) -> str:
    """`m=1.8` or `ft=6|in=1` where that is all there is."""
    if name in _PLACES:
        return " ".join(each for each in map(str.strip, args.positional) if each and ":" not in each)
    if args.positional:
        return _all(args)
    return " ".join(
        f"{value} {key}" for key, value in args.named.items() if key in _UNITS and _NUMBER.fullmatch(value)
    )


def _by_shape(call: Call, args: Arguments) -> str:
    if len(args.positional) != 1 or len(args.named) > 2:
        return ""
    (only,) = args.positional
    if _LIST.match(only):
        return f"\n{only.strip()}\n"  # what sets a list in columns
    said = only.strip()
    is_word = len(said) >= _LEAST_CHARS or not said.isascii()
    return said if is_word and len(args.named) <= 1 and _is_in_sentence(call) else ""


def _function(name: str, body: str) -> str:
    """`{{lc:text}}`, whose argument is seen, and `{{XIXe siècle}}`, whose name is."""
    if _ORDINAL.fullmatch(name):
        return body.strip()
    function, _, argument = body.partition(":")
    return argument.strip() if function.strip().casefold() in _FUNCTIONS else ""


def _is_in_sentence(call: Call) -> bool:
    """Letters stand before or behind it on its line, and not right before it, but in scripts without spaces.
    Within another template what stands around is that one's to judge.
    """
    source, start, end = call.source, call.start, call.end
    before = source[start - 1] if start else "\n"
    if before not in _BEFORE and not _is_spaceless(before):
        return False
    if call.depth:
        return True
    begin = max(source.rfind("\n", max(0, start - 200), start) + 1, start - 200)
    stop = source.find("\n", end, end + 200)
    line = source[begin:start]
    if not line or line.isspace():
        return False  # notes on top are followed by words, too
    behind = source[end : stop if stop >= 0 else end + 200]
    return _has_words(line.rpartition("}}")[2]) or _has_words(behind.partition("{{")[0])


def _has_words(text: str) -> bool:
    return any(map(str.isalpha, text))


def _is_spaceless(char: str) -> bool:
    """Chinese, Japanese, Thai, Lao, Khmer, Burmese."""
    return (
        "\u3000" <= char <= "\u9fff"
        or "\u0e00" <= char <= "\u0eff"
        or "\u1000" <= char <= "\u109f"
        or char in "\uff0c\uff1a"
    )
