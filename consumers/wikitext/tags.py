"""Comments and tags: what is no prose goes with what it holds, what is literal stays as it is written."""

import re
from typing import Final

from consumers.wikitext.literal import BREAK, PREFORMATTED, entities, literal

NOT_PROSE: Final = (
    "ref|references|gallery|timeline|math|chem|ce|score|graph|mapframe|maplink|imagemap|templatestyles|style|script"
    "|inputbox|hiero|categorytree|templatedata|indicator|section|includeonly|dynamicpagelist|languages|phonos"
)
_REFERENCE: Final = ("ref", "Ref", "REF")
_PREFORMATTED: Final = ("pre", "syntaxhighlight", "source")
# attributes are bounded, so that a page of nothing but "<ref" costs a constant for each; in quotes they may
# have what ends a tag
_QUOTED: Final = r"""(?:[^<>=]++|=[ \t]{0,5}"[^"<\n]{0,500}+"|=[ \t]{0,5}'[^'<\n]{0,500}+'|=){0,100}+"""
_TOKEN: Final = re.compile(
    rf"<!--|<(/?)({NOT_PROSE}|{'|'.join(_PREFORMATTED)}|nowiki|poem|table)\b({_QUOTED}(?=>)|[^<>]{{0,1000}})>",
    re.IGNORECASE,
)
_REST: Final = rf"(?:{_QUOTED}>|[^<>]{{0,500}}>)"
_NOWIKI: Final = re.compile(r"</?nowiki[ \t\n]{0,5}/?>", re.IGNORECASE)
_INLINE: Final = re.compile(r"\binline\b", re.IGNORECASE)
_BREAK: Final = re.compile(rf"<br\b{_REST}\n?|</br>", re.IGNORECASE)
_BLOCK: Final = re.compile(
    r"</?(?:p|div|blockquote|center|ul|ol|dl|table|tbody|thead|tr|td|th|caption|section|h[1-6])\b" + _REST,
    re.IGNORECASE,
)
_ITEM: Final = re.compile(rf"<(li|dt|dd)\b{_REST}[ \t\n]{{0,100}}", re.IGNORECASE)
_MARKS: Final = {"li": "\n*", "dt": "\n;", "dd": "\n:"}
_TAG: Final = re.compile(rf"</?[A-Za-z]{_REST}")
_HEADING: Final = re.compile(rf"<h([1-6])\b{_REST}((?:[^<]|<(?!/?h[1-6]\b)){{1,500}}+)</h\1>", re.IGNORECASE)


def without_not_prose(source: str) -> str:
    """One that is never closed loses its tag only; an unclosed comment runs to the end, as in MediaWiki."""
    if "<" not in source:
        return source
    tokens = list(_TOKEN.finditer(source))
    if not tokens:
        return source
    closings = _closings(tokens)
    kept: list[str] = []
    at = 0
    for token, closing in zip(tokens, closings, strict=True):
        start, after = token.span()
        if start < at:
            continue
        kept.append(source[at:start])
        if token[2] is None:
            end = source.find("-->", after)
            if end < 0:
                return "".join(kept)
            at = _after_line(source, start, end + 3)
        elif token[1] or token[3].endswith("/") or closing < 0:
            at = _after_line(source, start, after) if token[2] in _REFERENCE else after
        else:
            inner_end, at = tokens[closing].span()
            kept.append(_left_of(token[2].lower(), token[3], source[after:inner_end]))
            if token[2] in _REFERENCE:
                at = _after_line(source, start, at)
    kept.append(source[at:])
    return "".join(kept)


def _left_of(name: str, attributes: str, held: str) -> str:
    if name == "poem":
        return _poem(held)
    if name == "nowiki":
        return literal(entities(held))
    if name not in _PREFORMATTED:
        return ""
    if name == "pre":  # entities in code are of that code
        held = entities(_NOWIKI.sub("", held))
    elif _INLINE.search(attributes):
        return literal(" ".join(held.split()))
    return f"\n{PREFORMATTED}{literal(held)}\n"


def _closings(tokens: list[re.Match[str]]) -> list[int]:
    """By token: the index of the next closing tag of its name, or -1."""
    closings = [-1] * len(tokens)
    following: dict[str, int] = {}
    tables: list[int] = []
    for i in range(len(tokens) - 1, -1, -1):
        name = tokens[i][2]
        if not name:
            continue
        name = name.lower()
        if name == "table":  # which may stand in another
            if tokens[i][1]:
                tables.append(i)
            elif tables:
                closings[i] = tables.pop()
            continue
        closings[i] = following.get(name, -1)
        if tokens[i][1]:
            following[name] = i
    return closings


def _after_line(source: str, start: int, end: int) -> int:
    """What is alone on its line goes with the line, which would part paragraphs else."""
    if source[start - 1 : start] in ("\n", "") and source[end : end + 1] == "\n":
        return end + 1
    return end


def _poem(text: str) -> str:
    """Its lines are a reader's lines. References in it go, other tags are left to who comes next."""
    text = without_not_prose(text.strip("\n"))
    lines = BREAK.join(line.strip() for line in text.split("\n"))
    return "\n\n" + lines.replace(BREAK + BREAK, "\n\n") + "\n\n"


def _heading(match: re.Match[str]) -> str:
    mark = "=" * int(match[1])
    return f"\n\n{mark} {' '.join(match[2].split())} {mark}\n\n"


def without_tags(source: str) -> str:
    """What is left of tags, once templates are gone: breaks, blocks and items of HTML become lines."""
    if "<" not in source:
        return source
    source = _HEADING.sub(_heading, source)
    source = _BREAK.sub(BREAK, source)
    source = _BLOCK.sub("\n\n", source)
    source = _ITEM.sub(lambda match: _MARKS[match[1].lower()], source)
    return _TAG.sub("", source)
