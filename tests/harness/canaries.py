"""Words that stand nowhere else: where one is found, that part of that revision has got there."""

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final, Self

WORD: Final = "canary"
ADDRESS: Final = "2001:DB8"
"""With which each begins."""
_CANARY: Final = re.compile(rf"{WORD}[0-9a-f]{{16}}|{ADDRESS}(?::[0-9A-F]{{4}}){{6}}".encode())

Words = Mapping[str, str]
"""A canary by what is said of it where it is found, e.g. `deleted.comment`."""


@dataclass(frozen=True, slots=True)
class Canaries:
    """One revision's. The wikitext's stands in a comment of the markup, of which no text is made; the text's
    and the abstract's are broken by marks, so that they stand in what is made of the wikitext, not in it.
    """

    wikitext: str
    text: str
    abstract: str
    comment: str
    user: str
    """An address, as wikis spell it: who has no account."""

    @classmethod
    def made(cls, rng: random.Random) -> Self:
        # no word of 16 hex digits is a part of another one
        wikitext, text, abstract, comment = (f"{WORD}{rng.getrandbits(64):016x}" for _ in range(4))
        groups = (f"{rng.randrange(0x1000, 0x10000):X}" for _ in range(6))
        return cls(wikitext, text, abstract, comment, ":".join((ADDRESS, *groups)))

    def article(self, rng: random.Random) -> str:
        """What is written: more than a page of SQLite's holds, however it is compressed."""
        words = " ".join(f"{rng.getrandbits(64):x}" for _ in range(600))
        return (
            f"First {_broken(self.abstract)} words.<!-- {self.wikitext} -->\n\n"
            f"Then {_broken(self.text)} others.\n\n{words}"
        )

    def words(self, name: str) -> dict[str, str]:
        return {f"{name}.{field}": word for field, word in asdict(self).items()}


def _broken(word: str) -> str:
    middle = len(word) // 2
    return f"{word[:middle]}''{word[middle:]}''"


def found_in(data: bytes, words: Words) -> set[str]:
    """The names of those that stand there."""
    there = {match.decode() for match in set(_CANARY.findall(data))}
    return {name for name, word in words.items() if word in there} if there else set()


def found_in_any(parts: Iterable[bytes], words: Words) -> set[str]:
    found: set[str] = set()
    for part in parts:
        found |= found_in(part, words)
    return found
