"""Who owns which kind of change, and what is admitted at all: decided once, from the configuration."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from streamer.config import Settings
from streamer.globs import matcher
from streamer.model import KINDS, Change, Kind

Family = Literal["recentchange", "page_change", "visibility", "tags", "prediction"]

BY_BOT: Final = frozenset[Kind]({"create", "edit", "refresh"})
"""Kinds that `admit.bots = false` leaves out. A removal or move concerns a page that was admitted by
an earlier change, whoever did it.
"""


def family_of(stream: str) -> Family | None:
    """By the name of a configured stream or of a topic, so `recentchange`, `mediawiki.recentchange` and
    `eqiad.mediawiki.recentchange` are one.
    """
    if stream.endswith("recentchange"):
        return "recentchange"
    if "mediawiki.page_change" in stream:
        return "page_change"
    if stream.endswith("revision-visibility-change"):
        return "visibility"
    if stream.endswith("revision-tags-change"):
        return "tags"
    if "prediction" in stream:
        return "prediction"
    return None


def owners_of(streams: tuple[str, ...]) -> dict[Kind, Family | None]:
    """The one family that tells each kind, so that nothing comes twice; None: nobody can."""
    present = {family_of(stream) for stream in streams}

    def first(*families: Family) -> Family | None:
        return next((family for family in families if family in present), None)

    owners: dict[Kind, Family | None] = {}
    for kind in KINDS:
        match kind:
            case "create" | "edit" | "refresh":
                owners[kind] = first("recentchange", "page_change")
            case "move" | "delete" | "restore":
                owners[kind] = first("page_change", "recentchange")
            case "visibility":
                owners[kind] = first("visibility", "recentchange", "page_change")
    return owners


@dataclass(frozen=True)
class Rules:
    """`owners`, and the globs, namespaces and bots of `[admit]`; empty: all."""

    owners: dict[Kind, Family | None]
    wikis: tuple[str, ...] = ()
    namespaces: frozenset[int] = frozenset()
    bots: bool = True
    admits_wiki: Callable[[str], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "admits_wiki", matcher(self.wikis))

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        admit = settings.admit
        return cls(
            owners_of(settings.source.streams),
            settings.admitted_wikis,
            frozenset(admit.namespaces),
            admit.bots,
        )

    def admits_place(self, wiki: str, *namespaces: int) -> bool:
        """True if the wiki is admitted and any of the namespaces."""
        if not self.admits_wiki(wiki):
            return False
        return not self.namespaces or any(namespace in self.namespaces for namespace in namespaces)

    def admits(self, change: Change) -> bool:
        """A move is admitted by its old place as well as by its new one."""
        if change.bot and not self.bots and change.kind in BY_BOT:
            return False
        if change.previous is not None:
            return self.admits_place(change.wiki, change.namespace, change.previous.namespace)
        return self.admits_place(change.wiki, change.namespace)
