"""`/v2/status`: what a partner may know of its own feed. A poller costs next to nothing: what must be read is
read once in a few seconds, for all who ask (streamer.deliver.recent).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from aiohttp import web

from streamer.accounts import GROUP
from streamer.deliver.admission import Admission
from streamer.deliver.feed import reading
from streamer.deliver.figures import (
    FRESHNESS_WINDOW_S,
    SAMPLE,
    Completeness,
    Freshness,
    Positions,
    Status,
    Stream,
    completeness,
    freshness,
    lag_offsets,
    newest,
)
from streamer.deliver.position import format_id
from streamer.deliver.problems import busy, unknown_parameter
from streamer.deliver.recent import Recent
from streamer.deliver.standing import Standing
from streamer.deliver.topic import bounds_of, topic_of
from streamer.errors import LogError
from streamer.log.base import Bounds, Stored, TopicInfo, TopicPartition
from streamer.log.position import Position
from streamer.metrics import ERRORS
from streamer.model import encode_value, rfc3339_ms
from streamer.runtime import Runtime

DEADLINE_S: Final = 5.0
"""For all that must be read; then 503."""
KNOWN_S: Final = 5.0
FRESHNESS_S: Final = 10.0
"""A sample is up to 500 articles with their text."""
SAMPLE_BYTES: Final = 16_777_216
SAMPLES_AT_ONCE: Final = 4
"""A read of each is in memory."""
ACCOUNTS_S: Final = 2.0
READ_S: Final = 2.0
"""What was read until then is the sample."""

Accounts = dict[str, dict[int, Position]]
"""By topic and partition."""


class Statuses:
    """Of all partners. `standings` tells of a partner's streams in this process."""

    def __init__(
        self, runtime: Runtime, admission: Admission, standings: Callable[[str], Sequence[Standing]]
    ) -> None:
        self._runtime = runtime
        self._admission = admission
        self._standings = standings
        self._freshness: Recent[Freshness] = Recent(FRESHNESS_S, runtime.clock)
        self._sampling = asyncio.Semaphore(SAMPLES_AT_ONCE)
        self._bounds: Recent[list[Bounds]] = Recent(KNOWN_S, runtime.clock)
        self._accounts: Recent[Accounts | None] = Recent(KNOWN_S, runtime.clock)

    async def handle(self, request: web.Request) -> web.Response:
        partner = self._admission.admit(request).partner.name
        for name in request.query:
            raise unknown_parameter(name, ())
        status = await self._status(partner)
        return web.Response(
            body=encode_value(status),
            headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
        )

    async def _status(self, partner: str) -> Status:
        """Raises LogError, and 503 where the log takes too long."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                info = await topic_of(self._runtime, partner)
                bounds = await self._bounds_of(info)
                fresh = await self._freshness.get(info, lambda: self._measure(info))
                complete = await self._completeness(info)
        except TimeoutError:
            raise busy(503, "log_unavailable", "the log does not answer at the moment") from None
        return Status(
            partner=partner,
            time=rfc3339_ms(self._runtime.clock.now_ms()),
            freshness=fresh,
            completeness=complete,
            positions=Positions(
                format_id(info.epoch, [bound.earliest for bound in bounds]),
                format_id(info.epoch, [bound.end for bound in bounds]),
            ),
            partitions=info.partitions,
            history_hours=self._runtime.settings.log.history_hours,
            connections=self._streams(partner, bounds),
        )

    async def _bounds_of(self, info: TopicInfo) -> list[Bounds]:
        return await self._bounds.get(info, lambda: bounds_of(self._runtime.log, info))

    # ── freshness ──────────────────────────────────────────────────────────────────────────────

    async def _measure(self, info: TopicInfo) -> Freshness:
        log = self._runtime.log
        since_ms = self._runtime.clock.now_ms() - FRESHNESS_WINDOW_S * 1000
        ends = [bound.end for bound in await bounds_of(log, info)]
        tps = [TopicPartition(info.name, partition) for partition in range(info.partitions)]
        first = [await log.offset_at(tp, since_ms) for tp in tps]
        starts = newest(first, ends)
        todo = {tp: start for tp, start, end in zip(tps, starts, ends, strict=True) if start < end}
        async with self._sampling:
            return freshness(await self._sample(info, todo, ends), since_ms=since_ms)

    async def _sample(
        self, info: TopicInfo, todo: dict[TopicPartition, int], ends: list[int]
    ) -> list[Stored]:
        """What lies between `todo` and `ends`, without its values; less where that takes too long."""
        found: list[Stored] = []
        size = 0
        loop = asyncio.get_running_loop()
        until_s = loop.time() + READ_S
        async with reading(self._runtime.log, info, todo) as reader:
            while todo and size < SAMPLE_BYTES and loop.time() < until_s:
                records = await reader.read(max_records=SAMPLE, max_bytes=SAMPLE_BYTES // 4, wait_s=0.25)
                for record in records:
                    size += len(record.value or b"")
                    found.append(record if record.value is None else replace(record, value=b""))
                for tp in [tp for tp in todo if reader.position(tp) >= ends[tp.partition]]:
                    reader.drop(tp)
                    del todo[tp]
        return found

    # ── completeness ───────────────────────────────────────────────────────────────────────────

    async def _completeness(self, info: TopicInfo) -> Completeness | None:
        accounts = await self._accounts.get(GROUP, self._read_accounts)
        return None if accounts is None else await self._counted(info, accounts)

    async def _counted(self, info: TopicInfo, accounts: Accounts) -> Completeness | None:
        articles = self._runtime.topics.articles
        bounds = await self._bounds.get(articles, lambda: self._runtime.log.all_bounds(articles))
        return completeness(accounts.get(info.name, {}), bounds)

    async def _read_accounts(self) -> Accounts | None:
        """All partners', by one question. None: a cluster that was not provisioned since deliver reads them
        refuses it, or is slow, and that must not hide the rest.
        """
        try:
            async with asyncio.timeout(ACCOUNTS_S):
                committed = await self._runtime.log.committed(GROUP)
        except TimeoutError:
            return None
        except LogError as error:
            ERRORS.labels("deliver", error.code).inc()
            return None
        accounts: Accounts = {}
        for tp, position in committed.items():
            accounts.setdefault(tp.topic, {})[tp.partition] = position
        return accounts

    # ── connections ────────────────────────────────────────────────────────────────────────────

    def _streams(self, partner: str, bounds: list[Bounds]) -> list[Stream]:
        return [_stream(standing, bounds) for standing in self._standings(partner)]


def _stream(standing: Standing, bounds: list[Bounds]) -> Stream:
    # the feed has read further than the bounds, which are a few seconds old, unless it does not get on
    ends = [max(bound.end, live) for bound, live in zip(bounds, standing.ends, strict=True)]
    return Stream(
        format=standing.format,
        encoding=standing.encoding,
        since=rfc3339_ms(standing.since_ms),
        position=standing.position,
        lag_offsets=lag_offsets(standing.position, ends, standing.partitions),
        lag_s=standing.lag_s,
        state=standing.state,
    )
