"""Where a long text is cut, so that an edit moves only the cuts beside it. Pure.

What is too long is cut once somewhere in its middle half, and so are its parts, until all are short enough.
Where, is decided by the few characters around each possible place: the one with the lowest hash. So places
that an edit did not touch are chosen as before, and what lies on the other side of a cut that stayed is not
even looked at. Between paragraphs comes before between lines, that before between sentences, that before
between words; scripts without spaces are cut behind their own full stops, Thai at its spaces, and what has
none of these between two characters.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterable
from typing import Final

MAX_CHARS: Final = 1_200
"""Of a piece; those of long texts have about 800. With 1,500 an edit costs a sixth more to embed anew."""
_WIDE: Final = re.compile(r"[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]")
"""Chinese, Japanese, Korean: such a character says, and costs an embedder, as much as two others."""
_AROUND: Final = 12
"""Characters on each side of a place by which it is judged."""
_CLOSING: Final = "\"'”’»)\\]」』）】"
_PLACES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n\s*\n",
        r"\n",
        rf"(?<=[.!?…؟۔।॥])[{_CLOSING}]*\s+|[。！？｡][{_CLOSING}]*(?![{_CLOSING}])|(?<=[ก-๛])\s+(?=[ก-๛])",
        r"\s+",
    )
)
"""From the best to the worst; the cut is where the match ends."""
_REACH: Final = 128
"""Characters to each side of the middle, where a text has nothing but letters."""


def pieces(text: str, at_most: int = MAX_CHARS) -> list[str]:
    """Of all of it, in order, without the white space between them. None is empty, or longer than `at_most`
    characters (at least 16), of which wide ones count twice.
    """
    found: list[str] = []
    waiting = [text.strip()]
    while waiting:
        piece = waiting.pop()
        if len(piece) + len(_WIDE.findall(piece)) > at_most:
            place = _place(piece)
            waiting += (piece[place:].strip(), piece[:place].strip())
        elif piece:
            found.append(piece)
    return found


def _place(text: str) -> int:
    quarter = len(text) // 4
    for pattern in _PLACES:
        matches = pattern.finditer(text, quarter, len(text) - quarter)
        if place := _lowest(text, (match.end() for match in matches)):
            return place
    middle = len(text) // 2
    reach = min(quarter, _REACH)
    between = (at for at in range(middle - reach, middle + reach) if not _is_within(text, at))
    return _lowest(text, between) or middle


def _lowest(text: str, places: Iterable[int]) -> int:
    """0: there is none. Where places look alike it's the one next to the middle."""
    middle = len(text) // 2
    return min(places, key=lambda place: (_hash(text, place), abs(place - middle)), default=0)


def _hash(text: str, place: int) -> int:
    around = text[max(place - _AROUND, 0) : place + _AROUND]
    return zlib.crc32(around.encode("utf-8", "replace"))


def _is_within(text: str, place: int) -> bool:
    """Of what is seen as one character: a mark belongs to the letter before it."""
    return unicodedata.category(text[place])[0] == "M" or "\u200d" in text[place - 1 : place + 1]
