"""Line separators in JSON, escaped: some splitters of lines cut at U+0085, U+2028 and U+2029 too.

Almost no article holds one, so what counts is how soon that is known. A byte that is nowhere is found out by
the C library at many bytes a cycle; to look for two or three in a row takes Python forty times as long.
"""

import re
from typing import Final

_AFTER_C2: Final = re.compile(b"\xc2(?=\x85)")
_AFTER_E2: Final = re.compile(b"\xe2(?=\x80[\xa8\xa9])")
"""With only one byte before the look ahead: such a beginning is searched for by itself."""


def escaped(text: bytes) -> bytes:
    """JSON in UTF-8, with the three characters as escapes of JSON."""
    if text.isascii():
        return text
    if b"\xc2" in text and b"\x85" in text and _AFTER_C2.search(text):
        text = text.replace(b"\xc2\x85", b"\\u0085")
    if b"\xe2" in text and (b"\xa9" in text or b"\xa8" in text) and _AFTER_E2.search(text):
        text = text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return text
