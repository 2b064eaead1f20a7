"""How far a bootstrap is, as facts of the state: committed with the rows they are about."""

from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from consumers.corpus.site import Site
from consumers.corpus.state import State
from consumers.event import Article
from consumers.wikitext.text import ANYWHERE, Origin

SINCE: Final = "since"
"""RFC 3339: where the feeds are to begin that have no position yet. Of several dumps the earliest."""


class Reading(Struct, frozen=True):
    """Of one dump's file."""

    file: str
    size_bytes: int
    done: int = 0
    """Where its next piece begins."""
    rows: int = 0
    unreadable: int = 0
    newest: str = ""
    closed: bool = False
    """Its end was seen."""
    finished: bool = False
    namespaces: list[int] | None = None
    """That were asked for; None: all."""


class Closing(Struct, frozen=True):
    """Of what lies between a wiki's dump and what the feed keeps. Unix seconds."""

    since_s: int
    until_s: int
    changes_s: int
    """So far the edits were listed,"""
    logs_s: int
    """and so far the log."""
    asked: int = 0
    """Pages that the wiki was asked for."""

    @property
    def finished(self) -> bool:
        return min(self.changes_s, self.logs_s) >= self.until_s


class Hole(Struct, frozen=True):
    """Edits that nobody can list any more. Unix seconds."""

    since_s: int
    until_s: int


_READ: Final = "dump:"
Stage = Literal["none", "reading", "open", "done"]
Fact = TypeVar("Fact", Reading, Closing, Hole, Site)


def reading_name(wiki: str, identity: str) -> str:
    return f"{_READ}{wiki}:{identity}"


def closing_name(wiki: str) -> str:
    return f"gap:{wiki}"


def hole_name(wiki: str) -> str:
    return f"hole:{wiki}"


def whole_name(feed: str) -> str:
    """RFC 3339: from when on the corpus is told all by a feed, of whichever wiki; "" where nobody knows."""
    return f"whole:{feed}"


def bad_name(feed: str) -> str:
    """How many of its events were passed over."""
    return f"bad:{feed}"


def site_name(wiki: str) -> str:
    return f"site:{wiki}"


def known(state: State, name: str, kind: type[Fact]) -> Fact | None:
    """None also for one of another version of this program: it begins anew."""
    text = state.fact(name)
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except msgspec.DecodeError:
        return None


def fact(value: Reading | Closing | Hole | Site) -> str:
    return msgspec.json.encode(value).decode()


def origin_of(state: State, article: Article) -> Origin:
    """As a bootstrap has learned the wiki's names; they are English ones else."""
    site = known(state, site_name(article.is_part_of.identifier), Site)
    return site.origin(article.name, article.namespace.identifier) if site else ANYWHERE


def time_of(state: State, name: str) -> datetime | None:
    text = state.fact(name)
    return datetime.fromisoformat(text) if text else None


def bootstrapped(state: State) -> list[str]:
    """Wikis of which a dump was read, if not to its end."""
    return sorted({name.split(":")[1] for name in state.facts(_READ)})


def stage_of(state: State, wiki: str) -> Stage:
    """How far its bootstrap is; `open` where nothing has closed what lies between dump and feed."""
    found = [known(state, name, Reading) for name in state.facts(f"{_READ}{wiki}:")]
    readings = [reading for reading in found if reading]
    if not readings:
        return "none"
    whole = {reading.file for reading in readings if reading.finished}
    if any(reading.file not in whole for reading in readings):  # half a file may have been replaced
        return "reading"
    closing = known(state, closing_name(wiki), Closing)
    return "done" if closing and closing.finished else "open"


def namespaces_of(state: State, wiki: str) -> list[int] | None:
    """Of which its dumps were read; None: of all, or there was none."""
    found: set[int] = set()
    for name in state.facts(f"dump:{wiki}:"):
        if reading := known(state, name, Reading):
            if reading.namespaces is None:
                return None
            found.update(reading.namespaces)
    return sorted(found) or None


def begins(state: State) -> datetime | None:
    """Where a feed begins that has no position yet; None: nothing was said, it begins now."""
    return time_of(state, SINCE)


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
