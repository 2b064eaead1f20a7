"""Which pages are for validation: the same ones in every snapshot.

A page is drawn by its wiki and id alone. Edits, moves, new pages and deletes never take it across, a page
that is deleted and restored comes back to its side, and a larger share only adds to a smaller one. Not by the
Wikidata item, although two languages of one topic then may lie on both sides: an item is given to a page, or
changed, after its first snapshots, and would move it. Whoever must have no topic on both sides leaves out of
`train` the rows whose `wikidata` is in `validation`.
"""

import hashlib
from typing import Final, Literal

Split = Literal["train", "validation"]

SPLITS: Final[tuple[Split, ...]] = ("train", "validation")
SALT: Final = "corpus-split-1"
"""Another one would draw other pages."""
SHARE: Final = 0.01
"""For validation, where nothing else is asked for: of a large wiki tens of thousands of pages."""


def drawn(wiki: str, page: int) -> int:
    """64 even bits, of this page for ever."""
    return int.from_bytes(hashlib.sha256(f"{SALT}:{wiki}:{page}".encode()).digest()[:8])


def split_of(wiki: str, page: int, share: float = SHARE) -> Split:
    return "validation" if drawn(wiki, page) < share * 2**64 else "train"
