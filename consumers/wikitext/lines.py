"""Lines of wikitext without templates, links and tags, as the blocks of a page (consumers.wikitext.plain)."""

import re
from collections.abc import Callable
from typing import Final, Protocol

from consumers.wikitext.literal import PREFORMATTED, entities, has_literals, restored
from consumers.wikitext.switches import is_switch

MAX_DEPTH: Final = 20
"""Of lists; MediaWiki has no bound, and no page is deeper."""
_RUN: Final = re.compile(r"''+")
_SIMPLE: Final = frozenset({2, 3, 5})
_MAGIC: Final = re.compile(r"__(?!_)([^\s<>\[\]{}|=*'\"()]{2,40}?)__(?!_)")
_SEPARATORS: Final = ",;\u060c\u061b\uff0c\uff1b\u3001"
_EMPTY_BRACKETS: Final = re.compile(
    rf" \([ \t\u00a0:/\u2013{_SEPARATORS}-]{{0,20}}\)"
    rf"|\uff08[ \t:\uff1a/\u2013{_SEPARATORS}-]{{0,20}}\uff09"
)
_FIRST_IN_BRACKETS: Final = re.compile(rf"([(\uff08])[ \t]{{0,5}}[{_SEPARATORS}][ \t]{{0,5}}")
_MORE: Final = rf"[{_SEPARATORS}](?:[ \t]{{0,5}}[{_SEPARATORS}]){{0,5}}"
_LAST_IN_BRACKETS: Final = re.compile(
    rf"(?<=[^\s(])(?:{_MORE}[ \t]{{0,5}}|[ \t]{{1,5}}{_MORE}[ \t]{{1,5}})([)\uff09])"
)
"""Between what was left out; ` ;)` is a face."""
_VARIANTS: Final = re.compile(r"-\{(?![{-])([^{}]*)\}-|-\{-[^{}]*\}-")
_RULE: Final = re.compile(r";(?=\s{0,20}(?:$|[a-z]{2,3}(?:-[a-z]{2,8}){0,3}\s{0,20}:))")
"""Where one ends; other semicolons are of entities."""
_FLAGS: Final = frozenset("ATHDNRSE;- abcdefghijklmnopqrstuvwxyz")
_VARIANT: Final = re.compile(r"\s*([a-z]{2,3}(?:-[a-z]{2,8})*)\s*:(.*)", re.DOTALL)
_PREFERRED: Final = ("zh-hans", "zh-cn", "zh-sg", "zh-hant", "zh-tw", "zh-hk", "zh")
_HIDING_FLAGS: Final = frozenset("THDN-")
_TABLE_LEFTOVER: Final = ("{|", "|")


class Blocks(Protocol):
    """Where blocks go; of consumers.wikitext.plain.Page."""

    def heading(self, level: int, text: str) -> None: ...
    def paragraph(self, text: str) -> None: ...
    def preformatted(self, text: str) -> None: ...
    def item(self, text: str, depth: int = 1, number: int = 0) -> None: ...
    def term(self, text: str, depth: int = 1) -> None: ...
    def indented(self, text: str, depth: int = 1) -> None: ...
    def end_list(self) -> None: ...


def without_tables(source: str) -> str:
    """By lines, as MediaWiki reads them; one that never ends stays, without those within it."""
    if "{|" not in source:
        return source
    kept: list[str] = []
    begun: list[int] = []
    """Where in what is kept each that is open begins."""
    for line in source.split("\n"):
        start = line.lstrip(" \t:*#;")
        if start.startswith("{|"):
            begun.append(len(kept))
            kept.append(line)
        elif start.startswith("|}") and begun:
            del kept[begun.pop() :]
            kept.append(start[2:])
        else:
            kept.append(line)
    return "\n".join(kept)


def without_variants(source: str) -> str:
    """`-{zh-cn:…; zh-tw:…}-` is one of them."""
    return _VARIANTS.sub(_variant, source) if "-{" in source else source


def _variant(match: re.Match[str]) -> str:
    if match[1] is None:
        return ""
    flags, has_flags, text = match[1].partition("|")
    if has_flags and _FLAGS.issuperset(flags):
        if _HIDING_FLAGS & set(flags):
            return ""
    else:
        text = match[1]
    by_name: dict[str, str] = {}
    for rule in _RULE.split(text):
        found = _VARIANT.match(rule)
        if found:
            by_name[found[1]] = found[2].strip()
        elif rule.strip():
            return text
    if not by_name:
        return text
    return next((by_name[name] for name in _PREFERRED if name in by_name), next(iter(by_name.values())))


def tell(source: str, blocks: Blocks) -> None:
    if "__" in source:
        source = _MAGIC.sub(lambda match: "" if is_switch(match[1]) else match[0], source)
    if "(" in source or "\uff08" in source:
        source = _FIRST_IN_BRACKETS.sub(r"\1", _EMPTY_BRACKETS.sub("", source))
        source = _LAST_IN_BRACKETS.sub(r"\1", source)
    _Reader(blocks, shown if has_literals(source) else entities).read(source)


class _Reader:
    def __init__(self, blocks: Blocks, shown: Callable[[str], str]) -> None:
        self._shown = shown
        self._blocks = blocks
        self._paragraph: list[str] = []
        self._indented: list[str] = []
        self._prefix = ""
        self._numbers: list[int] = []
        self._has_prose = False

    def read(self, source: str) -> None:
        had_table = "{|" in source
        for line in source.split("\n"):
            first = line[:1]
            if first in _MARKS and (not line or line.isspace()):
                self._flush()
            elif first not in _MARKS or not self._marked(first, line, had_table=had_table):
                if self._prefix or self._indented:
                    self._flush()
                self._paragraph.append(line)
        self._flush()

    def _marked(self, first: str, line: str, *, had_table: bool) -> bool:
        """False: it is prose for all its first character."""
        if first in "*#:;":
            self._item(line)
        elif first == "=":
            return self._heading(line)
        elif first in " \t":
            if not self._indented:
                self._flush()
            self._indented.append(line[1:])
        elif first == PREFORMATTED:
            self._flush()
            self._blocks.preformatted(self._shown(line))
        elif line.startswith("----"):
            self._flush()
            self._paragraph.append(line.lstrip("-"))
        elif (first == "!" and had_table) or line.startswith(_TABLE_LEFTOVER):
            self._flush()
        else:
            return False
        return True

    def _flush(self) -> None:
        """What is next is another block."""
        if self._paragraph:
            text = self._shown(" ".join(map(unquoted, self._paragraph)))
            self._paragraph.clear()
            if text and not text.isspace():
                self._has_prose = True
                self._blocks.paragraph(text)
        if self._indented:
            self._blocks.preformatted(self._shown("\n".join(map(unquoted, self._indented))))
            self._indented.clear()
        if self._prefix:
            self._prefix = ""
            self._numbers = []
            self._blocks.end_list()

    def _heading(self, line: str) -> bool:
        line = line.rstrip()
        left = len(line) - len(line.lstrip("="))
        right = len(line) - len(line.rstrip("="))
        level = min(left, right, 6)
        if left == len(line):
            level = min((left - 1) // 2, 6)
        if not level:
            return False
        self._flush()
        self._has_prose = True
        self._blocks.heading(level, self._shown(unquoted(line[level:-level])).replace("\n", " "))
        return True

    def _item(self, line: str) -> None:
        text = line.lstrip("*#:;")
        prefix = line[: len(line) - len(text)][:MAX_DEPTH]
        if self._paragraph or self._indented:
            self._flush()
        depth = len(prefix)
        if prefix != self._prefix:
            common = _common(self._prefix, prefix)
            self._numbers = self._numbers[:common] + [0] * (depth - common)
            self._prefix = prefix
        self._numbers[-1] += 1
        kind = prefix[-1]
        if (
            kind == ":"
            and not self._has_prose
            and text.lstrip().startswith("''")
            and text.rstrip().endswith("''")
        ):
            return  # a hatnote
        if kind == ";":
            term, is_defined, definition = _defined(text)
            self._blocks.term(self._shown(unquoted(term)), depth)
            if is_defined:
                self._blocks.indented(self._shown(unquoted(definition)), depth)
            return
        said = self._shown(unquoted(text))
        if kind == "*":
            self._blocks.item(said, depth)
        elif kind == "#":
            self._blocks.item(said, depth, self._numbers[-1])
        else:
            self._blocks.indented(said, depth)


_MARKS: Final = frozenset(["", *"*#:;= \t-|!{\u00a0", PREFORMATTED])
"""First characters of lines that may be something else than prose."""


def _common(before: str, prefix: str) -> int:
    """As many lists go on; a term's list is its definition's."""
    for at, (one, other) in enumerate(zip(before, prefix, strict=False)):
        if one != other and not (one in ";:" and other in ";:"):
            return at
    return min(len(before), len(prefix))


def _defined(text: str) -> tuple[str, bool, str]:
    """`; term : definition`, where the colon is none of an address."""
    term, colon, definition = text.partition(" :")
    if not colon:
        term, colon, definition = text.partition(": ")
    return term, bool(colon), definition


def shown(text: str) -> str:
    """Entities as characters, literal characters as themselves."""
    return restored(entities(text))


def unquoted(line: str) -> str:
    """Without marks of bold and italics; the apostrophes that MediaWiki leaves stay (`l'''amour''`)."""
    if "''" not in line:
        return line
    counts = [len(run) for run in _RUN.findall(line)]
    number = len(counts)  # of bold and of italics, one of the two being even
    is_closed = (number - counts.count(2)) % 2 == 0 or (number - counts.count(3)) % 2 == 0
    if is_closed and _SIMPLE.issuperset(counts):
        return _RUN.sub("", line)
    runs = list(_RUN.finditer(line))
    lengths = [min(len(run[0]), 5) if len(run[0]) != 4 else 3 for run in runs]
    kept = [len(run[0]) - length for run, length in zip(runs, lengths, strict=True)]
    bold = sum(length != 2 for length in lengths)
    italic = sum(length != 3 for length in lengths)
    if bold % 2 and italic % 2:
        _let_one_be(line, runs, lengths, kept)
    parts: list[str] = []
    at = 0
    for run, count in zip(runs, kept, strict=True):
        parts += (line[at : run.start()], "'" * count)
        at = run.end()
    parts.append(line[at:])
    return "".join(parts)


def _let_one_be(line: str, runs: list[re.Match[str]], lengths: list[int], kept: list[int]) -> None:
    """Of three apostrophes one is meant: after a word of one letter, else a longer one, else a space."""
    best = rank = -1
    for at, run in enumerate(runs):
        if lengths[at] != 3:
            continue
        before = line[max(0, run.start() - 2) : run.start()]
        this = 0 if before.endswith(" ") else 2 if before.startswith(" ") else 1
        if this > rank:
            best, rank = at, this
    if best >= 0:
        kept[best] += 1
