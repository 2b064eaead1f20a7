"""Where a partner's feed begins: live, or at a time; and whether it is being made anew.

What `streamer partner add --since T` and `rebuild` want is a record in the meta topic, `partner/NAME`, so
that it reaches a fleet that is running. A time counts as long as the partner has no committed position.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from streamer.accounts import GROUP
from streamer.errors import ConfigError
from streamer.log.base import Log, Record, Stored, partition_of
from streamer.model import Topics, encode_value
from streamer.route.rebuild import Start

PREFIX: Final = "partner/"


@dataclass(slots=True)
class Starts:
    """All that were recorded, by partner; follows the meta topic through a Table."""

    generation: int = 0
    """Another one: some partner's is another."""
    _starts: dict[str, Start] = field(default_factory=dict)

    def apply(self, record: Stored) -> None:
        if not record.key.startswith(PREFIX):
            return
        name = record.key[len(PREFIX) :]
        before = self._starts.get(name)
        if record.value is None:
            self._starts.pop(name, None)
        else:
            self._starts[name] = msgspec.json.decode(record.value, type=Start)
        self.generation += self._starts.get(name) != before

    def of(self, name: str) -> Start | None:
        return self._starts.get(name)

    def is_rebuilt(self, name: str) -> bool:
        start = self._starts.get(name)
        return start is not None and bool(start.rebuild)


async def record_start(log: Log, topics: Topics, name: str, since_ms: int | None) -> None:
    """Call it before the partner stands in the file. None (live) takes back what an earlier partner of
    the same name left; where that was routed it goes on where it stopped. The meta topic must exist.
    Raises ConfigError where a time is given for a partner that was routed before.
    """
    topic = topics.of_partner(name)
    if since_ms is not None and any(tp.topic == topic for tp in await log.committed(GROUP)):
        raise ConfigError(
            f"partner {name}: --since",
            "this partner was routed before and goes on where it stopped; add it without a time,"
            f" then `streamer partner rebuild {name} --since` makes its feed anew",
        )
    await append_start(log, topics, name, None if since_ms is None else Start(since_ms))


async def append_start(log: Log, topics: Topics, name: str, start: Start | None) -> None:
    """Raises ConfigError where there is no meta topic."""
    info = await log.topic(topics.meta)
    if info is None:
        raise ConfigError(topics.meta, "no such topic: start the service once, it makes its topics")
    key = PREFIX + name
    value = None if start is None else encode_value(start)
    await log.append([Record(topics.meta, partition_of(key, info.partitions), key, value)])
