"""Cut-offs: what has been withdrawn, as every read path judges it.

Enrich alone writes them (`wiki.withdrawals.v1`); route and deliver hold all of them in memory, read
to the end before their first record. A cut-off hides what was published *below* its sequence: it is
never lifted, and a restore publishes anew with a higher one. Compaction keeps the newest of a key, so
each hides what those before it did, too (streamer.enrich.hides).
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from streamer.log.base import Record, Stored, partition_of
from streamer.model import Hideable, Withdrawal, encode_value, page_key, revision_key

NOTHING: Final[frozenset[Hideable]] = frozenset()
_decoder = msgspec.json.Decoder(Withdrawal)


@dataclass(frozen=True, slots=True)
class _Cutoff:
    sequence: int
    hides: frozenset[Hideable]


class Cutoffs:
    """All cut-offs, by page and by revision. Applying is idempotent and order does not matter."""

    def __init__(self) -> None:
        self._by_key: dict[str, tuple[_Cutoff, ...]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def apply(self, record: Stored) -> bool:
        """Takes one record of the topic; False where it is none (a tick, a tombstone)."""
        withdrawal = withdrawal_of(record)
        if withdrawal is None:
            return False
        self.add(record.key, withdrawal.sequence, withdrawal.hides)
        return True

    def add(self, key: str, sequence: int, hides: tuple[Hideable, ...]) -> None:
        new = _Cutoff(sequence, frozenset(hides))
        kept = tuple(
            c for c in self._by_key.get(key, ()) if not (c.sequence <= sequence and c.hides <= new.hides)
        )
        if any(c.sequence >= sequence and c.hides >= new.hides for c in kept):
            return
        self._by_key[key] = (*kept, new)

    def hidden(self, key: str, revision: int, sequence: int) -> frozenset[Hideable]:
        """What may no longer be shown of the record with this key (page, or late), revision (0: none) and
        sequence. With "text" in it the record is not served at all.
        """
        page = key.partition("/")[0]
        found = self._judge(page, sequence)
        if revision:
            found |= self._judge(f"{page}/{revision}", sequence)
        return found

    def _judge(self, key: str, sequence: int) -> frozenset[Hideable]:
        cutoffs = self._by_key.get(key)
        if cutoffs is None:
            return NOTHING
        hidden: frozenset[Hideable] = NOTHING
        for cutoff in cutoffs:
            if sequence < cutoff.sequence:
                hidden |= cutoff.hides
        return hidden


def withdrawal_of(record: Stored) -> Withdrawal | None:
    """None for a tick and a tombstone."""
    if record.value is None or record.key.startswith("."):
        return None
    return _decoder.decode(record.value)


def cutoff_record(
    topic: str,
    partitions: int,
    *,
    wiki: str,
    page_id: int,
    revision: int,
    sequence: int,
    hides: tuple[Hideable, ...],
) -> Record:
    """`revision` 0: the whole page."""
    key = revision_key(wiki, page_id, revision) if revision else page_key(wiki, page_id)
    return Record(topic, partition_of(key, partitions), key, encode_value(Withdrawal(sequence, hides)))
