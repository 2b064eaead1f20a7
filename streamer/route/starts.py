"""Where a new partner's feed begins: live, or at a time that `streamer partner add --since T` left.

The time is a record in the meta topic, `partner/NAME`, so that it reaches a fleet that is running. It
counts as long as the partner has no committed position.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Struct

from streamer.errors import ConfigError
from streamer.log.base import Log, Record, Stored, partition_of
from streamer.model import Topics, encode_value

GROUP: Final = "route"
PREFIX: Final = "partner/"


class Start(Struct, frozen=True):
    """The value of the record."""

    since_ms: int


@dataclass(slots=True)
class Starts:
    """All that were recorded, by partner; follows the meta topic through a Table."""

    _since_ms: dict[str, int] = field(default_factory=dict)

    def apply(self, record: Stored) -> None:
        if not record.key.startswith(PREFIX):
            return
        name = record.key[len(PREFIX) :]
        if record.value is None:
            self._since_ms.pop(name, None)
        else:
            self._since_ms[name] = msgspec.json.decode(record.value, type=Start).since_ms

    def since_ms(self, name: str) -> int | None:
        return self._since_ms.get(name)


async def record_start(log: Log, topics: Topics, name: str, since_ms: int | None) -> None:
    """Call it before the partner stands in the file. None (live) takes back what an earlier partner of
    the same name left. The meta topic must exist. Raises ConfigError where the partner was routed before:
    it goes on where it stopped.
    """
    topic = topics.of_partner(name)
    if since_ms is not None and any(tp.topic == topic for tp in await log.committed(GROUP)):
        raise ConfigError(
            f"partner {name}: --since",
            "this partner was routed before and goes on where it stopped; add it without a time",
        )
    info = await log.topic(topics.meta)
    if info is None:
        raise ConfigError(topics.meta, "no such topic: start the service once, it makes its topics")
    key = PREFIX + name
    value = None if since_ms is None else encode_value(Start(since_ms))
    await log.append([Record(topics.meta, partition_of(key, info.partitions), key, value)])
