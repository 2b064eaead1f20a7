"""From what a client asked for to where its partitions start, judged by what the log still holds."""

import asyncio
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

from streamer.deliver.position import At, Earliest, Since, Start, format_id
from streamer.deliver.problems import Problem, bad_position
from streamer.deliver.request import Ask
from streamer.log.base import Bounds, Log, TopicInfo, TopicPartition

AHEAD_S: Final = 1.0
"""An id may come from a process that sees the log's end a moment earlier: look again for so long."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The next offset per partition, None for live, in partition order."""

    offsets: tuple[int | None, ...]
    gap: str = ""
    """Why not everything that was asked for could be resumed; "" where it could."""


async def resolve(log: Log, info: TopicInfo, ask: Ask) -> Beginning:
    """Raises the 400 or the 410 of the contract."""
    if ask.topic and ask.topic != info.name:
        raise bad_position(ask.parameter, "is a position of another feed")
    if ask.epoch and ask.epoch != info.epoch:
        if any(other.epoch == ask.epoch for other in await log.topics()):
            raise bad_position(ask.parameter, "is a position of another feed")
        return await _gap(log, info, ask, "recreated")
    offsets: list[int | None] = []
    expired: list[int] = []
    for partition in range(info.partitions):
        tp = TopicPartition(info.name, partition)
        if partition not in ask.partitions:
            offsets.append(None)
            continue
        offset = await _offset(log, tp, ask.starts.get(partition, ask.rest), ask.parameter)
        if offset is not None and offset < (await log.bounds(tp)).earliest:
            expired.append(partition)
        offsets.append(offset)
    if expired:
        return await _gap(log, info, ask, "expired", kept=offsets, expired=expired)
    return Beginning(tuple(offsets))


async def _offset(log: Log, tp: TopicPartition, start: Start, parameter: str) -> int | None:
    if isinstance(start, At):
        bounds = await _bounds_reaching(log, tp, start.offset)
        if start.offset > bounds.end:
            raise bad_position(parameter, f"lies beyond the end of partition {tp.partition}")
        return start.offset
    if isinstance(start, Since):
        found = await log.offset_at(tp, start.time_ms)
        return max(found, (await log.bounds(tp)).earliest)
    if isinstance(start, Earliest):
        return (await log.bounds(tp)).earliest
    return None


async def _bounds_reaching(log: Log, tp: TopicPartition, offset: int) -> Bounds:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + AHEAD_S
    while True:
        bounds = await log.bounds(tp)
        if offset <= bounds.end or loop.time() >= deadline_s:
            return bounds
        await asyncio.sleep(0.05)


async def _gap(
    log: Log,
    info: TopicInfo,
    ask: Ask,
    reason: str,
    *,
    kept: Sequence[int | None] = (),
    expired: Container[int] | None = None,
) -> Beginning:
    """Goes on at the earliest of what expired where the client wants that, else a 410 that names it."""
    earliest = [
        (await log.bounds(TopicPartition(info.name, partition))).earliest
        for partition in range(info.partitions)
    ]
    if not ask.continue_on_gap:
        why = "was made anew" if reason == "recreated" else "no longer holds what follows this position"
        raise Problem(
            410,
            reason,
            f"{ask.parameter}: the feed {why}; start at `earliest`, or ask with on_gap=continue",
            parameter=ask.parameter,
            extra={"earliest": format_id(info.epoch, earliest)},
        )
    begin: list[int | None] = list(earliest)
    for partition in range(info.partitions):
        if partition not in ask.partitions:
            begin[partition] = None
        elif expired is not None and partition not in expired:
            begin[partition] = kept[partition]
    return Beginning(tuple(begin), reason)
