"""What a log's files hold of some words, whoever may still read it: record by record, and byte by byte.

    disk = LocalDisk(folder, path, words)       or KafkaDisk(data, prefix, words)
    disk.note()                                  before they are withdrawn
    disk.holds()                                 place → names of the words that stand there

Values are compressed, so a search of bytes for a word proves little. Records are decoded; and of the local
log's, whose pages may hold what no record does, `note` keeps the compressed bytes in pieces, to be sought in
free pages, overflow pages and the WAL.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Protocol

from aiokafka.record.memory_records import MemoryRecords

from harness.canaries import Words, found_in, found_in_any
from streamer.log.packing import unpack_value

PIECE: Final = 24
"""Bytes: whatever is left of a value and twice as long holds a whole one."""
REMAINS: Final = "remains of "
"""In front of a file's name: where pieces of a value lie in no record."""
ROWS: Final = (
    "SELECT name, key, headers, packed, value FROM records"
    " JOIN lanes ON lane = lanes.id JOIN topics ON topic = topics.id"
)


class Disk(Protocol):
    def note(self) -> None: ...

    def holds(self) -> dict[str, set[str]]: ...


class LocalDisk:
    """`folder` is the service's own: whatever it leaves there is searched too."""

    def __init__(self, folder: Path, path: Path, words: Words) -> None:
        self._folder = folder
        self._path = path
        self._words = words
        self._pieces: dict[bytes, set[str]] = {}

    def note(self) -> None:
        """Takes the stored values that hold a word; may be called again for what has come since."""
        for _, _, _, packed, value in self._rows():
            if value is None or not packed:
                continue
            for name in found_in(unpack_value(packed, value) or b"", self._words):
                for at in range(0, len(value) - PIECE, PIECE):
                    self._pieces.setdefault(value[at : at + PIECE], set()).add(name)

    def holds(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        alive: set[bytes] = set()
        for topic, key, headers, packed, value in self._rows():
            parts = (key.encode(), headers or b"", unpack_value(packed, value) or b"")
            _add(found, topic, found_in_any(parts, self._words))
            if value is not None:
                alive |= self._pieces_in(value)
        for path in sorted(self._folder.rglob("*")):
            if not path.is_file():
                continue
            data = path.read_bytes()
            _add(found, path.name, found_in(data, self._words))
            if path.name.startswith(self._path.name):
                for piece in self._pieces_in(data) - alive:  # two texts have pieces in common
                    _add(found, REMAINS + path.name, self._pieces[piece])
        return found

    def stands_in_pages(self) -> dict[str, set[str]]:
        """File → the words whose noted values stand there, records or not: that a search would find them."""
        found: dict[str, set[str]] = {}
        for path in self._folder.glob(f"{self._path.name}*"):
            for piece in self._pieces_in(path.read_bytes()):
                _add(found, path.name, self._pieces[piece])
        return found

    def _pieces_in(self, data: bytes) -> set[bytes]:
        pieces = self._pieces
        return {data[at : at + PIECE] for at in range(len(data)) if data[at : at + PIECE] in pieces}

    def _rows(self) -> Iterator[tuple[str, str, bytes | None, int, bytes | None]]:
        """Of deleted topics too."""
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10)) as connection:
            yield from connection.execute(ROWS)


class KafkaDisk:
    """`data` is where a broker keeps its segments; one that serves others too."""

    def __init__(self, data: Path, prefix: str, words: Words) -> None:
        self._data = data
        self._prefix = prefix
        self._words = words

    def note(self) -> None:
        """Nothing: a segment is records from end to end."""

    def holds(self) -> dict[str, set[str]]:
        """By topic; positions and transactions stand in the brokers' own."""
        found: dict[str, set[str]] = {}
        for pattern in (f"{self._prefix}.*", "__consumer_offsets-*", "__transaction_state-*"):
            for path in self._data.glob(f"{pattern}/*.log*"):  # the others hold offsets and times
                with suppress(FileNotFoundError):  # the cleaner has just replaced it
                    data = path.read_bytes()
                    parts = (data, *decoded(data))
                    _add(found, _topic(path.parent.name), found_in_any(parts, self._words))
        return found


def decoded(segment: bytes) -> Iterator[bytes]:
    """Keys, values and headers of all its records, compacted and aborted ones that still lie there too."""
    batches = MemoryRecords(segment)
    while batches.has_next():
        batch = batches.next_batch()
        assert batch is not None
        for record in batch:
            yield record.key or b""
            yield record.value or b""
            yield from (value for _, value in record.headers)


def _topic(folder: str) -> str:
    """A partition's folder is `TOPIC-N`, of a topic that is being deleted `TOPIC-N.UUID-delete`."""
    if folder.endswith("-delete"):
        folder = folder.rpartition(".")[0]
    return folder.rpartition("-")[0]


def _add(found: dict[str, set[str]], place: str, names: set[str]) -> None:
    if names:
        found.setdefault(place, set()).update(names)
