"""Physical removal of what was withdrawn, from the corpus and from wherever its text went.

Each sink has a fact that says up to which change of the corpus it was erased, written when its work is done:
killed at any instant, the next `erase` does what was left, and what was half done once more. A sink that
can't be read is named, keeps its place, and the others are done.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Final

from msgspec import Struct

from consumers.corpus import mark
from consumers.corpus.chunk import chunks
from consumers.corpus.lock import erasing
from consumers.corpus.page import UNKNOWN_REVISION, Told
from consumers.corpus.scrub import scrub
from consumers.corpus.sink import ERASED, SINK
from consumers.corpus.state import State, Withdrawal
from consumers.corpus.whole import SUFFIX
from consumers.corpus.withdrawn import Withdrawn
from consumers.errors import CorpusError, NotThere, SinkError, UsageError
from consumers.event import is_wiki

FORGOTTEN: Final = ""
"""The kind of a sink that is no more."""
_WRITERS: Final = {"snapshot": "consumers.corpus.snapshot", "jsonl": "consumers.corpus.jsonl"}
"""Modules with `erased(path, is_withdrawn) -> int`."""


class Erasure(Struct, frozen=True):
    """Of one sink. Rows that a sink had dropped by itself are not counted; their remains are gone, too."""

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
    """Everything withdrawn that was not erased yet, from every sink. Raises StateError where another process
    is at it.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    corpus = state.path.resolve()
    with erasing(corpus):
        return Report(at, str(corpus), [_erased(state, path, kind) for path, kind in sinks(state)])


def sinks(state: State) -> list[tuple[Path, str]]:
    """The corpus itself comes first: what is read from it later is without."""
    found = [(Path(name.removeprefix(SINK)), kind) for name, kind in state.facts(SINK).items() if kind]
    return [(state.path.resolve(), "corpus"), *found]


def forget(state: State, sink: Path) -> None:
    """Raises UsageError where no text went there."""
    name = f"{SINK}{sink.resolve()}"
    if not state.fact(name):
        known = ", ".join(str(path) for path, _ in sinks(state)[1:]) or "none"
        raise UsageError(f"no text of {state.path} went to {sink}; it went to: {known}")
    state.commit(facts={name: FORGOTTEN})


def withdraw(state: State, wiki: str, page: int, now_us: int) -> None:
    """As if the wiki had deleted it: it stays away until the feed tells of it anew. Raises UsageError
    and NotThere: whoever asks for it should know that nothing was removed.
    """
    if not is_wiki(wiki):
        raise UsageError(f"{wiki[:80]!a} is no name of a wiki, as enwiki is")
    row = state.row(wiki, page)
    if row is None:
        known = ", ".join(state.wikis()) or "none"
        raise NotThere(
            f"{state.path} holds no page {page} of {wiki}, so nothing was removed; its wikis: {known}"
        )
    sequence = max(now_us, row.sequence + 1)
    state.commit([Told(wiki, page, sequence, UNKNOWN_REVISION, "deleted")])


def _erased(state: State, path: Path, kind: str) -> Erasure:
    done = _done(state, path, kind)
    through = state.changed()
    withdrawals = state.withdrawals(done)
    if not withdrawals:
        return Erasure(str(path), kind, 0, done)
    is_withdrawn = Withdrawn(withdrawals, _held(state, withdrawals))
    before = dict(_files(path))
    try:
        if not path.exists() and not path.with_name(path.name + SUFFIX).exists():
            raise SinkError(f"there is nothing at {path}: bring it back, or `corpus erase --forget {path}`")
        removed = _removed(state, path, kind, is_withdrawn)
        if not path.exists():  # its writer was killed before it was whole; what there was of it is gone
            forget(state, path)
    except (CorpusError, OSError, ValueError, RuntimeError, ImportError) as error:
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


def _done(state: State, path: Path, kind: str) -> int:
    """Up to which change it was erased; 0 of a table that is not the one that was."""
    if kind == "lance":
        from consumers.corpus.table import Table  # noqa: PLC0415  # heavy, and not for those without one

        with suppress(SinkError):  # there is none: said when it is to be erased
            if not mark.is_known(state, Table(path)):
                return 0
    return int(state.fact(f"{ERASED}{path}") or "0")


def _removed(state: State, path: Path, kind: str, is_withdrawn: Withdrawn) -> int:
    if kind == "corpus":
        scrub(path)
        return 0
    if kind == "lance":
        return _removed_from_table(state, path, is_withdrawn)
    if kind not in _WRITERS:
        raise SinkError(f"{path} is of the kind {kind!r}, which this version doesn't know")
    rows: int = import_module(_WRITERS[kind]).erased(path, is_withdrawn)
    return rows


def _removed_from_table(state: State, path: Path, is_withdrawn: Withdrawn) -> int:
    """Of the pages in question only passages stay that the corpus would give now: a row's revision alone does
    not say what it holds, for the passage may stand in later ones, too.
    """
    from consumers.corpus.table import Table, locked  # noqa: PLC0415  # heavy, and not for those without one

    with locked(path):
        table = Table(path)
        doomed: list[str] = []
        for (wiki, page), stored in table.stored(is_withdrawn.pages).items():
            row = state.row(wiki, page)
            now = {chunk.id for chunk in chunks(row.content)} if row and row.content else set()
            doomed += (each.id for each in stored if each.id not in now)
        table.remove(doomed)
        table.purge()
        if mark.is_known(state, table):
            mark.renewed(state, table)  # a copy from before is not the one that was erased
    return len(doomed)


def _held(state: State, withdrawals: Iterable[Withdrawal]) -> dict[tuple[str, int], tuple[int, int]]:
    held: dict[tuple[str, int], tuple[int, int]] = {}
    for key in {(each.wiki, each.page) for each in withdrawals}:
        row = state.row(*key)
        if row and row.content:
            held[key] = (row.content.revision, row.sequence)
    return held


def _files(path: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """What tells whether a file was written anew."""
    folders = os.walk(path) if path.is_dir() else [(str(path.parent), [], [path.name])]
    for folder, _, names in folders:
        for name in names:
            file = Path(folder, name)
            if file.is_file():
                status = file.stat()
                yield str(file), (status.st_ino, status.st_mtime_ns, status.st_size)
