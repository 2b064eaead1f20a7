"""From hints to signals: which revisions were reverted, told to whoever holds them back (settle).

The wiki says it in the hint of the revert, or by a tag; or the page has the content of before again.
"""

from streamer.enrich.memory import Contents
from streamer.log.base import Record, partition_of
from streamer.model import REVERTED_TAG, Hint, Signal, encode_value, page_key


def signal_of(hint: Hint, contents: Contents) -> Signal | None:
    """None where the hint tells of no revert. `contents` learns from it.

    `reverted` is ascending; where page_change gives only the oldest and the newest, these two stand for
    all revisions of the page between them. `by` is 0 where only a tag on the reverted revision told it.
    """
    restored = contents.take(hint)
    if not hint.page_id:
        return None
    if hint.reverted_oldest or hint.reverted_newest:
        ends = {hint.reverted_oldest or hint.reverted_newest, hint.reverted_newest or hint.reverted_oldest}
        return Signal(hint.page_id, hint.revision, tuple(sorted(ends)), hint.upstream_ms)
    tagged = hint.tags is not None and REVERTED_TAG in hint.tags
    if tagged and REVERTED_TAG not in (hint.previous_tags or ()):
        return Signal(hint.page_id, 0, (hint.revision,), hint.upstream_ms)
    return None if restored is None else Signal(hint.page_id, hint.revision, restored, hint.upstream_ms)


def signal_record(topic: str, partitions: int, wiki: str, signal: Signal) -> Record:
    key = page_key(wiki, signal.page_id)
    return Record(topic, partition_of(key, partitions), key, encode_value(signal))
