"""A replay of a dead letter: what it is, which letters get one, and how they are appended.

A replay is a `refresh` of what the letter's change was about. It is appended to the changes like any other
and judged by enrich (streamer.enrich.ask), so nothing here asks a wiki. Live changes are read behind what is
appended: so replays go a few at a time, the next when enrich has finished those before.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from msgspec.structs import replace

from streamer.clock import Clock
from streamer.deadletters import Letter, Status
from streamer.errors import TopicMissing
from streamer.log.base import Lane, Log, Record, TopicPartition, partition_of
from streamer.model import (
    REPLAYED_KEY,
    UNREADABLE,
    Change,
    DeadLetter,
    Replayed,
    Topics,
    encode_value,
    identifier_derived,
)
from streamer.traceparent import NEVER_SAMPLED, traceparent_of

CAUSE: Final = "replay"
OPEN_MOST: Final = 200
"""Of one writer: a handful of requests' worth, a second or two of a lane's time."""
BATCH: Final = 100
WAIT_S: Final = 0.25
STALLED_S: Final = 5.0
"""Where enrich finishes nothing for so long it does not run, or waits for the same wikis: then nobody is held
up by what is appended.
"""


def replay_of(letter: DeadLetter, times: int, sampled: str = NEVER_SAMPLED) -> Change | None:
    """The change that replays a letter which was replayed so many `times` before; None: it can't be.

    Ids, title, times and places stay: the page is found by its id, else by its revision, else by its title,
    and what was removed since is known to be newer. The identifier is derived anew each time, so that a
    partner does not take a second replay for a repetition of the first; nor for the replay of the letter
    that the first one left. `sampled`: see traceparent_of.
    """
    if letter.code == UNREADABLE:
        return None
    change = letter.change
    identifier = identifier_derived(f"{change.identifier}|{times}" if times else change.identifier, CAUSE)
    return replace(
        change,
        identifier=identifier,
        kind="refresh",
        cause=CAUSE,
        replays=change.meant,
        traceparent=traceparent_of(identifier, sampled),
    )


def change_record(topic: str, partitions: int, change: Change) -> Record:
    """Without the source's own headers: what it may be told again by upstream is not among these."""
    headers = (
        ("ce_id", change.identifier.encode()),
        ("ce_type", f"wiki.change.{change.kind}".encode()),
        ("kind", change.kind.encode()),
        ("traceparent", change.traceparent.encode()),
    )
    return Record(topic, partition_of(change.wiki, partitions), change.wiki, encode_value(change), headers)


@dataclass(frozen=True, slots=True)
class Plan:
    """What of the letters that were asked for is replayed, and what isn't, by reason."""

    letters: Sequence[Letter]
    waiting: int
    replayed: int
    unreadable: int


def plan(letters: Sequence[Letter], status: Status, *, again: bool) -> Plan:
    """Letters that can't be read are left out by who calls."""
    chosen: list[Letter] = []
    waiting = replayed = unreadable = 0
    for letter in letters:
        if status.waits(letter):
            waiting += 1
        elif letter.body is None or letter.body.code == UNREADABLE:
            unreadable += 1
        elif status.times(letter) and not again:
            replayed += 1
        else:
            chosen.append(letter)
    return Plan(chosen, waiting, replayed, unreadable)


class Pace:
    """Tell it what was `appended`; `room` says how many more may be, `until_room` waits for some."""

    def __init__(self, log: Log, group: str, topic: str) -> None:
        """`group` is the one that finishes what is appended to `topic`."""
        self._log = log
        self._group = group
        self._topic = topic
        self._open: set[tuple[TopicPartition, int]] = set()
        self._committed: object = None
        self._moved_s = monotonic()

    def appended(self, records: Sequence[Record], offsets: Sequence[int]) -> None:
        for record, offset in zip(records, offsets, strict=True):
            if record.topic == self._topic:
                self._open.add((TopicPartition(record.topic, record.partition), offset))

    async def room(self) -> int:
        if self._open:
            committed = await self._log.committed(self._group)
            if committed != self._committed:
                self._committed, self._moved_s = committed, monotonic()
            self._open = {
                (tp, offset)
                for tp, offset in self._open
                if tp not in committed or not committed[tp].is_done(offset)
            }
        return max(0, OPEN_MOST - len(self._open))

    async def until_room(self, needed: int) -> None:
        """Or until `group` has finished nothing for STALLED_S: waited for once, not for each call."""
        while True:
            if await self.room() >= needed or monotonic() - self._moved_s > STALLED_S:
                return
            await asyncio.sleep(WAIT_S)


async def append(
    log: Log,
    lane: Lane,
    topics: Topics,
    planned: Plan,
    status: Status,
    *,
    group: str,
    sampled: str = NEVER_SAMPLED,
) -> None:
    """All that is planned. `group` is the one that finishes changes; `sampled`: see traceparent_of."""
    info = await log.topic(topics.changes)
    if info is None:
        raise TopicMissing(f"there is no topic {topics.changes}")
    pace = Pace(log, group, topics.changes)
    for start in range(0, len(planned.letters), BATCH):
        await pace.until_room(BATCH)
        batch = planned.letters[start : start + BATCH]
        changes = [
            change
            for letter in batch
            if letter.body and (change := replay_of(letter.body, status.times(letter), sampled))
        ]
        records = [change_record(topics.changes, info.partitions, change) for change in changes]
        records += _marks(topics.deadletter, batch)
        pace.appended(records, await lane.commit(records, {}))


def _marks(topic: str, letters: Sequence[Letter]) -> list[Record]:
    """In the same commit as the changes: so a replay is known exactly when it was made."""
    offsets: dict[int, list[int]] = {}
    for letter in letters:
        offsets.setdefault(letter.partition, []).append(letter.offset)
    now_ms = Clock().now_ms()
    return [
        Record(topic, partition, REPLAYED_KEY, encode_value(Replayed(tuple(each), now_ms)))
        for partition, each in offsets.items()
    ]
