"""Articles become partners' feeds: the role's edge.

    wiki.articles.v1/p ──► lane p ──► wiki.articles.v1.<partner>/p, with each partner's position
                             ▲
    partners.toml, wiki.withdrawals.v1, wiki.meta.v1; of who settles wiki.signals.v1

Draining: a lane commits the pass that it is in and returns; the tables stop after the last lane.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from streamer.accounts import GROUP
from streamer.cutoffs import Cutoffs
from streamer.errors import TopicRefused
from streamer.health import NO_TOPIC, Health
from streamer.log.base import Lane, Stored
from streamer.log.table import Table
from streamer.lost import Stops
from streamer.partners import PartnersWatch
from streamer.route.lane import RouteLane
from streamer.route.parking import RETRY_S, Parking
from streamer.route.reverts import Horizon
from streamer.route.roster import Roster
from streamer.route.shared import Shared
from streamer.route.starts import Starts
from streamer.runtime import Runtime

logger = logging.getLogger(__name__)

COMPONENT: Final = "route"


async def run_route(runtime: Runtime, partners: PartnersWatch, *, retry_s: float = RETRY_S) -> None:
    """Until cancelled or drained; `partners.run` is the caller's to run. The shared topics must exist."""
    runtime.health.expect(COMPONENT)
    cutoffs, starts = Cutoffs(), Starts()
    withdrawals = Table(runtime.log, runtime.topics.withdrawals, cutoffs.apply)
    roster = Roster(runtime, partners, retry_s=retry_s)

    def learn(stored: Stored) -> None:
        starts.apply(stored)
        roster.spaces.apply(stored)

    meta = Table(runtime.log, runtime.topics.meta, learn)
    shared = Shared(
        runtime=runtime,
        roster=roster,
        cutoffs=cutoffs,
        withdrawals=withdrawals,
        starts=starts,
        meta=meta,
        horizon=Horizon(runtime),
    )
    if await runtime.before_drain(_load(withdrawals, meta)):
        logger.info("cut-offs loaded", extra={"cutoffs": len(cutoffs)})
        await _route(shared)


async def _load(*tables: Table) -> None:
    for table in tables:
        await table.load()


async def _route(shared: Shared) -> None:
    runtime, parking = shared.runtime, shared.roster.parking
    lanes = _Lanes(runtime.health, parking)

    async def run_lane(lane: Lane) -> None:
        lanes.starts(lane.partition)
        route_lane = RouteLane(shared, lane)
        try:
            await route_lane.start()
            lanes.started(lane.partition)
            await route_lane.run()
        except TopicRefused as error:
            lanes.refused(lane.partition, error)
            raise
        except asyncio.CancelledError:
            parking.forget_lane(lane.partition)
            raise

    async with asyncio.TaskGroup() as tasks:
        following = [
            tasks.create_task(shared.withdrawals.run(), name="route-withdrawals"),
            tasks.create_task(shared.meta.run(), name="route-meta"),
            tasks.create_task(parking.run(), name="route-parking"),
            tasks.create_task(shared.horizon.run(), name="route-horizon"),
        ]
        stops = Stops(runtime, GROUP)
        await runtime.log.run_lanes(
            GROUP, runtime.topics.articles, stops.around(run_lane), draining=runtime.draining, held=lanes.held
        )
        _cancel(following)


def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


class _Lanes:
    """Whether those of this process have started, for `/readyz`."""

    def __init__(self, health: Health, parking: Parking) -> None:
        self._health = health
        self._parking = parking
        self._held: frozenset[int] | None = frozenset()
        """None: the topic can't be seen (LanesHeld)."""
        self._starting: set[int] = set()
        self._going_on: set[int] = set()
        """Lanes that start anew without a partner: nothing that a load balancer should hear of."""

    def held(self, partitions: frozenset[int] | None) -> None:
        now = partitions or frozenset()
        self._starting.update(now - (self._held or frozenset()))
        for partition in self._parking.lanes() - now:  # some are cancelled between two tries
            self._parking.forget_lane(partition)
        self._held = partitions
        self._tell()

    def starts(self, partition: int) -> None:
        if partition not in self._going_on:
            self._starting.add(partition)
        self._going_on.discard(partition)
        self._tell()

    def started(self, partition: int) -> None:
        self._starting.discard(partition)
        self._tell()

    def refused(self, partition: int, error: TopicRefused) -> None:
        if self._parking.has_parked(error):
            self._going_on.add(partition)

    def _tell(self) -> None:
        if self._held is None:
            self._health.unready(COMPONENT, NO_TOPIC)
        elif not self._held:
            self._health.standing_by(COMPONENT)
        elif self._starting & self._held:
            self._health.unready(COMPONENT, "starting")
        else:
            self._health.ready(COMPONENT)
