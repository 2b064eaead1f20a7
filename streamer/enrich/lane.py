"""One partition of changes, from reading to what is finished; streamer.enrich.outbox commits it.

    read ──► Order (per title) ──► ask (a task each) ──► Order ──► Outbox ──► commit (one at a time)
      │                                                             ▲
      └── removals with a known page, cut-offs, signals ────────────┘  these wait for nobody

Bounded by MAX_OPEN changes and by what a position can say of work done out of order; when full, the lane
stops reading. A lane that loses its partition or its log leaves with that error and is started anew from
its committed position: whatever it had in hand is asked again, nothing is published twice. It asks only when
it has read what was there at its start: of that the removals and cut-offs may be out already, and what is
answered before them must know of them.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from msgspec.structs import replace

from streamer.enrich.ask import Asker
from streamer.enrich.commit import EarlyCutoff, Finished, Memory, SignalItem
from streamer.enrich.held import Held
from streamer.enrich.hinting import Hinting
from streamer.enrich.memory import Removal
from streamer.enrich.order import Order
from streamer.enrich.outbox import GROUP, LaneState, Outbox, Refusals, export
from streamer.enrich.outcome import Dead, Outcome, Removed, Superseded, Wikis, Work
from streamer.enrich.patience import Answers
from streamer.enrich.scorer import Scorer, Scoring
from streamer.enrich.signals import signal_record
from streamer.enrich.supersede import needless
from streamer.enrich.textpool import TextPool
from streamer.enrich.unreadable import UNDECODABLE, is_hint, stand_in
from streamer.errors import HostNotAllowed
from streamer.groups import cause
from streamer.log.base import Lane, Reader, Stored, TopicPartition
from streamer.log.position import Position, Progress
from streamer.lost import Input, skip
from streamer.metrics import (
    ENRICH_OLDEST_OPEN,
    ENRICH_OPEN,
    ERRORS,
    QUEUE_DEPTH,
    UNRESOLVED_REMOVALS,
    discarded,
    received,
)
from streamer.model import UNREADABLE, Change, Hint, decode_change, is_tick
from streamer.plan import Plan
from streamer.runtime import Runtime
from streamer.tracing import JOURNEY

MAX_OPEN: Final = 4_000
"""Changes of one lane between reading and commit. A wiki that falls silent keeps its changes open for
`defer_after_s`: at ten edits a second that is three thousand, which must not hold the others.
"""
READ_RECORDS: Final = 500
FULL_PAUSE_S: Final = 0.05
SUPERSEDE_S: Final = 0.5
DRAIN_SHARE: Final = 0.8
"""Of the time that a drain has: what is not answered by then is asked again after the restart, and what is
answered still has to be committed.
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all lanes of a process share."""

    runtime: Runtime
    origin: Wikis
    memory: Memory
    held: Held
    answers: Answers
    pool: TextPool
    plan: Callable[[], Plan]
    """As of now: partners' tables change."""
    partitions: int
    refusals: Refusals
    scorer: Scorer | None = None


async def run_lane(lane: Lane, shared: Shared) -> None:
    """From its committed position on. Raises what ended it; returns after a drain."""
    await LaneWorker(lane, shared, await _committed(lane, shared.runtime)).run()


async def _committed(lane: Lane, runtime: Runtime) -> Position:
    """Where to go on. Raises InputLost where changes are gone that were admitted and have no outcome."""
    tp = TopicPartition(lane.topic, lane.partition)
    position = (await lane.positions([tp])).get(tp)
    there = await Input.of(runtime.log, tp)
    if position is None:
        # said at once: the log keeps what a group has yet to read, where it knows that there is one
        position = Position(there.earliest, (), {"epoch": there.epoch})
        await lane.commit([], {tp: position})
        return position
    export(lane.partition, LaneState.of(position))  # which a lane that stops has committed too
    state = {**position.state, "epoch": there.epoch}
    lost = there.beyond(position.next, str(position.state.get("epoch", "")))
    if lost:
        skip(runtime, GROUP, lane.partition, lost)
        position = Position(there.earliest, (), state)
        await lane.commit([], {tp: position})
    elif lost := there.before(position.next):
        gone = there.earliest - position.next
        gone -= sum(min(high, there.earliest) - min(low, there.earliest) for low, high in position.done)
        skip(runtime, GROUP, lane.partition, lost, gone)
        done = tuple((max(low, there.earliest), high) for low, high in position.done if high > there.earliest)
        position = Position(there.earliest, done, state)
        await lane.commit([], {tp: position})
    return Position(position.next, position.done, state)


class LaneWorker:
    """Reads and asks, and hands what is finished to the outbox."""

    def __init__(self, lane: Lane, shared: Shared, position: Position) -> None:
        self._shared = shared
        self._runtime = shared.runtime
        self._memory = shared.memory
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._start = position.next
        self._progress = Progress(position)
        self._outbox = Outbox(
            lane,
            shared.runtime,
            shared.memory,
            shared.partitions,
            position=position,
            progress=self._progress,
            refusals=shared.refusals,
            on_committed=self._committed,
        )
        self._order = Order()
        self._admitted_ms: dict[int, int] = {}
        """Of the changes that are open, by offset and in that order."""
        self._taken = 0
        """How many of them are not in the metrics yet."""
        self._works: dict[int, Work] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """Those that ask, by offset."""
        self._superseded_s = -inf
        self._may_ask = asyncio.Event()
        self._held_bytes = 0
        self._stuck: dict[int, int] = {}
        self._hinting = Hinting(shared.memory.hints, shared.memory.contents)
        self._scoring = Scoring(shared.memory.hints, shared.scorer)
        self._asker = Asker(
            origin=shared.origin,
            settings=lambda: shared.runtime.settings.mediawiki,
            clock=shared.runtime.clock,
            answers=shared.answers,
            held=shared.held,
            newest=shared.memory.newest,
            removals=shared.memory.removals,
            pool=shared.pool,
            plan=shared.plan,
            hinting=self._hinting,
            scoring=self._scoring,
            is_waited_for=self._order.is_waited_for,
        )

    async def run(self) -> None:
        there = (await self._runtime.log.bounds(self._tp)).end
        try:
            async with (
                self._runtime.log.reader({self._tp: self._start}) as reader,
                asyncio.TaskGroup() as tasks,
            ):
                committing = tasks.create_task(self._outbox.run())
                await self._read(reader, tasks, there)
                await self._drain()
                self._outbox.close()
                await committing
                for task in self._tasks.values():
                    task.cancel()
        except BaseExceptionGroup as group:
            raise cause(group) from group
        except asyncio.CancelledError:
            left(self._tp.partition)
            raise
        else:
            left(self._tp.partition)
        finally:
            self._let_go()

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    async def _read(self, reader: Reader, tasks: asyncio.TaskGroup, there: int) -> None:
        """`there`: the end of what is read before anything is asked, or as much of it as may be open; no more
        could be read before the restart either.
        """
        draining = self._runtime.draining
        while not draining.is_set():
            if reader.position(self._tp) > self._start or self._start >= there:
                self._tell_open()  # not before: what was open when the lane failed is open still
            is_full = self._progress.open_count >= MAX_OPEN or self._progress.is_full()
            if is_full or reader.position(self._tp) >= there:
                self._may_ask.set()
            if is_full:
                self._supersede()
                await asyncio.sleep(FULL_PAUSE_S)
                continue
            for record in await reader.read(max_records=READ_RECORDS):
                self._take(record, tasks)
            received("enrich", self._taken)
            self._taken = 0
            self._supersede()
            self._progress.skip_to(reader.position(self._tp))

    def _take(self, record: Stored, tasks: asyncio.TaskGroup) -> None:
        if is_tick(record) or record.value is None:
            return
        try:
            decoded = decode_change(record.value)
        except UNDECODABLE:
            self._take_unreadable(record)
            return
        if isinstance(decoded, Hint):
            self._take_hint(record, decoded)
        else:
            self._take_change(record, decoded, tasks)

    def _take_unreadable(self, record: Stored) -> None:
        """It must not end the lane for ever, nor be missing from the sums: a dead letter, whose alarm says
        what it may leave undone.
        """
        hint = is_hint(record)
        log.error(
            "a record of changes can't be read",
            extra={"partition": record.partition, "offset": record.offset, "hint": hint},
        )
        if hint:
            ERRORS.labels("enrich", "hint_unreadable").inc()
            return
        if not self._open(record):
            return
        change = stand_in(record)
        page_id = change.page_id or self._memory.newest.page_under(change.wiki, change.title)
        if change.kind == "visibility":  # cut off as told of this page: nobody asks for another
            change = replace(change, page_id=page_id)
            if change.visibility and change.revision:
                self._memory.hidden.told(change.wiki, change.revision, change.visibility)
        work = Work(record.offset, change, self._memory.removals.read_no)
        withdrawn_page = page_id if change.kind == "delete" else 0
        work.outcome = Dead(UNREADABLE, 0, withdrawn_page)
        if _should_withdraw(work):
            UNRESOLVED_REMOVALS.inc()
        self._outbox.put(self._with_site(work))

    def _take_hint(self, record: Stored, hint: Hint) -> None:
        signal = self._hinting.read(hint)
        self._scoring.read(hint)
        if signal and self._progress.take(record.offset):
            topic = self._runtime.topics.signals
            made = signal_record(topic, self._shared.partitions, hint.wiki, signal)
            self._outbox.put(SignalItem(record.offset, made))

    def _take_change(self, record: Stored, change: Change, tasks: asyncio.TaskGroup) -> None:
        self._memory.removals.read_no += 1
        work = Work(record.offset, change, self._memory.removals.read_no)
        if (tracing := self._runtime.tracing) is not None:
            work.journey = tracing.journey(change, record)
        is_open = self._open(record)
        try:
            self._shared.origin.check_host(change.server_name)
        except HostNotAllowed as error:
            work.outcome = Dead(error.code, 0)
            if is_open:
                self._outbox.put(Finished(work))
            return
        self._remember(work)
        if not is_open:
            # done before the restart; but what was read before it may be open still, and is judged by it
            return
        if change.kind == "delete" and change.page_id:
            # waits for nobody: what is under way about this page becomes `gone`
            work.outcome = Removed((change.page_id,))
            self._outbox.put(self._with_site(work))
            return
        if change.kind == "visibility":  # not its replay: what it hid may have been shown again since
            self._cut_off_early(work)
        titles = [(change.wiki, change.title)]
        if change.previous:
            titles.append((change.wiki, change.previous.title))
        self._works[work.offset] = work
        self._order.enter(work.offset, titles)
        task = tasks.create_task(self._ask(work))
        self._tasks[work.offset] = task
        task.add_done_callback(lambda _: self._tasks.pop(work.offset, None))

    def _open(self, record: Stored) -> bool:
        """False: it was done before the restart."""
        if not self._progress.take(record.offset):
            return False
        self._admitted_ms[record.offset] = record.timestamp_ms
        self._taken += 1
        return True

    def _remember(self, work: Work) -> None:
        """What a change says of its page and revision, whatever comes of it: so that an answer from before
        it, or from a replica that lags behind it, is known as such.
        """
        change, memory = work.change, self._memory
        if change.kind == "delete":
            memory.removals.read(change.wiki, change.title, work.read_no)
            if change.page_id:
                self._removed(work, (change.page_id,))
        elif change.kind == "visibility" and change.visibility and change.revision:
            memory.hidden.told(change.wiki, change.revision, change.visibility)
        work.told_revision = memory.told.read(change)

    def _cut_off_early(self, work: Work) -> None:
        """What is hidden is cut off at once, before anything is asked."""
        change = work.change
        if change.visibility is None or not change.revision:
            return
        hides = change.visibility.hides()
        page_id = change.page_id or self._memory.newest.page_under(change.wiki, change.title)
        if hides and page_id:
            # under a title's last known page it may be another's: then it names a revision that page hasn't
            work.cutoff_written = bool(change.page_id)
            self._outbox.put(EarlyCutoff(change.wiki, page_id, change.revision, hides))

    def _removed(self, work: Work, page_ids: tuple[int, ...]) -> None:
        removal = Removal(work.read_no, work.change.edited_ms)
        for page_id in page_ids:
            self._memory.removals.resolved(work.change.wiki, page_id, removal)

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    async def _ask(self, work: Work) -> None:
        await self._may_ask.wait()
        if work.journey is not None:
            JOURNEY.set(work.journey)
        try:
            outcome = await self._asker.outcome(work)
        finally:
            self._held_bytes += work.held_bytes
        if isinstance(outcome, Removed):
            if not work.change.replays:
                self._removed(work, outcome.page_ids)
        elif isinstance(outcome, Dead) and _should_withdraw(work):
            UNRESOLVED_REMOVALS.inc()
            log.error(
                "what a deletion or a visibility change withdraws could not be found out",
                extra={
                    "kind": work.change.meant,
                    "wiki": work.change.wiki,
                    "log_id": work.change.log_id,
                    "code": outcome.code,
                    "withdrawn_page": outcome.withdrawn_page,
                },
            )
        self._answered(work, outcome)

    def _answered(self, work: Work, outcome: Outcome) -> None:
        work.outcome = outcome
        released = self._order.done(work.offset)
        if work.offset not in released and work.held_bytes:
            self._stuck[work.offset] = work.held_bytes
            self._shared.held.stick(work.held_bytes)
        if isinstance(outcome, Removed) and not work.change.replays:
            # goes ahead, since what was read before it about its page is `gone` now; but stays in its titles'
            # queues until its turn, so that what was read after it (a restore) can't come out before it
            self._outbox.put(self._with_site(self._works.pop(work.offset)))
        for offset in released:
            self._shared.held.unstick(self._stuck.pop(offset, 0))
            waiting = self._works.pop(offset, None)
            if waiting:
                self._outbox.put(self._with_site(waiting))

    def _supersede(self) -> None:
        """Where there is a backlog: what need not be asked for is not, unless a request has it already."""
        now_s, origin = self._runtime.clock.monotonic_s(), self._shared.origin
        if now_s - self._superseded_s < SUPERSEDE_S:
            return
        self._superseded_s = now_s
        if not (origin.has_backlog and self._shared.plan().latest_only):
            return
        for work in needless(self._order.queues(), self._works, origin):
            self._tasks[work.offset].cancel()
            self._answered(work, Superseded())

    def _with_site(self, work: Work) -> Finished:
        return Finished(work, self._shared.origin.site(work.change.wiki))

    def _tell_open(self) -> None:
        partition = str(self._tp.partition)
        ENRICH_OPEN.labels(partition).set(self._progress.open_count)
        ENRICH_OLDEST_OPEN.labels(partition).set(next(iter(self._admitted_ms.values()), 0) / 1000)

    def _committed(self, works: Sequence[Work]) -> None:
        for work in works:
            self._release(work)
        self._tell_open()

    def _release(self, work: Work) -> None:
        self._admitted_ms.pop(work.offset, None)
        self._held_bytes -= work.held_bytes
        self._shared.held.release(work.held_bytes)
        work.held_bytes = 0

    # ── the end ────────────────────────────────────────────────────────────────────────────────

    async def _drain(self) -> None:
        self._hinting.close()
        self._scoring.close()
        if not self._may_ask.is_set():
            return  # nothing was asked, and nothing will be: the restart reads it again
        try:
            async with asyncio.timeout(self._runtime.settings.deliver.drain_s * DRAIN_SHARE):
                while self._tasks:
                    await asyncio.wait(set(self._tasks.values()))
        except TimeoutError:
            log.info(
                "drained with changes still open, they are asked again after the restart",
                extra={"partition": self._tp.partition, "open": len(self._tasks)},
            )

    def _let_go(self) -> None:
        self._shared.held.unstick(sum(self._stuck.values()))
        self._shared.held.release(self._held_bytes)
        self._held_bytes = 0
        discarded("enrich", "read_again", len(self._admitted_ms) - self._taken)
        ENRICH_OPEN.labels(str(self._tp.partition)).set(0)


def left(*partitions: int) -> None:
    """This process does not run these lanes, or not until a restart. One that only fails and begins anew has
    the same oldest change, and says so meanwhile.
    """
    for partition in partitions:
        ENRICH_OLDEST_OPEN.labels(str(partition)).set(0)
        QUEUE_DEPTH.labels(f"enrich_finished_{partition}").set(0)


def _should_withdraw(work: Work) -> bool:
    """Whether text stays served that the stream wanted gone, if this change comes to nothing."""
    if work.change.meant == "visibility":
        hides = work.change.visibility.hides() if work.change.visibility else ()
        return bool(hides) and not work.cutoff_written
    return work.change.meant == "delete"
