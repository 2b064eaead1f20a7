"""A corpus as lines of JSON, with the columns of a snapshot: a whole one, or what changed since.

What changed and is not taken any more is told as a Tombstone, whether or not it was ever taken: an increment
doesn't know. For the same reason pages with the same text are all there.
"""

import gzip
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

import msgspec
import zstandard
from msgspec import Struct

from consumers.corpus.columns import Entry, Tombstone, entry_of, line_of
from consumers.corpus.quality import Filters
from consumers.corpus.sink import recorded
from consumers.corpus.snapshot import EVERYTHING, IsWithdrawn, chosen_wikis, taken
from consumers.corpus.split import SHARE, split_of
from consumers.corpus.state import State
from consumers.corpus.whole import alone, replaced, sweep, whole
from consumers.errors import SinkError, UsageError

KIND: Final = "jsonl"
"""As a sink."""
LEVEL: Final = 6
"""Of gzip and zstd alike."""


class Exported(NamedTuple):
    rows: int
    tombstones: int
    changed: int
    """From where the next increment goes on."""


def lines(
    state: State, filters: Filters = EVERYTHING, since: int | None = None, share: float = SHARE
) -> Iterator[Entry | Tombstone]:
    """All that is taken, by wiki and page id; or what changed after a number, in the order of changes."""
    if since is None:
        yield from taken(state, filters, share, Counter())
        return
    wikis = set(chosen_wikis(state, filters))
    while changes := state.changes(since):
        for change in changes:
            since = change.changed
            if change.wiki not in wikis:
                continue
            page, entry = change.content, None
            if page is not None:
                sequence = change.sequence
                entry = entry_of(page, sequence, split_of(page.wiki, page.page, share))
                if filters.reason(page, entry.length) is not None:
                    entry = None
            yield entry or Tombstone(str(change.page), change.wiki, change.page)


def jsonl(
    state: State,
    path: Path,
    filters: Filters = EVERYTHING,
    since: int | None = None,
    share: float = SHARE,
) -> Exported:
    """To a file, complete or not at all; compressed as its name says: .gz, .zst.

    Raises UsageError where it is there already, a wiki is unknown or `since` is yet to come, SinkError where
    it can't be written.
    """
    chosen_wikis(state, filters)
    _check(state, since)
    with recorded(state, path, KIND), whole(path) as place, writing(place, path.name) as file:
        return told(state, file, filters, since, share)


def told(
    state: State, file: IO[bytes], filters: Filters, since: int | None = None, share: float = SHARE
) -> Exported:
    """The same into an open file."""
    _check(state, since)
    rows = tombstones = 0
    with state.reading():
        changed = state.changed()
        if since is not None and since > changed:
            raise UsageError(
                f"{state.path} has no change {since:,}, its last one is {changed:,}: it is another corpus,"
                " or an older copy of it; take all of it"
            )
        for line in lines(state, filters, since, share):
            if isinstance(line, Tombstone):
                tombstones += 1
            else:
                rows += 1
            file.write(line_of(line) + b"\n")
    state.sync()
    return Exported(rows, tombstones, changed)


def _check(state: State, since: int | None) -> None:
    if since is not None and not 0 <= since <= state.changed():
        raise UsageError(
            f"{state.path} has no change {since:,}, its last is {state.changed():,}: was it restored from a"
            " copy, or made anew? What was exported until then may be of changes that are in it no more:"
            " export all of it"
        )


@contextmanager
def writing(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Compressed as `name` says."""
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("wb"))
        if name.endswith(".gz"):
            file = cast("IO[bytes]", stack.enter_context(gzip.GzipFile("", "wb", LEVEL, file, 0)))
        elif name.endswith(".zst"):
            file = stack.enter_context(zstandard.ZstdCompressor(level=LEVEL).stream_writer(file))
        yield file


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """Of what `writing` wrote. Raises SinkError."""
    with ExitStack() as stack:
        try:
            file: IO[bytes] = stack.enter_context(path.open("rb"))
            if path.suffix == ".gz":
                file = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=file)))
            elif path.suffix == ".zst":
                reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
                file = stack.enter_context(io.BufferedReader(cast("io.RawIOBase", reader)))
            yield file
        except (OSError, EOFError, zstandard.ZstdError) as error:
            raise SinkError(f"{path} can't be read: {error}") from None


class _Row(Struct, frozen=True):
    """What says whether a line must go."""

    wiki: str
    page_id: int
    revision_id: int = 0
    sequence: int = 0
    is_deleted: bool = False


_DECODER: Final = msgspec.json.Decoder(_Row)


def erased(path: Path, is_withdrawn: IsWithdrawn) -> int:
    """Removes rows for good: rewrites the file if it holds such. Their number; 0 where there is no file.

    Raises SinkError where it is being written, or is none of ours.
    """
    if not path.exists():
        sweep(path)
        return 0
    with alone(path):
        sweep(path)
        rows = sum(gone for _, gone in _judged(path, is_withdrawn))
        if rows:
            with replaced(path) as place, writing(place, path.name) as file:
                for line, gone in _judged(path, is_withdrawn):
                    if not gone:
                        file.write(line)
    return rows


def _judged(path: Path, is_withdrawn: IsWithdrawn) -> Iterator[tuple[bytes, bool]]:
    with reading(path) as file:
        for number, line in enumerate(file, 1):
            try:
                row = _DECODER.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise SinkError(f"{path}: line {number} is not one of ours; nothing was changed") from None
            gone = not row.is_deleted and is_withdrawn(row.wiki, row.page_id, row.revision_id, row.sequence)
            yield line, gone
