"""Changes and hints as records of the changes topic."""

from functools import lru_cache

import msgspec

from streamer.log.base import Record, partition_of
from streamer.model import Change, ChangeRecord, encode_value
from streamer.source.told import Told
from streamer.traceparent import NEVER_SAMPLED, traceparent_of


def identity(record: ChangeRecord, told: Told) -> str:
    """What tells a repetition: a change's identifier; a hint's event, since it has none of its own."""
    if isinstance(record, Change):
        return record.identifier
    return told.upstream_id or f"{told.family}|{record.wiki}|{record.revision}|{told.upstream_ms}"


def kind_of(record: ChangeRecord) -> str:
    """As the header `kind` tells it."""
    return record.kind if isinstance(record, Change) else "hint"


def record_of(
    record: ChangeRecord,
    told: Told,
    mark_ms: int,
    topic: str,
    partitions: int,
    *,
    sampled: str = NEVER_SAMPLED,
) -> Record:
    """Keyed by wiki. The headers `topic` and `mark_ms` are the source's own, to know after a restart
    what upstream may tell again. `sampled`: see traceparent_of.
    """
    headers: list[tuple[str, bytes]] = [
        ("ce_id", identity(record, told).encode()),
        ("topic", told.topic.encode()),
        ("mark_ms", str(mark_ms).encode()),
    ]
    if isinstance(record, Change):
        traceparent = traceparent_of(record.identifier, sampled)
        record = msgspec.structs.replace(record, traceparent=traceparent)
        headers += [
            ("ce_type", f"wiki.change.{record.kind}".encode()),
            ("kind", kind_of(record).encode()),
            ("traceparent", traceparent.encode()),
        ]
    else:
        headers += [("ce_type", b"wiki.hint"), ("kind", kind_of(record).encode())]
    return Record(
        topic, _partition(record.wiki, partitions), record.wiki, encode_value(record), tuple(headers)
    )


@lru_cache(maxsize=4_096)
def _partition(wiki: str, partitions: int) -> int:
    return partition_of(wiki, partitions)
