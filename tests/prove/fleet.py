"""The service as it runs in production, in either layout, and what kills it.

    together   one process with all roles
    apart      one process a role, that meet only in one log file

Each process is a slot that is started again whenever it dies. One slot in turn is killed, alternately from
outside at a random instant, and by itself at a fault point that it was started with.
"""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from harness.service import Service

from streamer.faultpoints import FILE_VARIABLE, VARIABLE, Point, points_of
from streamer.pipeline import ROLES

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


class Slot:
    """One process. `tend` starts it again."""

    def __init__(self, name: str, service: Service, points: Iterator[Point], environ: dict[str, str]) -> None:
        self.name = name
        self.service = service
        self.points = points
        self.armed: Point | None = None
        self.alive = asyncio.Event()
        self.fallen = asyncio.Event()
        """At its point, since it was armed."""
        self.lines: list[str] = []
        """What all its processes wrote."""
        self._environ = environ
        self._fired = service.folder / "fired"
        self._by_hand = False
        self._next: tuple[Point, int] | None = None

    async def start(self) -> None:
        self._environ.clear()
        self.fallen.clear()
        self.armed = None
        self._fired.unlink(missing_ok=True)
        if self._next is not None:
            self.armed, hit = self._next
            self._environ[VARIABLE] = f"{self.armed.label}=kill@{hit}"
            self._environ[FILE_VARIABLE] = str(self._fired)
            self._next = None
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

    async def kill(self, then_at: tuple[Point, int] | None = None) -> None:
        """-9, now; it begins again with this point armed. Returns once it has begun."""
        await self.alive.wait()
        self._next, self._by_hand = then_at, True
        self.alive.clear()
        if self.service.running:
            self.service.signal(signal.SIGKILL)
        await self.alive.wait()

    async def tend(self, deaths: Deaths) -> None:
        """Until cancelled. Raises Broken where it ended by itself and at no point."""
        while True:
            code = await self.service.wait(timeout_s=None)
            self.alive.clear()
            self.lines += self.service.lines
            label = self._fired.read_text().partition(" ")[0] if self._fired.exists() else ""
            if label:
                deaths.at_point[label] += 1
                self.fallen.set()
            elif self._by_hand:
                deaths.random[self.name] += 1
                if self.armed is not None:
                    deaths.unreached[self.armed.label] += 1
            else:
                raise Broken(f"{self.name} ended with {code}:\n" + "\n".join(self.service.lines[-20:]))
            self.service.lines.clear()
            self._by_hand = False
            await self.start()


class Fleet:
    """`slots` in the order of the path. Leaving ends every process, by force."""

    def __init__(self, folder: Path, config: str, *, apart: bool) -> None:
        """`config` names the log and the partners file by absolute paths, and the port of deliver."""
        self.deaths = Deaths()
        self.slots = [
            _slot(folder / name, name, config, roles)
            for name, roles in ([(role, (role,)) for role in ROLES] if apart else [("all", ROLES)])
        ]
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

    async def tend(self) -> None:
        async with asyncio.TaskGroup() as group:
            for slot in self.slots:
                group.create_task(slot.tend(self.deaths))

    async def kill_in_turn(self, rng: Random, every_s: float) -> None:
        """Until cancelled. Seconds are those of a process that listens, so that on a slow machine it comes
        to work before it dies; now and then they are those of its start.
        """
        for slot in itertools.cycle(self.slots):
            if rng.random() < WHILE_STARTING:
                await slot.alive.wait()
            else:
                await slot.listening()
            await asyncio.sleep(rng.uniform(0.5, 1.5) * every_s)
            await slot.kill(then_at=(next(slot.points), rng.randint(1, HIT)))
            await slot.listening()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(FALL_S, every_s)):
                    await slot.fallen.wait()

    async def disarm(self) -> None:
        """No process dies by itself any more."""
        for slot in self.slots:
            await slot.alive.wait()
            if slot.armed is not None:
                await slot.kill()

    async def drain(self) -> list[str]:
        """SIGTERM to all; says what went wrong in their lives, by their logs and their exits."""
        wrong: list[str] = []
        for slot in self.slots:
            code = await slot.service.terminate()
            if code:
                wrong.append(f"{slot.name} drained with {code}")
            slot.lines += slot.service.lines
            wrong += [f"{slot.name}: {line}" for line in slot.lines if "Traceback" in line]
        return wrong


def _slot(folder: Path, name: str, config: str, roles: Sequence[str]) -> Slot:
    folder.mkdir()
    environ: dict[str, str] = {}
    command = [word for role in roles for word in ("--role", role)]
    points = dict.fromkeys(point for role in ROLES if role in roles for point in points_of(role))
    service = Service(folder, config, "run", *command, environ=environ)
    return Slot(name, service, itertools.cycle(points), environ)
