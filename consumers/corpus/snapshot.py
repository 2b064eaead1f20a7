"""A corpus of one moment as a folder of Parquet files, which `datasets.load_dataset`, DuckDB, Polars and
pandas load: rows by wiki and page id, a manifest, a card.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from consumers.corpus import manifest as manifests
from consumers.corpus.columns import Entry, entry_of
from consumers.corpus.manifest import File, Manifest, Removal, counted
from consumers.corpus.quality import Filters, Seen
from consumers.corpus.shards import BATCH, Counts, Shard, Shards, entries
from consumers.corpus.sink import recorded
from consumers.corpus.split import SHARE, split_of
from consumers.corpus.state import State
from consumers.corpus.whole import alone, replaced, sweep, whole
from consumers.errors import SinkError, UsageError

KIND: Final = "snapshot"
"""As a sink."""
EVERYTHING: Final = Filters()

IsWithdrawn = Callable[[str, int, int, int], bool]
"""Of wiki, page id, revision id and sequence of a stored row: must it go?"""


def chosen_wikis(state: State, filters: Filters) -> list[str]:
    """Raises UsageError of a wiki that the corpus doesn't hold."""
    known = state.wikis()
    for wiki in filters.wikis or ():
        if wiki not in known:
            raise UsageError(f"{state.path} holds no page of {wiki!r}; it holds {', '.join(known) or 'none'}")
    return [wiki for wiki in known if filters.wikis is None or wiki in filters.wikis]


def taken(
    state: State, filters: Filters, share: float, left_out: Counter[str], seen: Seen | None = None
) -> Iterator[Entry]:
    """The rows that the filters take, by wiki and page id; the first of each text, where `seen` is given."""
    for wiki in chosen_wikis(state, filters):
        for row in state.rows(wiki):
            page = row.content
            assert page is not None, "it can be read"
            entry = entry_of(page, row.sequence, split_of(wiki, page.page, share))
            reason = filters.reason(page, entry.length)
            if reason is None and seen is not None and entry.text and not seen.add(entry.text):
                reason = "duplicates"
            if reason is None:
                yield entry
            else:
                left_out[reason] += 1


def snapshot(state: State, path: Path, filters: Filters = EVERYTHING, share: float = SHARE) -> Manifest:
    """All of it or nothing, as of one moment; rows and positions of the same one.

    Of pages with the same text the first stays, by wiki and page id. Raises UsageError where `path` is there
    already, a wiki is unknown or no page is left, SinkError where it can't be written.
    """
    chosen_wikis(state, filters)
    left_out: Counter[str] = Counter()
    with recorded(state, path, KIND), whole(path, folder=True) as place:
        with state.reading(), _seen(filters) as seen:
            made = Manifest(
                created=manifests.now(),
                changed=state.changed(),
                positions=state.positions(),
                filters=filters,
                left_out={},
                validation=share,
            )
            with Shards(place) as shards:
                for entry in taken(state, filters, share, left_out, seen):
                    shards.add(entry)
        if not shards.files:
            why = ", ".join(f"{count:,} for {reason}" for reason, count in sorted(left_out.items()))
            raise UsageError(
                f"no page of {state.path} is left to write: {f'left out {why}' if why else 'it is empty'}"
            )
        state.sync()
        made = counted(replace(made, left_out=dict(sorted(left_out.items()))), shards.files)
        manifests.write(place, made)
    return made


@contextmanager
def _seen(filters: Filters) -> Iterator[Seen | None]:
    if filters.duplicates:
        yield None
        return
    seen = Seen()
    try:
        yield seen
    finally:
        seen.close()


# ── erasing ────────────────────────────────────────────────────────────────────────────────────


def erased(path: Path, is_withdrawn: IsWithdrawn) -> int:
    """Removes rows for good, also of a folder of `corpus diff`: rewrites the files that hold such, and those
    only. The number of rows. Killed amid it, it is done by the next call.

    0 where there is no such folder; raises SinkError where it is being written, or is none of ours.
    """
    if not path.exists():
        sweep(path)
        return 0
    with alone(path):
        sweep(path)
        return _erased(path, is_withdrawn)


def _erased(path: Path, is_withdrawn: IsWithdrawn) -> int:
    manifest = _mended(path, manifests.read(path))
    found = [name for name in manifest.files if any(_withdrawn(path / name, is_withdrawn))]
    if not found:
        return 0
    manifests.write(path, replace(manifest, erasing=found))
    files: dict[str, File | None] = {}
    for name in found:
        files[name] = _rewritten(path / name, is_withdrawn)
    after = _with(manifest, files)
    rows = manifest.rows - after.rows
    manifests.write(path, replace(after, erased=[*manifest.erased, Removal(manifests.now(), rows)]))
    return rows


def _mended(path: Path, manifest: Manifest) -> Manifest:
    """After a kill: the figures of files that were being rewritten are counted anew."""
    if not manifest.erasing:
        return manifest
    for name in manifest.erasing:
        sweep(path / name)
    after = _with(manifest, {name: _counted(path / name) for name in manifest.erasing})
    if rows := manifest.rows - after.rows:
        after = replace(after, erased=[*manifest.erased, Removal(manifests.now(), rows)])
    manifests.write(path, after)
    return after


def _with(manifest: Manifest, files: Mapping[str, File | None]) -> Manifest:
    """None: it is there no more."""
    every = {**manifest.files, **files}
    after = counted(manifest, {name: file for name, file in every.items() if file is not None})
    change = manifest.change
    if change is not None:  # what is not in the difference any more, it doesn't lead to
        result = manifests.summed((manifests.less(change.result, (manifest.contents,)), after.contents))
        change = replace(change, result=result)
    return replace(after, erasing=[], change=change)


def _withdrawn(file: Path, is_withdrawn: IsWithdrawn) -> Iterator[bool]:
    """Of each row; no text is read."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - only what writes or reads Parquet waits for it

    columns = ["wiki", "page_id", "revision_id", "sequence"]
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=64 * BATCH, columns=columns):
                found: Sequence[Sequence[object]] = [batch.column(name).to_pylist() for name in columns]
                yield from map(is_withdrawn, *found)
    except OSError as error:
        raise SinkError(f"{file} can't be read as a file of a snapshot: {error}") from None


def _rewritten(path: Path, is_withdrawn: IsWithdrawn) -> File | None:
    """Without those rows; without any it is removed."""
    with replaced(path) as place:
        shard = Shard(place, path.name)
        empty = True
        for entry in entries(path):
            if not is_withdrawn(entry.wiki, entry.page_id, entry.revision_id, entry.sequence):
                shard.add(entry)
                empty = False
        file = shard.close()
    if empty:
        path.unlink()
        return None
    return file


def _counted(path: Path) -> File | None:
    if not path.exists():
        return None
    counts = Counts()
    for entry in entries(path):
        counts.add(entry)
    if not counts.rows:
        path.unlink()
        return None
    return counts.file(path)
