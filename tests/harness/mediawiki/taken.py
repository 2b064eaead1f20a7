"""What a wiki takes back of a page, and what of its words is left for partners."""

from dataclasses import dataclass, field
from typing import Final

from harness.canaries import Canaries

EVERYTHING: Final = "content|comment|user"


@dataclass(slots=True)
class Taken:
    """One page. `hides` is of its first revision, "" where the whole page goes; with `is_older` there is a
    second one, with words of its own, which stays.
    """

    name: str
    hides: str = ""
    is_older: bool = False
    suppressed: bool = False
    is_lost_first: bool = False
    """Its first revision is a dead letter when that happens."""
    is_kept: bool = False
    """Nothing happens to it."""
    first: Canaries = field(init=False)
    second: Canaries = field(init=False)
    page: int = 0
    revision: int = 0

    @property
    def words(self) -> dict[str, str]:
        return self.first.words(self.name) | (
            self.second.words(f"{self.name}, then") if self.is_older else {}
        )

    @property
    def visible(self) -> set[str]:
        """What a partner is served from then on: a record without its text is not served at all."""
        stays = set(self.second.words(f"{self.name}, then")) if self.is_older else set()
        if self.is_kept:
            return stays | set(self.first.words(self.name))
        if not self.hides or "content" in self.hides or self.is_lost_first:
            return stays
        return stays | {name for name in self.first.words(self.name) if name.rpartition(".")[2] != self.hides}

    @property
    def told(self) -> set[str]:
        """What was published before; no word of a revision that became a dead letter."""
        return {name for name in self.words if not self.is_lost_first or ", then." in name}

    @property
    def current(self) -> set[str]:
        """What the page's newest record has, which both logs keep."""
        return set(self.second.words(f"{self.name}, then")) if self.is_older else self.visible


def pages() -> list[Taken]:
    return [
        Taken("deleted"),
        Taken("suppressed", suppressed=True),
        # MediaWiki hides no newest revision's text
        Taken("text hidden", "content", is_older=True),
        Taken("comment hidden", "comment"),
        Taken("user hidden", "user"),
        Taken("older comment hidden", "comment", is_older=True),
        Taken("older user hidden", "user", is_older=True),
        Taken("revision suppressed", EVERYTHING, is_older=True, suppressed=True),
        Taken("kept", is_kept=True),
    ]


def letters() -> list[Taken]:
    """Pages whose first revision becomes a dead letter."""
    return [
        Taken("lost and deleted", is_lost_first=True),
        Taken("lost and suppressed", EVERYTHING, is_older=True, suppressed=True, is_lost_first=True),
        Taken("lost and kept", is_kept=True, is_lost_first=True),
    ]
