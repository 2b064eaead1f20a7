"""What a newer version adds to a record is passed over by this one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from harness.older_log import PARTNER, restored
from harness.schema import checked

from consumers import event as consumed
from streamer.cutoffs import withdrawal_of
from streamer.enrich.outbox import LaneState
from streamer.log.base import Stored, TopicPartition
from streamer.log.local import LocalLog
from streamer.log.position import Position
from streamer.model import Article, Signal, Topics, decode_change
from streamer.route.rules import View
from streamer.source.standing import Standing

TOPICS: Final = Topics()
OWN: Final = TOPICS.of_partner(PARTNER)
MAPS: Final = {"scores", "below", "article_body"}
"""Whose names are data: another one is no new field, and its value is as the others'."""
READERS: Final[dict[str, Callable[[Stored], object]]] = {
    TOPICS.changes: lambda stored: decode_change(stored.value or b""),
    TOPICS.articles: lambda stored: (
        msgspec.json.decode(stored.value or b"", type=Article),
        msgspec.json.decode(stored.value or b"", type=View),
    ),
    TOPICS.signals: lambda stored: msgspec.json.decode(stored.value or b"", type=Signal),
    TOPICS.withdrawals: withdrawal_of,
    OWN: lambda stored: consumed.decoded(stored.value or b""),
}


async def records(file: Path, topic: str) -> list[Stored]:
    async with LocalLog(file, clean_every_s=3600) as log:
        info = await log.topic(topic)
        assert info
        tps = [TopicPartition(topic, partition) for partition in range(info.partitions)]
        bounds = {tp: await log.bounds(tp) for tp in tps}
        found: list[Stored] = []
        async with log.reader({tp: bound.earliest for tp, bound in bounds.items()}) as reader:
            while any(reader.position(tp) < bound.end for tp, bound in bounds.items()):
                found += await reader.read()
    return found


def grown(value: Any, name: str = "") -> Any:
    """The same with a field more in each object, before the others and behind them."""
    if isinstance(value, dict):
        if name in MAPS:
            return value
        inside = {key: grown(its, key) for key, its in value.items()}
        return {"a_new_one": {"x": [1]}, **inside, "z_new_one": "new"}
    if isinstance(value, list):
        return [grown(item) for item in value]
    return value


@pytest.mark.parametrize("topic", READERS)
async def test_records_of_format_1_are_read_also_with_fields_that_are_not_known(
    tmp_path: Path, topic: str
) -> None:
    """Each reader reads what the older program wrote, and the same with new fields at every level alike."""
    restored(tmp_path / "log.db")
    read = READERS[topic]
    stored = await records(tmp_path / "log.db", topic)
    assert stored
    for record in stored:
        newer = msgspec.json.encode(grown(msgspec.json.decode(record.value or b"")))
        assert read(record) == read(replace(record, value=newer))
        if topic == OWN:
            checked(msgspec.json.decode(record.value or b""))


@pytest.mark.parametrize(("group", "state"), [("source", Standing), ("enrich", LaneState)])
async def test_positions_are_read_also_with_fields_that_are_not_known(
    tmp_path: Path, group: str, state: type
) -> None:
    """What is committed with an offset, too: so going back to an older version is possible."""
    restored(tmp_path / "log.db")
    async with LocalLog(tmp_path / "log.db", clean_every_s=3600) as log:
        committed = await log.committed(group)
    assert committed
    for position in committed.values():
        newer = Position(position.next, position.done, {**position.state, "a_new_one": {"x": 1}})
        restored_position = Position.restore(newer.next, newer.metadata())
        assert msgspec.convert(restored_position.state, state) == msgspec.convert(position.state, state)
