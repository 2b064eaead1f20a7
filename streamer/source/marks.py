"""How far each upstream topic was read, and how to ask for the rest.

The server's ids are coarse: an entry `{topic, partition, timestamp}` is the time of the last event of
that topic **+ 1 ms**, so that resuming by it skips the other events of the same millisecond (the same
second, in older data); and `offset: -1` means "latest at reconnect". So every topic of every configured
stream is asked for by time, some seconds earlier than was read, and what comes again is dropped
(`seen.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

JITTER_MS: Final = 15_000
"""Timestamps within a topic step back by up to so much."""
IDLE_MS: Final = 2 * 3_600_000
"""A topic that sent nothing while another advanced by so much is asked for without rewinding. Nothing of
it that came hours of stream time ago can be missing, and what we have dealt with since need not be
remembered. Lying far behind is not enough: after a long outage a topic may be hours behind a smaller one
and be coming in all the while. Upstream's canaries let every topic send once an hour.
"""
MOST_TOPICS: Final = 64
"""Ids are untrusted input, and all marks stand in the position; five streams name ten topics."""
UNNAMED: Final = "*"
DATA_CENTRES: Final = ("eqiad", "codfw")


class _Entry(Struct, frozen=True):
    topic: str
    partition: int = 0
    timestamp: int = 0
    """0: nothing was read of this topic yet (`offset` -1)."""


_id_decoder = msgspec.json.Decoder(list[_Entry])


class Marks:
    """Per topic (`eqiad.mediawiki.recentchange`; `…/1` for a partition that isn't 0) the highest
    timestamp read, Unix ms; 0 where the topic is known and nothing was read of it. Only ever grows,
    though the ids step back. `idle` are the topics that were so when `initial` was taken.
    """

    def __init__(self, initial: Mapping[str, int], idle: Iterable[str] = ()) -> None:
        self._marks = dict(initial)
        self._last_id = b""
        self._newest_ms = max(self._marks.values(), default=0)
        self._newest_at_move_ms = dict.fromkeys(self._marks, self._newest_ms)
        """Per topic what was the newest of all when it last moved."""
        self._idle = set(idle)

    def advance(self, topic: str, time_ms: int) -> None:
        if topic in self._marks and time_ms <= self._marks[topic]:
            return
        self._marks[topic] = time_ms
        self._newest_ms = max(self._newest_ms, time_ms)
        self._newest_at_move_ms[topic] = self._newest_ms
        self._idle.discard(topic)

    def advance_by_id(self, last_id: bytes) -> bool:
        """False for an id that isn't of the server's form: then there is nothing to resume by."""
        if last_id == self._last_id:
            return bool(last_id)
        try:
            entries = _id_decoder.decode(last_id)
        except (msgspec.DecodeError, RecursionError):
            return False
        self._last_id = last_id
        for entry in entries[:MOST_TOPICS]:
            name = entry.topic if entry.partition == 0 else f"{entry.topic}/{entry.partition}"
            if name in self._marks or len(self._marks) < MOST_TOPICS:
                self.advance(name, entry.timestamp)
        return True

    def get(self, topic: str) -> int:
        """For a topic that no id names (an event may not say its own): the newest of all."""
        return self._marks.get(topic) or self.newest_ms

    def named(self, topic: str) -> str:
        """The topic where the ids name it, else one name for all others: events are untrusted input,
        and must not make up topics without end.
        """
        return topic if topic in self._marks else UNNAMED

    def as_dict(self) -> dict[str, int]:
        return dict(self._marks)

    @property
    def newest_ms(self) -> int:
        return self._newest_ms

    def idle(self) -> frozenset[str]:
        for topic, newest_ms in self._newest_at_move_ms.items():
            if self._newest_ms - newest_ms > IDLE_MS:
                self._idle.add(topic)
        return frozenset(self._idle)

    def horizon_ms(self, topic: str, rewind_ms: int) -> int:
        """What was read of this topic before this can't come again. A mark lies behind all that was read."""
        return self.get(topic) + 1 if topic in self.idle() else self.get(topic) - rewind_ms - JITTER_MS

    def last_event_id(self, streams: Sequence[str], *, rewind_ms: int, started_ms: int) -> str:
        """`started_ms`: when this feed began, for topics of which nothing was ever read."""
        entries: list[dict[str, str | int]] = []
        idle = self.idle()
        for stream in streams:
            for topic in self._topics_of(stream):
                name, _, partition = topic.partition("/")
                time_ms = self._marks.get(topic, 0)
                if not time_ms:
                    time_ms = started_ms - rewind_ms
                elif topic not in idle:
                    time_ms -= rewind_ms
                entries.append(
                    {"topic": name, "partition": int(partition or 0), "timestamp": max(time_ms, 0)}
                )
        return msgspec.json.encode(entries).decode()

    def must_come_again(self) -> dict[str, int]:
        """What a server that still has everything sends after a resume: per topic an event this old at
        the latest.
        """
        idle = self.idle()
        return {topic: mark + JITTER_MS for topic, mark in self._marks.items() if mark and topic not in idle}

    def _topics_of(self, stream: str) -> list[str]:
        """The ids name all topics of a stream once one has been seen; before that, Wikimedia's two."""
        name = "mediawiki.recentchange" if stream == "recentchange" else stream
        known = [topic for topic in self._marks if f".{topic.partition('/')[0]}".endswith(f".{name}")]
        return known or [f"{centre}.{name}" for centre in DATA_CENTRES]
