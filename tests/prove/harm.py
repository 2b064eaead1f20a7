"""What only a fleet on a cluster can suffer, beside the kills of its processes.

    broker     a broker is killed -9 and comes back: the only one, or the leader of a partition in use
    stop       a worker is stopped between send and commit, and wakes when its lanes have long moved
    leave      a worker drains and ends, and comes back
    join       a worker more, for a while: it drains, or is killed and does not come back

The first two take turns, and beside them the other two. A stop counts as `refused` too where the woken
worker's own log says that its commit was.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from prove.fleet import HIT, Armed, Broken, Fleet
from streamer.faultpoints import Point
from streamer.log.kafka_groups import SESSION_MS
from streamer.pipeline import Role

KINDS: Final = ("broker", "stop", "refused", "leave", "join")
SHARED_ROLES: Final[tuple[Role, ...]] = ("route", "enrich")
FALL_S: Final = 20.0
"""A worker that has had nothing to commit for so long is let go, and another tried."""
MOVED_S: Final = 1.5 * SESSION_MS / 1000
"""From a stop until its lanes are another's."""
REFUSED_S: Final = 10.0


class Harm:
    """`done` counts by kind."""

    def __init__(self, fleet: Fleet, strike: Callable[[Random], Awaitable[None]]) -> None:
        """`strike` takes a broker away and gives it back."""
        self.done: Counter[str] = Counter()
        self._fleet = fleet
        self._strike = strike
        self._moving = {role: asyncio.Lock() for role in SHARED_ROLES}
        """While one of its workers is stopped the other must stay: the lanes go there."""
        self._draining = asyncio.Lock()
        """Who drains needs the brokers: without them it ends, by force, with 1."""

    async def run(self, rng: Random, every_s: float, rounds: int) -> None:
        """Each kind that often. Needs changes to be made meanwhile: who has nothing to commit can't be
        stopped at it.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._break(Random(rng.random()), every_s, rounds))
            group.create_task(self._come_and_go(Random(rng.random()), every_s, rounds))

    async def _break(self, rng: Random, every_s: float, rounds: int) -> None:
        for number in range(rounds):
            await self._stop(rng, SHARED_ROLES[number % len(SHARED_ROLES)])
            await asyncio.sleep(rng.uniform(0.5, 1.5) * every_s)
            async with self._draining:
                await self._strike(rng)
            self.done["broker"] += 1
            await asyncio.sleep(rng.uniform(0.5, 1.5) * every_s)

    async def _come_and_go(self, rng: Random, every_s: float, rounds: int) -> None:
        for _ in range(rounds):
            for act in (self._join, self._leave):
                await act(rng, every_s)
                await asyncio.sleep(rng.uniform(0.5, 1.5) * every_s)

    async def _stop(self, rng: Random, first: Role) -> None:
        """One of this role, until the commit of one is refused; of enrich it may be that the wikis' names
        leave one of the two nothing to do. Nobody is killed meanwhile: its lanes need somewhere to go.
        """
        workers = [(role, slot) for role in SHARED_ROLES for slot in self._fleet.of_role(role)]
        rng.shuffle(workers)
        for role, slot in sorted(workers, key=lambda worker: worker[0] != first):
            async with self._moving[role], self._fleet.calm, slot.turn:
                await slot.kill(then=Armed(Point.KAFKA_COMMITTING, "stop", rng.randint(1, HIT)))
                for worker in self._fleet.of_role(role):
                    await worker.listening()
                try:
                    async with asyncio.timeout(FALL_S):
                        await slot.standing()
                except TimeoutError:
                    continue
                await asyncio.sleep(MOVED_S)
                self.done["stop"] += 1
                if await slot.wake('"lane_lost"', REFUSED_S):
                    self.done["refused"] += 1
                    return

    async def _leave(self, rng: Random, every_s: float) -> None:
        role = rng.choice(SHARED_ROLES)
        slot = rng.choice(self._fleet.of_role(role))
        async with self._moving[role], slot.turn:
            async with self._draining:
                await slot.listening()
                await slot.leave()
            self.done["leave"] += 1
            await asyncio.sleep(rng.uniform(0.5, 1.5) * every_s)
            await slot.come_back()

    async def _join(self, rng: Random, every_s: float) -> None:
        async with self._fleet.guest(rng.choice(SHARED_ROLES)) as guest:
            await guest.event("admin listening")
            self.done["join"] += 1
            await asyncio.sleep(rng.uniform(1, 3) * every_s)
            if rng.random() < 0.5:
                async with self._draining:
                    code = await guest.terminate()
                if code:
                    raise Broken(f"{guest.folder.name} drained with {code}:\n" + "\n".join(guest.lines[-20:]))
