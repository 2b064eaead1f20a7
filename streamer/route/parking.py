"""Partners whose topic takes nothing: they wait, the others go on.

    routed ──(a commit, or taking it up, names its topic)──► parked ──(a look at the topic finds it mended)──►
    on trial ──(the lanes take it up, and what was refused is written)──► routed

A partner is parked for all lanes of the process at once: a refusal is of its topic. Only a batch that is
too large is one partition's own affair. A lane whose commit was refused has to start anew, and with it all
partners of that partition, so trying by commits would harm those who are well. Hence the look, which
writes nothing and goes on beside the lanes (Log.check_topic), with pauses that grow. Where it can't tell,
as with a limit of sizes that this user may not see, the partner is tried at the end of each pause.

The alarm (`streamer_route_parked`, one event in the log) is raised at the first refusal and lifted once
what was refused is written. What a broker does not refuse is no case for this: a quota of the reader's
slows that reader alone, and a quota of our own is on the whole of what we write, whoever it is for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, field
from typing import Final, Protocol

from streamer.accounts import GROUP
from streamer.errors import ConfigError, InputLost, LogError, TopicError, TopicRefused
from streamer.metrics import ERRORS, ROUTE_PARKED
from streamer.route.feed import Feed, Routing
from streamer.runtime import Runtime

RETRY_S: Final = 5.0
GROWTH: Final = 12
"""The longest pause, in first ones: a topic that is mended is in use again within a minute."""
LOOK_S: Final = 0.25
"""How often it is seen who is due."""

logger = logging.getLogger(__name__)


class Ready(Protocol):
    """Roster.ready_topic."""

    def __call__(self, routing: Routing, *, is_new: bool) -> Awaitable[None]: ...


@dataclass(slots=True)
class Parked:
    routing: Routing
    code: str
    is_new: bool
    """It was never routed: its topic may be ours to make."""
    is_everywhere: bool
    since_s: float
    pause_s: float
    due_s: float
    batch_bytes: int = 0
    """The largest batch that was too large; 0: none was."""
    is_on_trial: bool = False
    refused: dict[int, bool] = field(default_factory=dict)
    """The lanes that raised the alarm; True where articles were refused, which will be tried again."""
    unstopped: set[tuple[int, str]] = field(default_factory=set)
    """Lanes, and the rebuild for which they may not even commit that it is stopped."""


class Parking:
    def __init__(self, runtime: Runtime, ready: Ready, *, retry_s: float = RETRY_S) -> None:
        self._runtime = runtime
        self._ready = ready
        self._retry_s = retry_s
        self._parked: dict[str, Parked] = {}
        self._stood: dict[int, dict[str, Feed]] = {}
        """By lane. A topic that comes back empty, its positions gone with it, goes on from there."""
        self._returned: dict[str, tuple[float, float]] = {}
        """When, and after which pause: who is refused again soon is not tried as often as at first."""

    # ── what lanes ask and tell ────────────────────────────────────────────────────────────────

    def parked(self, partition: int) -> set[str]:
        """Whom this lane must leave alone."""
        return {
            name
            for name, parked in self._parked.items()
            if not parked.is_on_trial and (parked.is_everywhere or partition in parked.refused)
        }

    def stood(self, partition: int) -> dict[str, Feed]:
        """Where those stand that this lane is without."""
        return self._stood.get(partition, {})

    def can_stop(self, name: str, partition: int, rebuild: str) -> bool:
        """False where that was refused, which may have cost the lane: it is tried again with the topic."""
        parked = self._parked.get(name)
        return parked is None or parked.is_on_trial or (partition, rebuild) not in parked.unstopped

    def park(
        self,
        routing: Routing,
        partition: int,
        error: ConfigError | InputLost | TopicError,
        *,
        feed: Feed | None = None,
        owes: bool = False,
        is_new: bool = False,
    ) -> None:
        """`feed`: it was its commit in this lane that was refused. `owes`: with articles, so that the alarm
        ends when they are written; no tick is as soon due again.
        """
        ERRORS.labels(GROUP, error.code).inc()
        name = routing.name
        if feed is not None:
            self.leave(feed, partition)
        parked = self._parked.get(name)
        if parked is None:
            parked = self._parked[name] = self._begin(routing, error, is_new=is_new)
            ROUTE_PARKED.labels(name).set(1)
            self._tell(parked, partition, error)
        elif parked.is_on_trial:
            parked.is_on_trial = False
            self._postpone(parked, self._longer(parked.pause_s))
        parked.refused[partition] = owes
        if feed is not None and feed.mark.phase == "stopped":
            parked.unstopped.add((partition, feed.mark.rebuild))
        batch_bytes = error.batch_bytes if isinstance(error, TopicRefused) else 0
        parked.batch_bytes = max(parked.batch_bytes, batch_bytes)
        parked.is_everywhere = parked.is_everywhere or not batch_bytes

    def leave(self, feed: Feed, partition: int) -> None:
        """The lane goes on without it."""
        self._stood.setdefault(partition, {})[feed.routing.name] = feed

    def joined(self, name: str, partition: int) -> None:
        """The lane has taken it up."""
        self.stood(partition).pop(name, None)
        parked = self._parked.get(name)
        if parked is not None and not parked.refused.get(partition, False):
            self._mended(parked, partition)

    def written(self, name: str, partition: int) -> None:
        """A commit of the lane was taken that it had a part in."""
        parked = self._parked.get(name)
        if parked is not None and partition in parked.refused:
            self._mended(parked, partition)

    def has_parked(self, error: TopicError) -> bool:
        """It is no news: whoever it is about waits already."""
        return any(parked.routing.topic in error.topics for parked in self._parked.values())

    def try_soon(self, names: Collection[str]) -> None:
        """Something was done about them: whoever of them waits is looked at next, whatever its pause."""
        for name in self._parked.keys() & names:
            self._parked[name].due_s = self._now_s

    def forget(self, name: str) -> None:
        """It is no partner any more."""
        self._parked.pop(name, None)
        self._returned.pop(name, None)
        for stood in self._stood.values():
            stood.pop(name, None)

    def lanes(self) -> set[int]:
        """Of which something is known here."""
        return self._stood.keys() | {lane for parked in self._parked.values() for lane in parked.refused}

    def forget_lane(self, partition: int) -> None:
        """Another process has it: what is refused there is its to tell."""
        self._stood.pop(partition, None)
        for parked in list(self._parked.values()):
            was_there = parked.refused.pop(partition, None) is not None
            if was_there and (parked.is_on_trial or not parked.is_everywhere):
                self._end_if_mended(parked)

    # ── looking ────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(min(LOOK_S, self._retry_s))
            await self.look()

    async def look(self) -> None:
        """At the topics of all who are due."""
        for parked in list(self._parked.values()):
            if not parked.is_on_trial and parked.due_s <= self._now_s:
                await self._look_at(parked)

    async def _look_at(self, parked: Parked) -> None:
        routing = parked.routing
        try:
            await self._ready(routing, is_new=parked.is_new)
            await self._runtime.log.check_topic(routing.topic, batch_bytes=parked.batch_bytes)
        except (ConfigError, TopicError) as error:
            if error.code != parked.code:
                parked.code = error.code
                self._tell(parked, None, error)
            self._postpone(parked, self._longer(parked.pause_s))
        except LogError:  # of the cluster, which others tell of
            self._postpone(parked, parked.pause_s)
        else:
            parked.is_on_trial = True
            self._end_if_mended(parked)

    # ── pauses and the alarm ───────────────────────────────────────────────────────────────────

    @property
    def _now_s(self) -> float:
        return self._runtime.clock.monotonic_s()

    def _begin(
        self, routing: Routing, error: ConfigError | InputLost | TopicError, *, is_new: bool
    ) -> Parked:
        returned_s, pause_s = self._returned.pop(routing.name, (float("-inf"), 0.0))
        if self._now_s - returned_s < 2 * GROWTH * self._retry_s:
            pause_s = self._longer(pause_s)
        else:
            pause_s = self._retry_s
        return Parked(
            routing,
            error.code,
            is_new,
            is_everywhere=False,
            since_s=self._now_s,
            pause_s=pause_s,
            due_s=self._now_s + pause_s,
        )

    def _longer(self, pause_s: float) -> float:
        return min(2 * pause_s, GROWTH * self._retry_s)

    def _postpone(self, parked: Parked, pause_s: float) -> None:
        parked.pause_s = pause_s
        parked.due_s = self._now_s + pause_s

    def _mended(self, parked: Parked, partition: int) -> None:
        parked.refused.pop(partition, None)
        self._end_if_mended(parked)

    def _end_if_mended(self, parked: Parked) -> None:
        name = parked.routing.name
        if parked.refused or self._parked.get(name) is not parked:
            return
        del self._parked[name]
        self._returned[name] = (self._now_s, parked.pause_s)
        ROUTE_PARKED.labels(name).set(0)
        logger.info(
            "partner routed again",
            extra={"partner": name, "parked_s": round(self._now_s - parked.since_s, 1)},
        )

    def _tell(
        self, parked: Parked, partition: int | None, error: ConfigError | InputLost | TopicError
    ) -> None:
        logger.error(
            "partner parked: its topic takes nothing; the others go on",
            extra={
                "partner": parked.routing.name,
                "partition": partition,
                "code": error.code,
                "reason": str(error),
                "retry_s": parked.pause_s,
            },
        )
