"""An exercise for a person, or all by itself: break, wait for the right alert, heal, and again."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TextIO

from deploy.gameday.process import ROOT
from deploy.gameday.scenarios import BY_NAME, Scenario
from deploy.gameday.world import Sample, World

DEADLINE_S: Final = 240.0
LOOK_S: Final = 0.25
THEN_S: Final = 3.0
QUIET_S: Final = 3.0
"""Without an alert for so long: the next thing may break."""
RUNBOOKS: Final = ROOT / "deploy" / "runbooks"


@dataclass(slots=True)
class Result:
    """Seconds from the break to the alert (or symptom), and from the healing to its end; None: never."""

    scenario: Scenario
    detected_s: float | None = None
    cleared_s: float | None = None
    seen: str = ""
    beside: set[str] = field(default_factory=set)

    @property
    def is_good(self) -> bool:
        return self.detected_s is not None and self.cleared_s is not None


class Drill:
    """On a world that runs."""

    def __init__(self, world: World, out: TextIO = sys.stdout) -> None:
        self._world = world
        self._out = out
        self._past: deque[tuple[float, Sequence[Sample]]] = deque()

    def say(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._out, flush=True)

    # ── by itself ──────────────────────────────────────────────────────────────────────────────

    async def script(self, scenarios: Sequence[Scenario]) -> list[Result]:
        """One after another, each from a world that is well."""
        results = []
        for scenario in scenarios:
            if not await self._until(partial(self._is_quiet, scenario)):
                self.say(f"{scenario.name}: not begun, alerts do not end: {', '.join(await self._firing())}")
                results.append(Result(scenario))
                continue
            result = await self._one(scenario)
            self.say(line(result))
            results.append(result)
        return results

    async def _one(self, scenario: Scenario) -> Result:
        result = Result(scenario)
        before = await self._firing()
        self._past.clear()

        async def is_seen() -> bool:
            result.seen = await self._seen(scenario, result.beside)
            return bool(result.seen)

        async def is_over() -> bool:
            return not await self._seen(scenario, set())

        began_s = time.monotonic()
        try:
            await scenario.breaks(self._world)
            if await self._until(is_seen):
                result.detected_s = time.monotonic() - began_s
        finally:
            await scenario.heals(self._world)
        result.beside -= before
        began_s = time.monotonic()
        if result.detected_s is not None and await self._until(is_over):
            result.cleared_s = time.monotonic() - began_s
        return result

    async def _seen(self, scenario: Scenario, beside: set[str]) -> str:
        """The right alert that fires, or `symptom`; "" while there is none. `beside` gets the others."""
        if self._world.prometheus is None:
            return "symptom" if scenario.symptom(*await self._then_and_now()) else ""
        firing = await self._firing()
        beside |= firing - scenario.alerts
        return ", ".join(sorted(firing & scenario.alerts))

    async def _then_and_now(self) -> tuple[Sequence[Sample], Sequence[Sample]]:
        """The service's metrics of THEN_S ago, or of as long as is known, and as they are."""
        now_s = time.monotonic()
        self._past.append((now_s, await self._world.samples()))
        while len(self._past) > 2 and now_s - self._past[1][0] >= THEN_S:
            self._past.popleft()
        return self._past[0][1], self._past[-1][1]

    async def _firing(self) -> frozenset[str]:
        return frozenset() if self._world.prometheus is None else await self._world.prometheus.firing()

    async def _is_quiet(self, scenario: Scenario) -> bool:
        """Nobody is called, and its own alerts don't fire; a ticket of what was before may, for its hour."""
        quiet_s = time.monotonic() + QUIET_S
        prometheus = self._world.prometheus
        while time.monotonic() < quiet_s:
            if not await self._world.samples() or await self._firing() & scenario.alerts:
                return False
            if prometheus is not None and await prometheus.firing(pages=True):
                return False
            await asyncio.sleep(LOOK_S)
        return True

    async def _until(self, holds: Callable[[], Awaitable[bool]]) -> bool:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not await holds():
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return False
        return True

    # ── with a person ──────────────────────────────────────────────────────────────────────────

    def introduce(self) -> None:
        world = self._world
        told = world.prometheus.url + "/alerts" if world.prometheus else "none here: `make apt-prometheus`"
        self.say(
            f"metrics      http://{world.admin_address}/metrics   (and /readyz, /livez)",
            f"Prometheus   {told}",
            f"feed         {world.feed}/v2/articles",
            f"logs         {world.service.log}",
            f"settings     {world.settings}, {world.partners}",
            f"wiki         {world.sandbox.endpoint}/sandbox/state",
            f"runbooks     {RUNBOOKS}/README.md",
            f"seed         {world.seed}",
            f"Alerts are {world.factor:g} times as fast as in production.",
        )

    async def exercise(self, scenario: Scenario, ready_s: float, answers: "asyncio.Queue[str]") -> None:
        """Breaks it in a while, and listens until it was healed, or nobody answers any more."""
        self.say("", f"Something breaks within the next {ready_s * 2:.0f} seconds. Find out what, and why.")
        await asyncio.sleep(ready_s)
        began_s = time.monotonic()
        try:
            await scenario.breaks(self._world)
            self.say("Type an alert's name once you know it; `tell` to be told, `heal` to have it mended.")
            while (answer := (await answers.get()).strip()) != "heal":
                if answer == "tell":
                    self.say(f"{scenario.name}: {scenario.says} ({', '.join(sorted(scenario.alerts))}).")
                elif answer in scenario.alerts or answer == scenario.name:
                    self.say(f"Yes, after {time.monotonic() - began_s:.0f} s: {scenario.says}.")
                    self.say(*(f"  {RUNBOOKS}/{name}.md" for name in sorted(scenario.alerts)))
                elif answer:
                    self.say("No, something else is the cause.")
        finally:
            await scenario.heals(self._world)
        self.say("Healed. See the alert end; Ctrl-C ends the exercise.")


def line(result: Result) -> str:
    """A row of the table."""
    detected, cleared = (
        "never" if seconds is None else f"{seconds:.1f} s"
        for seconds in (result.detected_s, result.cleared_s)
    )
    beside = f"  beside it: {', '.join(sorted(result.beside))}" if result.beside else ""
    return f"{result.scenario.name:<17}{detected:>9}{cleared:>9}   {result.seen or '-'}{beside}"


def heading() -> str:
    return f"{'broken':<17}{'detected':>9}{'cleared':>9}   by"


def named(names: Sequence[str], *, has_tls: bool) -> list[Scenario]:
    """All that can be had here, where none is named."""
    chosen = [BY_NAME[name] for name in names or BY_NAME]
    return [scenario for scenario in chosen if has_tls or not scenario.needs_tls]
