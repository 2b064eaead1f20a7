"""`manifest.json` of a snapshot, and the card by which it is loaded.

What is counted is counted per file, so that a file that is rewritten changes its own figures only; those of
wikis, splits and the whole are their sums.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from consumers.corpus.columns import CONTENTS
from consumers.corpus.quality import Filters
from consumers.corpus.split import SALT, SHARE, SPLITS
from consumers.corpus.whole import replaced
from consumers.errors import SinkError
from consumers.event import is_wiki

FORMAT: Final = 1
NAME: Final = "manifest.json"
CARD: Final = "README.md"
_FILE: Final = re.compile(r"data/[A-Za-z0-9_-]{1,64}/[a-z]+-[0-9]{5,9}\.parquet")


class File(Struct, frozen=True):
    wiki: str
    split: str
    rows: int
    characters: int
    contents: str
    """Sum of the rows' hashes (`columns.hash_of`), in hex: the same however they lie in files."""
    extractors: Mapping[str, int]
    """Rows by what made their text."""
    size: int
    """Bytes."""
    sha256: str
    """Of the file."""


class Count(Struct, frozen=True):
    rows: int
    characters: int
    contents: str


class Removal(Struct, frozen=True):
    at: datetime
    rows: int


class Change(Struct, frozen=True):
    """Of a folder that holds what leads from a snapshot to another one."""

    base: str
    """Contents of the one."""
    result: str
    """And of the other."""
    deletes: int


class Manifest(Struct, frozen=True, kw_only=True):
    created: datetime
    changed: int
    """The number of the corpus' last change in it: a JSONL export goes on from there with `--since`."""
    positions: Mapping[str, str]
    """How far each feed was read."""
    filters: Filters
    left_out: Mapping[str, int]
    """Pages, by the reason."""
    validation: float = SHARE
    """Share of the pages."""
    salt: str = SALT
    files: Mapping[str, File] = {}
    """By path in the folder."""
    rows: int = 0
    contents: str = ""
    wikis: Mapping[str, Mapping[str, Count]] = {}
    """By wiki and split."""
    extractors: Mapping[str, int] = {}
    erased: list[Removal] = []
    erasing: list[str] = []
    """Files that were being rewritten when this was: their figures may be those before or after."""
    change: Change | None = None
    format: int = FORMAT


def counted(manifest: Manifest, files: Mapping[str, File]) -> Manifest:
    """With these files, and their sums."""
    files = dict(sorted(files.items()))
    wikis: dict[str, dict[str, Count]] = {}
    for file in files.values():
        total = wikis.setdefault(file.wiki, {}).get(file.split, Count(0, 0, summed(())))
        wikis[file.wiki][file.split] = Count(
            total.rows + file.rows,
            total.characters + file.characters,
            summed((total.contents, file.contents)),
        )
    extractors: dict[str, int] = {}
    for file in files.values():
        for name, rows in file.extractors.items():
            extractors[name] = extractors.get(name, 0) + rows
    return replace(
        manifest,
        files=files,
        rows=sum(file.rows for file in files.values()),
        contents=summed(file.contents for file in files.values()),
        wikis=wikis,
        extractors=extractors,
    )


def summed(contents: Iterable[str]) -> str:
    return f"{sum(int(one, 16) for one in contents) % CONTENTS:064x}"


def less(contents: str, gone: Iterable[str]) -> str:
    return f"{(int(contents, 16) - sum(int(one, 16) for one in gone)) % CONTENTS:064x}"


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def read(folder: Path) -> Manifest:
    """Raises SinkError of a folder that is none of ours."""
    try:
        manifest = msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise SinkError(f"{folder} is no snapshot of ours: its {NAME} can't be read ({error})") from None
    if manifest.format > FORMAT:
        raise SinkError(f"{folder} was written by a newer version (its format is {manifest.format})")
    for name in (*manifest.files, *manifest.erasing):
        if not _FILE.fullmatch(name):
            raise SinkError(f"{folder}: its {NAME} names {name[:80]!a}, which is no file of a snapshot")
    for wiki in {*manifest.wikis, *(file.wiki for file in manifest.files.values())}:
        checked(wiki)
    return manifest


def write(folder: Path, manifest: Manifest) -> None:
    """The manifest last: what it says is there."""
    with replaced(folder / CARD) as place:
        place.write_text("\n".join(_card(manifest)) + "\n", "utf-8")
    with replaced(folder / NAME) as place:
        place.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def files_of(manifest: Manifest, wiki: str, split: str) -> list[str]:
    """In the order of their rows."""
    return [name for name, file in manifest.files.items() if (file.wiki, file.split) == (wiki, split)]


def folder_of(wiki: str) -> str:
    """Where its files lie. Raises SinkError."""
    return f"data/{checked(wiki)}"


def checked(wiki: str) -> str:
    """Raises SinkError of what is no database name, as it may come from anywhere."""
    if not is_wiki(wiki):
        raise SinkError(f"{wiki[:80]!a} is no name of a wiki: no file or folder is called by it")
    return wiki


def _card(manifest: Manifest) -> Iterator[str]:
    """Its head names configurations, by which `datasets.load_dataset` finds wikis and splits."""
    found = [split for split in SPLITS if any(split in splits for splits in manifest.wikis.values())]
    if found:
        yield "---\nconfigs:"
        yield from _config("default", "*", found, manifest.contents)
        for wiki, splits in manifest.wikis.items():
            contents = summed(count.contents for count in splits.values())
            yield from _config(wiki, wiki, [split for split in SPLITS if split in splits], contents)
        yield "---\n"
    what = "What changed between two snapshots" if manifest.change else "A snapshot"
    yield f"# {what} of Wikipedia's articles\n"
    yield f"As of {manifest.created:%Y-%m-%d %H:%M} UTC; {manifest.rows:,} rows. The texts are"
    yield "under the licences that `license` names; `attribution`, `revision_url` and `history_url` credit"
    yield "their authors."
    yield f"`{NAME}` has counts, hashes, filters and positions.\n"
    if manifest.wikis:
        yield "| wiki | train | validation | characters |\n|---|---:|---:|---:|"
    for wiki, splits in manifest.wikis.items():
        train, validation = (splits[split].rows if split in splits else 0 for split in SPLITS)
        yield f"| {wiki} | {train:,} | {validation:,} | {sum(c.characters for c in splits.values()):,} |"


def _config(name: str, folder: str, splits: Iterable[str], contents: str) -> Iterator[str]:
    """Of a local folder, `datasets` takes what it has in its cache unless the configuration is another one:
    it looks at no file. So that names the contents.
    """
    yield f"- config_name: {name}\n  description: contents {contents}"
    if name == "default":
        yield "  default: true"
    yield "  data_files:"
    for split in splits:
        yield f"  - split: {split}\n    path: data/{folder}/{split}-*.parquet"
