"""Cut-offs: what has been withdrawn, as every read path judges it.

Enrich alone writes them (`wiki.withdrawals.v1`); route and deliver hold all of them in memory, read
to the end before their first record. A cut-off hides what was published *below* its sequence: it is
never lifted, and a restore publishes anew with a higher one. Compaction keeps the newest of a key, so
each says too what those before it hid, and below which sequence (streamer.enrich.hides).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from streamer.clock import Clock
from streamer.log.base import Record, Stored, partition_of
from streamer.model import Hideable, Withdrawal, encode_value, page_key, revision_key

PARTS: Final[tuple[Hideable, ...]] = ("text", "comment", "editor")
NOTHING: Final[frozenset[Hideable]] = frozenset()
_SETS: Final[tuple[frozenset[Hideable], ...]] = tuple(
    frozenset(part for bit, part in enumerate(PARTS) if number >> bit & 1) for number in range(8)
)
"""All that can be hidden, by the bits of PARTS: one object each."""
FORGET_US: Final = 31 * 24 * 3_600_000_000
"""Sequences are microseconds. Articles are kept for 30 days, cut-offs for one more: an older one has nothing
left to hide.
"""
FORGET_LEAST: Final = 4_096
"""So many cut-offs are kept however old they are: then nothing is looked through for little."""
_decoder = msgspec.json.Decoder(Withdrawal)


class Cutoffs:
    """All cut-offs, by page and by revision: of each part the highest sequence, 0 where it was never hidden.
    Applying is idempotent and order does not matter. Those that are too old to matter are forgotten now and
    then: each time that as many were applied as are held.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._by_key: dict[str, tuple[int, int, int]] = {}
        self._clock = clock or Clock()
        self._newest = 0
        self._until_forgetting = FORGET_LEAST

    def __len__(self) -> int:
        return len(self._by_key)

    def apply(self, record: Stored) -> bool:
        """Takes one record of the topic; False where it is none (a tick, a tombstone)."""
        withdrawal = withdrawal_of(record)
        if withdrawal is None:
            return False
        self.put(record.key, parts_of(withdrawal))
        return True

    def add(self, key: str, sequence: int, hides: Iterable[Hideable]) -> None:
        self.put(key, dict.fromkeys(hides, sequence))

    def put(self, key: str, below: Mapping[Hideable, int]) -> None:
        """`below`: each part that is hidden, and below which sequence."""
        text, comment, editor = self._by_key.get(key, (0, 0, 0))
        self._by_key[key] = (
            max(text, below.get("text", 0)),
            max(comment, below.get("comment", 0)),
            max(editor, below.get("editor", 0)),
        )
        self._newest = max(self._newest, *below.values(), 0)
        self._until_forgetting -= 1
        if not self._until_forgetting:
            self._forget()

    def _forget(self) -> None:
        # by the earlier of two clocks: neither one that runs ahead may have served what is withdrawn
        oldest = min(self._newest, self._clock.now_us()) - FORGET_US
        self._by_key = {key: below for key, below in self._by_key.items() if max(below) >= oldest}
        self._until_forgetting = max(FORGET_LEAST, len(self._by_key))

    def below(self, key: str) -> dict[Hideable, int]:
        """What this page's or revision's own cut-offs hide, each part below which sequence."""
        known = self._by_key.get(key, (0, 0, 0))
        return {part: sequence for part, sequence in zip(PARTS, known, strict=True) if sequence}

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
        below = self._by_key.get(key)
        if below is None:
            return NOTHING
        text, comment, editor = below
        return _SETS[(sequence < text) | (sequence < comment) << 1 | (sequence < editor) << 2]


def parts_of(withdrawal: Withdrawal) -> dict[Hideable, int]:
    """Below which sequence it hides each part. One that says no more than one sequence means it for all."""
    return {part: withdrawal.below.get(part, withdrawal.sequence) for part in withdrawal.hides}


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
    hides: Collection[Hideable],
    before: Mapping[Hideable, int] | None = None,
) -> Record:
    """`revision` 0: the whole page. `before`: what was hidden by earlier ones, each below its sequence."""
    key = revision_key(wiki, page_id, revision) if revision else page_key(wiki, page_id)
    below = {part: at for part, at in (before or {}).items() if part not in hides}
    value = Withdrawal(sequence, tuple(part for part in PARTS if part in hides or part in below), below)
    return Record(topic, partition_of(key, partitions), key, encode_value(value))
