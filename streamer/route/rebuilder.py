"""`streamer partner rebuild`: looks at the log and does the next step, until there is none.

Nothing is kept here: whoever is killed between two steps, the next command goes on where the log stands.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from streamer.accounts import GROUP, counts_of, seen_by
from streamer.config import Settings
from streamer.errors import ConfigError, LogUnavailable, TopicMissing, TopicRefused
from streamer.groups import alone_by_name
from streamer.log.base import Log
from streamer.log.position import Position
from streamer.log.table import Table
from streamer.model import Topics
from streamer.route.rebuild import (
    Append,
    Delete,
    Done,
    Make,
    Mark,
    Seen,
    Start,
    Step,
    Wait,
    first_step,
    mark_of,
    next_step,
    to_go,
)
from streamer.route.starts import Starts, append_start
from streamer.runtime import article_spec

POLL_S: Final = 0.25
TELL_S: Final = 1.0
"""Between two lines of progress."""
SILENT_S: Final = 5.0
"""Lanes that run say so sooner: a process with the role is missing, or its lanes are on their way."""
GONE_S: Final = 3.0
"""On a cluster a reader believes for 2 s that a topic is there: it must have heard of the deletion before
there is another of the same name."""
FORGET_S: Final = 60.0


class Rebuilder:
    """`run` it once; it may be cancelled at any instant."""

    _positions: Mapping[int, Position]
    """At the partner's topic, as they were last looked at."""

    def __init__(self, log: Log, settings: Settings, name: str, tell: Callable[[str], None]) -> None:
        self._log = log
        self._settings = settings
        self._name = name
        self._tell = tell
        self._topics = Topics(settings.log.prefix)
        self._topic = self._topics.of_partner(name)
        self._starts = Starts()
        self._meta = Table(log, self._topics.meta, self._starts.apply)
        self._positions = {}
        self._told: tuple[str, float] = ("", 0.0)
        self._moved: tuple[object, float] = (None, time.monotonic())
        """What was last seen to change, and when: of waiting."""
        self._missing_s: float | None = None

    async def run(self, since_ms: int | None, *, wait: bool, rules: Callable[[], str | None]) -> None:
        """Finishes a rebuild that was begun, else begins one. `since_ms` None: from the earliest. Without
        `wait` it ends when all lanes are at it. `rules` reads the partner's, None where there is no such
        partner: the feed is begun by them, as they are then. Raises ConfigError and LogError.
        """
        if await self._log.topic(self._topics.meta) is None:
            raise ConfigError(self._topics.meta, "no such topic: start the service once, it makes its topics")
        await self._meta.load()
        with alone_by_name():
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._meta.run(), name="rebuild-meta")
                await self._run(since_ms, wait=wait, rules=rules)
                following.cancel()

    async def _run(self, since_ms: int | None, *, wait: bool, rules: Callable[[], str | None]) -> None:
        said: str | None = None
        mine: Start | None = None
        while True:
            seen = await self._look()
            if mine is None and seen.is_unfinished:
                mine = self._resumed(seen, since_ms)
            step = first_step(seen, since_ms or 0) if mine is None else next_step(seen, mine)
            found = rules()
            if found is None:
                raise ConfigError(f"partner {self._name}", "was removed meanwhile")
            if isinstance(step, Append):
                step, said = Append(replace(step.start, rules=found)), found
            elif seen.start is not None and seen.is_unfinished and found != said:
                # once for each change of the file: another command may read another one
                said = found
                if found != seen.start.rules:
                    step = Append(replace(seen.start, rules=found))
            if isinstance(step, Done):
                self._end(step)
                return
            if isinstance(step, Wait) and step.on == "meet" and not wait and seen.have_begun:
                return
            if isinstance(step, Append):
                mine = step.start
            await self._do(step, seen)

    async def _look(self) -> Seen:
        await self._meta.catch_up()
        info = await self._log.topic(self._topic)
        committed = await self._log.committed(GROUP)
        self._positions = {tp.partition: found for tp, found in committed.items() if tp.topic == self._topic}
        return Seen(
            self._starts.of(self._name),
            "" if info is None else info.epoch,
            {partition: mark_of(found.state) for partition, found in self._positions.items()},
            self._settings.log.partitions,
        )

    def _resumed(self, seen: Seen, since_ms: int | None) -> Start:
        assert seen.start is not None
        if since_ms not in (None, seen.start.since_ms):
            raise ConfigError(
                f"partner {self._name}: --since",
                "a rebuild from another time is under way; finish it by `rebuild` without a time",
            )
        self._tell("a rebuild is under way: this goes on with it")
        return seen.start

    async def _do(self, step: Step, seen: Seen) -> None:
        if isinstance(step, Append):
            await append_start(self._log, self._topics, self._name, step.start)
        elif isinstance(step, Make):
            await self._make(first=seen.start is None or seen.start.phase != "swap")
        elif isinstance(step, Delete):
            await self._delete(step.epoch)
        elif isinstance(step, Wait):
            await self._wait(step, seen)

    async def _make(self, *, first: bool) -> None:
        now_s = time.monotonic()
        if self._missing_s is None:
            self._missing_s = now_s
        if not first and self._settings.log.kind == "kafka" and now_s - self._missing_s < GONE_S:
            await asyncio.sleep(POLL_S)  # and look again: another command may make it
            return
        await self._log.ensure_topics([article_spec(self._settings, self._topic)])

    async def _delete(self, epoch: str) -> None:
        self._tell("all have stopped: the topic is made anew")
        try:
            with suppress(TopicMissing):  # another command was faster
                await self._log.delete_topic(self._topic, epoch=epoch)
        except (TopicRefused, ConfigError) as error:
            raise ConfigError(
                f"partner {self._name}",
                f"{error}. Its feed stands still until its topic is made anew: run this again with the"
                " settings of a user that may delete and make topics",
            ) from error

    # ── waiting ────────────────────────────────────────────────────────────────────────────────

    async def _wait(self, step: Wait, seen: Seen) -> None:
        if step.on == "positions":
            if self._idle_s(step.on) > FORGET_S:
                raise LogUnavailable(f"the cluster still has the positions of the deleted {self._topic}")
        else:
            text = self._stopping(seen) if step.on == "stop" else await self._meeting(seen)
            silent = self._idle_s(text) > SILENT_S
            self._progress(f"{text}; waiting for {self._awaited(step, seen)}" if silent else text)
        await asyncio.sleep(POLL_S)

    def _awaited(self, step: Wait, seen: Seen) -> str:
        processes = "the processes with the role `route`"
        if step.on == "stop" or seen.have_begun:
            return processes
        return f"{processes}, and for their partners file to say the same of it as the one here"

    def _stopping(self, seen: Seen) -> str:
        return f"stopped {seen.reached('stopped', 'behind', 'met')} of {seen.partitions}"

    async def _meeting(self, seen: Seen) -> str:
        bounds = await self._log.all_bounds(self._topics.articles)
        assert seen.start is not None
        wanted = seen.start.rebuild
        marks: dict[int, Mark] = {p: mark for p, mark in seen.marks.items() if mark.rebuild == wanted}
        nexts = {p: seen_by(self._positions[p]) for p in marks if marks[p].phase != "stopped"}
        met = seen.reached("met")
        left = to_go(bounds, nexts, marks)
        return f"routed {self._routed()}, {left} to go; {met} of {seen.partitions} partitions are live"

    def _routed(self) -> int:
        return sum(
            sum(counts_of(found.state).values())
            for found in self._positions.values()
            if mark_of(found.state).phase != "stopped"
        )

    def _idle_s(self, state: object) -> float:
        """Since when it is the same."""
        now_s = time.monotonic()
        if state != self._moved[0]:
            self._moved = (state, now_s)
        return now_s - self._moved[1]

    def _progress(self, text: str) -> None:
        now_s = time.monotonic()
        if text != self._told[0] and now_s - self._told[1] >= TELL_S:
            self._told = (text, now_s)
            self._tell(text)

    def _end(self, step: Done) -> None:
        if step.taken_back:
            raise ConfigError(
                f"partner {self._name}", "the rebuild was taken back: the partner was added again meanwhile"
            )
        self._tell(f"done: routed {self._routed()}, and live")
