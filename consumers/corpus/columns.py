"""The columns of a snapshot and of a JSONL export: those of `wikimedia/wikipedia` (`id`, `url`, `title`,
`text`), then what a corpus knows beyond it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from consumers.corpus.page import Page
from consumers.corpus.quality import is_stub, length
from consumers.corpus.split import Split
from consumers.event import Licence

if TYPE_CHECKING:
    import pyarrow as pa

CONTENTS: Final = 1 << 256
"""Hashes of contents are sums modulo this."""


class Entry(Struct, frozen=True):
    """A row of them. Its order is theirs."""

    id: str
    """The page's id; unique within its wiki."""
    url: str
    title: str
    text: str
    wiki: str
    page_id: int
    revision_id: int
    sequence: int
    """Of the newest event of its page: the higher, the newer; 0: only a dump, or a wiki, told of it."""
    namespace: int
    language: str
    wikidata: str | None
    date_created: datetime | None
    date_modified: datetime | None
    license: list[Licence]
    attribution: str
    revision_url: str | None
    history_url: str | None
    tags: list[str]
    revert_risk: float | None
    is_minor: bool | None
    is_revert: bool
    is_reverted: bool
    sha1: str | None
    content_model: str
    extractor: str
    is_redirect: bool
    redirect_target: str | None
    is_disambiguation: bool
    is_stub: bool
    characters: int
    length: int
    """Characters, weighed by script (`quality.length`)."""
    split: Split


class Tombstone(Struct, frozen=True):
    """In the place of a row: it is not to be kept any more."""

    id: str
    wiki: str
    page_id: int
    is_deleted: bool = True


NAMES: Final = Entry.__struct_fields__
REPETITIVE: Final = (
    "wiki", "namespace", "language", "content_model", "extractor", "split",
)  # fmt: skip
"""Of few values."""


def entry_of(page: Page, sequence: int, split: Split) -> Entry:
    text_length = length(page.text)
    return Entry(
        id=str(page.page),
        url=page.url,
        title=page.title,
        text=page.text,
        wiki=page.wiki,
        page_id=page.page,
        revision_id=page.revision,
        sequence=sequence,
        namespace=page.namespace,
        language=page.language,
        wikidata=page.wikidata,
        date_created=_moment(page.date_created),
        date_modified=_moment(page.date_modified),
        license=page.licence,
        attribution=page.attribution,
        revision_url=page.revision_url,
        history_url=page.history_url,
        tags=page.tags,
        revert_risk=page.revert_risk,
        is_minor=page.is_minor,
        is_revert=page.is_revert,
        is_reverted=page.is_reverted,
        sha1=page.sha1,
        content_model=page.content_model,
        extractor=page.extractor,
        is_redirect=page.redirect_target is not None,
        redirect_target=page.redirect_target,
        is_disambiguation=page.is_disambiguation,
        is_stub=is_stub(page, text_length),
        characters=len(page.text),
        length=text_length,
        split=split,
    )


def _moment(date: str | None) -> datetime | None:
    """To the millisecond, which is what the feed tells. What is no date is none."""
    try:
        moment = datetime.fromisoformat(date or "")
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)


_ENCODER: Final = msgspec.json.Encoder()


def line_of(entry: Entry | Tombstone) -> bytes:
    """Its line of JSON, without its end. Escaped is what some readers take for the end of a line."""
    line = _ENCODER.encode(entry)
    if not line.isascii():
        line = line.replace(b"\xc2\x85", b"\\u0085")
        line = line.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return line


def hash_of(entry: Entry) -> int:
    """SHA-256 of its line. A set of rows has the sum of theirs, modulo CONTENTS: in whatever order and files
    they lie, and what comes and goes is added and taken away.
    """
    return int.from_bytes(hashlib.sha256(line_of(entry)).digest())


@cache
def schema() -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415 - only what writes or reads Parquet waits for it

    moment = pa.timestamp("ms", "UTC")
    licence = pa.struct({"name": pa.string(), "url": pa.string(), "identifier": pa.string()})
    whole, flag = pa.int64(), pa.bool_()
    others = {
        "page_id": whole, "revision_id": whole, "sequence": whole, "namespace": pa.int32(),
        "date_created": moment, "date_modified": moment,
        "license": pa.list_(licence), "tags": pa.list_(pa.string()), "revert_risk": pa.float64(),
        "is_minor": flag, "is_revert": flag, "is_reverted": flag,
        "is_redirect": flag, "is_disambiguation": flag, "is_stub": flag,
        "characters": whole, "length": whole,
    }  # fmt: skip
    return pa.schema([(name, others.get(name, pa.string())) for name in NAMES])


@lru_cache(1_024)
def _plain(licences: tuple[Licence, ...]) -> list[dict[str, str | None]]:
    return [msgspec.to_builtins(licence) for licence in licences]


def table_of(entries: Sequence[Entry]) -> "pa.Table":
    import pyarrow as pa  # noqa: PLC0415

    arrays = []
    for field in schema():
        values: list[Any] = [getattr(entry, field.name) for entry in entries]
        if field.name == "license":
            values = [_plain(tuple(licences)) for licences in values]
        arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema())


def entries_of(batch: "pa.RecordBatch") -> Iterator[Entry]:
    """Of all columns, as they were written."""
    columns = [batch.column(name).to_pylist() for name in NAMES]
    licences, created, modified = (NAMES.index(n) for n in ("license", "date_created", "date_modified"))
    columns[licences] = [[Licence(**licence) for licence in row] for row in columns[licences]]
    for dates in (created, modified):
        columns[dates] = [date and date.replace(tzinfo=UTC) for date in columns[dates]]
    for values in zip(*columns, strict=True):
        yield Entry(*values)
