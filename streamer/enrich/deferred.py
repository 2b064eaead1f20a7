"""One partition of dead letters: those that were deferred replay once their wiki answers again.

    read ──► Standing (which servers' letters wait, from where on) ──► position
                │
    probe ──────┴──► answers: its letters, in their order ──► commit (changes and position, one step)

Whether a server answers is asked with one request that counts against the budget like all others, one
server at a time in the whole process, each ever more seldom. Live changes of its wiki tell it too: then the
probe comes at once. Replays are appended a few at a time, the next when those are finished; if the wiki falls
silent meanwhile, they are deferred anew, as letters of their own, and the rest waits for the next probe.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from math import inf
from typing import Final

from streamer.deadletters import GROUP, Standing, letter_of
from streamer.enrich.letters import Letters
from streamer.enrich.outbox import GROUP as ENRICH
from streamer.enrich.outcome import Wikis
from streamer.errors import OffsetOutOfRange, OriginError, OriginUnavailable
from streamer.groups import cause
from streamer.log.base import Lane, Reader, Record, Stored, TopicPartition
from streamer.metrics import COMMITTED, DEFERRED_WAITING, ERRORS, discarded, received
from streamer.model import DEFERRED, DeadLetter
from streamer.replays import Pace, change_record, replay_of
from streamer.runtime import Runtime

PROBES_AT_ONCE: Final = 1
"""A silent server holds a request's slot for seconds, and there are three by default."""
PROBE_FIRST_S: Final = 15.0
PROBE_MOST_S: Final = 60.0
"""As often as a breaker lets live changes ask a host that fails (streamer.origin.breaker)."""
PROBE_DEADLINE_S: Final = 180.0
"""A breaker's pause, a budget's minute and a timeout."""
LOOK_S: Final = 0.25
BATCH: Final = 100
IDLE_COMMIT_S: Final = 5.0
EXPIRED_S: Final = 60.0
"""Between two looks at what retention has taken."""
SILENT_CHARS: Final = 3_300
"""Of a position's 4,000: some ninety servers of one partition. With more the lane reads no further until one
answers: nothing is forgotten, the letters lie in their topic."""
CHARS_PER_SERVER: Final = 24
"""An offset, quotes and a comma."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Server:
    """One whose letters wait."""

    name: str
    wiki: str
    due_s: float
    pause_s: float
    letters: Letters = field(default_factory=Letters)
    asked_s: float = -inf
    answered_s: float | None = None
    """Since when its letters may go; None: it is silent."""


class DeferredLane:
    def __init__(
        self, lane: Lane, runtime: Runtime, origin: Wikis, one_probe: asyncio.Semaphore, partitions: int
    ) -> None:
        self._lane = lane
        self._runtime = runtime
        self._origin = origin
        self._one_probe = one_probe
        self._partitions = partitions
        self._tp = TopicPartition(lane.topic, lane.partition)
        self._pace = Pace(runtime.log, ENRICH, runtime.topics.changes)
        self._first_s = min(PROBE_FIRST_S, runtime.settings.mediawiki.defer_after_s)
        self._standing = Standing(0)
        self._servers: dict[str, Server] = {}
        self._committed_cursor = 0
        self._committed_s = self._now_s()
        self._looked_s = self._now_s()
        self._is_full = False

    async def run(self) -> None:
        """From its committed position on, until draining. Raises what ended it."""
        await self._start()
        starts = {self._tp: self._standing.position().next}
        try:
            async with self._runtime.log.reader(starts) as reader, asyncio.TaskGroup() as tasks:
                probing = tasks.create_task(self._probe())
                while not self._runtime.draining.is_set():
                    await self._read(reader)
                    await self._replay()
                    await self._look_for_expired()
                    if self._now_s() - self._committed_s >= IDLE_COMMIT_S:
                        await self._commit([])
                probing.cancel()
        except BaseExceptionGroup as group:
            raise cause(group) from group
        finally:
            DEFERRED_WAITING.labels(str(self._tp.partition)).set(0)

    async def _start(self) -> None:
        position = (await self._lane.positions([self._tp])).get(self._tp)
        earliest = (await self._runtime.log.bounds(self._tp)).earliest
        if position is None:
            self._standing = Standing(earliest)
            # said at once: the log keeps what a group has yet to read, where it knows that there is one
            await self._lane.commit([], {self._tp: self._standing.position()})
        else:
            self._standing = Standing.of(position)
            self._keep_to(earliest)
        self._committed_cursor = self._standing.cursor
        self._export()

    def _keep_to(self, earliest: int) -> None:
        """Retention was quicker than the wikis: what it has deleted can't be replayed."""
        standing = self._standing
        if standing.position().next >= earliest:
            return
        lost = sum(server.letters.expire(earliest) for server in self._servers.values())
        _count_lost(lost)
        ERRORS.labels("enrich", "letters_expired").inc()
        log.error(
            "dead letters expired before their wiki answered",
            extra={"partition": self._tp.partition, "lost": lost},
        )
        standing.cursor = max(standing.cursor, earliest)
        standing.silent = {name: max(since, earliest) for name, since in standing.silent.items()}

    async def _look_for_expired(self) -> None:
        """A wiki that never answers would else lose its letters unseen."""
        if self._servers and self._now_s() - self._looked_s >= EXPIRED_S:
            self._looked_s = self._now_s()
            self._keep_to((await self._runtime.log.bounds(self._tp)).earliest)

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    async def _read(self, reader: Reader) -> None:
        if self._is_full:
            await asyncio.sleep(LOOK_S)
            return
        try:
            records = await reader.read(wait_s=LOOK_S)
        except OffsetOutOfRange as error:
            self._keep_to(error.earliest)
            reader.assign(self._tp, error.earliest)
            return
        for record in records:
            if not self._take(record):
                reader.assign(self._tp, record.offset)
                self._standing.cursor = max(self._standing.cursor, record.offset)
                break
        else:
            self._standing.cursor = max(self._standing.cursor, reader.position(self._tp))
            if reader.position(self._tp) >= self._standing.cursor:
                self._forget_expired()
        self._measure()

    def _take(self, record: Stored) -> bool:
        """False where there is no room for another silent server."""
        letter = self._deferred(record)
        if letter is None:
            return True
        change = letter.change
        name = change.server_name
        if not self._standing.waits(record.offset, name):
            return True
        server = self._servers.get(name)
        if server is None:
            if name not in self._standing.silent and not self._has_room(name):
                return False
            # after a restart it is asked at once: it may have come back long ago
            pause_s = self._first_s if record.offset >= self._committed_cursor else 0.0
            server = Server(name, change.wiki, self._now_s() + pause_s, self._first_s)
            self._servers[name] = server
        self._standing.silent.setdefault(name, record.offset)
        server.letters.add(record.offset)
        return True

    @staticmethod
    def _deferred(record: Stored) -> DeadLetter | None:
        letter = letter_of(record)
        return letter.body if letter and letter.body and letter.body.code == DEFERRED else None

    def _has_room(self, name: str) -> bool:
        used = sum(len(each) + CHARS_PER_SERVER for each in (*self._standing.silent, name))
        if used <= SILENT_CHARS:
            return True
        self._is_full = True
        ERRORS.labels("enrich", "deferred_full").inc()
        log.error(
            "too many wikis are silent: letters behind these wait until one of them answers",
            extra={"partition": self._tp.partition, "servers": len(self._standing.silent)},
        )
        return False

    def _forget_expired(self) -> None:
        """Servers of which no letter is left, known once all was read again after a restart."""
        for name in self._standing.silent.keys() - self._servers.keys():
            del self._standing.silent[name]

    # ── whether they answer ────────────────────────────────────────────────────────────────────

    async def _probe(self) -> None:
        while True:
            server = self._next_due()
            if server is None:
                await asyncio.sleep(LOOK_S)
                continue
            async with self._one_probe:
                is_answered = await self._is_answered(server)
            server.asked_s = self._now_s()
            server.answered_s = server.asked_s if is_answered else None
            server.due_s = server.asked_s + server.pause_s
            server.pause_s = min(2 * server.pause_s, PROBE_MOST_S)

    def _next_due(self) -> Server | None:
        """Who has waited longest: servers that never answer must not keep the others from being asked."""
        now_s = self._now_s()
        silent = [server for server in self._servers.values() if server.answered_s is None]
        heard = [
            server
            for server in silent
            if server.asked_s + self._first_s <= now_s and self._origin.failing_since_s(server.wiki) is None
        ]
        due = heard or [server for server in silent if server.due_s <= now_s]
        return min(due, key=lambda server: server.due_s, default=None)

    async def _is_answered(self, server: Server) -> bool:
        try:
            async with asyncio.timeout(PROBE_DEADLINE_S):
                await self._origin.probe(server.wiki, server.name)
        except (OriginUnavailable, TimeoutError):
            return False
        except OriginError:  # an answer, or a host that may not be asked any more: each change will be told
            return True
        return True

    # ── replaying ──────────────────────────────────────────────────────────────────────────────

    async def _replay(self) -> None:
        for server in list(self._servers.values()):
            if server.answered_s is None:
                continue
            failing_since_s = self._origin.failing_since_s(server.wiki)
            if failing_since_s is not None and failing_since_s > server.answered_s:
                server.answered_s = None
                continue
            room = await self._pace.room()
            if not room:
                return
            await self._replay_some(server, min(room, BATCH))

    async def _replay_some(self, server: Server, most: int) -> None:
        standing = self._standing
        letters, reached = await self._letters_of(server, most)
        sampled = self._runtime.settings.tracing.sampled
        changes = [change for letter in letters if (change := replay_of(letter, 0, sampled))]
        records = [
            change_record(self._runtime.topics.changes, self._partitions, change) for change in changes
        ]
        standing.replayed += len(records)
        server.letters.take(len(letters))
        if reached >= standing.cursor:
            _count_lost(len(server.letters))  # of a stretch of which retention has taken a part
            del standing.silent[server.name], self._servers[server.name]
            self._is_full = False
        else:
            standing.silent[server.name] = reached
        offsets = await self._commit(records)
        self._pace.appended(records, offsets)
        self._export()
        log.info(
            "deferred changes replay",
            extra={"wiki": server.wiki, "replayed": len(records), "waiting": len(server.letters)},
        )

    async def _letters_of(self, server: Server, most: int) -> tuple[list[DeadLetter], int]:
        """Its next ones, and the offset behind what was looked at."""
        at = self._standing.silent[server.name]
        found: list[DeadLetter] = []
        async with self._runtime.log.reader({self._tp: at}) as reader:
            while at < self._standing.cursor:
                try:
                    records = await reader.read(wait_s=LOOK_S)
                except OffsetOutOfRange as error:
                    self._keep_to(error.earliest)
                    reader.assign(self._tp, error.earliest)
                    continue
                for record in records:
                    if record.offset >= self._standing.cursor:
                        return found, self._standing.cursor
                    letter = self._deferred(record)
                    if letter and letter.change.server_name == server.name:
                        found.append(letter)
                        if len(found) == most:
                            return found, record.offset + 1
                at = reader.position(self._tp)
        return found, self._standing.cursor

    # ── the position ───────────────────────────────────────────────────────────────────────────

    async def _commit(self, records: list[Record]) -> list[int]:
        self._committed_s = self._now_s()
        if not records and self._standing.cursor == self._committed_cursor:
            return []
        offsets = await self._lane.commit(records, {self._tp: self._standing.position()})
        self._committed_cursor = self._standing.cursor
        return offsets

    def _measure(self) -> None:
        waiting = sum(len(server.letters) for server in self._servers.values())
        DEFERRED_WAITING.labels(str(self._tp.partition)).set(waiting)

    def _export(self) -> None:
        COMMITTED.set(GROUP, "", self._tp.partition, {"replayed": self._standing.replayed})
        self._measure()

    def _now_s(self) -> float:
        return self._runtime.clock.monotonic_s()


def _count_lost(letters: int) -> None:
    received("enrich", letters)  # once more, as their replays would have been
    discarded("enrich", "expired", letters)
