"""One partition's wikis, compared with their own lists: by themselves every few hours, and when asked to.

    meta (wikis, asks, how far) ──► what is due ──► Sweep ──► changes: repairs ─┐ one
                                                              meta: how far     ├ commit
                                                              position: counts ─┘

Repairs are `refresh` changes like a dead letter's replays: enrich judges them, restates the page as it is,
and counts them. What is appended is told from then on, so that a kill at whatever instant repeats the
comparison and not the repair. Requests go behind all others and count against the same budget.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from streamer.admission import Rules
from streamer.enrich.agenda import Agenda, reason_of
from streamer.enrich.outbox import GROUP as ENRICH
from streamer.enrich.outcome import Wikis
from streamer.enrich.suspects import Suspects
from streamer.enrich.sweep import Sweep, Target
from streamer.groups import cause
from streamer.log.base import Lane, Record, TopicPartition
from streamer.log.table import Table
from streamer.metrics import COMMITTED, ERRORS, RECONCILE_LISTED, RECONCILED_UNTIL
from streamer.model import Change, Kind
from streamer.reconciled import GROUP, SOURCE, Counts, Reconciled, Standing, horizon_ms, standing_record
from streamer.replays import BATCH, Pace, change_record
from streamer.runtime import HOUR_MS, Runtime

SWEEPS_AT_ONCE: Final = 2
"""Of a process: each holds some ten thousand rows, and a wiki that is slow must not hold the others."""
LOOK_S: Final = 1.0
ALIVE_S: Final = 5.0
"""While somebody waits: so often is it said that a lane lives."""
FIRST_HEARD_MS: Final = HOUR_MS
"""So far back it is looked for since when a wiki is followed."""

log = logging.getLogger(__name__)


class Reconciling:
    """What the lanes of a process share: `follow` beside them, `run` for each."""

    def __init__(self, runtime: Runtime, origin: Wikis, partitions: int) -> None:
        self._runtime = runtime
        self._origin = origin
        self._partitions = partitions
        self._known = Reconciled()
        self._meta = Table(runtime.log, runtime.topics.meta, self._known.apply)
        self._loaded = asyncio.Event()
        self._turns = asyncio.Semaphore(SWEEPS_AT_ONCE)

    async def follow(self) -> None:
        await self._meta.load()
        self._loaded.set()
        await self._meta.run()

    async def run(self, lane: Lane) -> None:
        if not await self._runtime.before_drain(self._caught_up()):
            return
        agenda = Agenda(self._known, self._runtime, lane.partition, self._partitions)
        await ReconcileLane(
            lane, self._runtime, self._origin, agenda, turns=self._turns, partitions=self._partitions
        ).run()

    async def _caught_up(self) -> None:
        """With what another process has noted that had this lane before."""
        await self._loaded.wait()
        await self._meta.catch_up()


class ReconcileLane:
    def __init__(
        self,
        lane: Lane,
        runtime: Runtime,
        origin: Wikis,
        agenda: Agenda,
        *,
        turns: asyncio.Semaphore,
        partitions: int,
    ) -> None:
        self._lane = lane
        self._runtime = runtime
        self._origin = origin
        self._agenda = agenda
        self._turns = turns
        self._partitions = partitions
        self._topics = runtime.topics
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._pace = Pace(runtime.log, ENRICH, self._topics.changes)
        self._counts = Counts()
        self._committing = asyncio.Lock()

    async def run(self) -> None:
        """Until draining. Raises what ended it."""
        position = (await self._lane.positions([self._tp])).get(self._tp)
        if position:
            self._counts = Counts.of(position)
        self._export()
        try:
            async with asyncio.TaskGroup() as tasks:
                beating = tasks.create_task(self._beat())
                await self._runtime.before_drain(self._work())
                beating.cancel()
        except BaseExceptionGroup as group:
            raise cause(group) from group
        finally:
            with suppress(KeyError):
                RECONCILED_UNTIL.remove(str(self._tp.partition))

    async def _work(self) -> None:
        while True:
            await self._meet(self._agenda.unmet())
            targets = self._agenda.due(await self._horizon_ms()) if self._agenda.is_anything() else []
            if targets:
                async with self._turns:
                    await self._sweep(targets)
            else:
                await asyncio.sleep(LOOK_S)

    async def _beat(self) -> None:
        while True:
            if self._agenda.is_awaited():
                await self._commit(alive=self._runtime.clock.now_ms())
                await asyncio.sleep(ALIVE_S)
            else:
                await asyncio.sleep(LOOK_S)

    async def _horizon_ms(self) -> int:
        source = await self._runtime.log.committed(SOURCE)
        lag_ms = int(self._runtime.settings.reconcile.lag_s * 1000)
        return horizon_ms(next(iter(source.values()), None), self._runtime.clock.now_ms(), lag_ms)

    async def _meet(self, wikis: list[str]) -> None:
        """Wikis that are new here: they are followed since their first change, as far as that can be told at
        little cost.
        """
        if not wikis:
            return
        now_ms = self._runtime.clock.now_ms()
        heard = dict.fromkeys(wikis, now_ms)
        missing = set(wikis)
        start = await self._runtime.log.offset_at(self._tp, now_ms - FIRST_HEARD_MS)
        earliest, end = await self._runtime.log.bounds(self._tp)
        async with self._runtime.log.reader({self._tp: max(start, earliest)}) as reader:
            while missing and reader.position(self._tp) < end:
                for record in await reader.read():
                    if record.key in missing:
                        missing.discard(record.key)
                        heard[record.key] = record.timestamp_ms
        # wikis count whole seconds: what happened in the same one may have been before
        await self._note(
            {wiki: Standing(at, at) for wiki, ms in heard.items() if (at := -(-ms // 1000) * 1000)}
        )

    # ── comparing ──────────────────────────────────────────────────────────────────────────────

    async def _sweep(self, targets: list[Target]) -> None:
        rules = self._agenda.rules
        admits, tells = _admitting(rules), _telling(rules)
        sampled = self._runtime.settings.tracing.sampled

        async def settle(lost: list[Change]) -> None:
            await self._append(lost, targets)
            await self._note(self._compared(targets))

        await Sweep(
            self._runtime.log,
            self._topics,
            self._tp.partition,
            self._partitions,
            self._origin,
            lambda: Suspects(admits, tells, sampled),
            targets,
            settle,
        ).run()
        ended: dict[str, Standing] = {}
        for target in targets:
            if target.problem:
                ERRORS.labels(GROUP, target.problem.code).inc()
                log.warning(
                    "a wiki could not be compared with its own lists",
                    extra={"wiki": target.wiki, "reason": reason_of(target.problem)},
                )
            if standing := self._agenda.ended(target):
                ended[target.wiki] = standing
        await self._note(ended)

    async def _append(self, lost: list[Change], targets: list[Target]) -> None:
        """A few at a time, the next when enrich has finished those, or finishes nothing: live changes are
        read behind them, and other wikis wait for their turn. With each goes that it was found.
        """
        for start in range(0, len(lost), BATCH):
            batch = lost[start : start + BATCH]
            await self._pace.until_room(len(batch))
            records = [change_record(self._topics.changes, self._partitions, change) for change in batch]
            offsets = await self._note(self._found(targets, batch), records, found=_by_kind(batch))
            self._pace.appended(records, offsets)
            log.warning(
                "the stream lost changes: their pages are restated",
                extra={"partition": self._tp.partition, "found": len(batch)},
            )

    def _found(self, targets: list[Target], batch: list[Change]) -> dict[str, Standing]:
        """Of those that were asked for: how far they are does not change by it."""
        standings: dict[str, Standing] = {}
        for target in targets:
            before = self._agenda.standing(target.wiki)
            found = _by_kind([change for change in batch if change.wiki == target.wiki])
            if before and target.ask and found:
                at_ms = before.at_ms if before.ask == target.ask else target.since_ms
                standings[target.wiki] = before.asked(target.ask, target.since_ms, at_ms, found=found)
        return standings

    def _compared(self, targets: list[Target]) -> dict[str, Standing]:
        """How far each wiki is by now, where that is news."""
        standings: dict[str, Standing] = {}
        for target in targets:
            before = self._agenda.standing(target.wiki)
            if before is None or not target.reached_ms:
                continue
            RECONCILE_LISTED.inc(target.listed)
            if target.ask:
                standing = before.asked(target.ask, target.since_ms, target.reached_ms, listed=target.listed)
            else:
                standing = before.compared(target.reached_ms)
            if standing != before:
                standings[target.wiki] = standing
        return standings

    # ── the log ────────────────────────────────────────────────────────────────────────────────

    async def _note(
        self,
        standings: dict[str, Standing],
        records: Sequence[Record] = (),
        *,
        found: Mapping[str, int] | None = None,
    ) -> list[int]:
        """The offsets of `records`."""
        if not standings and not records:
            return []
        notes = [
            standing_record(self._topics.meta, self._partitions, wiki, standing)
            for wiki, standing in standings.items()
        ]
        offsets = await self._commit([*records, *notes], found=found)
        self._agenda.note(standings)
        self._export()
        return offsets[: len(records)]

    async def _commit(
        self, records: list[Record] | None = None, *, found: Mapping[str, int] | None = None, alive: int = 0
    ) -> list[int]:
        async with self._committing:
            counts = dict(self._counts.counts)
            for kind, count in (found or {}).items():
                counts[kind] = counts.get(kind, 0) + count
            told = replace(self._counts, counts=counts, alive=alive or self._counts.alive)
            offsets = await self._lane.commit(records or [], {self._tp: told.position()})
            self._counts = told
        self._export()
        return offsets

    def _export(self) -> None:
        COMMITTED.set(GROUP, "", self._tp.partition, self._counts.counts)
        until_ms = self._agenda.until_ms()
        if until_ms is not None:
            RECONCILED_UNTIL.labels(str(self._tp.partition)).set(until_ms / 1000)


def _by_kind(changes: list[Change]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.meant] = counts.get(change.meant, 0) + 1
    return counts


def _admitting(rules: Rules) -> Callable[[Change], bool]:
    """As the source would have judged it. A log doesn't say who is a bot: where bots are left out, what it
    tells of protections and the like is left alone.
    """

    def admits(change: Change) -> bool:
        return (rules.bots or change.kind != "refresh") and rules.admits(change)

    return admits


def _telling(rules: Rules) -> Callable[[Kind], bool]:
    """Whether any stream that is configured tells of it. Protections and the like only recentchange does."""

    def tells(kind: Kind) -> bool:
        owner = rules.owners[kind]
        return owner == "recentchange" if kind == "refresh" else owner is not None

    return tells
