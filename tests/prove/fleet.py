"""The service as it runs in production, in any layout, and what kills it.

    together   one process with all roles
    apart      one process a role, that meet only in one log file
    shared     on a cluster: several processes of a role, which share its lanes

Each process is a slot that is started again whenever it dies. One slot in turn is killed, alternately from
outside at a random instant, and by itself at a fault point that it was started with. Of those that share a
role one may be stopped and woken, go for a while, and get company for a while (prove.harm).
"""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from harness.faults import Faults, until_standing
from harness.service import START_S, Service

from streamer.faultpoints import Action, Engine, Point, points_of
from streamer.pipeline import ROLES, Role

Layout = Sequence[tuple[str, Sequence[Role]]]
"""Names of processes, and the roles of each, in the order of the path."""
TOGETHER: Final[Layout] = (("all", ROLES),)
APART: Final[Layout] = tuple((role, (role,)) for role in ROLES)
SHARED: Final[Layout] = tuple(
    (name, (name.partition("-")[0],))
    for name in ("source", "enrich", "enrich-2", "route", "route-2", "deliver")
)

WHILE_STARTING: Final = 0.25
"""Of the kills from outside."""
HIT: Final = 4
"""The highest time at a point at which a process dies: the first is often its start, later ones its work."""
FALL_S: Final = 6.0
"""A point that was not reached for so long is left armed, and the next slot has its turn."""


class Broken(Exception):
    """A process ended in a way that nobody wished."""


@dataclass(slots=True)
class Deaths:
    """`unreached` points were armed, and their process was killed before it came there."""

    random: Counter[str] = field(default_factory=Counter)
    at_point: Counter[str] = field(default_factory=Counter)
    unreached: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.random.total() + self.at_point.total()


@dataclass(frozen=True, slots=True)
class Armed:
    """What a process does by itself, when it is at a point for that time."""

    point: Point
    action: Action
    time: int


class Slot:
    """One process. `tend` starts it again. Whoever does something to it has its `turn` meanwhile."""

    def __init__(self, name: str, service: Service, points: Iterator[Point], faults: Faults) -> None:
        self.name = name
        self.service = service
        self.points = points
        self.turn = asyncio.Lock()
        self.armed: Armed | None = None
        self.alive = asyncio.Event()
        self.fallen = asyncio.Event()
        """At its point, since it was armed."""
        self.lines: list[str] = []
        """What all its processes wrote."""
        self._faults = faults
        self._by_hand = False
        self._leaving = False
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._next: Armed | None = None

    async def start(self) -> None:
        self.fallen.clear()
        self._faults.file.unlink(missing_ok=True)
        self.armed, self._next = self._next, None
        self.service.environ = {}
        if self.armed is not None:
            times = {self.armed.point: str(self.armed.time)}
            self.service.environ = self._faults.arm(self.armed.action, times)
        await self.service.start()
        self.alive.set()

    async def listening(self) -> None:
        """The process has opened its ports; or the one after it has, where it fell before."""
        while True:
            await self.alive.wait()
            try:
                await self.service.event("admin listening")
            except AssertionError:  # it has ended; who tends it starts another
                await asyncio.sleep(0.05)
            except TimeoutError:
                raise Broken("\n".join([f"{self.name} does not listen", *self.service.lines[-20:]])) from None
            else:
                return

    async def kill(self, then: Armed | None = None) -> None:
        """-9, now; it begins again with this armed. Returns once it has begun."""
        await self.alive.wait()
        self._next, self._by_hand = then, True
        self.alive.clear()
        if self.service.running:
            self.service.signal(signal.SIGKILL)
        await self.alive.wait()

    async def standing(self) -> None:
        """It has stopped at its point."""
        assert self.armed is not None
        assert self.armed.action == "stop"
        await self._faults.until_fired()
        await until_standing(self.service.pid)

    async def wake(self, word: str, within_s: float) -> bool:
        """It goes on; whether it logs this word by then."""
        before = len(self.service.lines)
        self.service.signal(signal.SIGCONT)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not any(word in line for line in self.service.lines[before:]):
                    await asyncio.sleep(0.05)
                return True
        return False

    async def leave(self) -> None:
        """It drains and ends, and does not begin again until it is to come back."""
        self._leaving = True
        self._wanted.clear()
        if self.service.running:
            self.service.signal(signal.SIGTERM)
        async with asyncio.timeout(START_S):
            while self.alive.is_set():
                await asyncio.sleep(0.05)

    async def come_back(self) -> None:
        self._wanted.set()
        await self.alive.wait()

    async def tend(self, deaths: Deaths) -> None:
        """Until cancelled. Raises Broken where it ended by itself and at no point."""
        while True:
            code = await self.service.wait(timeout_s=None)
            self.alive.clear()
            self.lines += self.service.lines
            fired = bool(self._faults.fired())
            if fired and self.armed is not None and self.armed.action == "kill":
                deaths.at_point[self._place(self.armed.point)] += 1
                self.fallen.set()
            elif self._by_hand:
                deaths.random[self.name] += 1
                if self.armed is not None and not fired:
                    deaths.unreached[self._place(self.armed.point)] += 1
            elif code or not self._leaving:
                raise Broken(f"{self.name} ended with {code}:\n" + "\n".join(self.service.lines[-20:]))
            self.service.lines.clear()
            self._by_hand = self._leaving = False
            await self._wanted.wait()
            await self.start()

    def _place(self, point: Point) -> str:
        return point.label if point.role in ROLES else f"{point.label} of {self.name}"


class Fleet:
    """`slots` in the order of the path. Leaving ends every process, by force."""

    def __init__(self, folder: Path, config: str, layout: Layout, *, engine: Engine) -> None:
        """`config` names the log and the partners file by absolute paths, and the port of deliver."""
        self.deaths = Deaths()
        self.calm = asyncio.Lock()
        """Whoever holds it sees nobody killed."""
        self.slots = [_slot(folder / name, name, config, roles, engine) for name, roles in layout]
        self._folder = folder
        self._config = config
        self._guests: list[Service] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for slot in reversed(self.slots):
                await slot.start()
                stack.push_async_exit(slot.service)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def serving(self, role: str) -> Service:
        return next(slot.service for slot in self.slots if slot.name in (role, "all"))

    def of_role(self, role: str) -> list[Slot]:
        """Those that share it."""
        return [slot for slot in self.slots if slot.name.partition("-")[0] == role]

    async def tend(self) -> None:
        async with asyncio.TaskGroup() as group:
            for slot in self.slots:
                group.create_task(slot.tend(self.deaths))

    async def kill_in_turn(self, rng: Random, every_s: float) -> None:
        """Until cancelled. Seconds are those of a process that listens, so that on a slow machine it comes
        to work before it dies; now and then they are those of its start. A slot whose turn is another's is
        left out.
        """
        for slot in itertools.cycle(self.slots):
            if slot.turn.locked():
                await asyncio.sleep(0.05)
                continue
            async with self.calm, slot.turn:
                if rng.random() < WHILE_STARTING:
                    await slot.alive.wait()
                else:
                    await slot.listening()
                await asyncio.sleep(rng.uniform(0.5, 1.5) * every_s)
                await slot.kill(then=Armed(next(slot.points), "kill", rng.randint(1, HIT)))
                await slot.listening()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(FALL_S, every_s)):
                        await slot.fallen.wait()

    @asynccontextmanager
    async def guest(self, role: Role) -> AsyncIterator[Service]:
        """One process more of the role; killed on leaving, unless it has ended before."""
        folder = self._folder / f"{role}-guest-{len(self._guests) + 1}"
        folder.mkdir()
        async with Service(folder, self._config, "run", "--role", role) as service:
            self._guests.append(service)
            yield service

    async def disarm(self) -> None:
        """No process dies or stops by itself any more."""
        for slot in self.slots:
            await slot.alive.wait()
            if slot.armed is not None:
                await slot.kill()
        for slot in self.slots:
            await slot.listening()

    async def drain(self) -> list[str]:
        """SIGTERM to all; says what went wrong in their lives, by their logs and their exits."""
        wrong: list[str] = []
        for slot in self.slots:
            code = await slot.service.terminate()
            if code:
                wrong.append(f"{slot.name} drained with {code}")
            slot.lines += slot.service.lines
            wrong += [f"{slot.name}: {line}" for line in slot.lines if "Traceback" in line]
        for guest in self._guests:
            wrong += [f"{guest.folder.name}: {line}" for line in guest.lines if "Traceback" in line]
        return wrong


def _slot(folder: Path, name: str, config: str, roles: Sequence[Role], engine: Engine) -> Slot:
    folder.mkdir()
    command = [word for role in roles for word in ("--role", role)]
    points = list(dict.fromkeys(p for role in ROLES if role in roles for p in points_of(role, engine)))
    points.sort(key=lambda point: point.role != engine)  # those of commits first: they are reached soon
    service = Service(folder, config, "run", *command)
    return Slot(name, service, itertools.cycle(points), Faults(folder / "fired"))
