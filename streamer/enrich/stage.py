"""enrich: changes become articles, cut-offs, signals and dead letters. Alone in publishing articles.

Beside its lanes of changes it has one for each partition of dead letters, where those replay that were
deferred, and one for each partition's wikis, which are compared with what they themselves list.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from streamer.deadletters import GROUP as DEFERRED_GROUP
from streamer.enrich.commit import Memory
from streamer.enrich.deferred import PROBES_AT_ONCE, DeferredLane
from streamer.enrich.fleet import Fleet
from streamer.enrich.held import Held
from streamer.enrich.lane import Shared, left, run_lane
from streamer.enrich.outbox import GROUP, Refusals
from streamer.enrich.outcome import Wikis
from streamer.enrich.patience import COMPONENT, Answers
from streamer.enrich.readback import read_back
from streamer.enrich.reconcile import Reconciling
from streamer.enrich.scorer import Scorer
from streamer.enrich.textpool import TextPool
from streamer.groups import alone_by_name
from streamer.health import NO_TOPIC
from streamer.log.base import Lane, LaneMain, LanesHeld
from streamer.lost import Stops
from streamer.plan import Plan
from streamer.reconciled import GROUP as RECONCILE_GROUP
from streamer.runtime import Runtime


async def run_enrich(
    runtime: Runtime,
    origin: Wikis,
    plan: Callable[[], Plan] = Plan,
    *,
    scorer: Scorer | None = None,
    fleet: Fleet | None = None,
) -> None:
    """Runs until cancelled; when draining is set, finishes what is in flight and returns.

    `plan`: what is to be fetched and made, as of now. `scorer`: who is asked for what the stream gives no
    scores of; None: nobody. `fleet`: where several processes share the budget, with the origin's purse.
    """
    runtime.health.expect(COMPONENT)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(TextPool())
        partitions = runtime.settings.log.partitions
        memory = Memory()
        shared = Shared(
            runtime=runtime,
            origin=origin,
            memory=memory,
            held=Held(),
            answers=Answers(origin, runtime.health),
            pool=pool,
            plan=plan,
            partitions=partitions,
            refusals=Refusals(runtime.health),
            scorer=scorer,
        )
        reading_back = asyncio.Lock()
        starting: set[int] = set()
        begun = False

        def held(lanes: frozenset[int] | None) -> None:
            nonlocal begun
            shared.refusals.forget()
            left(*set(range(partitions)).difference(lanes or ()))
            if not lanes:
                begun = False
                shared.answers.forget()
                if lanes is None:
                    runtime.health.unready(COMPONENT, NO_TOPIC)
                else:
                    runtime.health.standing_by(COMPONENT)
            elif not begun:
                runtime.health.expect(COMPONENT)

        async def run(lane: Lane) -> None:
            nonlocal begun
            # each start looks at what was published: by an earlier process, by the one that had this lane, or
            # by a commit whose end is unknown. Lanes that start together share the look.
            starting.add(lane.partition)
            async with reading_back:
                if lane.partition in starting:
                    lanes = frozenset(starting)
                    await _recall(runtime, memory, lanes)
                    starting.difference_update(lanes)
                if not begun:  # from then on it is the wikis' to say
                    begun = True
                    runtime.health.ready(COMPONENT)
            await run_lane(lane, shared)

        one_probe = asyncio.Semaphore(PROBES_AT_ONCE)

        async def replay_deferred(lane: Lane) -> None:
            await DeferredLane(lane, runtime, origin, one_probe, partitions).run()

        reconciling = Reconciling(runtime, origin, partitions)

        with alone_by_name():
            async with asyncio.TaskGroup() as tasks:
                sharing = tasks.create_task(fleet.run()) if fleet else None
                following = tasks.create_task(reconciling.follow())
                topics = runtime.topics
                lanes = (
                    _lanes(runtime, GROUP, topics.changes, run, held),
                    _lanes(runtime, DEFERRED_GROUP, topics.deadletter, replay_deferred),
                    _lanes(runtime, RECONCILE_GROUP, topics.changes, reconciling.run),
                )
                await asyncio.wait([*map(tasks.create_task, lanes)])
                if sharing:
                    sharing.cancel()
                following.cancel()


async def _recall(runtime: Runtime, memory: Memory, lanes: frozenset[int]) -> None:
    """What was published of these lanes, and what was ever hidden."""
    await read_back(runtime.log, runtime.topics.articles, memory, runtime.clock.now_ms(), lanes)
    await memory.hides.read(runtime.log, runtime.topics.withdrawals)


async def _lanes(
    runtime: Runtime, group: str, topic: str, run: LaneMain, held: LanesHeld | None = None
) -> None:
    await runtime.log.run_lanes(
        group, topic, Stops(runtime, group).around(run), draining=runtime.draining, held=held
    )
