"""From hints to signals: which revisions were reverted, told to whoever holds them back (settle).

The wiki says it in the hint of the revert, or by a tag; or the page has the content of before again.
"""

from msgspec.structs import replace

from streamer.enrich.memory import Restored
from streamer.log.base import Record, partition_of
from streamer.model import REVERTED_TAG, Hint, Signal, encode_value, page_key


def signal_of(hint: Hint, restored: Restored | None, *, is_repeated: bool = False) -> Signal | None:
    """None where the hint tells of no revert. `restored` is what the contents of its page say; `is_repeated`:
    that this had been reverted, so that what it took away need not be bad.

    `reverted` is ascending; where only the oldest and the newest are known, these two stand for all revisions
    of the page between them. `by` is 0 where only a tag on the reverted revision told it.
    """
    if not hint.page_id:
        return None
    if not is_repeated and (hint.reverted_oldest or hint.reverted_newest):
        ends = {hint.reverted_oldest or hint.reverted_newest, hint.reverted_newest or hint.reverted_oldest}
        return Signal(hint.page_id, hint.revision, tuple(sorted(ends)), hint.upstream_ms)
    tagged = hint.tags is not None and REVERTED_TAG in hint.tags
    if tagged and REVERTED_TAG not in (hint.previous_tags or ()):
        return Signal(hint.page_id, 0, (hint.revision,), hint.upstream_ms)
    if is_repeated or restored is None:
        return None
    if not (restored.is_new or hint.is_of_edit):  # tags say the content each time
        return None
    ends = {restored.revision + 1, hint.revision - 1}
    return Signal(hint.page_id, hint.revision, tuple(sorted(ends)), hint.upstream_ms)


def with_restored(hint: Hint, restored: Restored | None) -> Hint:
    """The hint with what its page's contents say of the revert, where the wiki does not."""
    if restored is None:
        return hint
    if hint.reverted_oldest or hint.reverted_newest:
        is_same = restored.revision < (hint.reverted_oldest or hint.reverted_newest)
        return replace(hint, restored=restored.revision) if is_same and not hint.restored else hint
    return replace(
        hint, reverted_oldest=restored.oldest, reverted_newest=restored.newest, restored=restored.revision
    )


def signal_record(topic: str, partitions: int, wiki: str, signal: Signal) -> Record:
    key = page_key(wiki, signal.page_id)
    return Record(topic, partition_of(key, partitions), key, encode_value(signal))
