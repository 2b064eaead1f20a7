"""Templates, parser functions and parameters, by a stack, as MediaWiki's own preprocessor reads them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_DEPTH: Final = 40
"""MediaWiki's own bound; what is deeper is not shown."""
_BRACES: Final = re.compile(r"\{\{+|\}\}+")


@dataclass(slots=True)
class Call:
    """`{{body}}`. What was nested in it is in the body as it is shown."""

    body: str
    source: str
    start: int
    """Of it in the source, with its braces."""
    end: int
    depth: int
    """Templates around it."""
    before: list[str]
    """What is shown of the text around it, up to here."""
    outermost: int
    """Where in the source the body of the outermost template around it begins."""


def without_templates(source: str, shown: Callable[[Call], str]) -> str:
    """What `shown` makes of each, from the inside out; nothing of parameters but their defaults."""
    if "{{" not in source and "}}" not in source:
        return source
    return _Stack(source, shown).read()


class _Stack:
    def __init__(self, source: str, shown: Callable[[Call], str]) -> None:
        self._source = source
        self._shown = shown
        self._open: list[tuple[int, int, int, list[str]]] = []
        """Of each that is open: its braces, where it began, where its body began, and the text around it."""
        self._out: list[str] = []
        """The text of the innermost that is open, as it is shown."""

    def read(self) -> str:
        source = self._source
        at = 0
        for match in _BRACES.finditer(source):
            start, end = match.span()
            if start > at:
                self._out.append(source[at:start])
            at = end
            if source[start] == "{":
                self._open.append((end - start, start, end, self._out))
                self._out = []
            else:
                self._close(end - start, end)
        self._out.append(source[at:])
        return "".join(_unclosed(self._open, self._out) if self._open else self._out)

    def _close(self, count: int, end: int) -> None:
        """By so many braces, up to there. Those that close nothing are not shown."""
        while count >= 2 and self._open:
            opened, began, inner, around = self._open.pop()
            used = min(opened, count, 3)
            opened -= used
            count -= used
            body = "".join(self._out)
            depth = len(self._open) + (opened >= 2)
            if depth > MAX_DEPTH:
                told = ""
            elif used == 3:
                told = body.partition("|")[2]
            else:
                outermost = self._open[0][2] if self._open else inner
                call = Call(body, self._source, began + opened, end - count, depth, around, outermost)
                told = self._shown(call)
            if opened >= 2:
                self._open.append((opened, began, inner, around))
                self._out = [told]
            else:
                self._out = around
                self._out.append("{" * opened + told)
        if count == 1:
            self._out.append("}")


def _unclosed(stack: list[tuple[int, int, int, list[str]]], innermost: list[str]) -> list[str]:
    """What never closes goes with the rest of its line."""
    bodies = [around for *_, around in stack[1:]]
    flat = list(stack[0][3])
    for body in (*bodies, innermost):
        _, new_line, rest = "".join(body).partition("\n")
        flat.append(new_line + rest)
    return flat


class Arguments:
    """Of a body: those with a number and those with a name, as MediaWiki tells them apart."""

    __slots__ = ("name", "named", "positional")

    def __init__(self, body: str) -> None:
        self.name, *given = body.split("|")
        self.positional: list[str] = []
        self.named: dict[str, str] = {}
        for each in given:
            key, is_named, value = each.partition("=")
            if not is_named:
                self.positional.append(each)
                continue
            key = key.strip()
            if key.isascii() and key.isdigit() and len(key) < 3:
                place = int(key)
                if 0 < place <= len(self.positional) + 1:
                    self.positional[place - 1 : place] = [value.strip()]
                continue
            self.named[key] = value.strip()
