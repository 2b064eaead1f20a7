"""Physical removal of what was withdrawn, from the corpus and from wherever its text went.

Each sink has a fact that says up to which change of the corpus it was erased, written when its work is done:
killed at any instant, the next `erase` does what was left, and what was half done once more. A sink that
can't be read is named, keeps its place, and the others are done.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from msgspec import Struct

from consumers.corpus.chunk import chunks
from consumers.corpus.page import UNKNOWN_REVISION, Told
from consumers.corpus.scrub import scrubbed
from consumers.corpus.state import State
from consumers.corpus.withdrawn import Withdrawn
from consumers.errors import CorpusError, StateError

SINK: Final = "sink:"
"""Begins the facts that say where text went: the absolute path follows, the value is the kind."""
ERASED: Final = "erased:"
"""Begins the facts that say how far a sink, or the corpus itself, was erased."""
FORGOTTEN: Final = ""
"""The kind of a sink that is no more."""
_WRITERS: Final = {"snapshot": "consumers.corpus.snapshot", "jsonl": "consumers.corpus.jsonl"}
"""Modules with `erased(path, is_withdrawn) -> int`."""

Work = Callable[[State, Path, Withdrawn], int]
"""Returns rows removed."""


class Erasure(Struct, frozen=True):
    """Of one sink."""

    sink: str
    kind: str
    withdrawals: int
    """That were outstanding for it."""
    through: int
    """The change of the corpus up to which it is erased now."""
    rows_removed: int = 0
    files_rewritten: int = 0
    files_removed: int = 0
    error: str | None = None


class Report(Struct, frozen=True):
    at: str
    """RFC 3339."""
    corpus: str
    sinks: list[Erasure]

    @property
    def is_complete(self) -> bool:
        return all(sink.error is None for sink in self.sinks)


def erase(state: State) -> Report:
    """Everything withdrawn that was not erased yet, from every sink."""
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Report(at, str(state.path.resolve()), [_erased(state, path, kind) for path, kind in sinks(state)])


def sinks(state: State) -> list[tuple[Path, str]]:
    """The corpus itself comes first: what is read from it later is without."""
    found = [(Path(name.removeprefix(SINK)), kind) for name, kind in state.facts(SINK).items() if kind]
    return [(state.path.resolve(), "corpus"), *found]


def forget(state: State, sink: Path) -> None:
    """Raises StateError where no text went there."""
    name = f"{SINK}{sink.resolve()}"
    if not state.fact(name):
        known = ", ".join(str(path) for path, _ in sinks(state)[1:]) or "none"
        raise StateError(f"{sink} is no sink of {state.path}: {known}")
    state.commit(facts={name: FORGOTTEN})


def withdraw(state: State, wiki: str, page: int, now_us: int) -> None:
    """As if the wiki had deleted it: it stays away until the feed tells of it anew."""
    row = state.row(wiki, page)
    sequence = max(now_us, row.sequence + 1 if row else 0)
    state.commit([Told(wiki, page, sequence, UNKNOWN_REVISION, "deleted")])


def _erased(state: State, path: Path, kind: str) -> Erasure:
    done = int(state.fact(f"{ERASED}{path}") or "0")
    through = state.changed()
    withdrawals = state.withdrawals(done)
    if not withdrawals:
        return Erasure(str(path), kind, 0, done)
    is_withdrawn = Withdrawn(withdrawals, _held(state, withdrawals_pages(withdrawals)))
    before = dict(_files(path))
    try:
        if not path.exists():
            raise StateError(f"there is nothing at {path}: bring it back, or `corpus erase --forget {path}`")
        removed = _work(kind)(state, path, is_withdrawn)
    except (CorpusError, OSError, ValueError, ImportError) as error:
        return Erasure(str(path), kind, len(withdrawals), done, error=str(error))
    after = dict(_files(path))
    state.commit(facts={f"{ERASED}{path}": str(through)})
    return Erasure(
        str(path),
        kind,
        len(withdrawals),
        through,
        removed,
        sum(1 for name, file in after.items() if before.get(name) != file),
        len(before.keys() - after.keys()),
    )
