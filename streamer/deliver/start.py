"""From what a client asked for to where its partitions start, judged by what the log still holds."""

import asyncio
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from streamer.deliver.position import At, Earliest, Live, Since, Start, format_id
from streamer.deliver.problems import Problem, bad_position
from streamer.deliver.request import Ask
from streamer.deliver.topic import bounds_of
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
    starts = {partition: ask.starts.get(partition, ask.rest) for partition in sorted(ask.partitions)}
    offsets: list[int | None] = [None] * info.partitions
    if all(isinstance(start, Live) for start in starts.values()):
        return Beginning(tuple(offsets))
    bounds = await _bounds_reaching(log, info, starts)
    for partition, start in starts.items():
        offsets[partition] = _offset(start, bounds[partition], partition, ask.parameter)
    for partition, offset in (await _offsets_at(log, info.name, starts)).items():
        offsets[partition] = max(offset, bounds[partition].earliest)
    expired = [p for p, offset in enumerate(offsets) if offset is not None and offset < bounds[p].earliest]
    if expired:
        return await _gap(log, info, ask, "expired", kept=offsets, expired=expired)
    return Beginning(tuple(offsets))


def _offset(start: Start, bounds: Bounds, partition: int, parameter: str) -> int | None:
    """None: live, or a time, which the log has to be asked about."""
    if isinstance(start, At):
        if start.offset > bounds.end:
            raise bad_position(parameter, f"lies beyond the end of partition {partition}")
        return start.offset
    return bounds.earliest if isinstance(start, Earliest) else None


async def _bounds_reaching(log: Log, info: TopicInfo, starts: Mapping[int, Start]) -> list[Bounds]:
    """Of all partitions, by one question: on a cluster each costs a round trip."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + AHEAD_S
    wanted = {partition: start.offset for partition, start in starts.items() if isinstance(start, At)}
    while True:
        bounds = await bounds_of(log, info)
        reached = all(offset <= bounds[partition].end for partition, offset in wanted.items())
        if reached or loop.time() >= deadline_s:
            return bounds
        await asyncio.sleep(0.05)


async def _offsets_at(log: Log, topic: str, starts: Mapping[int, Start]) -> dict[int, int]:
    """Where these times begin, all asked at once."""
    times = {partition: start.time_ms for partition, start in starts.items() if isinstance(start, Since)}
    found = await asyncio.gather(
        *(log.offset_at(TopicPartition(topic, partition), time_ms) for partition, time_ms in times.items())
    )
    return dict(zip(times, found, strict=True))


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
    earliest = [bounds.earliest for bounds in await bounds_of(log, info)]
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
