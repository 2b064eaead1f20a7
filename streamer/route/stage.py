"""Articles become partners' feeds: the role's edge.

    wiki.articles.v1/p ──► lane p ──► wiki.articles.v1.<partner>/p, with each partner's position
                             ▲
    partners.toml, wiki.withdrawals.v1, wiki.meta.v1

Draining: a lane commits the pass that it is in and returns; the tables stop after the last lane.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from streamer.cutoffs import Cutoffs
from streamer.errors import TopicRefused
from streamer.health import NO_TOPIC, Health
from streamer.log.base import Lane
from streamer.log.table import Table
from streamer.lost import Stops
from streamer.partners import PartnersWatch
from streamer.route.lane import RouteLane
from streamer.route.parking import RETRY_S
from streamer.route.roster import Roster
from streamer.route.shared import Shared
from streamer.route.starts import GROUP, Starts
from streamer.runtime import Runtime

logger = logging.getLogger(__name__)

COMPONENT: Final = "route"


async def run_route(runtime: Runtime, partners: PartnersWatch, *, retry_s: float = RETRY_S) -> None:
    """Until cancelled or drained; `partners.run` is the caller's to run. The shared topics must exist."""
    runtime.health.expect(COMPONENT)
    cutoffs, starts = Cutoffs(), Starts()
    withdrawals = Table(runtime.log, runtime.topics.withdrawals, cutoffs.apply)
    meta = Table(runtime.log, runtime.topics.meta, starts.apply)
    shared = Shared(
        runtime=runtime,
        roster=Roster(runtime, partners, retry_s=retry_s),
        cutoffs=cutoffs,
        withdrawals=withdrawals,
        starts=starts,
        meta=meta,
    )
    if await runtime.before_drain(_load(withdrawals, meta)):
        logger.info("cut-offs loaded", extra={"cutoffs": len(cutoffs)})
        await _route(shared)


async def _load(*tables: Table) -> None:
    for table in tables:
        await table.load()


async def _route(shared: Shared) -> None:
    runtime, parking = shared.runtime, shared.roster.parking
    lanes: frozenset[int] | None = frozenset()
    starting: set[int] = set()
    going_on: set[int] = set()
    """Lanes that start anew without a partner: nothing that a load balancer should hear of."""

    def tell() -> None:
        _tell(runtime.health, lanes, starting)

    def held(partitions: frozenset[int] | None) -> None:
        nonlocal lanes
        starting.update((partitions or frozenset()) - (lanes or frozenset()))
        lanes = partitions
        tell()

    async def run_lane(lane: Lane) -> None:
        if lane.partition not in going_on:
            starting.add(lane.partition)
        going_on.discard(lane.partition)
        tell()
        route_lane = RouteLane(shared, lane)
        try:
            await route_lane.start()
            starting.discard(lane.partition)
            tell()
            await route_lane.run()
        except TopicRefused as error:
            if parking.has_parked(error):
                going_on.add(lane.partition)
            raise
        except asyncio.CancelledError:
            parking.forget_lane(lane.partition)
            raise

    async with asyncio.TaskGroup() as tasks:
        following = [
            tasks.create_task(shared.withdrawals.run(), name="route-withdrawals"),
            tasks.create_task(shared.meta.run(), name="route-meta"),
            tasks.create_task(parking.run(), name="route-parking"),
        ]
        stops = Stops(runtime, GROUP)
        await runtime.log.run_lanes(
            GROUP, runtime.topics.articles, stops.around(run_lane), draining=runtime.draining, held=held
        )
        _cancel(following)


def _tell(health: Health, lanes: frozenset[int] | None, starting: set[int]) -> None:
    if lanes is None:
        health.unready(COMPONENT, NO_TOPIC)
    elif not lanes:
        health.standing_by(COMPONENT)
    elif starting & lanes:
        health.unready(COMPONENT, "starting")
    else:
        health.ready(COMPONENT)


def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
