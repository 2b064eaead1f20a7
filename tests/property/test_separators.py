"""Line separators are escaped wherever they stand, and nothing else is touched."""

import random

from streamer.separators import escaped

PIECES = (
    "a",
    '"',
    "\\n",
    " ",
    "é",
    "\u00a0",
    "«",
    "х",
    "\u0445",
    "—",
    "“",
    "中",
    "…",
    "\u2027",
    "\u202a",
    "𝄞",
    "\u00e5",
)
SEPARATORS = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def test_any_text_is_escaped_as_a_replacement_of_characters_would(rng: random.Random) -> None:
    """The bytes of the three characters also stand in others, in every part and order."""
    for _ in range(2_000):
        pieces = rng.sample(PIECES, rng.randrange(1, len(PIECES)))
        if rng.random() < 0.5:
            pieces += rng.sample(sorted(SEPARATORS), rng.randrange(1, 4))
        text = "".join(rng.choices(pieces, k=rng.randrange(60)))
        wanted = text
        for character, escape in SEPARATORS.items():
            wanted = wanted.replace(character, escape)
        assert escaped(text.encode()) == wanted.encode(), ascii(text)


def test_what_holds_none_is_handed_back_as_it_is() -> None:
    for text in (b"", b"{}", "é — “х” 中\u00a0Å".encode()):
        assert escaped(text) is text
