"""What others wrote, shown on a terminal: as text, never as orders to it."""

from typing import Final

_REPLACED: Final = {
    code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in {"\n", "\t"}
}
"""Control characters of ASCII and Latin-1, with which a terminal is moved, coloured and asked."""


def visible(text: str) -> str:
    """Line ends and tabs stay."""
    return text.translate(_REPLACED)


def visible_line(text: str) -> str:
    """Of what stands in one line, as names and titles do."""
    return visible(text).replace("\n", "\ufffd").replace("\t", " ")
