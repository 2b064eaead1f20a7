"""What was published lately, read back at the start: so that a restart judges what is late, and what was
withdrawn, as before it.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from streamer.enrich.commit import Memory
from streamer.enrich.memory import Removal
from streamer.errors import OffsetOutOfRange
from streamer.faultpoints import Point, reached
from streamer.log.base import Log, Stored, TopicPartition, partition_of
from streamer.model import RevisionVisibility, is_delete, is_tick

READ_BACK_MS: Final = 10 * 60_000
"""The stream is out of order by seconds; a change may wait in enrich for minutes."""
MOST_RECORDS: Final = 10_000
"""Of each partition: a replay at full speed writes more in ten minutes than anyone has to remember."""


class _Event(Struct):
    revision: RevisionVisibility | None = None


class _Namespace(Struct):
    identifier: int


class _Article(Struct):
    name: str
    namespace: _Namespace
    event: _Event


_articles = msgspec.json.Decoder(_Article)


async def read_back(log: Log, topic: str, memory: Memory, now_ms: int, lanes: Collection[int]) -> None:
    """`lanes` are the partitions of changes that start now. What others publish meanwhile is told to `memory`
    by them, and older records must not be told after it.
    """
    info = await log.topic(topic)
    if info is None:
        return
    starts: dict[TopicPartition, int] = {}
    ends: dict[TopicPartition, int] = {}
    for partition in range(info.partitions):
        tp = TopicPartition(topic, partition)
        bounds = await log.bounds(tp)
        start = max(
            bounds.earliest, bounds.end - MOST_RECORDS, await log.offset_at(tp, now_ms - READ_BACK_MS)
        )
        if start < bounds.end:
            starts[tp], ends[tp] = start, bounds.end
    if not starts:
        return
    with suppress(OffsetOutOfRange):  # retention was quicker: what it deleted needs no remembering
        async with log.reader(starts) as reader:
            while any(reader.position(tp) < end for tp, end in ends.items()):
                for record in await reader.read():
                    wiki = record.key.rpartition(":")[0]
                    if partition_of(wiki, info.partitions) in lanes:
                        recall(record, memory)
                reached(Point.ENRICH_READING_BACK)


def recall(record: Stored, memory: Memory) -> None:
    """What was removed or hidden must not come out again by a replay that a lagging replica answers. Late
    records (their key names the revision), tombstones and ticks change nothing.
    """
    if record.value is None or is_tick(record) or "/" in record.key:
        return
    wiki, _, page = record.key.rpartition(":")
    if not page.isdecimal():
        return
    if is_delete(record):
        memory.newest.removed(wiki, int(page))
        memory.removals.resolved(wiki, int(page), Removal(0, _edited_ms(record)))
        return
    article = _articles.decode(record.value)
    if article.event.revision:
        memory.hidden.told(wiki, article.event.revision.identifier, article.event.revision.visibility)
    revision = record.header("rev")
    if revision.isdecimal():
        memory.newest.published(
            wiki,
            int(page),
            int(revision),
            article.name,
            record.timestamp_ms,
            namespace=article.namespace.identifier,
        )


def _edited_ms(record: Stored) -> int:
    """0 where it can't be read: then it judges nothing."""
    try:
        return int(datetime.fromisoformat(record.header("ce_time")).timestamp() * 1000)
    except ValueError:
        return 0
