"""Whatever is cut or killed whenever, with ids that repeat and step back: each event is told exactly once."""

import json
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.source.marks import JITTER_MS, Marks
from streamer.source.seen import Seen

STREAM = "mediawiki.recentchange"
TOPICS = (f"eqiad.{STREAM}", f"codfw.{STREAM}")
BEGAN_MS = 1_767_225_600_000
REWIND_MS = 10_000
PARTITIONS = 3
MAX_LEAD_MS = 3_600_000
"""One topic may come in faster than another, but none stands still for hours of the other."""


class Upstream:
    """Per topic the events' times, in the order of their offsets; a look-up by time gives the first such."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.times: dict[str, list[int]] = {}
        for topic in TOPICS:
            at_ms, step_ms = BEGAN_MS, random.choice([0, 1, 500, 20_000, 600_000])
            self.times[topic] = []
            for _ in range(random.randrange(1, 120)):
                at_ms += random.randrange(step_ms + 1)
                self.times[topic].append(max(BEGAN_MS, at_ms - random.choice([0, 0, 0, JITTER_MS])))

    def connection(self, last_event_id: str) -> list[tuple[str, int, bytes]]:
        """(topic, offset, id) as they would come."""
        asked = {entry["topic"]: entry["timestamp"] for entry in json.loads(last_event_id)}
        at = {
            topic: next((n for n, ms in enumerate(times) if ms >= asked[topic]), len(times))
            for topic, times in self.times.items()
        }
        seen = dict.fromkeys(TOPICS, 0)
        sent = []
        weight = self._random.random()
        while left := [topic for topic in TOPICS if at[topic] < len(self.times[topic])]:
            behind = min(left, key=lambda name: self.times[name][at[name]])
            topic = left[0] if self._random.random() < weight else left[-1]
            if self.times[topic][at[topic]] - self.times[behind][at[behind]] > MAX_LEAD_MS:
                topic = behind
            seen[topic] = self.times[topic][at[topic]] + 1
            entries = [
                {"topic": name} | ({"timestamp": ms} if ms else {"offset": -1}) for name, ms in seen.items()
            ]
            sent.append((topic, at[topic], json.dumps(entries).encode()))
            at[topic] += 1
        return sent


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_every_event_once(seed: int) -> None:
    """Reads of the socket and commits of any size; a cut goes on with what is in memory, a kill with the
    position and what the log gives back from its floors.
    """
    random = Random(seed)
    upstream = Upstream(random)
    log: list[list[tuple[str, str, int]]] = [[] for _ in range(PARTITIONS)]
    marks, seen = Marks({}), Seen(PARTITIONS)
    position = (marks.as_dict(), marks.idle(), seen.floors())
    for left in range(12, -1, -1):
        arriving = upstream.connection(
            marks.last_event_id((STREAM,), rewind_ms=REWIND_MS, started_ms=BEGAN_MS + REWIND_MS)
        )
        if left:
            arriving = arriving[: random.randrange(len(arriving) + 1)]
        while arriving:
            size = random.randrange(1, 20)
            chunk, arriving = arriving[:size], arriving[size:]
            for _, _, last_id in chunk:
                assert marks.advance_by_id(last_id)
            if left and random.random() < 0.1:
                break  # killed: read, and not committed
            floors = seen.floors()
            for topic, offset, _ in chunk:
                identifier = f"{topic}@{offset}"
                if identifier in seen:
                    continue
                partition = (offset + len(topic)) % PARTITIONS
                seen.add(identifier, topic, marks.get(topic), partition, len(log[partition]))
                log[partition].append((identifier, topic, marks.get(topic)))
            position = (marks.as_dict(), marks.idle(), floors)
            seen.forget(marks, REWIND_MS)
        else:
            if random.random() < 0.5:
                continue  # cut
        marks, seen = Marks(position[0], position[1]), Seen(PARTITIONS)
        for partition, floor in enumerate(position[2]):
            seen.reached(partition, len(log[partition]))
            for at, told in enumerate(log[partition][floor:], floor):
                seen.add(*told, partition, at)
        seen.forget(marks, REWIND_MS)
    told = [identifier for records in log for identifier, _, _ in records]
    assert sorted(told) == sorted(
        f"{topic}@{n}" for topic, times in upstream.times.items() for n in range(len(times))
    )
